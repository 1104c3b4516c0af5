import { CaegisError, isObject, type JsonObject } from '@caegis/protocol'
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

const TIMEOUT = 10_000
const MAX_BODY = 512 * 1024

export function createDiscovery({ issuer, fetch }: { issuer: string; fetch: typeof globalThis.fetch }): Discovery {
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
    const url = `${issuer.endsWith('/') ? issuer.slice(0, -1) : issuer}/.well-known/openid-configuration`
    const document = await fetchJson(fetch, url).catch((cause: unknown) => {
      throw failed('unreadable', cause)
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

/** A JSON object from a URL: no redirects, bounded in time and size. */
export async function fetchJson(fetch: typeof globalThis.fetch, url: string, init: RequestInit = {}): Promise<JsonObject> {
  const response = await fetch(url, {
    ...init,
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT),
    headers: { accept: 'application/json', ...init.headers },
  })
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`HTTP status ${response.status}`)
  }
  const value: unknown = JSON.parse(await boundedText(response))
  if (!isObject(value)) throw new Error('not a JSON object')
  return value
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
