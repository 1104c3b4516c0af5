import { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
import { type Evidence, parseEvidence } from './evidence.ts'
import { isObject, type JsonObject } from './shape.ts'

/** The members of a `claims` parameter that continuous access evaluation reads; everything else in it is ignored, never an error. */
export interface ClaimsRequest {
  /** The client said `cp1`: it can answer a claims challenge. */
  capable: boolean
  /** Seconds: the new token must be issued at or after this instant. */
  nbf?: number
  /** The address that the API saw, as the client repeats it. */
  rpAddress?: string
  /** What the API gave the client as proof of that address; whether it is one is the issuer's to find out. */
  evidence?: Evidence
  /** Authentication contexts asked for (`c1` ...). */
  acrs: string[]
  /** Seconds: how old the sign-in may be at most, as our guards ask for it. */
  maxAge?: number
}

/** Larger ones are refused unread. */
export const MAX_CLAIMS_LENGTH = 8192

/**
 * Reads the `claims` parameter of an authorization or token request (OpenID Connect Core section 5.5; the `access_token` member is Entra's).
 * An absent or empty parameter asks for nothing.
 * @throws CaegisError `invalid_claims_request`
 */
export function parseClaimsRequest(text: string | undefined): ClaimsRequest {
  const request: ClaimsRequest = { capable: false, acrs: [] }
  if (text === undefined || text === '') return request
  if (text.length > MAX_CLAIMS_LENGTH) throw invalid('too long')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw invalid('not JSON')
  }
  if (!isObject(value)) throw invalid('not an object')
  const asked = value.access_token
  if (asked === undefined || asked === null) return request
  if (!isObject(asked)) throw invalid('access_token is not an object')

  request.capable = valuesOf(asked, 'xms_cc').some((one) => one.toLowerCase() === 'cp1')
  request.acrs = valuesOf(asked, 'acrs').slice(0, 32)
  const [rpAddress] = valuesOf(asked, 'xms_rp_ipaddr')
  if (rpAddress !== undefined && rpAddress.length <= 64) request.rpAddress = rpAddress
  const evidence = parseEvidence(valuesOf(asked, 'caegis_evidence')[0] ?? '')
  if (evidence) request.evidence = evidence
  const [nbf] = valuesOf(asked, 'nbf')
  if (nbf !== undefined) {
    // A string of seconds in Microsoft's emissions, a number in old ones.
    if (!/^\d{1,12}$/.test(nbf)) throw invalid('nbf is not a number of seconds')
    request.nbf = Number(nbf)
  }
  const maxAge = isObject(asked.auth_time) ? asked.auth_time.max_age : undefined
  if (typeof maxAge === 'string' || typeof maxAge === 'number') {
    if (!/^\d{1,9}$/.test(String(maxAge))) throw invalid('max_age is not a number of seconds')
    request.maxAge = Number(maxAge)
  }
  return request
}

/** The constraint's `value` or `values` as strings; a member that is `null` (voluntary) or of another shape constrains nothing. */
function valuesOf(asked: JsonObject, name: string): string[] {
  const member = Object.hasOwn(asked, name) ? asked[name] : undefined
  if (!isObject(member)) return []
  const given = Array.isArray(member.values) ? member.values : [member.value]
  return given.filter((one) => typeof one === 'string' || typeof one === 'number').map(String)
}

function invalid(why: string): CaegisError {
  return new CaegisError('invalid_claims_request', PROTOCOL_ERRORS.invalid_claims_request, { detail: why })
}
