import { randomUUID } from 'node:crypto'
import { isObject } from '@caegis/protocol'
import { compactVerify, createLocalJWKSet, decodeProtectedHeader, errors, type JSONWebKeySet } from 'jose'
import { failure } from './errors.ts'
import { exchange } from './exchange.ts'
import { NO_KEY, NO_KEY_YET } from './set-errors.ts'

export interface JwsVerifierOptions {
  /** The configured transmitter's; never taken from a token. */
  jwksUri: string
  fetch?: typeof globalThis.fetch
  /** Milliseconds. */
  now?: () => number
  /** Milliseconds for fetching the keys; default 10,000. */
  timeout?: number
  /** Milliseconds between two fetches that an unknown key causes; default 1000. */
  refetchAfter?: number
  /** An unknown key is looked for with a query of no meaning, past caches that do as they like: for a transmitter that is known not to mind, as CAEgis is. */
  past?: boolean
  /** Milliseconds after which the keys are fetched anew, so that a removed one goes; default 600,000. */
  maxAge?: number
}

export interface JwsVerifier {
  /**
   * The payload of a compact JWS of that `typ`, signed by a key of the transmitter.
   * @throws CaegisError `set_refused` when it is not one, `unavailable` when the keys cannot be had
   */
  verify(jws: unknown, typ: string, signal?: AbortSignal): Promise<unknown>
}

/** Bytes of one SET or seal. */
export const MAX_JWS = 65_536
const ALGORITHMS = ['ES256', 'RS256']
const MAX_JWKS = 262_144
const MAX_KEYS = 64

/**
 * Verifies what one transmitter signed. The keys have a budget of their own, apart from those of access tokens: strangers can send tokens with unknown keys to an
 * API all day, and that must not keep a receiver from the new key of its own transmitter.
 */
export function createJwsVerifier(options: JwsVerifierOptions): JwsVerifier {
  const { jwksUri, fetch = globalThis.fetch, now = Date.now, timeout = 10_000, refetchAfter = 1000, maxAge = 600_000 } = options
  let keys: ReturnType<typeof createLocalJWKSet> | undefined
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let fetching: Promise<void> | undefined

  const load = async (signal: AbortSignal | undefined, uri = jwksUri): Promise<void> => {
    triedAt = now()
    const { status, body } = await exchange(fetch, uri, { headers: { 'cache-control': 'no-cache' }, timeout, signal, maxBytes: MAX_JWKS })
    if (status !== 200) throw failure('unavailable', `keys: status ${status}`)
    if (!isObject(body) || !Array.isArray(body.keys) || body.keys.length > MAX_KEYS) throw failure('answer_malformed', 'keys')
    try {
      keys = createLocalJWKSet(body as unknown as JSONWebKeySet)
    } catch {
      throw failure('answer_malformed', 'keys')
    }
    fetchedAt = now()
  }
  /** Whoever needs the keys meanwhile waits for the same fetch. */
  const refresh = (signal: AbortSignal | undefined, uri?: string): Promise<void> => {
    fetching ??= load(signal, uri).finally(() => {
      fetching = undefined
    })
    return fetching
  }
  const mayFetch = () => fetching !== undefined || Math.abs(now() - triedAt) >= refetchAfter

  const attempt = async (jws: string, set: NonNullable<typeof keys>): Promise<{ payload: Uint8Array } | 'no key' | 'bad'> => {
    try {
      return await compactVerify(jws, set, { algorithms: ALGORITHMS })
    } catch (error) {
      // What is wrong with a key (there is none, it is too short, of the wrong kind) may be right at the next look; what is wrong with the JWS stays so.
      return error instanceof errors.JWSInvalid || error instanceof errors.JOSENotSupported || error instanceof errors.JOSEAlgNotAllowed
        ? 'bad'
        : 'no key'
    }
  }

  return {
    async verify(jws, typ, signal) {
      if (typeof jws !== 'string' || jws.length > MAX_JWS) throw failure('set_refused', 'not a JWS of reasonable size')
      if (!isCompact(jws)) throw failure('set_refused', 'not a JWS')
      let header: ReturnType<typeof decodeProtectedHeader>
      try {
        header = decodeProtectedHeader(jws)
      } catch {
        throw failure('set_refused', 'not a JWS')
      }
      if (header.typ !== typ) throw failure('set_refused', 'typ')
      if (typeof header.alg !== 'string' || !ALGORITHMS.includes(header.alg)) throw failure('set_refused', 'alg')

      let looked = keys === undefined
      if (!keys) await refresh(signal)
      // Old keys are better than none while the transmitter cannot be reached.
      else if (now() - fetchedAt > maxAge && mayFetch()) await refresh(signal).catch(() => {})
      const known = keys as NonNullable<typeof keys>
      let result = await attempt(jws, known)
      if (result === 'no key') {
        // The key may be newer than ours: one more look, if the budget allows, or at what another caller has fetched meanwhile.
        if (keys !== known) looked = true
        else if (mayFetch()) {
          await refresh(signal, options.past ? pastCaches(jwksUri) : jwksUri)
          looked = true
        }
        if (keys !== known) result = await attempt(jws, keys as NonNullable<typeof keys>)
      }
      if (result === 'no key') throw failure('set_refused', looked ? NO_KEY : NO_KEY_YET)
      if (result === 'bad') throw failure('set_refused', 'malformed')
      try {
        return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(result.payload))
      } catch {
        throw failure('set_refused', 'payload')
      }
    },
  }
}

function pastCaches(uri: string): string {
  const url = new URL(uri)
  url.searchParams.set('past', randomUUID())
  return url.href
}

/**
 * Three parts of base64url without padding, each in its only spelling (RFC 7515 sections 2 and 3.1). A lenient decoder would take a signature with blanks, other
 * characters or other bits behind its last byte for the same: one SET would have many texts.
 */
function isCompact(jws: string): boolean {
  const parts = jws.split('.', 4)
  return parts.length === 3 && parts.every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)
}
