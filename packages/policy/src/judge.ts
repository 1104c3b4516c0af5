import type { CompiledPolicy } from './compile.ts'
import { conditionBit, conditionsOf } from './conditions.ts'
import { isFresh, unmetGrant } from './controls.ts'
import type { PolicyOutcome, PolicyResult } from './decision.ts'
import { NO, UNKNOWN } from './truth.ts'
import { controlBit, controlsOf, type View } from './view.ts'

const LOCATION = conditionBit('location')
const SIGN_IN = controlBit('signIn')
/** What somebody at a screen can do something about. */
const INTERACTIVE = controlBit('mfa') | controlBit('authenticationStrength') | controlBit('passwordChange')

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

export function judge(policy: CompiledPolicy, view: View): Judgement {
  let satisfied = 0
  let unknown = 0
  let failed = 0
  for (const { bit, test } of policy.tests) {
    const value = test(view)
    if (value === NO) failed |= bit
    else if (value === UNKNOWN) unknown |= bit
    else satisfied |= bit
  }
  const applies = failed !== 0 ? false : unknown !== 0 ? 'unknown' : true
  const movable = policy.location !== undefined && !policy.location.everywhere && (failed & ~LOCATION) === 0
  const asked = applies !== false || movable
  const grant = asked ? unmetGrant(policy.grant, view) : 0
  const stale = asked && policy.frequency !== undefined && !isFresh(policy.frequency, view.signals)
  const unmet = applies === false ? 0 : grant | (stale ? SIGN_IN : 0)
  const result: PolicyResult = {
    id: policy.id,
    displayName: policy.policy.displayName,
    result: outcomeOf(policy, applies !== false, grant, stale),
    applies,
    satisfied: conditionsOf(satisfied),
    notSatisfied: conditionsOf(failed),
    unknown: conditionsOf(unknown),
    unmet: controlsOf(unmet),
    sessionControls: policy.sessionControls,
  }
  return { result, grant, stale, movable }
}

function outcomeOf({ grant: { block, operator }, reportOnly }: CompiledPolicy, applies: boolean, grant: number, stale: boolean): PolicyOutcome {
  if (!applies) return reportOnly ? 'reportOnlyNotApplied' : 'notApplied'
  const done = !block && grant === 0 && !stale
  if (!reportOnly) return done ? 'success' : 'failure'
  if (done) return 'reportOnlySuccess'
  // Prompts would have been enough, or not.
  const promptable = operator === 'OR' ? grant === 0 || (grant & INTERACTIVE) !== 0 : (grant & ~INTERACTIVE) === 0
  return !block && promptable ? 'reportOnlyInterrupted' : 'reportOnlyFailure'
}
