import { useQuery } from '@tanstack/react-query'
import type { Page } from './client.ts'
import { useApi } from './context.ts'

export interface User {
  '@odata.etag'?: string
  id: string
  displayName: string
  userPrincipalName: string
  accountEnabled: boolean
  userType: 'Member' | 'Guest'
  riskLevel: 'none' | 'low' | 'medium' | 'high'
  directoryRoles: string[]
  isEmergencyAccount: boolean
}

export interface UserDetail extends User {
  mail: string | null
  givenName: string | null
  surname: string | null
  createdDateTime: string
  lastPasswordChangeDateTime: string | null
  signInSessionsValidFromDateTime: string
}

const SHORT = 'id,displayName,userPrincipalName,accountEnabled,userType,riskLevel,directoryRoles,isEmergencyAccount'
const WHOLE = `${SHORT},mail,givenName,surname,createdDateTime,lastPasswordChangeDateTime,signInSessionsValidFromDateTime`

/** What a list of users shows of each. */
export const USER_COLUMNS = `$select=${SHORT}`

export function useUser(id: string) {
  const api = useApi()
  return useQuery({
    queryKey: ['users', id, 'one'],
    queryFn: ({ signal }) => api.get<UserDetail>(`/users/${encodeURIComponent(id)}?$select=${WHOLE}`, { signal }),
  })
}

export interface Session {
  id: string
  signInDateTime: string
  createdDateTime: string
  tokensUntilDateTime: string
}

/** What an application holds of a user. */
export interface Grant {
  id: string
  clientId: string
  scope: string
  createdDateTime: string
  lastTokenDateTime: string | null
}

export interface Method {
  '@odata.type': string
  id: string
  displayName?: string
  createdDateTime: string | null
  lastUsedDateTime?: string | null
}

/** A short list of something of a user, whole. */
export function useOf<T>(user: string, what: string, path: string) {
  const api = useApi()
  return useQuery({ queryKey: ['users', user, what], queryFn: async ({ signal }) => (await api.get<Page<T>>(path, { signal })).value })
}

export const useSessions = (user: string) => useOf<Session>(user, 'sessions', `/caegis/users/${user}/sessions`)
export const useGrants = (user: string) => useOf<Grant>(user, 'grants', `/users/${user}/oauth2PermissionGrants`)
export const useMethods = (user: string) => useOf<Method>(user, 'methods', `/users/${user}/authentication/methods`)
