/** Conditions as Graph's sign-in log names them. */
export const CONDITIONS = [
  'users',
  'servicePrincipals',
  'application',
  'clientType',
  'devicePlatform',
  'location',
  'deviceState',
  'signInRisk',
  'userRisk',
  'servicePrincipalRisk',
  'insiderRisk',
  'authenticationFlows',
] as const
export type Condition = (typeof CONDITIONS)[number]

/**
 * What can be missing, in the order in which it is asked for. `signIn`: the sign-in frequency has passed. A method of the demanded strength comes before plain
 * multi-factor authentication, because it is that as well.
 */
export const CONTROLS = [
  'signIn',
  'authenticationStrength',
  'mfa',
  'compliantDevice',
  'domainJoinedDevice',
  'approvedApplication',
  'compliantApplication',
  'passwordChange',
] as const
export type Control = (typeof CONTROLS)[number]

export type PolicyOutcome =
  | 'success'
  | 'failure'
  | 'notApplied'
  | 'reportOnlySuccess'
  | 'reportOnlyFailure'
  | 'reportOnlyInterrupted'
  | 'reportOnlyNotApplied'

/** What one policy says. Conditions are listed where the policy names them. */
export interface PolicyResult {
  readonly id: string
  readonly displayName: string
  readonly result: PolicyOutcome
  /** `unknown` is enforced like `true`. */
  readonly applies: boolean | 'unknown'
  readonly satisfied: readonly Condition[]
  readonly notSatisfied: readonly Condition[]
  readonly unknown: readonly Condition[]
  /** What is missing of its controls, where it applies; `block` is told by the result alone. */
  readonly unmet: readonly Control[]
  readonly sessionControls: readonly string[]
}

/** What a policy still asks for. */
export interface Requirement {
  readonly policy: string
  /** AND: all of the controls; OR: any one. */
  readonly operator: 'AND' | 'OR'
  readonly controls: readonly Control[]
  /** Where `authenticationStrength` is among them. */
  readonly strength?: { readonly id: string; readonly allowedCombinations: readonly string[] }
}

/** Session controls of all policies that apply, the strictest of each. */
export interface SessionDecision {
  readonly signInFrequency?: { readonly seconds: number } | 'everyTime'
  /** Seconds: nothing that is issued may last longer. */
  readonly freshUntil?: number
  readonly persistentBrowser?: 'always' | 'never'
  readonly cae?: 'disabled' | 'strictLocation'
}

/** A policy whose location condition decides, all else being fixed: a guard looks at it with every request. */
export interface LateBound {
  readonly id: string
  /** What a guard must be able to tell of an address. */
  readonly needs: 'ip' | 'country'
}

export interface Decision {
  readonly outcome: 'allow' | 'require' | 'block'
  /** Every policy that is enabled or report-only. */
  readonly policies: readonly PolicyResult[]
  readonly blockedBy: readonly string[]
  readonly unmet: readonly Requirement[]
  /** What to ask for first. */
  readonly next?: Control
  readonly session: SessionDecision
  readonly lateBound: readonly LateBound[]
  /** The address of an API's caller that was judged, and the policies that it was judged by: guards take this verdict for exactly those. IPv6: the /64. */
  readonly exception?: { readonly address: string; readonly policies: readonly string[] }
}

/**
 * What a client or a guard would notice of a decision. Where two are equal, tokens that were issued under one may live on under the other.
 * @returns a text to compare and to keep
 */
export function fingerprint({ outcome, unmet, lateBound, session }: Decision): string {
  const missing = unmet.map(({ operator, controls, strength }) => [operator, ...controls, strength?.id ?? ''].join(' ')).sort()
  const frequency = typeof session.signInFrequency === 'object' ? session.signInFrequency.seconds : (session.signInFrequency ?? null)
  return JSON.stringify([outcome, [...new Set(missing)], lateBound.map(({ id }) => id).sort(), frequency, session.cae ?? null])
}
