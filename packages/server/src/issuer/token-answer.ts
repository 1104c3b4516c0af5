import { randomUUID } from 'node:crypto'
import { type ClaimsRequest, challengeObject } from '@caegis/protocol'
import type { Denial } from '../access/account.ts'
import { refusalOf as policyRefusal } from '../access/refusal.ts'
import { SERVER_ERRORS } from '../errors.ts'
import { isContext } from './access.ts'
import type { Attempt } from './attempt.ts'
import { TOKEN_EXCHANGE } from './client.ts'
import type { Tenant } from './tenant.ts'

/** Adds what Microsoft's clients read beyond OAuth to a token response. */
export function completeTokens(body: Record<string, unknown>, form: URLSearchParams, tenant: Tenant, attempt: Attempt): Record<string, unknown> {
  const expiresIn = body.expires_in
  const asked = form.get('scope')
  return {
    ...body,
    // The scope of the answer is part of MSAL's cache key: what was asked, as it was asked. Anything that was refused is an error and not here.
    // An exchange may give less, and says what it gave (RFC 8693 section 2.2.1).
    ...(asked && form.get('grant_type') !== TOKEN_EXCHANGE ? { scope: asked } : {}),
    // Half-way to expiry the client asks again by itself, and policies are looked at again.
    ...(typeof expiresIn === 'number' ? { refresh_in: Math.floor(expiresIn / 2) } : {}),
    ...(attempt.account && form.get('client_info') === '1'
      ? { client_info: Buffer.from(JSON.stringify({ uid: attempt.account.id, utid: tenant.id })).toString('base64url') }
      : {}),
  }
}

/** Microsoft's clients show `message` to the user, and poll without a pause where `interval` is missing. */
export function completeDevice(body: Record<string, unknown>): Record<string, unknown> {
  return {
    interval: 5,
    message: `To sign in, open ${body.verification_uri} in a browser and enter the code ${body.user_code}.`,
    ...body,
  }
}

interface Refusal {
  error: string
  suberror?: string
  code: number
  text: string
  claims?: string
}

/**
 * Shapes a refusal of the token endpoint the way MSAL classifies it (a bare `invalid_grant` in a user's flow would leave the application not knowing
 * that it should ask the user). Always 400 or 401, never 5xx, never Retry-After: those make MSAL block the client for a minute.
 */
export function refuseTokens(
  body: Record<string, unknown>,
  form: URLSearchParams,
  denial: Denial | undefined,
  now: number,
  correlation: string | undefined,
  asked: ClaimsRequest,
): Record<string, unknown> {
  const refusal = refusalOf(body, form, denial)
  const claims = refusal.suberror === 'basic_action' ? askAgain(refusal.claims, asked) : refusal.claims
  const time = new Date(now * 1000).toISOString()
  return {
    error: refusal.error,
    ...(refusal.suberror ? { suberror: refusal.suberror } : {}),
    error_codes: [refusal.code],
    error_description: `CAE${refusal.code}: ${refusal.text}`,
    timestamp: `${time.slice(0, 10)} ${time.slice(11, 19)}Z`,
    trace_id: randomUUID(),
    correlation_id: correlation ?? randomUUID(),
    ...(claims ? { claims } : {}),
  }
}

/** Clients repeat these claims where the user signs in, and these alone: what the API asked for must not be lost on the way. */
function askAgain(claims: string | undefined, { acrs, maxAge }: ClaimsRequest): string | undefined {
  const contexts = acrs.filter(isContext)
  if (contexts.length === 0 && maxAge === undefined) return claims
  const own = claims === undefined ? {} : (JSON.parse(claims) as { access_token: object }).access_token
  const { access_token: wanted } = challengeObject({
    ...(contexts.length > 0 ? { acrs: contexts } : {}),
    ...(maxAge === undefined ? {} : { maxAge }),
  })
  return JSON.stringify({ access_token: { ...own, ...wanted } })
}

