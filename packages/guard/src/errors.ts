/** What a denial says to the client. `error` is the word of RFC 6750 section 3.1; a request without credentials gets none. */
export interface DenialText {
  status: 400 | 401 | 403 | 503
  error?: string
  message: string
}

/** Every reason for which a request is denied: stable codes, text that holds nothing of the request. */
export const VERDICT_CODES = {
  token_missing: { status: 401, message: 'The request carries no bearer token.' },
  token_malformed: { status: 401, error: 'invalid_token', message: 'The bearer token is not a signed JWT.' },
  token_in_query: { status: 400, error: 'invalid_request', message: 'A token in the URL is refused: send it in the Authorization header.' },
  token_type: { status: 401, error: 'invalid_token', message: 'The token is not an access token.' },
  token_algorithm: { status: 401, error: 'invalid_token', message: 'The signature algorithm is not accepted for this key.' },
  token_key: { status: 401, error: 'invalid_token', message: 'The issuer publishes no such signing key.' },
  token_signature: { status: 401, error: 'invalid_token', message: 'The signature does not match.' },
  token_issuer: { status: 401, error: 'invalid_token', message: 'The token comes from another issuer.' },
  token_audience: { status: 401, error: 'invalid_token', message: 'The token is for another audience.' },
  token_expired: { status: 401, error: 'invalid_token', message: 'The token has expired, or does not say when it does.' },
  token_not_yet: { status: 401, error: 'invalid_token', message: 'The token is not valid yet.' },
  token_horizon: { status: 401, error: 'invalid_token', message: 'The token lives longer than this API accepts.' },
  token_issued_at: { status: 401, error: 'invalid_token', message: 'The token does not say when it was issued.' },
  token_bound: {
    status: 401,
    error: 'invalid_token',
    message: 'The token is bound to a key or a certificate, and whoever shows it did not show that.',
  },
  token_unbound: {
    status: 401,
    error: 'invalid_token',
    message: 'The token is bound to no key, so no proof is good for it: send it as a bearer token.',
  },
  invalid_dpop_proof: {
    status: 401,
    error: 'invalid_dpop_proof',
    message: 'The request holds no good proof of possession, or one that was used before.',
  },
  use_dpop_nonce: { status: 401, error: 'use_dpop_nonce', message: 'The proof of possession must hold the nonce of this answer.' },
  dpop_full: { status: 503, error: 'temporarily_unavailable', message: 'This API cannot tell at present whether the proof was used before.' },
  token_actor: {
    status: 401,
    error: 'invalid_token',
    message: 'Whom the token names (user, session, client, actors) is malformed, or its chain of actors too long.',
  },
  revoked: { status: 401, error: 'invalid_token', message: 'The token has been revoked. Get a new one.' },
  location: { status: 401, error: 'invalid_token', message: 'The token may not be used from this network.' },
  stale: { status: 401, error: 'invalid_token', message: 'This API has lost touch with the issuer and needs a newer token.' },
  insufficient_scope: { status: 403, error: 'insufficient_scope', message: 'The token lacks a permission that this needs.' },
  insufficient_user_authentication: {
    status: 401,
    error: 'insufficient_user_authentication',
    message: 'This needs a sign-in that is newer, or stronger.',
  },
  not_ready: { status: 503, error: 'temporarily_unavailable', message: 'This API is still loading its revocations.' },
  out_of_sync: { status: 503, error: 'temporarily_unavailable', message: 'This API cannot know at present whether the token was revoked.' },
} as const satisfies Record<string, DenialText>

export type VerdictCode = keyof typeof VERDICT_CODES

/** Codes of `CaegisError`s: `guard_closed` is thrown, the others are reasons in the log and in `status()`. */
export const GUARD_ERRORS = {
  guard_closed: 'The guard was closed before it was ready.',
  discovery_failed: "The issuer's metadata could not be read.",
  keys_failed: "The issuer's signing keys could not be read.",
  rules_refused: 'The location rules of the issuer cannot be read.',
} as const
