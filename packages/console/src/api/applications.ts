import { useQuery } from '@tanstack/react-query'
import type { Api, Page } from './client.ts'
import { useApi } from './context.ts'

export type ApplicationKind = 'spa' | 'web' | 'native' | 'daemon' | 'api'
export const KINDS: readonly ApplicationKind[] = ['spa', 'web', 'native', 'daemon', 'api']

/** The server's own, which nobody edits. */
export const OWN_APPLICATIONS: readonly string[] = ['caegis-cli', 'caegis-console', 'caegis-account']

export interface Credential {
  keyId: string
  displayName: string
  startDateTime: string | null
  endDateTime: string | null
}

export interface ApplicationRow {
  appId: string
  displayName: string
  accountEnabled: boolean
  applicationType: ApplicationKind
  cae: boolean
}

export interface Application extends ApplicationRow {
  id: string
  identifierUris: string[]
  spa: { redirectUris: string[] }
  web: { redirectUris: string[] }
  publicClient: { redirectUris: string[] }
  api: { oauth2PermissionScopes: { value: string }[] }
  permissions: string[]
  optionalClaims: { accessToken: { name: string }[] }
  dpopBoundAccessTokens: boolean
  passwordCredentials: Credential[]
  keyCredentials: Credential[]
}

export interface RoleAssignment {
  id: string
  appRoleId: string
  principalId: string
  principalDisplayName: string | null
  principalType: 'User' | 'Group'
}

const pathOf = (collection: 'applications' | 'servicePrincipals', appId: string) => `/${collection}/${encodeURIComponent(appId)}`
export const applicationPath = (appId: string) => pathOf('applications', appId)
export const principalPath = (appId: string) => pathOf('servicePrincipals', appId)

/** What one is, and whether it may be used: Graph keeps these apart. */
export function useApplication(appId: string) {
  const api = useApi()
  return useQuery({
    queryKey: ['applications', 'one', appId],
    async queryFn({ signal }) {
      const [application, { accountEnabled }] = await Promise.all([
        api.get<Application>(applicationPath(appId), { signal }),
        api.get<{ accountEnabled: boolean }>(`${principalPath(appId)}?$select=accountEnabled`, { signal }),
      ])
      return { ...application, accountEnabled }
    },
  })
}

export function useRoleAssignments(appId: string) {
  const api = useApi()
  return useQuery({
    queryKey: ['applications', 'roles', appId],
    queryFn: ({ signal }) => api.get<Page<RoleAssignment>>(`${principalPath(appId)}/appRoleAssignedTo`, { signal }),
  })
}

/** Full names of what the APIs of the tenant offer, as far as one page goes. */
export function useOffered(): string[] {
  const api = useApi()
  const { data } = useQuery({ queryKey: ['applications', 'offered'], queryFn: ({ signal }) => offered(api, signal), staleTime: 60_000 })
  return data ?? []
}

async function offered(api: Api, signal: AbortSignal): Promise<string[]> {
  const { value } = await api.get<Page<Application>>('/applications?$top=999&$select=identifierUris,api', { signal })
  return value.flatMap(({ identifierUris, api: its }) =>
    identifierUris.flatMap((uri) => ['.default', ...its.oauth2PermissionScopes.map((scope) => scope.value)].map((name) => `${uri}/${name}`)),
  )
}
