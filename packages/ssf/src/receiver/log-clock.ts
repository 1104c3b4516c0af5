import { failure } from './errors.ts'

/** Seconds by which the clocks of two servers of a transmitter may differ. */
const CLOCKS_DIFFER = 1

/** The latest time of a log that its snapshot, or an answer since, has said. */
export interface LogClock {
  /** A snapshot says the time anew. */
  begin(asOf: number): void
  /**
   * Whether an answer says an earlier time: then it lay around somewhere. Where all of them do for a while, the clock of the log was ahead and was set right: whoever measures by the latest
   * time of before would call the log old for as long as it was ahead.
   * @throws CaegisError `out_of_sync`: a snapshot, which is asked for by a word that no old answer knows, says the time anew
   */
  isBehind(asOf: number): boolean
}

/** @param patience milliseconds for which answers may be behind */
export function createLogClock(patience: number): LogClock {
  let latest = Number.NEGATIVE_INFINITY
  /** By a clock that is never set back. */
  let since: number | undefined
  return {
    begin(asOf) {
      latest = asOf
      since = undefined
    },
    isBehind(asOf) {
      if (asOf >= latest - CLOCKS_DIFFER) {
        latest = Math.max(asOf, latest)
        since = undefined
        return false
      }
      since ??= performance.now()
      if (performance.now() - since >= patience) throw failure('out_of_sync', 'the clock of the log was set back')
      return true
    },
  }
}
