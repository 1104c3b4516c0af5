/** Milliseconds that the axis names. */
const TICKS = [0, 1, 10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000, 864_000_000, 8_640_000_000] as const
/** The shortest axis. */
const LEAST = 100

export interface Scale {
  ticks: number[]
  /** Where a time stands, in percent of the axis. */
  at(milliseconds: number): number
}

/** A logarithmic axis, because a proof has parts of milliseconds and of minutes. */
export function scaleFor(milliseconds: readonly number[]): Scale {
  const longest = Math.max(LEAST, ...milliseconds)
  const end = TICKS.find((tick) => tick >= longest) ?? longest
  const length = Math.log10(1 + end)
  return {
    ticks: TICKS.filter((tick) => tick <= end),
    at: (time) => Math.min(100, (100 * Math.log10(1 + Math.max(0, time))) / length),
  }
}
