export { type Address, formatAddress, networkOf, parseAddress } from './address.ts'
export { callerAddress } from './caller.ts'
export { type CaseDifference, type CaseResult, runCases } from './cases.ts'
export { type CompiledPolicy, compilePolicies, type PolicySet } from './compile.ts'
export { contextsMet } from './contexts-met.ts'
export { decide } from './decide.ts'
export { decideAt, type Seen } from './decide-at.ts'
export {
  CONDITIONS,
  CONTROLS,
  type Condition,
  type Control,
  type Decision,
  fingerprint,
  type LateBound,
  type PolicyOutcome,
  type PolicyResult,
  type Requirement,
  type SessionDecision,
} from './decision.ts'
export { type DeviceRule, parseDeviceRule } from './device-rule.ts'
export { POLICY_ERRORS } from './errors.ts'
export { compileRules, type LateBoundRequest, type LocationRule, lateBoundUnmet, locationRules, type RuleSet } from './late-bound.ts'
export { type CompiledLocation, compileLocation, type Location, locationToGraph, parseLocation, type RuleLocation, ruleLocation } from './location.ts'
export { isTenantId } from './mentions.ts'
export type { Mistake } from './mistakes.ts'
export { type PolicyCase, type PolicyCases, parseCases } from './parse-cases.ts'
export { parsePolicy } from './parse-policy.ts'
export type {
  AuthenticationStrength,
  BuiltInControl,
  ClientAppType,
  GrantControls,
  GuestSelection,
  InsiderRiskLevel,
  Platform,
  Policy,
  PolicyConditions,
  PolicyState,
  RiskLevel,
  SessionControls,
  UserAction,
} from './policy.ts'
export {
  BUILT_IN_CONTROLS,
  CLIENT_APP_TYPES,
  GUEST_TYPES,
  INSIDER_RISK_LEVELS,
  PLATFORMS,
  RISK_LEVELS,
  TRANSFER_METHODS,
  USER_ACTIONS,
} from './policy.ts'
export { policyToGraph } from './policy-to-graph.ts'
export { compileRanges, isRange, type RangeTable } from './ranges.ts'
export type { DeviceSignal, GuestSignal, ProofSignal, ServicePrincipalSignal, Signals, UserSignal } from './signals.ts'
export { BUILT_IN_STRENGTHS } from './strengths.ts'
export { type PolicyTemplate, TEMPLATES } from './templates.ts'
export { type AnalysisReason, type PolicyAnalysis, whatIf } from './what-if.ts'
