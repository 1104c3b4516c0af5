import { useQuery } from '@tanstack/react-query'
import { quote } from '../parts/filters.ts'
import type { Tone } from '../parts/status.tsx'
import { useApi, useList } from './context.ts'

export type Outcome = 'allowed' | 'blocked' | 'challenged' | 'failed'
export const OUTCOMES: readonly Outcome[] = ['allowed', 'blocked', 'challenged', 'failed']

export const OUTCOME_TONES: Record<Outcome, Tone> = { allowed: 'good', blocked: 'bad', challenged: 'warn', failed: 'quiet' }

/** What one policy said of a sign-in; conditions are names with commas between them. */
export interface AppliedPolicy {
  id: string
  displayName: string
  result: string
  enforcedGrantControls: string[]
  enforcedSessionControls: string[]
  conditionsSatisfied: string
  conditionsNotSatisfied: string
}

/** One decision of the issuer, as `/auditLogs/signIns` tells it. */
export interface SignIn {
  id: string
  createdDateTime: string
  userId: string
  userPrincipalName: string
  appId: string
  appDisplayName: string
  servicePrincipalName: string
  resourceId: string
  resourceDisplayName: string
  correlationId: string
  /** Seen by the issuer; empty when unknown. */
  ipAddress: string
  /** Seen by the API; empty when it is the same one, or when no API was asked. */
  ipAddressFromResourceProvider: string
  clientAppUsed: string
  isInteractive: boolean
  signInEventTypes: string[]
  uniqueTokenIdentifier: string
  sessionId: string
  sessionLifetimePolicies: { detail: string }[]
  authenticationProcessingDetails: { key: string; value: string }[]
  status: { errorCode: number; failureReason: string }
  outcome: Outcome
  conditionalAccessStatus: string
  appliedConditionalAccessPolicies: AppliedPolicy[]
  deviceDetail: { deviceId: string; displayName: string; isCompliant: boolean | null; trustType: string }
  riskLevelDuringSignIn: string
  riskState: string
  riskEventTypes_v2: string[]
  /** More than one: so many like it in the same minute. */
  aggregatedSignInCount?: number
}

export interface SignInQuery {
  /** An id. */
  user: string
  app: string
  outcome: string
  address: string
  correlation: string
  /** Instants, or empty. */
  from: string
  to: string
}

const PAGE = 50

export function useSignIns(query: SignInQuery) {
  return useList<SignIn>(['signIns'], `/auditLogs/signIns?$top=${PAGE}${filterOf(query)}`)
}

export function useSignIn(id: string) {
  const api = useApi()
  return useQuery({ queryKey: ['signIn', id], queryFn: ({ signal }) => api.get<SignIn>(`/auditLogs/signIns/${encodeURIComponent(id)}`, { signal }) })
}

function filterOf({ user, app, outcome, address, correlation, from, to }: SignInQuery): string {
  const terms = [
    user && `userId eq ${quote(user)}`,
    app && `appId eq ${quote(app)}`,
    outcome && `outcome eq ${quote(outcome)}`,
    address && `ipAddress eq ${quote(address)}`,
    correlation && `correlationId eq ${quote(correlation)}`,
    from && `createdDateTime ge ${from}`,
    to && `createdDateTime lt ${to}`,
  ].filter((term) => term !== '')
  return terms.length === 0 ? '' : `&$filter=${encodeURIComponent(terms.join(' and '))}`
}

/** Whether a sign-in that has just come is one of those that are looked for. */
export function matches(one: SignIn, { user, app, outcome, address, correlation, from, to }: SignInQuery): boolean {
  return (
    (user === '' || one.userId === user) &&
    (app === '' || one.appId === app) &&
    (outcome === '' || one.outcome === outcome) &&
    (address === '' || one.ipAddress === address) &&
    (correlation === '' || one.correlationId === correlation) &&
    (from === '' || one.createdDateTime >= from) &&
    (to === '' || one.createdDateTime < to)
  )
}

export function detailOf(one: SignIn, key: string): string | undefined {
  return one.authenticationProcessingDetails.find((detail) => detail.key === key)?.value
}

/** Who it was about: a person, a service, or nobody that is known here. */
export function whoOf(one: SignIn): string {
  return one.userPrincipalName || one.servicePrincipalName
}
