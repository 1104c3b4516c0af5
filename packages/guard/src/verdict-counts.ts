import { VERDICT_CODES, type VerdictCode } from './errors.ts'

/** What became of requests, in numbers. */
export interface VerdictFigures {
  /** How often each verdict was given: `allowed`, and every code of a refusal. */
  verdicts: Record<'allowed' | VerdictCode, number>
  /** Refusals with a claims challenge. */
  challenges: number
  /** Tokens that were looked at for the first time: how long that took, key fetches included. `counts`: by {@link FIRST_SIGHT_BOUNDS}, and one more for all above. */
  firstSights: { counts: number[]; seconds: number }
}

/** Seconds. A signature takes a tenth of a millisecond, a key that must be fetched a thousand times that. */
export const FIRST_SIGHT_BOUNDS: readonly number[] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5]

export interface VerdictCounts {
  allowed(): void
  denied(code: VerdictCode, challenged: boolean): void
  firstSight(seconds: number): void
  read(): VerdictFigures
}

export function createVerdictCounts(): VerdictCounts {
  const figures = noVerdicts()
  let allowed = 0
  return {
    // Most requests end here: a number and nothing more.
    allowed() {
      allowed++
    },
    denied(code, challenged) {
      figures.verdicts[code]++
      if (challenged) figures.challenges++
    },
    firstSight(seconds) {
      const at = FIRST_SIGHT_BOUNDS.findIndex((bound) => seconds <= bound)
      const index = at < 0 ? FIRST_SIGHT_BOUNDS.length : at
      figures.firstSights.counts[index] = (figures.firstSights.counts[index] as number) + 1
      figures.firstSights.seconds += seconds
    },
    read: () => addVerdicts([{ ...figures, verdicts: { ...figures.verdicts, allowed } }]),
  }
}

/** Zeros for all that may happen: whoever draws rates sees the first of its kind, too. */
export function noVerdicts(): VerdictFigures {
  const verdicts = Object.fromEntries(['allowed', ...Object.keys(VERDICT_CODES)].map((code) => [code, 0])) as VerdictFigures['verdicts']
  return { verdicts, challenges: 0, firstSights: { counts: new Array(FIRST_SIGHT_BOUNDS.length + 1).fill(0), seconds: 0 } }
}

export function addVerdicts(all: readonly VerdictFigures[]): VerdictFigures {
  const sum = noVerdicts()
  for (const { verdicts, challenges, firstSights } of all) {
    for (const code of Object.keys(verdicts) as (keyof typeof verdicts)[]) sum.verdicts[code] += verdicts[code]
    sum.challenges += challenges
    sum.firstSights.counts = sum.firstSights.counts.map((count, i) => count + (firstSights.counts[i] as number))
    sum.firstSights.seconds += firstSights.seconds
  }
  return sum
}
