import type { StreamProgress } from '@caegis/ssf/transmitter'
import { sql, type Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** How far streams have come, written a moment later and many at once. In this process it is known at once; a crash takes it, and what it was about comes again. */
export interface Progress {
  save(stream: string, progress: StreamProgress): Promise<void>
  forget(stream: string): void
  /** Lays what is not written yet over what a read finds. To be called before the read: what is written meanwhile may not be in it. */
  over(stream?: string): <T extends StreamProgress & { id: string }>(found: T) => T
}

/** Streams that one job writes. */
const BATCH = 50

export function createProgress(store: Store, tenant: string): Progress {
  const unwritten = new Map<string, StreamProgress>()
  let batch: Set<string> | undefined

  function begin(): Set<string> {
    const own = new Set<string>()
    batch = own
    let written = new Map<string, StreamProgress>()
    const job = store.soon(async (tx) => {
      // What is said from here on goes into the next one.
      if (batch === own) batch = undefined
      written = await write(tx, own)
    })
    void job.then(() => settle(written))
    return own
  }

  /** Returns what it wrote. */
  async function write(tx: Transaction<Schema>, streams: ReadonlySet<string>): Promise<Map<string, StreamProgress>> {
    const written = new Map([...unwritten].filter(([id]) => streams.has(id)))
    const ids = [...written.keys()]
    if (ids.length === 0) return written
    const rows = await tx.selectFrom('streams').select(['id', 'progress']).where('tenant', '=', tenant).where('id', 'in', ids).execute()
    for (const { id, progress } of rows) {
      const after = JSON.stringify(merge(JSON.parse(progress) as StreamProgress, written.get(id)))
      // As text: to build this statement takes longer than to run it.
      await sql`update streams set progress = ${after} where tenant = ${tenant} and id = ${id}`.execute(tx)
    }
    return written
  }

  function settle(written: ReadonlyMap<string, StreamProgress>): void {
    for (const [id, progress] of written) if (unwritten.get(id) === progress) unwritten.delete(id)
  }

  return {
    async save(stream, progress) {
      unwritten.set(stream, merge(unwritten.get(stream) ?? {}, progress))
      // Said once for a long time, nothing would bring it back: it is written through.
      if (progress.hydrated) return settle(await store.transaction((tx) => write(tx, new Set([stream]))))
      const open = batch && (batch.size < BATCH || batch.has(stream)) ? batch : begin()
      open.add(stream)
    },
    forget: (stream) => void unwritten.delete(stream),
    over(stream) {
      const before = stream === undefined ? new Map(unwritten) : new Map([[stream, unwritten.get(stream)]])
      return (found) => merge(merge(found, before.get(found.id)), unwritten.get(found.id))
    },
  }
}

/** The later word prevails, but what is acknowledged stays so. */
function merge<T extends StreamProgress>(before: T, after: StreamProgress | undefined): T {
  if (after === undefined) return before
  const acked = Math.max(before.acked ?? 0, after.acked ?? 0)
  return { ...before, ...after, acked }
}