/** The number of a refusal: what the log knows it by. */
export function codeOf(body: Record<string, unknown>, form: URLSearchParams, denial: Denial | undefined): number {
  return refusalOf(body, form, denial).code
}

function refusalOf(body: Record<string, unknown>, form: URLSearchParams, denial: Denial | undefined): Refusal {
  const refusal = refusalFor(body, form, denial)
  // RFC 8693 section 2.2.2: whatever is wrong with the tokens, and whatever a policy says of them. The number, and the claims, say more.
  const isOfTokens = form.get('grant_type') === TOKEN_EXCHANGE && OF_TOKENS.includes(refusal.error)
  if (!isOfTokens) return refusal
  return { ...refusal, error: 'invalid_request', ...(denial ? {} : { text: String(body.error_description) }) }
}

const OF_TOKENS = ['invalid_grant', 'interaction_required']

function refusalFor(body: Record<string, unknown>, form: URLSearchParams, denial: Denial | undefined): Refusal {
  const grant = form.get('grant_type') ?? ''
  const error = String(body.error)
  const userFlow = grant !== 'client_credentials'
  if (denial) return ofDenial(denial)
  return error === 'invalid_grant' && userFlow
    ? { error, suberror: 'bad_token', code: 70000, text: 'the grant is unknown, was used, has expired or belongs to another client; sign in again' }
    : { error, code: CODES[error] ?? 90000, text: String(body.error_description ?? error) }
}

const CODES: Record<string, number> = {
  invalid_client: 7000215,
  invalid_scope: 70011,
  invalid_target: 500011,
  unauthorized_client: 700016,
  authorization_pending: 70016,
  invalid_request: 900144,
  invalid_dpop_proof: 5002720,
  use_dpop_nonce: 5002721,
}

function ofDenial(denial: Denial): Refusal {
  switch (denial.reason) {
    case 'user-missing':
      return { error: 'invalid_grant', suberror: 'bad_token', code: 50034, text: 'the user account does not exist' }
    case 'user-disabled':
      return { error: 'invalid_grant', suberror: 'bad_token', code: 50057, text: 'the user account is disabled' }
    case 'consent-missing':
      return {
        error: 'invalid_grant',
        suberror: 'consent_required',
        code: 65001,
        text: 'the user has not consented to what the application asks for',
      }
    case 'device-disabled':
      return { error: 'invalid_grant', suberror: 'bad_token', code: 135011, text: 'the device is disabled' }
    case 'device-missing':
      return { error: 'invalid_grant', suberror: 'bad_token', code: 50155, text: 'the device is not registered' }
    case 'device-unproved':
      return {
        error: 'invalid_request',
        code: 50155,
        text: 'the device assertion is malformed, false, expired, for somebody else or was used before',
      }
    case 'key-unproved':
      // No sign-in mends that: the client has to send a proof, and a new one each time.
      return { error: 'invalid_dpop_proof', code: 5002720, text: 'the proof of the key (DPoP) is missing or was used before' }
    case 'client-loop':
      // Not the user's fault, and no reason to forget the refresh token: it is good again when the client has calmed down.
      return {
        error: 'invalid_grant',
        suberror: 'message_only',
        code: 50196,
        text: 'the client asks for the same again and again; it must keep what it gets',
      }
    case 'sign-in-old':
      return { error: 'interaction_required', suberror: 'basic_action', code: 70044, text: 'the sign-in is older than the API allows; sign in again' }
    case 'policy':
      return policyRefusal(denial.decision, denial)
    case 'tenant-stopped':
      // Neither an error that makes a client ask the user, nor one that makes it try again by itself.
      return { error: 'access_denied', code: 5000224, text: SERVER_ERRORS.tenant_stopped }
    case 'revoked':
      return {
        error: 'interaction_required',
        suberror: 'basic_action',
        code: 50173,
        text: `the sign-in was revoked at ${new Date(denial.validFrom * 1000).toISOString().slice(0, 19)}Z; sign in again`,
        claims: JSON.stringify(challengeObject({ nbf: denial.validFrom + 1 })),
      }
  }
}
