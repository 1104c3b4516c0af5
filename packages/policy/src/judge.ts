import type { CompiledPolicy, PolicySet } from './compile.ts'
import { conditionBit, conditionsOf } from './conditions.ts'
import { controlBit, controlsOf } from './control-bits.ts'
import { isFresh, unmetGrant } from './controls.ts'
import { CONDITIONS, type PolicyOutcome, type PolicyResult } from './decision.ts'
import type { Judgement } from './judgement.ts'
import { subjectTruth, targetTruth } from './mentions.ts'
import { NO, UNKNOWN } from './truth.ts'
import type { View } from './view.ts'

const SUBJECT = conditionBit('users') | conditionBit('servicePrincipals')
const APPLICATION = conditionBit('application')
const LOCATION = conditionBit('location')
const SIGN_IN = controlBit('signIn')
/** What somebody at a screen can do something about. */
const INTERACTIVE = controlBit('mfa') | controlBit('authenticationStrength') | controlBit('passwordChange')
const NOTHING: readonly never[] = Object.freeze([])

/** What the policy of this number says. Most of a decision is this, for policies that do not apply: numbers side by side, and no look at the policy itself. */
export function judge(set: PolicySet, number: number, { marks, truths, signals, satisfied: done }: View): Judgement {
  const { conditions, idle } = set
  const { bits, uses, starts } = conditions
  const named = conditions.named[number] as number
  const mark = marks[number] as number
  let failed = 0
  let unknown = 0
  const subject = subjectTruth(mark)
  if (subject === NO) failed |= named & SUBJECT
  else if (subject === UNKNOWN) unknown |= named & SUBJECT
  const target = targetTruth(mark)
  if (target === NO) failed |= APPLICATION
  else if (target === UNKNOWN) unknown |= APPLICATION
  const end = starts[number + 1] as number
  for (let at = starts[number] as number; at < end; at++) {
    const test = uses[at] as number
    const value = truths[test] as number
    if (value === NO) failed |= bits[test] as number
    else if (value === UNKNOWN) unknown |= bits[test] as number
  }
  const key = failed | (unknown << CONDITIONS.length)
  if (failed !== 0 && idle.keys[number] === key) return idle.judgements[number] as Judgement
  const policy = set.policies[number] as CompiledPolicy
  const movable = policy.location !== undefined && !policy.location.everywhere && (failed & ~LOCATION) === 0
  const asked = failed === 0 || movable
  const grant = asked ? unmetGrant(policy.grant, done, signals) : 0
  const stale = asked && policy.frequency !== undefined && !isFresh(policy.frequency, signals)
  const result: PolicyResult = {
    id: policy.id,
    displayName: policy.policy.displayName,
    result: outcomeOf(policy, failed === 0, grant, stale),
    applies: failed !== 0 ? false : unknown === 0 || 'unknown',
    satisfied: conditionsOf(named & ~failed & ~unknown),
    notSatisfied: conditionsOf(failed),
    unknown: conditionsOf(unknown),
    unmet: failed === 0 ? controlsOf(grant | (stale ? SIGN_IN : 0)) : NOTHING,
    sessionControls: policy.sessionControls,
  }
  const judgement = { result, grant, stale, movable }
  if (!asked) {
    // Nothing but the conditions had a say in this.
    idle.keys[number] = key
    idle.judgements[number] = judgement
    Object.freeze(result)
  }
  return judgement
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
