import { type Decision, decideAt, fingerprint, type PolicySet, type Signals } from '@caegis/policy'
import type { Page } from './book.ts'
import { type Brought, type Standing, toSignals } from './signals.ts'

/** A decision, and what it was made of. */
export interface Admission {
  decision: Decision
  /** Of the policies. */
  version: number
  /** Seconds: when it was made. */
  at: number
  brought: Brought
  /** Absent where no policy was looked at: the emergency account, and the streams that carry revocations. */
  signals?: Signals
}

/** Nothing stands in the way. */
export const OPEN: Decision = { outcome: 'allow', policies: [], blockedBy: [], unmet: [], session: {}, lateBound: [] }

/** Decides by the policies as they stand. @param now seconds */
export function admit({ version, set }: Pick<Page, 'version' | 'set'>, brought: Brought, standing: Standing, now: number): Admission {
  const signals = toSignals(brought, standing, now)
  return { decision: decide(set, brought, signals), version, at: now, brought, signals }
}

export function decide(set: PolicySet, { seen }: Brought, signals: Signals): Decision {
  return decideAt(set, signals, seen)
}

/** As kept with the session: equal ones mean the same to its clients and to guards. */
export const markOf = ({ decision }: Admission): string => fingerprint(decision)
