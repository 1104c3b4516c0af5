import type { StreamRecord } from './store.ts'

/** Seconds by which readings of one clock, at several servers, may differ. */
const DRIFT = 1

/** Said by a clock that has been set back since: it counts as unknown, or it would stay true until the right time comes to that instant. */
export function isAhead(at: number, now: number): boolean {
  return at - now > DRIFT
}

/**
 * Whether a stream proves that a guard stands behind it which would hear of a revocation now: it loaded a snapshot of this incarnation of the log, says what it
 * has applied, and its state was complete within the last `maxStaleness` seconds. A poller that never applies, or one without a snapshot, proves nothing.
 * @param now seconds, by the store's clock
 * @param epoch the log's current epoch: what was applied of an earlier one does not count
 */
export function isLive(stream: StreamRecord, now: number, maxStaleness: number, epoch: string): boolean {
  const { guard, status, hydrated, applied } = stream
  if (!guard || status !== 'enabled' || !hydrated || !applied || isAhead(applied.asOf, now)) return false
  return hydrated.epoch === epoch && applied.epoch === epoch && now - applied.asOf <= maxStaleness
}
