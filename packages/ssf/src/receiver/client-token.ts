import { isObject } from '@caegis/protocol'
import { isEndpoint } from './discover.ts'
import { failure } from './errors.ts'
import { exchange } from './exchange.ts'
import type { TokenSource } from './stream-api.ts'

/** OAuth client credentials (RFC 6749 section 4.4), as the interoperability profile wants them. */
export interface ClientCredentials {
  clientId: string
  clientSecret: string
  /** Default: the one in the authorization server metadata (RFC 8414) or OpenID configuration of the transmitter's issuer. */
  tokenEndpoint?: string
  /** How that endpoint takes the secret (RFC 6749 section 2.3.1): in the header (default) or in the form. One that was not named says so itself. */
  authMethod?: 'basic' | 'post'
  /** Default `ssf.read ssf.manage`. */
  scope?: string
}

export interface TokenEndpoint {
  url: string
  /** The secret goes into the form, not into the header. */
  post: boolean
}

export interface ClientTokenOptions extends Pick<ClientCredentials, 'clientId' | 'clientSecret' | 'scope'> {
  /** Asked for each token. */
  endpoint: () => Promise<TokenEndpoint>
  fetch: typeof globalThis.fetch
  /** Milliseconds. */
  now: () => number
  /** Milliseconds for one request; default 10,000. */
  timeout?: number
  /** Whoever asks has closed. */
  signal?: AbortSignal
}

const MAX_BYTES = 131_072
/** Milliseconds before its end at which a token is no longer used, and for how long one without an end is. */
const MARGIN = 30_000
const UNKNOWN_LIFE = 60_000

/**
 * A token source that keeps the token while it lasts; whoever asks meanwhile waits for the same request.
 * @throws CaegisError from what it returns: `token_refused`, `unavailable`, `answer_malformed`, `answer_too_large`, and what `endpoint` throws
 */
export function createClientToken(options: ClientTokenOptions): TokenSource {
  const { clientId, clientSecret, scope = 'ssf.read ssf.manage', endpoint, fetch, now, timeout = 10_000, signal } = options
  let kept: { token: string; until: number } | undefined
  let asking: Promise<string> | undefined

  return ({ fresh }) => {
    if (!fresh && kept && now() < kept.until) return Promise.resolve(kept.token)
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }

  async function ask(): Promise<string> {
    kept = undefined
    const { url, post } = await endpoint()
    const body = new URLSearchParams({ grant_type: 'client_credentials', scope })
    const headers: Record<string, string> = {}
    if (post) {
      body.set('client_id', clientId)
      body.set('client_secret', clientSecret)
    } else {
      // Both halves are form-encoded first (RFC 6749 section 2.3.1).
      const pair = [clientId, clientSecret].map((half) => new URLSearchParams({ half }).toString().slice('half='.length)).join(':')
      headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`
    }
    const { status, body: answer } = await exchange(fetch, url, { method: 'POST', body, headers, timeout, signal, maxBytes: MAX_BYTES })
    if (status !== 200) throw failure(status >= 500 || status === 429 ? 'unavailable' : 'token_refused', `token endpoint: status ${status}`)
    const token = isObject(answer) ? answer.access_token : undefined
    // Anything else could not stand in a header.
    if (typeof token !== 'string' || !/^[\x21-\x7e]{1,16384}$/.test(token)) throw failure('answer_malformed', 'access_token')
    const { token_type: type, expires_in: life } = answer as Record<string, unknown>
    if (typeof type === 'string' && type.toLowerCase() !== 'bearer') throw failure('answer_malformed', 'token_type')
    const milliseconds = typeof life === 'number' && life > 0 ? life * 1000 : UNKNOWN_LIFE
    kept = { token, until: now() + Math.max(milliseconds - MARGIN, milliseconds / 2) }
    return token
  }
}

export interface FindTokenEndpointOptions extends Pick<ClientCredentials, 'tokenEndpoint' | 'authMethod'> {
  /** The transmitter. */
  issuer: string
  fetch: typeof globalThis.fetch
  insecure: boolean
  /** Milliseconds. */
  timeout: number
}

/** Looks for the token endpoint until it was found; one that is named need not be found. */
export function findTokenEndpoint(options: FindTokenEndpointOptions): () => Promise<TokenEndpoint> {
  const { issuer, tokenEndpoint, authMethod, fetch, insecure, timeout } = options
  let known = tokenEndpoint === undefined ? undefined : { url: tokenEndpoint, post: authMethod === 'post' }
  return async () => {
    known ??= await find()
    return known
  }

  async function find(): Promise<TokenEndpoint> {
    const { origin, pathname } = new URL(issuer)
    const path = pathname.replace(/\/$/, '')
    for (const url of [`${origin}/.well-known/oauth-authorization-server${path}`, `${origin}${path}/.well-known/openid-configuration`]) {
      const { status, body } = await exchange(fetch, url, { timeout, maxBytes: MAX_BYTES })
      if (status >= 500 || status === 429) throw failure('unavailable', `authorization server metadata: status ${status}`)
      if (status !== 200 || !isObject(body)) continue
      // The metadata of another issuer would send our secret there.
      if (body.issuer !== issuer || !isEndpoint(body.token_endpoint, insecure)) throw failure('metadata_refused', 'authorization server')
      const methods = body.token_endpoint_auth_methods_supported
      const post = authMethod === undefined ? Array.isArray(methods) && !methods.includes('client_secret_basic') : authMethod === 'post'
      return { url: body.token_endpoint, post }
    }
    throw failure('metadata_refused', 'no authorization server metadata; name the tokenEndpoint')
  }
}
