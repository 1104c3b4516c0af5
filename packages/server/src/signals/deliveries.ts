import { EventEmitter, once } from 'node:events'
import { type DeliveryRecord, GAVE_UP, type StreamRecord } from '@caegis/ssf/transmitter'
import { sql, type Transaction } from 'kysely'
import { type FieldType, listedRows } from '../store/listed-rows.ts'
import type { DeliveryRow, Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** Records that one statement writes. */
const BATCH = 200
/** Receivers that one proof tells of, and events of its change that it names. */
const MOST_RECEIVERS = 1000
const MOST_EVENTS = 100
/** Hours for which it is counted how deliveries went. */
export const COUNTED_HOURS = 24
/** Milliseconds after which whoever waits looks again: another server may have delivered. */
const LOOK = 1000
const COLUMNS = {
  ...{ seq: 'bigint', stream: 'text', state: 'text', jti: 'text', txn: 'text' },
  ...{ at: 'double precision', attempt: 'bigint', reason: 'text' },
} as const satisfies Partial<Record<keyof DeliveryRecord, FieldType>>
const COLUMN_NAMES = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]

/** Where a state counts, in the rows of an hour. */
const COUNTED: Partial<Record<DeliveryRecord['state'], 2 | 3 | 4>> = { acked: 2, applied: 3, failed: 4, dead: 4 }

/** What a receiver did once stays at its first time. */
const FIRST: ReadonlySet<DeliveryRecord['state']> = new Set(['acked', 'applied', 'refused'])

export type DeliveryTimes = Partial<Record<DeliveryRecord['state'], { at: string; attempt?: number; reason?: string }>>

/** How far one change has come: committed, and for each receiver sent, acknowledged, applied and first used to refuse a request, or why not. */
export interface Proof {
  txn: string
  committedDateTime: string
  /** The first of them. */
  events: { seq: number; type: string }[]
  /** The position of the last one. */
  last: number
  receivers: ProvenReceiver[]
  /** Receivers that there was no room for. */
  receiversLeftOut: number
}

export interface ProvenReceiver extends DeliveryTimes {
  streamId: string
  appId: string
  guard: boolean
  status: string
  statusReason?: string
  complete: boolean
}

export interface Deliveries {
  record(records: DeliveryRecord[]): void
  /** `undefined` for a txn that published nothing here. */
  proof(txn: string): Promise<Proof | undefined>
  /** Of each stream, the share of the last day's deliveries that its receiver took; none where nothing was delivered. */
  successRates(streams: readonly Pick<StreamRecord, 'id' | 'guard'>[]): Promise<Map<string, number>>
  /** Resolves when something more may have become of the event at a position, or when the signal aborts; registered when the call returns. */
  changed(seq: number, signal: AbortSignal): Promise<void>
  /** Tells that something more became of anything. @returns what ends it */
  watch(listener: () => void): () => void
  close(): Promise<void>
}

