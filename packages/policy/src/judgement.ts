import type { PolicyResult } from './decision.ts'

/** What one policy says, and what it would say at another address. */
export interface Judgement {
  readonly result: PolicyResult
  /** What is missing of the grant controls, where the policy applies or would at another address. */
  readonly grant: number
  /** Whether its sign-in frequency has passed, likewise. */
  readonly stale: boolean
  /** Whether another address could make the policy apply, or not apply. */
  readonly movable: boolean
}
