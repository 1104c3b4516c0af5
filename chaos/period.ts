/** Times and counts of one stretch of a run: every figure of the report is of one of these. */
export interface Period {
  /** Seconds since the load began. */
  begin: number
  checks: number
  wrong: number
  refused: number
  /** Let in with a token whose cutoff was decided, but not applied yet. */
  open: number
  revoked: number
  sets: number
  seen: number[]
  firstSight: number[]
  /** Milliseconds from the decision to the guard's having applied it. */
  lags: number[]
  memory: { at: number; rss: number; heap: number; cutoffs: number }[]
}

export function createPeriod(begin: number): Period {
  return { begin, checks: 0, wrong: 0, refused: 0, open: 0, revoked: 0, sets: 0, seen: [], firstSight: [], lags: [], memory: [] }
}

/** What grows for ever shows as a slope: bytes a minute, by least squares over all samples. */
export function slope(samples: readonly { at: number; value: number }[]): number {
  const mean = (of: (one: { at: number; value: number }) => number) => samples.reduce((sum, one) => sum + of(one), 0) / samples.length
  const [at, value] = [mean((one) => one.at), mean((one) => one.value)]
  const spread = samples.reduce((sum, one) => sum + (one.at - at) ** 2, 0)
  return spread === 0 ? 0 : (samples.reduce((sum, one) => sum + (one.at - at) * (one.value - value), 0) / spread) * 60
}
