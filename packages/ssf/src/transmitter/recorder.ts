import { jtiOf } from './mint.ts'
import type { Settings } from './options.ts'
import type { DeliveryRecord, DeliveryState, StreamRecord } from './store.ts'

/** Collects what becomes of SETs, so that it is stored in one go. */
export interface Recorder {
  /** @param at seconds, when it was not now */
  add(stream: StreamRecord, row: { id: string; seq: number; txn?: string }, state: DeliveryState, attempt: number, reason?: string, at?: number): void
  /** Stores what was added since the last time. Proof is not worth a lost delivery: what cannot be stored is said in the log. */
  flush(): Promise<void>
}

export function createRecorder({ store, now, log }: Pick<Settings, 'store' | 'now' | 'log'>): Recorder {
  let records: DeliveryRecord[] = []
  return {
    add(stream, { id, seq, txn }, state, attempt, reason, at = now() / 1000) {
      records.push({
        stream: stream.id,
        seq,
        jti: jtiOf(stream, id),
        ...(txn !== undefined && { txn }),
        state,
        at,
        attempt,
        ...(reason !== undefined && { reason }),
      })
    },
    async flush() {
      if (records.length === 0) return
      const batch = records
      records = []
      try {
        await store.recordDeliveries(batch)
      } catch (error) {
        log.error('deliveries could not be recorded', { count: batch.length, message: error instanceof Error ? error.message : 'unknown' })
      }
    },
  }
}