/** Keeps what became of each event on each stream, and tells it by txn: the proof that a revocation arrived. */
export function createDeliveries(store: Store, tenant: string, streams: (limit: number) => Promise<StreamRecord[]>): Deliveries {
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
    await count(tx, records)
  }

  /** Adds to what is known of an hour; what a crash makes a receiver say twice counts twice. */
  async function count(tx: Transaction<Schema>, records: readonly DeliveryRecord[]): Promise<void> {
    const counts = new Map<string, [stream: string, hour: number, acked: number, applied: number, failed: number]>()
    for (const { stream, state, at, reason } of records) {
      // A letter that was given up has failed before.
      const column = state === 'dead' && reason?.startsWith(GAVE_UP) ? undefined : COUNTED[state]
      if (column === undefined) continue
      const hour = Math.floor(at / 3600)
      const own = counts.get(`${stream} ${hour}`) ?? [stream, hour, 0, 0, 0]
      own[column]++
      counts.set(`${stream} ${hour}`, own)
    }
    if (counts.size === 0) return
    const fields = { stream: 'text', hour: 'bigint', acked: 'bigint', applied: 'bigint', failed: 'bigint' } as const
    const added = sql.join(
      ['acked', 'applied', 'failed'].map((name) => sql`${sql.ref(name)} = delivery_counts.${sql.ref(name)} + excluded.${sql.ref(name)}`),
    )
    await sql`insert into delivery_counts (tenant, stream, hour, acked, applied, failed)
      select ${tenant}, stream, hour, acked, applied, failed from ${listedRows(store, fields, sortedRows([...counts.values()]))} as listed where true
      on conflict (tenant, stream, hour) do update set ${added}`.execute(tx)
  }

  /** One prepared statement with one parameter, however many rows: to put together a text with eight marks a row takes longer than to write them. */
  function insert(records: readonly DeliveryRecord[], replace = false) {
    const rows = sortedRows(records.map((one) => COLUMN_NAMES.map((column) => one[column] ?? null)))
    const columns = sql.join(COLUMN_NAMES.map((column) => sql.ref(column)))
    const clash = replace ? sql`do update set at = excluded.at, attempt = excluded.attempt, reason = excluded.reason` : sql`do nothing`
    return sql`insert into deliveries (tenant, ${columns}) select ${tenant}, ${columns} from ${listedRows(store, COLUMNS, rows)} as listed where true
      on conflict (tenant, seq, stream, state) ${clash}`
  }

  async function ofStreams(ids: string[], seq: number): Promise<Map<string, DeliveryRow[]>> {
    if (ids.length === 0) return new Map()
    const rows = await db
      .selectFrom('deliveries')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('seq', '=', seq)
      .where('stream', 'in', ids)
      .execute()
    return Map.groupBy(rows, (row) => row.stream)
  }

  /** Seconds, by stream: a guard names the one event of a change that its first refusal was because of. */
  async function firstRefusals(ids: string[], from: number, to: number): Promise<Map<string, number>> {
    const rows = await db
      .selectFrom('deliveries')
      .select(['stream', (eb) => eb.fn.min<number>('at').as('at')])
      .where('tenant', '=', tenant)
      .where('state', '=', sql.lit('refused'))
      .where('seq', '>=', from)
      .where('seq', '<=', to)
      .where('stream', 'in', ids)
      .groupBy('stream')
      .execute()
    return new Map(rows.map(({ stream, at }) => [stream, at]))
  }

  async function countStreams(): Promise<number> {
    const { count } = await db
      .selectFrom('streams')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('tenant', '=', tenant)
      .executeTakeFirstOrThrow()
    return count
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
      const found = await streams(MOST_RECEIVERS)
      const ids = found.map(({ id }) => id)
      const rows = await ofStreams(ids, last.seq)
      const refusals = await firstRefusals(ids, first.seq, last.seq)
      const receivers = found.map((stream) => {
        const times = timesOf(rows.get(stream.id) ?? [])
        const refused = refusals.get(stream.id)
        // A stream that began after the change got it with its snapshot, or never wanted it.
        const complete = stream.start.seq >= last.seq || (stream.guard ? (stream.applied?.seq ?? 0) >= last.seq : stream.acked >= last.seq)
        return {
          ...{ streamId: stream.id, appId: stream.receiver, guard: stream.guard, status: stream.status, complete, ...times },
          ...(stream.statusReason === undefined ? {} : { statusReason: stream.statusReason }),
          ...(refused === undefined ? {} : { refused: { at: new Date(refused * 1000).toISOString() } }),
        }
      })
      return {
        txn,
        committedDateTime: new Date(first.at * 1000 + first.ms).toISOString(),
        events: events.slice(0, MOST_EVENTS).map(({ seq, type }) => ({ seq, type })),
        last: last.seq,
        receivers,
        receiversLeftOut: found.length < MOST_RECEIVERS ? 0 : (await countStreams()) - found.length,
      }
    },
    async successRates(of) {
      if (of.length === 0) return new Map()
      const rows = await db
        .selectFrom('delivery_counts')
        .select((eb) => [
          'stream',
          eb.fn.sum<number>('acked').as('acked'),
          eb.fn.sum<number>('applied').as('applied'),
          eb.fn.sum<number>('failed').as('failed'),
        ])
        .where('tenant', '=', tenant)
        .where(
          'stream',
          'in',
          of.map(({ id }) => id),
        )
        .where('hour', '>', Math.floor(store.clock() / 3600) - COUNTED_HOURS)
        .groupBy('stream')
        .execute()
      const guards = new Set(of.filter(({ guard }) => guard).map(({ id }) => id))
      return new Map(
        rows.flatMap(({ stream, acked, applied, failed }) => {
          // What a guard acknowledges it applies as well.
          const taken = guards.has(stream) ? applied : acked
          return taken + failed === 0 ? [] : [[stream, taken / (taken + failed)] as const]
        }),
      )
    },
    async changed(seq, signal) {
      if (!signal.aborted) await once(changes, String(seq), { signal: AbortSignal.any([signal, AbortSignal.timeout(LOOK)]) }).catch(() => {})
    },
    watch(listener) {
      changes.on('any', listener)
      return () => void changes.off('any', listener)
    },
    close: store.flush,
  }
}

export function timesOf(rows: readonly Pick<DeliveryRow, 'state' | 'at' | 'attempt' | 'reason'>[]): DeliveryTimes {
  const times: DeliveryTimes = {}
  for (const { state, at, attempt, reason } of rows) {
    times[state as DeliveryRecord['state']] = {
      at: new Date(at * 1000).toISOString(),
      // What a guard refused was not delivered once more.
      ...(state === 'refused' ? {} : { attempt }),
      ...(reason === null ? {} : { reason }),
    }
  }
  return times
}

/** In one order for everybody: two that write the same rows the other way round would wait for each other. */
function sortedRows(rows: readonly (readonly unknown[])[]): (readonly unknown[])[] {
  return rows
    .map((row) => ({ row, key: row.join(' ') }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row)
}
