/**
 * The one error class of every CAEgis package. `code` is stable and safe to show; each package lists its codes in one table.
 * `message` is text for the peer: it never holds a token, a password or other input. What helps the operator goes to `detail`.
 */
export class CaegisError extends Error {
  readonly code: string
  /** For the operator's log only: never sent to a peer. */
  readonly detail: unknown

  constructor(code: string, message: string, options: { detail?: unknown; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CaegisError'
    this.code = code
    this.detail = options.detail
  }
}

/** By itself: who reads challenges in a browser need not load the whole table. */
export const INVALID_CHALLENGE = 'The WWW-Authenticate header holds no readable claims challenge.'

/** Codes thrown by this package. */
export const PROTOCOL_ERRORS = {
  invalid_claims_request: 'The claims parameter is not a claims request (OpenID Connect Core section 5.5).',
  invalid_challenge: INVALID_CHALLENGE,
  invalid_subject: 'The subject identifier is not one of RFC 9493 or SSF 1.0 section 3.',
  invalid_set: 'The payload is not a Security Event Token of the SSF profile.',
  invalid_head: 'The log head is malformed.',
  invalid_cutoffs: 'The list of cutoffs is malformed.',
} as const
