import type { Head } from '@caegis/protocol'

/**
 * How old the guard's knowledge is, in log time: never by traffic, since an open connection or an empty answer proves nothing.
 *
 * A head says "the log stood here at `asOf`", by the transmitter's clock. That clock and ours differ by an unknown constant, so the guard keeps the smallest
 * difference that any head has shown since hydration: the one that travelled fastest. A head read from a lagging replica, or one that lay around, carries an
 * older `asOf`, shows a larger difference, and therefore counts as old although it has only just arrived.
 *
 * Age is asked of two clocks and the larger answer is taken. The monotonic one is right when somebody sets the wall clock; the wall clock is right when a
 * virtual machine was frozen, which the monotonic one does not count.
 *
 * The difference may rise by 500 ppm, the most by which clocks are slewed: else a transmitter whose clock runs slow by a few ppm would look ever older. A
 * clock that was *set* back looks like a lagging replica and cannot be told from one; the next hydration starts measuring anew.
 */
export interface Freshness {
  synced(head: Head): void
  /** Of a source without heads: it lives. The age counts from there, which is the most that can be said. */
  heard(): void
  outOfSync(reason: string): void
  /** Seconds since the newest applied head was read, or a source without heads was heard; `Infinity` before the first. */
  age(): number
  readonly hydrated: boolean
  readonly inSync: boolean
  /** Why not, when it is not. */
  readonly reason: string | undefined
  readonly head: Head | undefined
}

const DRIFT = 0.0005

/** @param clocks `now`: wall clock, `monotonic`: never set back; both in milliseconds */
export function createFreshness({ now, monotonic }: { now: () => number; monotonic: () => number }): Freshness {
  let head: Head | undefined
  let hydrated = false
  let reason: string | undefined = 'not hydrated yet'
  /** The source has said that it lost track, so its next head ends a hydration and begins a new measurement. */
  let rehydrating = true
  /** The log was replaced or went backwards, and the source did not say so: nothing it says counts until it rehydrates. */
  let distrusted = false
  /** Smallest (arrival by our monotonic clock - asOf), seconds. */
  let offset = 0
  let offsetAt = 0
  /** The latest `asOf` since then. */
  let newest = 0
  /** When that head was read at the transmitter, by our two clocks, seconds. */
  let monotonicInstant = 0
  let wallInstant = 0

  return {
    synced,
    heard() {
      hydrated = true
      reason = undefined
      monotonicInstant = monotonic() / 1000
      wallInstant = now() / 1000
    },
    outOfSync(why) {
      reason = why
      rehydrating = true
      distrusted = false
    },
    age,
    get hydrated() {
      return hydrated
    },
    get inSync() {
      return reason === undefined
    },
    get reason() {
      return reason
    },
    get head() {
      return head
    },
  }

  function synced(next: Head): void {
    const fault = faultOf(next)
    if (fault !== undefined) {
      reason = fault
      return
    }
    const arrived = monotonic() / 1000
    const difference = arrived - next.asOf
    offset = rehydrating ? difference : Math.min(offset + DRIFT * (arrived - offsetAt), difference)
    offsetAt = arrived
    // Only what was read later than all before makes us fresher; an old head that is sent again proves nothing anew.
    if (rehydrating || next.asOf > newest) {
      newest = next.asOf
      monotonicInstant = next.asOf + offset
      wallInstant = now() / 1000 - (arrived - monotonicInstant)
    }
    head = next
    hydrated = true
    reason = undefined
    rehydrating = false
  }

  function faultOf(next: Head): string | undefined {
    if (next.status !== 'enabled') return `the stream is ${next.status}`
    if (rehydrating || head === undefined) return undefined
    if (distrusted) return reason
    distrusted = true
    if (next.epoch !== head.epoch) return 'the log has another epoch'
    if (next.seq < head.seq) return 'the log went backwards'
    distrusted = false
    return undefined
  }

  function age(): number {
    if (!hydrated) return Number.POSITIVE_INFINITY
    return Math.max(0, monotonic() / 1000 - monotonicInstant, now() / 1000 - wallInstant)
  }
}
