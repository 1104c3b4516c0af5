import type { CompiledPolicy, PolicySet } from './compile.ts'
import { controlBit, controlsOf } from './control-bits.ts'
import { CONTROLS, type Control, type Decision, type LateBound, type PolicyResult, type Requirement } from './decision.ts'
import { judge } from './judge.ts'
import type { Judgement } from './judgement.ts'
import { sessionOf, shortens } from './session.ts'
import type { Signals } from './signals.ts'
import { type View, viewOf } from './view.ts'

/**
 * What all policies together say about one sign-in from one address. Every policy that applies, or of which it cannot be told, must be satisfied; one that blocks decides.
 * The order of the policies does not matter.
 */
export function decide(set: PolicySet, signals: Signals): Decision {
  return decideView(set, viewOf(set, signals))
}

const SIGN_IN = controlBit('signIn')

export function decideView(set: PolicySet, view: View): Decision {
  const { signals } = view
  const policies: PolicyResult[] = []
  const blockedBy: string[] = []
  const unmet: Requirement[] = []
  const lateBound: LateBound[] = []
  const shortening: CompiledPolicy[] = []
  const holding: CompiledPolicy[] = []
  for (let at = 0; at < set.policies.length; at++) {
    const policy = set.policies[at] as CompiledPolicy
    const judged = judge(set, at, view)
    policies.push(judged.result)
    if (policy.reportOnly) continue
    const { block } = policy.grant
    const missing = judged.grant !== 0 || judged.stale
    if (judged.result.applies !== false) {
      if (block) blockedBy.push(policy.id)
      demand(policy, judged, unmet)
      if (policy.sessionControls.length > 0) holding.push(policy)
    }
    if (!judged.movable) continue
    if (block || missing) lateBound.push({ id: policy.id, needs: policy.location?.needs ?? 'ip' })
    else if (policy.frequency && judged.result.applies === false) shortening.push(policy)
  }
  const session = sessionOf(holding, signals)
  for (const { id, frequency, location } of shortening) {
    if (frequency && shortens(frequency, session, signals)) lateBound.push({ id, needs: location?.needs ?? 'ip' })
  }
  const outcome = blockedBy.length > 0 ? 'block' : unmet.length > 0 ? 'require' : 'allow'
  const next = outcome === 'require' ? firstOf(unmet) : undefined
  // Whoever switches the evaluation off leaves the address to the moment of issue.
  return { outcome, policies, blockedBy, unmet, ...(next ? { next } : {}), session, lateBound: session.cae === 'disabled' ? [] : lateBound }
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
export function firstOf(unmet: readonly Requirement[]): Control {
  const first = unmet.map(({ controls }) => CONTROLS.indexOf(controls[0] as Control))
  return CONTROLS[Math.min(...first)] as Control
}
