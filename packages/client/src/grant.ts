import { capableClaims } from './capability.ts'
import type { TokenQuestion } from './claims-challenge.ts'
import { accessTokenOf } from './errors.ts'
import { createLine } from './flight.ts'
import { refusalOf } from './refusal.ts'

/** An answer of a token endpoint (RFC 6749 section 5.1), as openid-client gives it. */
export interface Grant {
  access_token: string
  refresh_token?: string | undefined
  /** Seconds. */
  expires_in?: number | undefined
}

export interface GrantOptions {
  /** Asks the token endpoint: openid-client's `refreshTokenGrant` with this refresh token, or `clientCredentialsGrant`. `parameters` go into its request. */
  grant(parameters: { claims: string }, refreshToken: string): Promise<Grant>
  /** What the sign-in left; a daemon has nothing at first. */
  tokens?: Grant
  /** Told of every new answer, such as one with the next refresh token. */
  keep?: (tokens: Grant) => void
  /** Milliseconds. */
  now?: () => number
}

/** Milliseconds before its end at which a token is renewed, or a quarter of its life where that is less: it must still be good where it arrives. */
const EARLY = 60_000

/**
 * The token function of {@link withClaimsChallenge} for libraries that keep no tokens themselves, such as openid-client. It keeps the last answer, renews it when it is
 * about to end or is challenged, one renewal after the other, and says with each that the client is capable (`cp1`). Where the issuer gives no token for a challenge,
 * a `ClaimsChallengeError` (`challenge_refused`) comes out of the fetch: a person can sign in anew with its `claims`; for a daemon it is the end.
 */
export function grantToken({ grant, tokens, keep, now = Date.now }: GrantOptions) {
  let access = ''
  let refresh = ''
  let renewal = 0
  const take = ({ access_token, refresh_token, expires_in }: Grant) => {
    access = accessTokenOf(access_token)
    // Where it is not replaced, the old one goes on (RFC 6749 section 6).
    refresh = refresh_token ?? refresh
    const life = expires_in === undefined ? Number.POSITIVE_INFINITY : expires_in * 1000
    renewal = now() + life - Math.min(EARLY, life / 4)
  }
  if (tokens) take(tokens)
  const renew = createLine(async (claims) => {
    const answer = await grant({ claims }, refresh)
    take(answer)
    keep?.(answer)
    return access
  })
  return async ({ claims }: TokenQuestion): Promise<string> => {
    if (!claims && access !== '' && now() < renewal) return access
    try {
      return await renew(capableClaims(claims))
    } catch (error) {
      throw refusalOf(error, claims)
    }
  }
}
