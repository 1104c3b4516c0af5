import type { CompiledPolicy, PolicySet } from './compile.ts'
import type { Condition, PolicyResult } from './decision.ts'
import { judge } from './judge.ts'
import type { PolicyState } from './policy.ts'
import type { Signals } from './signals.ts'
import { viewOf } from './view.ts'

/** Graph's whatIfAnalysisReasons, as far as they can be. */
export type AnalysisReason =
  | 'notEnoughInformation'
  | 'users'
  | 'workloadIdentities'
  | 'application'
  | 'userActions'
  | 'authenticationContext'
  | 'clientApps'
  | 'devicePlatform'
  | 'location'
  | 'devices'
  | 'signInRisk'
  | 'userRisk'
  | 'insiderRisk'
  | 'authenticationFlow'

/** What one policy would say. */
export interface PolicyAnalysis {
  readonly id: string
  readonly displayName: string
  readonly state: PolicyState
  readonly applies: boolean | 'unknown'
  /** Every reason why it does not apply, or why that cannot be told; empty where it applies. */
  readonly reasons: readonly AnalysisReason[]
  readonly result: PolicyResult
}

const REASONS: Record<Condition, AnalysisReason> = {
  users: 'users',
  servicePrincipals: 'workloadIdentities',
  application: 'application',
  clientType: 'clientApps',
  devicePlatform: 'devicePlatform',
  location: 'location',
  deviceState: 'devices',
  signInRisk: 'signInRisk',
  userRisk: 'userRisk',
  servicePrincipalRisk: 'workloadIdentities',
  insiderRisk: 'insiderRisk',
  authenticationFlows: 'authenticationFlow',
}

/** What each policy that is enabled or report-only would say to a sign-in of which some things are known: all reasons, where one unmet condition would have been enough. */
export function whatIf(set: PolicySet, signals: Signals): PolicyAnalysis[] {
  const view = viewOf(set, signals)
  return set.policies.map((policy, number) => {
    const { result } = judge(set, number, view)
    const { id, displayName, applies, notSatisfied, unknown } = result
    const reasons = notSatisfied.map((condition) => reasonOf(condition, policy))
    if (unknown.length > 0) reasons.push('notEnoughInformation')
    return { id, displayName, state: policy.policy.state, applies, reasons: [...new Set(reasons)], result }
  })
}

function reasonOf(condition: Condition, { policy }: CompiledPolicy): AnalysisReason {
  if (condition !== 'application') return REASONS[condition]
  const { includeUserActions, includeAuthenticationContextClassReferences } = policy.conditions.applications
  if (includeUserActions.length > 0) return 'userActions'
  return includeAuthenticationContextClassReferences.length > 0 ? 'authenticationContext' : 'application'
}
