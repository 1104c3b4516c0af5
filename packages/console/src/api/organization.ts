import { useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export interface Range {
  from: number
  to: number
}

export interface TokenLifetimes {
  ordinaryMinutes: Range
  longLivedHours: Range
  exceptionMinutes: number
}

export interface Organization {
  id: string
  name: string
  displayName: string
  state: 'running' | 'stopped'
  stoppedDateTime: string | null
  tokenLifetimes: TokenLifetimes
  logRetentionDays: number
  serverDefaults: { tokenLifetimes: TokenLifetimes; logRetentionDays: number }
}

/** Whom a stop would hit. */
export interface Reach {
  users: number
  sessions: number
  applications: number
  streams: number
}

/** What a stop answers: the last thing that whoever stopped the tenant is told. */
export interface Stopped extends Organization {
  changed: boolean
  txn: string
  proof?: { receivers: StoppedReceiver[] }
}

export interface StoppedReceiver {
  streamId: string
  appId: string
  displayName: string | null
  status: string
  complete: boolean
}

export interface SigningKey {
  id: string
  alg: string
  state: 'next' | 'active' | 'retired'
  createdDateTime: string
  activeFromDateTime: string
  retiredDateTime: string | null
}

export interface ScimClient {
  appId: string
  displayName: string
  enabled: boolean
  permitted: boolean
  users: number
  groups: number
  lastWriteDateTime: string | null
}

export interface LdapState {
  name: string
  kind: string
  url: string
  interval: number
  state: 'waiting' | 'ok' | 'failing'
  lastPassDateTime: string | null
  lastError: { code: string; message: string; dateTime: string } | null
  report: Record<string, number | boolean> | null
  users: number
}

export interface Provisioning {
  scim: { endpoint: string; lastWriteDateTime: string | null; users: number; groups: number; applications: ScimClient[] }
  ldap: LdapState | null
}

export interface Detection {
  type: string
  says: string
  falseAlarms: string
  status: 'on' | 'off' | 'unconfigured'
}

function useGet<T>(key: readonly unknown[], path: string, refetchInterval?: number) {
  const api = useApi()
  return useQuery({
    queryKey: key,
    queryFn: ({ signal }) => api.get<T>(path, { signal }),
    ...(refetchInterval === undefined ? {} : { refetchInterval }),
  })
}

export const useOrganization = () => useGet<Organization>(['organization'], '/caegis/organization')
export const useReach = () => useGet<Reach>(['organization', 'reach'], '/caegis/organization/reach')
export const useKeys = () => useGet<Page<SigningKey>>(['keys'], '/caegis/keys')
/** Nothing tells that a pass is over: it is looked at again. */
export const useProvisioning = () => useGet<Provisioning>(['provisioning'], '/caegis/provisioning', 15_000)
export const useDetections = () => useGet<Page<Detection>>(['detections'], '/caegis/identityProtection/detections')
