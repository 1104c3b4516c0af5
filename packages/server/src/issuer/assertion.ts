import { errors } from 'oidc-provider'
import { currentAttempt } from './attempt.ts'

/** Seconds that a client's assertion may be good for: Microsoft's clients make theirs for ten minutes, by a clock that may be a minute ahead. */
const MAX_LIFE = 660
const MAX_AHEAD = 60
/** And from its beginning, where it may be shown again: ten minutes, and the second by which Microsoft's clients round `exp` up and `iat` down. */
const MAX_REPEATED = 601

/**
 * What a client's assertion (RFC 7523 section 3) must say beyond what the provider looks at: the certificate that the header names is one that signed it,
 * and it does not outlive what its use can be remembered for.
 */
export function checkAssertion(
  claims: Record<string, unknown>,
  header: Record<string, unknown>,
  client: { jwks?: { keys: readonly unknown[] } | undefined },
  now: number,
  route: string,
): void {
  if (Number(claims.exp) > now + MAX_LIFE) throw new errors.InvalidClientAuth('the assertion is good for too long')
  if (claims.sub !== claims.iss) throw new errors.InvalidClientAuth('the assertion is about somebody else')
  const named = header['x5t#S256']
  if (named !== undefined && !client.jwks?.keys.some((one) => (one as { kid?: string }).kid === named)) {
    throw new errors.InvalidClientAuth('the assertion names a certificate that is not registered or has expired')
  }
  // Microsoft's clients, which name the certificate so, show one assertion again until it expires: "once" (a MAY of RFC 7523 section 3) would lock them out
  // after the first challenge. It is bound instead, so that a stolen one opens nothing else: one audience, which is this tenant's issuer or token endpoint, ten minutes, this
  // client, the token endpoint. Everybody else's is good for one use, and so is theirs elsewhere.
  const from = claims.iat ?? claims.nbf
  const bound = typeof claims.aud === 'string' && typeof from === 'number' && from <= now + MAX_AHEAD && Number(claims.exp) - from <= MAX_REPEATED
  if (named !== undefined && bound && route === 'token') currentAttempt().repeatable = true
}
