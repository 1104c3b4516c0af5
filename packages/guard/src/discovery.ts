import { CaegisError, isObject, type JsonObject, networkReason } from '@caegis/protocol'
import { GUARD_ERRORS } from './errors.ts'

/** What a guard reads of the issuer's metadata (OpenID Connect Discovery section 3). */
export interface IssuerMetadata {
  jwksUri: string
  authorizationEndpoint: string | undefined
  tokenEndpoint: string | undefined
  tokenAuthMethods: readonly string[]
}

export interface Discovery {
  /** One request serves all who ask at once; an answer is kept, a failure is not. */
  read(options?: { fresh: boolean }): Promise<IssuerMetadata>
  /** What was read last. */
  readonly known: IssuerMetadata | undefined
}

export interface DiscoveryOptions {
  issuer: string
  fetch: typeof globalThis.fetch
  /** Where the metadata is, when it is not where the issuer's name says. */
  metadataUrl?: string | undefined
  /** Of the guard that closes. */
  signal?: AbortSignal
}

const TIMEOUT = 10_000
const MAX_BODY = 512 * 1024

/**
 * Where an issuer's metadata may be, in the order of asking: OpenID Connect Discovery section 4 appends the well-known name, RFC 8414 section 3.1 puts its own between
 * host and path. Neither knows a slash at the path's end.
 */
export function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [`${origin}${path}/.well-known/openid-configuration`, `${origin}/.well-known/oauth-authorization-server${path}`]
}

export function createDiscovery({ issuer, fetch, metadataUrl, signal }: DiscoveryOptions): Discovery {
  const urls = metadataUrl === undefined ? metadataUrls(issuer) : [metadataUrl]
  let known: IssuerMetadata | undefined
  let reading: Promise<IssuerMetadata> | undefined
  return {
    read({ fresh } = { fresh: false }) {
      if (known && !fresh) return Promise.resolve(known)
      reading ??= load().finally(() => {
        reading = undefined
      })
      return reading
    },
    get known() {
      return known
    },
  }

  async function load(): Promise<IssuerMetadata> {
    const document = await firstOf(urls).catch((cause: unknown) => {
      throw failed(`unreadable: ${whyNot(cause)}`, cause)
    })
    // A document about another issuer would lend us that issuer's keys (OpenID Connect Discovery section 4.3).
    if (document.issuer !== issuer) throw failed('names another issuer')
    const jwksUri = endpoint(document.jwks_uri)
    if (jwksUri === undefined) throw failed('no jwks_uri')
    const methods = document.token_endpoint_auth_methods_supported
    known = {
      jwksUri,
      authorizationEndpoint: endpoint(document.authorization_endpoint),
      tokenEndpoint: endpoint(document.token_endpoint),
      // RFC 8414 section 2: what is meant when nothing is said.
      tokenAuthMethods: Array.isArray(methods) ? methods.filter((one) => typeof one === 'string') : ['client_secret_basic'],
    }
    return known
  }

  /** An issuer that is down is asked again at the same place: only one that says "not here" is looked for at the other. */
  async function firstOf([url = '', ...others]: readonly string[]): Promise<JsonObject> {
    try {
      return await fetchJson(fetch, url, {}, signal)
    } catch (error) {
      if (others.length === 0 || !(error instanceof StatusError) || error.status >= 500) throw error
      return firstOf(others)
    }
  }

  /** Plain http only where the issuer itself is plain, that is in tests on loopback. */
  function endpoint(value: unknown): string | undefined {
    if (typeof value !== 'string' || !URL.canParse(value)) return undefined
    const { protocol } = new URL(value)
    return protocol === 'https:' || (protocol === 'http:' && issuer.startsWith('http:')) ? value : undefined
  }
}

function failed(detail: string, cause?: unknown): CaegisError {
  return new CaegisError('discovery_failed', GUARD_ERRORS.discovery_failed, { detail, cause })
}

/** A JSON object from a URL: no redirects, bounded in time and size. @param closing ends it as well */
export async function fetchJson(
  fetch: typeof globalThis.fetch,
  url: string,
  { headers }: Pick<RequestInit, 'headers'>,
  closing?: AbortSignal,
): Promise<JsonObject> {
  const deadline = new AbortController()
  const end = () => deadline.abort()
  const timer = setTimeout(end, TIMEOUT)
  closing?.addEventListener('abort', end, { once: true })
  if (closing?.aborted) end()
  try {
    const response = await fetch(url, { redirect: 'error', signal: deadline.signal, headers: { accept: 'application/json', ...headers } })
    if (!response.ok) {
      await response.body?.cancel()
      throw new StatusError(response.status)
    }
    const value: unknown = JSON.parse(await boundedText(response))
    if (!isObject(value)) throw new Error('not a JSON object')
    return value
  } finally {
    clearTimeout(timer)
    closing?.removeEventListener('abort', end)
  }
}

/** Why there was no document, as {@link fetchJson} failed; nothing of it is from outside but codes. */
export function whyNot(error: unknown): string {
  if (error instanceof StatusError) return `status ${error.status}`
  if (error instanceof DOMException) return 'no answer in time'
  return error instanceof TypeError ? networkReason(error) : 'no JSON object'
}

class StatusError extends Error {
  readonly status: number
  constructor(status: number) {
    super(`HTTP status ${status}`)
    this.status = status
  }
}

async function boundedText(response: Response): Promise<string> {
  if (!response.body) return ''
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.byteLength
    if (size > MAX_BODY) throw new Error('the body is too large')
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}
