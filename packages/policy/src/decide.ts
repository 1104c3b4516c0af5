import type { CompiledPolicy, PolicySet } from './compile.ts'
import { conditionBit, conditionsOf } from './conditions.ts'
import { isFresh, unmetGrant } from './controls.ts'
import { CONTROLS, type Control, type Decision, type LateBound, type PolicyOutcome, type PolicyResult, type Requirement } from './decision.ts'
import { sessionOf, shortens, stricter } from './session.ts'
import type { Signals } from './signals.ts'
import { NO, UNKNOWN } from './truth.ts'
import { controlBit, controlsOf, type View, viewOf } from './view.ts'

/**
 * What all policies together say about one sign-in from one address. Every policy that applies, or of which it cannot be told, must be satisfied; one that blocks decides.
 * The order of the policies does not matter.
 */
export function decide(set: PolicySet, signals: Signals): Decision {
  return decideView(set, viewOf(set.places, signals))
}

const LOCATION = conditionBit('location')
const SIGN_IN = controlBit('signIn')
/** What somebody at a screen can do something about. */
const INTERACTIVE = controlBit('mfa') | controlBit('authenticationStrength') | controlBit('passwordChange')

export function decideView(set: PolicySet, view: View): Decision {
  const { signals } = view
  const policies: PolicyResult[] = []
  const blockedBy: string[] = []
  const unmet: Requirement[] = []
  const lateBound: LateBound[] = []
  const shortening: CompiledPolicy[] = []
  let session: Decision['session'] = {}
  for (const policy of set.policies) {
    const judged = judge(policy, view)
    policies.push(judged.result)
    if (policy.reportOnly) continue
    const { block } = policy.grant
    const missing = judged.grant !== 0 || judged.stale
    if (judged.result.applies !== false) {
      if (block) blockedBy.push(policy.id)
      demand(policy, judged, unmet)
      if (policy.sessionControls.length > 0) session = stricter(session, sessionOf(policy, signals))
    }
    if (!judged.movable) continue
    if (block || missing) lateBound.push({ id: policy.id, needs: policy.location?.needs ?? 'ip' })
    else if (policy.frequency && judged.result.applies === false) shortening.push(policy)
  }
  for (const { id, frequency, location } of shortening) {
    if (frequency && shortens(frequency, session, signals)) lateBound.push({ id, needs: location?.needs ?? 'ip' })
  }
  const outcome = blockedBy.length > 0 ? 'block' : unmet.length > 0 ? 'require' : 'allow'
  const next = outcome === 'require' ? firstOf(unmet) : undefined
  // Whoever switches the evaluation off leaves the address to the moment of issue.
  return { outcome, policies, blockedBy, unmet, ...(next ? { next } : {}), session, lateBound: session.cae === 'disabled' ? [] : lateBound }
}

interface Judgement {
  readonly result: PolicyResult
  /** What is missing of the grant controls, where the policy applies or would at another address. */
  readonly grant: number
  /** Whether its sign-in frequency has passed, likewise. */
  readonly stale: boolean
  /** Whether another address could make the policy apply, or not apply. */
  readonly movable: boolean
}

function judge(policy: CompiledPolicy, view: View): Judgement {
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

function demand(policy: CompiledPolicy, { grant, stale }: Judgement, unmet: Requirement[]): void {
  // A sign-in comes on top of whatever else is to be chosen from.
  if (stale) unmet.push({ policy: policy.id, operator: 'AND', controls: controlsOf(SIGN_IN) })
  if (grant === 0) return
  const { operator, strength } = policy.grant
  const controls = controlsOf(grant)
  const asks = strength && controls.includes('authenticationStrength')
  unmet.push({ policy: policy.id, operator, controls, ...(asks ? { strength: strength.told } : {}) })
}

/** Each requirement is begun with its first control; of those the first is asked for. */
function firstOf(unmet: readonly Requirement[]): Control {
  const first = unmet.map(({ controls }) => CONTROLS.indexOf(controls[0] as Control))
  return CONTROLS[Math.min(...first)] as Control
}
