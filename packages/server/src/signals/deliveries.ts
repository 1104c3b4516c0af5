import { EventEmitter, once } from 'node:events'
import type { DeliveryRecord, StreamRecord } from '@caegis/ssf/transmitter'
import { sql, type Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** Records that one statement writes. */
const BATCH = 200
const COLUMNS = ['seq', 'stream', 'state', 'jti', 'txn', 'at', 'attempt', 'reason'] as const

/** What a receiver did once stays at its first time. */
const FIRST: ReadonlySet<DeliveryRecord['state']> = new Set(['acked', 'applied', 'refused'])

export type DeliveryTimes = Partial<Record<DeliveryRecord['state'], { at: string; attempt?: number; reason?: string }>>

/** How far one change has come: committed, and for each receiver sent, acknowledged, applied and first used to refuse a request, or why not. */
export interface Proof {
  txn: string
  committedDateTime: string
  events: { seq: number; type: string }[]
  receivers: (DeliveryTimes & { streamId: string; appId: string; guard: boolean; status: string; complete: boolean })[]
}

export interface Deliveries {
  record(records: DeliveryRecord[]): void
  /** `undefined` for a txn that published nothing here. */
  proof(txn: string): Promise<Proof | undefined>
  /** Resolves when something more became of the event at a position, or when the signal aborts; registered when the call returns. */
  changed(seq: number, signal: AbortSignal): Promise<void>
  /** Tells that something more became of anything. @returns what ends it */
  watch(listener: () => void): () => void
  close(): Promise<void>
}

/** Keeps what became of each event on each stream, and tells it by txn: the proof that a revocation arrived. */
export function createDeliveries(store: Store, tenant: string, streams: () => Promise<StreamRecord[]>): Deliveries {
  const { db } = store
  const changes = new EventEmitter()
  changes.setMaxListeners(0)
  let batch: DeliveryRecord[] | undefined

  function begin(): DeliveryRecord[] {
    const own: DeliveryRecord[] = []
    batch = own
    const job = store.soon((tx) => {
      // What is recorded from here on goes into the next one.
      if (batch === own) batch = undefined
      return write(tx, own)
    })
    void job.then(() => {
      for (const seq of new Set(own.map((one) => one.seq))) changes.emit(String(seq))
      changes.emit('any')
    })
    return own
  }

  async function write(tx: Transaction<Schema>, records: readonly DeliveryRecord[]): Promise<void> {
    // One statement must not name a row twice.
    const firsts = new Map<string, DeliveryRecord>()
    const lasts = new Map<string, DeliveryRecord>()
    for (const one of records) {
      const key = `${one.stream} ${one.seq} ${one.state}`
      if (!FIRST.has(one.state)) lasts.set(key, one)
      else if (!firsts.has(key)) firsts.set(key, one)
    }
    // What a receiver did once stays at its first time; the last word of every other state is kept.
    if (firsts.size > 0) await insert([...firsts.values()]).execute(tx)
    if (lasts.size > 0) await insert([...lasts.values()], true).execute(tx)
  }

  /** One prepared statement with one parameter, however many rows: to put together a text with eight marks a row takes longer than to write them. */
  function insert(records: readonly DeliveryRecord[], replace = false) {
    const rows = JSON.stringify(records.map((one) => COLUMNS.map((column) => one[column] ?? null)))
    const fields = COLUMNS.map((_, index) => sql`value ->> ${sql.lit(index)}`)
    const clash = replace ? sql`do update set at = excluded.at, attempt = excluded.attempt, reason = excluded.reason` : sql`do nothing`
    return sql`insert into deliveries (tenant, ${sql.join(COLUMNS.map((column) => sql.ref(column)))})
      select ${tenant}, ${sql.join(fields)} from json_each(${rows}) where true
      on conflict (tenant, seq, stream, state) ${clash}`
  }

  return {
    record(records) {
      for (const one of records) {
        const open = batch && batch.length < BATCH ? batch : begin()
        open.push(one)
      }
    },
    async proof(txn) {
      await store.flush()
      const events = await db
        .selectFrom('events')
        .select(['seq', 'type', 'at', 'ms'])
        .where('tenant', '=', tenant)
        .where('txn', '=', txn)
        .orderBy('seq')
        .execute()
      const [first] = events
      const last = events.at(-1)
      if (!first || !last) return undefined
      const rows = await db
        .selectFrom('deliveries')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('seq', '>=', first.seq)
        .where('seq', '<=', last.seq)
        .execute()
      const receivers = (await streams()).map((stream) => {
        const own = rows.filter((row) => row.stream === stream.id && row.seq === last.seq)
        const times: DeliveryTimes = {}
        for (const { state, at, attempt, reason } of own) {
          times[state as DeliveryRecord['state']] = {
            at: new Date(at * 1000).toISOString(),
            // What a guard refused was not delivered once more.
            ...(state === 'refused' ? {} : { attempt }),
            ...(reason === null ? {} : { reason }),
          }
        }
        // A stream that began after the change got it with its snapshot, or never wanted it.
        const complete = stream.start.seq >= last.seq || (stream.guard ? (stream.applied?.seq ?? 0) >= last.seq : stream.acked >= last.seq)
        return { streamId: stream.id, appId: stream.receiver, guard: stream.guard, status: stream.status, complete, ...times }
      })
      return {
        txn,
        committedDateTime: new Date(first.at * 1000 + first.ms).toISOString(),
        events: events.map(({ seq, type }) => ({ seq, type })),
        receivers,
      }
    },
    async changed(seq, signal) {
      if (!signal.aborted) await once(changes, String(seq), { signal }).catch(() => {})
    },
    watch(listener) {
      changes.on('any', listener)
      return () => void changes.off('any', listener)
    },
    close: store.flush,
  }
}
