import type { Application } from '../directory/application.ts'
import { PERMISSIONS } from '../directory/permissions.ts'

/** Something that access tokens are issued for. */
export interface Resource {
  /** What scopes begin with: `api://files`, the origin for the admin API. */
  uri: string
  /** `aud` of its tokens, always from here and never from the request. */
  audience: string
  /** Names of its scopes, without prefix. */
  scopes: string[]
  cae: boolean
  /** What its tokens hold beyond the usual. */
  optionalClaims?: string[]
  /** The application whose guards protect it; absent for what the server protects itself. */
  appId?: string
  /** Of that application's row. */
  version?: number
  kind: 'api' | 'graph' | 'signals'
}

export const OIDC_SCOPES = ['openid', 'profile', 'email', 'offline_access']
export const STREAM_SCOPES = ['ssf.read', 'ssf.manage']

/** The admin API. Its guard lives in the server itself and is always up to date. */
export function graphResource(origin: string): Resource {
  return { uri: origin, audience: origin, scopes: PERMISSIONS, cae: true, kind: 'graph' }
}

/** The stream endpoints of one tenant. */
export function signalsResource(base: string): Resource {
  return { uri: base, audience: base, scopes: STREAM_SCOPES, cae: false, kind: 'signals' }
}

export function apiResources(apis: Application[]): Resource[] {
  return apis.flatMap((api) =>
    api.enabled
      ? api.identifierUris.map(
          (uri): Resource => ({
            uri,
            audience: uri,
            scopes: api.scopes,
            cae: api.cae,
            appId: api.appId,
            version: api.version,
            optionalClaims: api.optionalClaims,
            kind: 'api',
          }),
        )
      : [],
  )
}

/** The scopes of a resource that a client may ask for, by their short names. `.default` stands for all of them. */
export function permittedScopes(client: Application, resource: Resource): string[] {
  if (resource.kind === 'signals') {
    // Only an API that is registered for continuous access evaluation may read who was revoked.
    return client.cae && client.confidential ? STREAM_SCOPES : []
  }
  const prefix = resource.kind === 'graph' ? 'graph/' : `${resource.uri}/`
  const held = client.permissions.filter((one) => one.startsWith(prefix)).map((one) => one.slice(prefix.length))
  return held.includes('.default') ? resource.scopes : resource.scopes.filter((scope) => held.includes(scope))
}

/** The one resource that the asked scopes belong to; `several` when they belong to more than one. */
export function resourceOf(scopes: readonly string[], resources: readonly Resource[]): Resource | 'several' | undefined {
  const wanted = new Set<Resource>()
  for (const scope of scopes) {
    // The name of a scope has no slash: `api://files/admin/Read` belongs to `api://files/admin`, whatever else is registered.
    const uri = scope.slice(0, Math.max(0, scope.lastIndexOf('/')))
    const resource = resources.find((one) => (one.kind === 'signals' ? STREAM_SCOPES.includes(scope) : one.uri === uri))
    if (resource) wanted.add(resource)
  }
  if (wanted.size > 1) return 'several'
  return wanted.values().next().value
}

/** How a scope of the resource is written in a request. */
export function fullScope(resource: Resource, name: string): string {
  return resource.kind === 'signals' ? name : `${resource.uri}/${name}`
}

/**
 * What an agent is given by names: of what was asked for (full names; `.default` stands for as much as possible), what the agent is permitted and the token that it trades
 * holds as well. A name that was asked for and that the token does not hold is refused, not passed over.
 */
export function narrowScopes(
  resource: Resource,
  asked: readonly string[],
  permitted: readonly string[],
  held: readonly string[],
): { granted: string[]; refused: string[] } {
  const isDefault = asked.includes(fullScope(resource, '.default'))
  const named = permitted.filter((name) => asked.includes(fullScope(resource, name)))
  const wanted = isDefault ? permitted : named
  return { granted: wanted.filter((name) => held.includes(name)), refused: named.filter((name) => !held.includes(name)) }
}
