import { ALGORITHMS } from './token.ts'

/** What an API says of itself (RFC 9728 section 2), for clients that come to it first. */
export interface ResourceMetadata {
  readonly resource: string
  readonly authorization_servers: readonly string[]
  readonly bearer_methods_supported: readonly string[]
  readonly scopes_supported?: readonly string[]
  readonly dpop_signing_alg_values_supported: readonly string[]
}

const WELL_KNOWN = '/.well-known/oauth-protected-resource'

export function describeResource(resource: string, issuers: readonly string[], scopes: readonly string[]): ResourceMetadata {
  return Object.freeze({
    resource,
    authorization_servers: Object.freeze(issuers),
    bearer_methods_supported: Object.freeze(['header']),
    ...(scopes.length > 0 ? { scopes_supported: scopes } : {}),
    dpop_signing_alg_values_supported: ALGORITHMS,
  })
}

/** Where it is said (section 3.1): the well-known part stands between the host and the path of the resource. */
export function metadataUrlOf(resource: string): string {
  const { origin, pathname } = new URL(resource)
  return `${origin}${WELL_KNOWN}${pathname === '/' ? '' : pathname}`
}

/** What a refusal says of that, where there is something to say. */
export function resourceMetadataOf(resource: string | undefined): string | undefined {
  return resource === undefined ? undefined : metadataUrlOf(resource)
}
