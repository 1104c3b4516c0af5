import type { StreamProgress } from '@caegis/ssf/transmitter'
import { sql, type Transaction } from 'kysely'
import { padded } from '../store/loader.ts'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/**
 * How far streams have come, written a moment later and many at once. In this process it is known at once; a crash takes it, and what it was about comes again. Other
 * servers write of the same streams: what each of them knows is put together, and nothing goes back.
 */
export interface Progress {
  /** @param epoch the log that its positions are of: in another one they say nothing */
  save(stream: string, progress: StreamProgress, epoch?: string): Promise<void>
  forget(stream: string): void
  /** Lays what is not written yet over what a read finds. To be called before the read: what is written meanwhile may not be in it. */
  over(stream?: string): <T extends StreamProgress & { id: string }>(found: T) => T
  /** Which log there is, by whoever has just read it: positions of another one, which was before a restore or a failover, are dropped (threat B5). */
  noticed(epoch: string): void
}

interface Unwritten {
  progress: StreamProgress
  epoch: string | undefined
}

/** Streams that one job writes. */
const BATCH = 512

export function createProgress(store: Store, tenant: string): Progress {
  const unwritten = new Map<string, Unwritten>()
  let current: string | undefined
  let batch: Set<string> | undefined

  function begin(): Set<string> {
    const own = new Set<string>()
    batch = own
    void store.soon(async (tx) => {
      // What is said from here on goes into the next one.
      if (batch === own) batch = undefined
      const written = await write(tx, own)
      // It may be taken back, run again, or be given up.
      store.after(tx, () => settle(written))
    })
    return own
  }

  /** Returns what it wrote. */
  async function write(tx: Transaction<Schema>, streams: ReadonlySet<string>): Promise<Map<string, Unwritten>> {
    const home = await tx.selectFrom('tenants').select(['epoch', 'seq']).where('id', '=', tenant).executeTakeFirst()
    if (home) drop((one) => isOf(one, home.epoch) && lastOf(one.progress) <= home.seq)
    const written = new Map([...unwritten].filter(([id]) => streams.has(id)))
    // In one order, so that two servers that write of the same streams never wait for each other.
    const ids = [...written.keys()].sort()
    for (let left = ids; left.length > 0; ) {
      const rows = await tx.selectFrom('streams').select(['id', 'progress']).where('tenant', '=', tenant).where('id', 'in', padded(left)).execute()
      const news = rows.flatMap(({ id, progress: before }) => {
        const after = JSON.stringify(merge(JSON.parse(before) as StreamProgress, written.get(id)?.progress))
        return after === before ? [] : [sql`(${id}, ${before}, ${after})`]
      })
      if (news.length === 0) break
      // All by one statement; each only over what was read: another server may have written meanwhile, and then it is looked at again.
      const done = await sql<{ id: string }>`with news (id, before, after) as (values ${sql.join(padded(news))})
        update streams set progress = news.after from news where streams.tenant = ${tenant} and streams.id = news.id and streams.progress = news.before
        returning streams.id as id`.execute(tx)
      if (done.rows.length === news.length) break
      const settled = new Set(done.rows.map(({ id }) => id))
      left = left.filter((id) => !settled.has(id))
    }
    return written
  }

  function settle(written: ReadonlyMap<string, Unwritten>): void {
    for (const [id, one] of written) if (unwritten.get(id) === one) unwritten.delete(id)
  }

  function noticed(epoch: string): void {
    if (current === epoch) return
    current = epoch
    drop((one) => isOf(one, epoch))
  }

  /** Positions that are none of this log. */
  function drop(fits: (one: Unwritten) => boolean): void {
    for (const [id, one] of unwritten) if (!fits(one)) unwritten.set(id, { ...one, progress: withoutPositions(one.progress) })
  }

  return {
    async save(stream, progress, epoch) {
      const before = unwritten.get(stream)
      const over = current !== undefined && !isOf({ epoch }, current)
      const [of, given] = over ? [undefined, withoutPositions(progress)] : [epoch, progress]
      const other = of !== undefined && before?.epoch !== undefined && before.epoch !== of
      const known = before?.progress ?? {}
      unwritten.set(stream, { progress: merge(other ? withoutPositions(known) : known, given), epoch: of ?? before?.epoch })
      // Said once for a long time, nothing would bring it back: it is written through.
      if (progress.hydrated) return settle(await store.transaction({ name: `stream ${tenant} ${stream}` }, (tx) => write(tx, new Set([stream]))))
      const open = batch && (batch.size < BATCH || batch.has(stream)) ? batch : begin()
      open.add(stream)
    },
    forget: (stream) => void unwritten.delete(stream),
    over(stream) {
      const before = stream === undefined ? new Map(unwritten) : new Map([[stream, unwritten.get(stream)]])
      return (found) => merge(merge(found, before.get(found.id)?.progress), unwritten.get(found.id)?.progress)
    },
    noticed,
  }
}

function isOf({ epoch }: Pick<Unwritten, 'epoch'>, current: string): boolean {
  return epoch === undefined || epoch === current
}

function lastOf({ acked = 0, ackedAhead = [] }: StreamProgress): number {
  return Math.max(acked, ...ackedAhead.slice(-1))
}

function withoutPositions({ acked: _, ackedAhead: __, ...progress }: StreamProgress): StreamProgress {
  return progress
}

/** The most that anybody knows: what is acknowledged or applied stays so, whoever of several servers says it last. */
export function merge<T extends StreamProgress>(before: T, after: StreamProgress | undefined): T {
  if (after === undefined) return before
  const later = (name: 'seenAt' | 'verifiedAt' | 'confirmedAt') => {
    const at = Math.max(before[name] ?? 0, after[name] ?? 0)
    return at === 0 ? {} : { [name]: at }
  }
  let acked = Math.max(before.acked ?? 0, after.acked ?? 0)
  const ahead =
    before.ackedAhead && after.ackedAhead ? [...new Set([...before.ackedAhead, ...after.ackedAhead])] : (after.ackedAhead ?? before.ackedAhead)
  // The half that one server was told, and the half of the other.
  const settled = new Set(ahead)
  while (settled.has(acked + 1)) acked++
  const applied = before.applied && after.applied ? furthest(before.applied, after.applied) : (after.applied ?? before.applied)
  const hydrated = before.hydrated && after.hydrated && before.hydrated.at > after.hydrated.at ? before.hydrated : (after.hydrated ?? before.hydrated)
  return {
    ...before,
    ...after,
    acked,
    ...(ahead && { ackedAhead: ahead.filter((seq) => seq > acked).sort((a, b) => a - b) }),
    ...(applied && { applied }),
    ...(hydrated && { hydrated }),
    ...later('seenAt'),
    ...later('verifiedAt'),
    ...later('confirmedAt'),
  }
}

type Applied = NonNullable<StreamProgress['applied']>

/** Of two logs, what was complete up to a later instant. */
function furthest(before: Applied, after: Applied): Applied {
  if (before.epoch !== after.epoch) return before.asOf > after.asOf ? before : after
  return { epoch: after.epoch, seq: Math.max(before.seq, after.seq), asOf: Math.max(before.asOf, after.asOf) }
}
