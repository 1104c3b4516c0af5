import { ClaimsChallengeError } from './errors.ts'

interface Thrown {
  name?: unknown
  /** The issuer's word, of openid-client and oidc-client-ts. */
  error?: unknown
  /** The issuer's word, of MSAL. */
  errorCode?: unknown
  claims?: unknown
  /** openid-client: the body of the answer. */
  cause?: { claims?: unknown }
}

const MSAL_ANSWERS = new Set<unknown>(['InteractionRequiredAuthError', 'ServerError'])
const PASSING = new Set<unknown>(['', 'server_error', 'temporarily_unavailable'])
const SIGN_IN = new Set<unknown>(['interaction_required', 'login_required', 'consent_required', 'account_selection_required', 'invalid_grant'])

/** The error code in an issuer's answer (RFC 6749 section 5.2); `undefined` where it was something else that failed. By shape: there may be two copies of a library. */
function codeOf({ name, error, errorCode }: Thrown): unknown {
  const code = error ?? (MSAL_ANSWERS.has(name) ? errorCode : undefined)
  return typeof code === 'string' && !PASSING.has(code) ? code : undefined
}

/** Whether the issuer wants the person to sign in. */
export function wantsSignIn(error: unknown): boolean {
  return SIGN_IN.has(codeOf(error as Thrown))
}

/** The issuer's own claims, which name the policies that want the sign-in; where it has none, those of the API are the second best. */
export function claimsOf(error: unknown, asked: string): string {
  const { claims, cause } = error as Thrown
  const own = claims || cause?.claims
  return typeof own === 'string' && own !== '' ? own : asked
}

/** What comes out of the fetch when a challenge could not be answered: the typed error if the issuer said no, and any other failure untouched. */
export function refusalOf(error: unknown, claims: string | undefined): unknown {
  if (claims === undefined || codeOf(error as Thrown) === undefined) return error
  return new ClaimsChallengeError('challenge_refused', claimsOf(error, claims), { cause: error })
}
