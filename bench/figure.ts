/** One line of the benchmark's report. */
export interface Figure {
  suite: string
  name: string
  value: number
  unit: string
  /** What it is compared with in the same run, and our value divided by the peer's. */
  peer?: string
  ratio?: number
  budget?: string
  holds?: boolean
}

/** The value below which the given share of the samples lies. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
}
