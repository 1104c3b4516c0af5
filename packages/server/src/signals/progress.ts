import type { StreamProgress } from '@caegis/ssf/transmitter'
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
      written = new Map([...unwritten].filter(([id]) => own.has(id)))
      const ids = [...written.keys()]
      if (ids.length === 0) return
      const rows = await tx.selectFrom('streams').select(['id', 'progress']).where('tenant', '=', tenant).where('id', 'in', ids).execute()
      for (const { id, progress } of rows) {
        const after = merge(JSON.parse(progress) as StreamProgress, written.get(id))
        await tx
          .updateTable('streams')
          .set({ progress: JSON.stringify(after) })
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .execute()
      }
    })
    void job.then(() => {
      for (const [id, progress] of written) if (unwritten.get(id) === progress) unwritten.delete(id)
    })
    return own
  }

  return {
    async save(stream, progress) {
      unwritten.set(stream, merge(unwritten.get(stream) ?? {}, progress))
      const open = batch && (batch.size < BATCH || batch.has(stream)) ? batch : begin()
      open.add(stream)
      // Said once for a long time: nothing would bring it back.
      if (progress.hydrated) await store.flush()
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
