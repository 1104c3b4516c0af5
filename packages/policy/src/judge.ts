import type { CompiledPolicy } from './compile.ts'
import { type ConditionTest, conditionBit, conditionsOf } from './conditions.ts'
import { isFresh, unmetGrant } from './controls.ts'
import { CONDITIONS, type PolicyOutcome, type PolicyResult } from './decision.ts'
import type { Judgement } from './judgement.ts'
import { NO, UNKNOWN } from './truth.ts'
import { controlBit, controlsOf, type View } from './view.ts'

const LOCATION = conditionBit('location')
const SIGN_IN = controlBit('signIn')
/** What somebody at a screen can do something about. */
const INTERACTIVE = controlBit('mfa') | controlBit('authenticationStrength') | controlBit('passwordChange')

export function judge(policy: CompiledPolicy, view: View): Judgement {
  const { tests } = policy
  let satisfied = 0
  let unknown = 0
  let failed = 0
  for (let at = 0; at < tests.length; at++) {
    const { bit, test } = tests[at] as ConditionTest
    const value = test(view)
    if (value === NO) failed |= bit
    else if (value === UNKNOWN) unknown |= bit
    else satisfied |= bit
  }
  const movable = policy.location !== undefined && !policy.location.everywhere && (failed & ~LOCATION) === 0
  if (failed !== 0 && !movable) return idle(policy, satisfied, failed, unknown)
  const grant = unmetGrant(policy.grant, view)
  const stale = policy.frequency !== undefined && !isFresh(policy.frequency, view.signals)
  if (failed !== 0) return { result: idle(policy, satisfied, failed, unknown).result, grant, stale, movable }
  const result: PolicyResult = {
    id: policy.id,
    displayName: policy.policy.displayName,
    result: outcomeOf(policy, grant, stale),
    applies: unknown === 0 || 'unknown',
    satisfied: conditionsOf(satisfied),
    notSatisfied: NOTHING,
    unknown: conditionsOf(unknown),
    unmet: controlsOf(grant | (stale ? SIGN_IN : 0)),
    sessionControls: policy.sessionControls,
  }
  return { result, grant, stale, movable }
}

const NOTHING: readonly never[] = Object.freeze([])

/** A policy that does not apply says the same as long as the same conditions fail. */
function idle(policy: CompiledPolicy, satisfied: number, failed: number, unknown: number): Judgement {
  const last = policy.idle
  const key = failed | (unknown << CONDITIONS.length)
  if (last.judgement && last.key === key) return last.judgement
  const result: PolicyResult = Object.freeze({
    id: policy.id,
    displayName: policy.policy.displayName,
    result: policy.reportOnly ? 'reportOnlyNotApplied' : 'notApplied',
    applies: false,
    satisfied: conditionsOf(satisfied),
    notSatisfied: conditionsOf(failed),
    unknown: conditionsOf(unknown),
    unmet: NOTHING,
    sessionControls: policy.sessionControls,
  })
  last.key = key
  last.judgement = { result, grant: 0, stale: false, movable: false }
  return last.judgement
}

function outcomeOf({ grant: { block, operator }, reportOnly }: CompiledPolicy, grant: number, stale: boolean): PolicyOutcome {
  const done = !block && grant === 0 && !stale
  if (!reportOnly) return done ? 'success' : 'failure'
  if (done) return 'reportOnlySuccess'
  // Prompts would have been enough, or not.
  const promptable = operator === 'OR' ? grant === 0 || (grant & INTERACTIVE) !== 0 : (grant & ~INTERACTIVE) === 0
  return !block && promptable ? 'reportOnlyInterrupted' : 'reportOnlyFailure'
}
