import type { DeliveryRecord, StreamRecord } from '@caegis/ssf/transmitter'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

/** Milliseconds for which records are collected: a thousand streams that report one event are one write, and no receiver waits for it. */
const COLLECT = 100

export type DeliveryTimes = Partial<Record<DeliveryRecord['state'], { at: string; attempt: number; reason?: string }>>

/** How far one change has come: committed, and for each receiver sent, acknowledged and applied, or why not. */
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
  close(): Promise<void>
}

/** Keeps what became of each event on each stream, and tells it by txn: the proof that a revocation arrived. */
export function createDeliveries(store: Store, tenant: string, streams: () => Promise<StreamRecord[]>, log: Log): Deliveries {
  const { db } = store
  let waiting: DeliveryRecord[] = []
  let timer: NodeJS.Timeout | undefined
  let writing = Promise.resolve()

  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    const batch = waiting
    waiting = []
    if (batch.length === 0) return writing
    writing = writing
      .then(() => write(batch))
      .catch((error: Error) => log.error('deliveries could not be recorded', { count: batch.length, message: error.message }))
    return writing
  }

  function write(batch: DeliveryRecord[]): Promise<void> {
    return store.transaction(async (tx) => {
      for (const { stream, seq, state, jti, txn = null, at, attempt, reason = null } of batch) {
        await tx
          .insertInto('deliveries')
          .values({ tenant, stream, seq, state, jti, txn, at, attempt, reason })
          // The last word of each state is kept; what a receiver acknowledged or applied once stays at its first time.
          .onConflict((clash) => {
            const known = clash.columns(['tenant', 'seq', 'stream', 'state'])
            return state === 'acked' || state === 'applied' ? known.doNothing() : known.doUpdateSet({ at, attempt, reason })
          })
          .execute()
      }
    })
  }

  return {
    record(records) {
      waiting.push(...records)
      timer ??= setTimeout(flush, COLLECT)
    },
    async proof(txn) {
      await flush()
      const events = await db
        .selectFrom('events')
        .select(['seq', 'type', 'at'])
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
          times[state as DeliveryRecord['state']] = { at: new Date(at * 1000).toISOString(), attempt, ...(reason === null ? {} : { reason }) }
        }
        // A stream that began after the change got it with its snapshot, or never wanted it.
        const complete = stream.start.seq >= last.seq || (stream.guard ? (stream.applied?.seq ?? 0) >= last.seq : stream.acked >= last.seq)
        return { streamId: stream.id, appId: stream.receiver, guard: stream.guard, status: stream.status, complete, ...times }
      })
      return {
        txn,
        committedDateTime: new Date(first.at * 1000).toISOString(),
        events: events.map(({ seq, type }) => ({ seq, type })),
        receivers,
      }
    },
    close: flush,
  }
}
