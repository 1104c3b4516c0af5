import { CaegisError } from '@caegis/protocol'

/** Codes thrown by this package. Errors of the token function and of fetch pass through untouched. */
export const CLIENT_ERRORS = {
  no_access_token: 'The library answered without an access token.',
  challenge_loop: 'The API asked for the same claims again.',
  challenge_refused: 'The issuer gives no token for these claims.',
  body_spent: 'The new token is there, but the body was a stream.',
} as const

/** A claims challenge that ends here. `code` says why. */
export class ClaimsChallengeError extends CaegisError {
  /** The claims request that is not fulfilled, for the authorization request of a new sign-in: the issuer's own words where it had some. */
  readonly claims: string

  constructor(code: keyof typeof CLIENT_ERRORS, claims: string, options: { cause?: unknown } = {}) {
    super(code, CLIENT_ERRORS[code], options)
    this.name = 'ClaimsChallengeError'
    this.claims = claims
  }
}

/** An access token as it goes into a header. */
export function accessTokenOf(answer: unknown): string {
  // MSAL answers with an empty text when only an ID token was granted.
  if (typeof answer !== 'string' || answer === '') throw new CaegisError('no_access_token', CLIENT_ERRORS.no_access_token)
  return answer
}
