import type { Head } from '@caegis/protocol'
import type { DecisionLogStatus } from './decision-log.ts'
import type { KeyFetches } from './keys.ts'
import type { CountedOutcome } from './source.ts'
import { addVerdicts, type VerdictFigures } from './verdict-counts.ts'

/** What is known of one issuer, and how well. */
export interface IssuerStatus extends Record<CountedOutcome, number>, VerdictFigures {
  hydrated: boolean
  inSync: boolean
  /** Why not in sync; before anything has come, with what failed last. */
  reason: string | undefined
  /**
   * Seconds since the newest applied head was read from the issuer's log, or since a transmitter without heads was heard; `Infinity` before the first, 0 where nobody
   * tells of revocations.
   */
  age: number
  stale: boolean
  /** What shows how late it may be: the heads of the issuer's log, mere contact with a transmitter (best effort), or nothing: only what the API's owner revokes is known. */
  proof: 'heads' | 'contact' | 'none'
  /**
   * Of a transmitter of somebody else: its stream, as the receiver sees it. Of the issuer's own: `{ error, detail }` of what failed last, until it succeeds; with a fleet `{ fleet }`, whether the log comes by the
   * broker now, and why not.
   */
  source: Record<string, unknown> | undefined
  head: Head | undefined
  /** What could not be mapped or was refused, with how often. */
  details: Record<string, number>
  cutoffs: number
  /** Bytes that the cutoffs take. */
  cutoffBytes: number
  /** Connections whose end is waited for. */
  live: number
  /** Of signing keys: `undefined` where they were handed in. */
  keyFetches: KeyFetches | undefined
  /** The location rules that are in force, by the issuer's own number (0: none), and how many policies and locations they hold. */
  rules: { version: number; policies: number; locations: number }
}

/** Of one issuer, or the worst and the sum of several. */
export interface GuardStatus extends IssuerStatus {
  /** Verified tokens that are remembered. */
  tokens: number
  /** Refusals of requests that named no issuer, where there are several; they are in the sum, and in none of `issuers`. */
  unassigned: VerdictFigures
  /** The decision log, where there is one. */
  decisions: DecisionLogStatus | undefined
  /** Each by itself. */
  issuers: Record<string, IssuerStatus>
}

const PROOFS = ['none', 'contact', 'heads'] as const

/** One word for several issuers: as good as the worst of them. What only one can have (a head, a stream) is left to each. */
export function sumOf(issuers: Record<string, IssuerStatus>, whole: Pick<GuardStatus, 'tokens' | 'unassigned' | 'decisions'>): GuardStatus {
  const all = Object.entries(issuers)
  const only = all.length === 1 ? all[0]?.[1] : undefined
  if (only !== undefined) return { ...only, ...whole, issuers }
  const values = all.map(([, one]) => one)
  const sum = (of: (one: IssuerStatus) => number) => values.reduce((total, one) => total + of(one), 0)
  const deaf = all.find(([, { inSync }]) => !inSync)
  const details: Record<string, number> = {}
  for (const one of values) for (const [detail, times] of Object.entries(one.details)) details[detail] = (details[detail] ?? 0) + times
  return {
    hydrated: values.every(({ hydrated }) => hydrated),
    inSync: deaf === undefined,
    reason: deaf && `${deaf[0]}: ${deaf[1].reason}`,
    age: Math.max(...values.map(({ age }) => age)),
    stale: values.some(({ stale }) => stale),
    proof: PROOFS.find((one) => values.some(({ proof }) => proof === one)) ?? 'heads',
    ...{ source: undefined, head: undefined, details, ...whole, issuers },
    ...addVerdicts([...values, whole.unassigned]),
    keyFetches: sumOfFetches(values),
    ...{ applied: sum((one) => one.applied), none: sum((one) => one.none) },
    ...{ unmappable: sum((one) => one.unmappable), refused: sum((one) => one.refused) },
    ...{ cutoffs: sum((one) => one.cutoffs), cutoffBytes: sum((one) => one.cutoffBytes), live: sum((one) => one.live) },
    rules: {
      version: Math.max(...values.map(({ rules }) => rules.version)),
      policies: sum(({ rules }) => rules.policies),
      locations: sum(({ rules }) => rules.locations),
    },
  }
}

function sumOfFetches(values: readonly IssuerStatus[]): KeyFetches | undefined {
  const all = values.flatMap(({ keyFetches }) => keyFetches ?? [])
  if (all.length === 0) return undefined
  return { done: all.reduce((sum, { done }) => sum + done, 0), failed: all.reduce((sum, { failed }) => sum + failed, 0) }
}
