import { type ClaimsChallenge, readClaimsChallenge } from '@caegis/protocol'
import { accessTokenOf, ClaimsChallengeError } from './errors.ts'
import { createFlights, unlessAborted } from './flight.ts'
import { originOf, parseOrigin, parseUrl } from './origins.ts'
import { createReplay, drop, urlOf } from './replay.ts'

export interface TokenQuestion {
  /** The claims request of a challenge, decoded: the token must come from the issuer, past every cache. */
  claims?: string
  /** Fires when nobody waits for the answer any more. */
  signal?: AbortSignal
}

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

export interface ClaimsChallengeOptions {
  /** The APIs that get tokens, such as `https://api.example`; plain http only on this machine. Every other origin is fetched without. */
  origins: readonly string[]
  /**
   * Asked before each request, however many are under way, and once more with the claims of a challenge, once for all who want the same. What it throws comes out of the
   * fetch.
   */
  token(question: TokenQuestion): Promise<string> | string
  /** URLs of the issuer: a challenge that points to another origin is not answered. Default: any issuer. */
  issuer?: string | readonly string[]
  /** Milliseconds. */
  now?: () => number
  wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>
  log?: Partial<Log>
}

/** The longest wait for the second that a challenge names; a larger gap is a clock fault, which waiting does not mend. */
const LONGEST_WAIT = 2000
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * A `fetch` that carries one identity's access token to the named origins and answers their claims challenges: on a 401 with one it asks for a token that fulfils the
 * claims, and sends the request once more. The second answer is returned as it is, unless it asks for the same again.
 * Rejects with a {@link ClaimsChallengeError} where a challenge cannot be answered, and with a `CaegisError` (`no_access_token`) where the token function has none.
 * @throws TypeError at construction, for a missing token function or an origin that must not get tokens
 */
export function withClaimsChallenge(fetch: typeof globalThis.fetch, options: ClaimsChallengeOptions): typeof globalThis.fetch {
  const { token, now = Date.now, wait = pause, log = {} } = options
  if (typeof fetch !== 'function' || typeof token !== 'function' || !Array.isArray(options.origins) || options.origins.length === 0) {
    throw new TypeError('withClaimsChallenge needs fetch, token and origins')
  }
  const origins = new Set(options.origins.map((origin) => parseOrigin(origin)))
  const issuers = options.issuer === undefined ? undefined : new Set<string | undefined>([options.issuer].flat().map((url) => new URL(url).origin))
  const join = createFlights<string>()
  /** Counts the beginnings of requests and the ends of token calls, so that it is known which came first. */
  let turn = 0
  let latest: { claims: string; token: string; turn: number } | undefined

  return async function challengeFetch(input, init) {
    const url = urlOf(input)
    const origin = originOf(url)
    if (origin === undefined || !origins.has(origin)) return fetch(input, init)
    const began = ++turn
    const replay = createReplay(input, url, init)
    try {
      const { signal, sendAgain } = replay
      const first = accessTokenOf(await unlessAborted(token(signal ? { signal } : {}), signal))
      const response = await replay.send(fetch, first)
      const challenge = readChallenge(response, origin, replay.method)
      if (!challenge) return response
      drop(response)
      const { claims } = challenge
      log.info?.('claims challenge received', { origin, nbf: challenge.nbf })
      const fresh = await answer(challenge, first, began, signal)
      if (!sendAgain) throw new ClaimsChallengeError('body_spent', claims)
      // Whatever cache this came from would give it for ever.
      if (fresh === first) throw new ClaimsChallengeError('challenge_loop', claims)
      const second = await sendAgain(fetch, fresh)
      if (readChallenge(second, origin, replay.method)?.claims !== claims) return second
      drop(second)
      throw new ClaimsChallengeError('challenge_loop', claims)
    } finally {
      replay.release()
    }
  }

  /** A token for these claims: one call for all who ask at the same time, and for the stragglers whose requests had left before it ended. */
  async function answer({ claims, nbf }: ClaimsChallenge, refused: string, began: number, signal: AbortSignal | undefined): Promise<string> {
    if (latest?.claims === claims && latest.turn > began && latest.token !== refused) return latest.token
    return join(claims, signal, async (stop) => {
      // A token of that second or later is asked for, and an issuer stamps whole seconds (A6f).
      const ahead = nbf === undefined ? 0 : Math.min(nbf * 1000 - now(), LONGEST_WAIT)
      if (ahead > 0) {
        log.debug?.('waiting for the second that the challenge names', { milliseconds: ahead })
        await wait(ahead, stop)
      }
      const fresh = accessTokenOf(await token({ claims, signal: stop }))
      latest = { claims, token: fresh, turn: ++turn }
      return fresh
    })
  }

  /** The challenge that this answer holds and that may be answered. */
  function readChallenge(response: Response, origin: string, method: string): ClaimsChallenge | undefined {
    if (response.status !== 401) return undefined
    // Fetch took the token off when a redirect left the origin: whoever answered there never saw it.
    if (response.url !== '' && new URL(response.url).origin !== origin) return undefined
    // The request before a redirect may have had its effect already.
    if (response.redirected && !SAFE_METHODS.has(method)) return undefined
    let challenge: ClaimsChallenge | undefined
    try {
      challenge = readClaimsChallenge(response.headers.get('WWW-Authenticate'))
    } catch {
      log.warn?.('claims challenge is unreadable', { origin })
      return undefined
    }
    if (challenge && issuers && !issuers.has(parseUrl(challenge.authorizationUri)?.origin)) {
      log.warn?.('claims challenge points to another issuer', { origin })
      return undefined
    }
    return challenge
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}
