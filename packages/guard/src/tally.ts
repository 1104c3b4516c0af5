import type { CountedOutcome } from './source.ts'

/** What became of events: counted, and shown with their reasons, so that nothing which could not be applied is lost silently. */
export interface Tally {
  count(outcome: CountedOutcome, detail?: string): void
  read(): Record<CountedOutcome, number> & { details: Record<string, number> }
}

const MAX_DETAILS = 32

export function createTally(): Tally {
  const counts: Record<CountedOutcome, number> = { applied: 0, none: 0, unmappable: 0, refused: 0 }
  const details = new Map<string, number>()
  return {
    count(outcome, detail) {
      counts[outcome]++
      if (detail === undefined) return
      const name = details.has(detail) || details.size < MAX_DETAILS ? detail : 'other'
      details.set(name, (details.get(name) ?? 0) + 1)
    },
    read: () => ({ ...counts, details: Object.fromEntries(details) }),
  }
}
