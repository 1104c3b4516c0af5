import { EVENT, SET_TYPE } from '@caegis/protocol'
import { claimsOfEvent, createFilter, type EventRow, idOfJti, jtiOf, type StreamRecord } from '@caegis/ssf/transmitter'
import { sql } from 'kysely'
import type { Store } from '../store/store.ts'
import { type DeliveryTimes, timesOf } from './deliveries.ts'
import { type LogRow, toRow } from './inspection.ts'

export const DELIVERY_STATES = ['pending', 'sent', 'acked', 'applied', 'refused', 'dead', 'notSent'] as const

/** What became of one event of the log on one stream: `notSent` is not for it. */
export interface DeliveryOnStream {
  row: LogRow
  jti: string
  state: (typeof DELIVERY_STATES)[number]
  times: DeliveryTimes
}

/** All that are given have to hold. */
export interface DeliveryFilter {
  userId?: string
  /** Event type URI. */
  type?: string
  txn?: string
  jti?: string
  state?: DeliveryOnStream['state']
}

export interface DeliverySet {
  header: object
  claims: object
}

/** The log as one receiver gets it. */
export interface DeliveryList {
  /** Newest first. A page looks at so many rows of the log and no more: it may be short, or empty, with another one after it. */
  list(stream: StreamRecord, page: { limit: number; before?: number } & DeliveryFilter): Promise<{ value: DeliveryOnStream[]; next?: number }>
  /** With what its SET says; without one where the event does not go to the stream. */
  find(stream: StreamRecord, seq: number): Promise<(DeliveryOnStream & { set: DeliverySet | undefined }) | undefined>
}

/** Rows of the log that a page looks at. */
const LOOK = 10_000
const BATCH = 500

export function createDeliveryList(store: Store, tenant: string, issuer: string, legacyDraft: boolean): DeliveryList {
  const { db } = store
  const events = () => db.selectFrom('events').selectAll().where('tenant', '=', tenant)

  /** Rows that stood in the log before the stream was made came with its snapshot, or not at all. */
  async function boundsOf({ start }: StreamRecord): Promise<{ epoch: string; floor: number; head: number }> {
    const { epoch, seq } = await store.position(tenant)
    return { epoch, floor: start.epoch === epoch ? start.seq : 0, head: seq }
  }

  async function told(stream: StreamRecord, epoch: string, rows: LogRow[]): Promise<DeliveryOnStream[]> {
    const wanted = createFilter(stream)
    // What became of them is written a moment later.
    await store.flush()
    const seqs = rows.map(({ seq }) => seq)
    const found = await db
      .selectFrom('deliveries')
      .selectAll()
      .where('tenant', '=', tenant)
      .where('seq', 'in', seqs)
      .where('stream', '=', stream.id)
      .execute()
    const bySeq = Map.groupBy(found, ({ seq }) => seq)
    return rows.map((row) => {
      const own = bySeq.get(row.seq) ?? []
      return { row, jti: jtiOf(stream, row.id), state: stateOf(stream, epoch, row, wanted(row), lastOf(own)), times: timesOf(own) }
    })
  }

  return {
    async list(stream, { limit, before, userId, type, txn, jti, state }) {
      const { epoch, floor, head } = await boundsOf(stream)
      const id = jti === undefined ? undefined : idOfJti(stream, jti)
      if (jti !== undefined && id === undefined) return { value: [] }
      const upper = Math.min(before ?? head + 1, head + 1)
      // An index finds those of one change, and the one of a name.
      const lower = txn !== undefined || id !== undefined ? floor : Math.max(floor, upper - 1 - LOOK)
      let narrow = events().where('seq', '>', lower)
      if (txn !== undefined) narrow = narrow.where('txn', '=', txn)
      if (id !== undefined) narrow = narrow.where('id', '=', id)
      if (type !== undefined) narrow = narrow.where('type', '=', type)
      // Ids are whole texts within the JSON; lists of cutoffs name whom they mean in their payload.
      const within = sql.raw(store.engine === 'postgres' ? 'strpos' : 'instr')
      const quoted = userId === undefined ? undefined : JSON.stringify(userId)
      if (quoted !== undefined)
        narrow = narrow.where(sql<boolean>`(${within}(subject, ${quoted}) > 0 or (type = ${EVENT.cutoffs} and ${within}(payload, ${quoted}) > 0))`)
      const value: DeliveryOnStream[] = []
      for (let at = upper; ; ) {
        const rows = await narrow.where('seq', '<', at).orderBy('seq', 'desc').limit(BATCH).execute()
        for (const one of await told(stream, epoch, rows.map(toRow))) if (state === undefined || one.state === state) value.push(one)
        if (value.length > limit) return { value: value.slice(0, limit), next: (value[limit - 1] as DeliveryOnStream).row.seq }
        if (rows.length < BATCH) break
        at = (rows.at(-1) as { seq: number }).seq
        // A change of more events than that goes on with the next page, too.
        if (upper - at > LOOK) return { value, next: at }
      }
      return { value, ...(lower > floor ? { next: lower + 1 } : {}) }
    },

    async find(stream, seq) {
      const { epoch, floor } = await boundsOf(stream)
      const row = seq > floor ? await events().where('seq', '=', seq).executeTakeFirst() : undefined
      if (!row) return undefined
      const [one] = (await told(stream, epoch, [toRow(row)])) as [DeliveryOnStream]
      if (one.state === 'notSent') return { ...one, set: undefined }
      // A pure function of both; only the key that signs is of the moment.
      return { ...one, set: { header: { typ: SET_TYPE, alg: stream.alg }, claims: claimsOfEvent(issuer, stream, one.row, { legacyDraft }) } }
    },
  }
}

type Lasts = Partial<Record<string, number>>

function lastOf(rows: readonly { state: string; at: number }[]): Lasts {
  return Object.fromEntries(rows.map(({ state, at }) => [state, at]))
}

function stateOf(stream: StreamRecord, epoch: string, { seq }: EventRow, wanted: boolean, last: Lasts): DeliveryOnStream['state'] {
  if (!wanted) return 'notSent'
  if (last.refused !== undefined) return 'refused'
  if (last.applied !== undefined) return 'applied'
  const { sent = 0, acked = 0, failed = 0, dead = 0 } = last
  // A dead letter goes out once more if somebody wants it to.
  if (dead > 0 && dead >= Math.max(sent, acked)) return 'dead'
  if (acked > 0) return 'acked'
  // What was settled long ago, or in a process that crashed, left no record.
  if (stream.guard) {
    if (stream.applied?.epoch === epoch && stream.applied.seq >= seq) return 'applied'
  } else if (stream.acked >= seq || stream.ackedAhead.includes(seq)) return 'acked'
  return sent > 0 && sent >= failed ? 'sent' : 'pending'
}
