import { isIdentifier, isObject, type JsonObject } from '@caegis/protocol'
import { readConfirmation } from './confirmation.ts'
import type { VerdictCode } from './errors.ts'

export const ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

/** A compact JWS (RFC 7515 section 3.1) taken apart; nothing of it is verified yet. */
export interface ParsedToken {
  algorithm: Algorithm
  kid: string | undefined
  claims: JsonObject
  times: TokenTimes
  /** What the signature covers. */
  signed: Buffer
  signature: Buffer
}

/** Seconds. */
export interface TokenTimes {
  /** Floored: a fraction would let a token of the cutoff's own second survive it. */
  iat: number
  exp: number
  nbf: number
}

export interface TokenRules {
  issuer: string
  audience: ReadonlySet<string>
  /** Seconds for which an expired token is still taken, for clocks that differ. */
  leeway: number
  /** Longest life and greatest age, in seconds: a cutoff is kept for no longer. */
  horizon: number
}

export const MAX_TOKEN_LENGTH = 16_384
/** Seconds by which an issuer's clock may be ahead of ours. */
const AHEAD = 60
const MAX_AUDIENCES = 32
const MAX_LATE_BOUND = 256
/** RFC 9068 section 2.1; Entra writes `JWT`, others nothing. Anything else is some other kind of JWT (an event, a logout token, a DPoP proof). */
const TYPES = new Set(['at+jwt', 'application/at+jwt', 'jwt'])

const NO_ACCESS_TOKENS = new Set(['id', 'refresh', 'offline', 'logout'])

/** A compact JWS taken apart, of whatever kind. */
export interface Jws {
  header: JsonObject
  algorithm: Algorithm
  claims: JsonObject
  signed: Buffer
  signature: Buffer
}

/** Everything that can be refused before a signature is computed: an attacker's junk costs microseconds. */
export function parseToken(token: string, rules: TokenRules): ParsedToken | VerdictCode {
  if (token.length > MAX_TOKEN_LENGTH) return 'token_malformed'
  const jws = readJws(token, isAccessToken)
  if (typeof jws === 'string') return jws
  const { header, algorithm, claims, signed, signature } = jws
  const { kid } = header
  if (kid !== undefined && !isIdentifier(kid, 256)) return 'token_key'
  // What says itself that it is an access token is one; of others there are many that a trusting reader would take for one.
  if (!saysAccessToken(header) && isIdToken(claims)) return 'token_type'
  const times = readClaims(claims, rules)
  return typeof times === 'string' ? times : { algorithm, kid, claims, times, signed, signature }
}

function saysAccessToken({ typ }: JsonObject): boolean {
  return typeof typ === 'string' && typ.toLowerCase() !== 'jwt'
}

function isAccessToken({ typ }: JsonObject): boolean {
  return typ === undefined || (typeof typ === 'string' && TYPES.has(typ.toLowerCase()))
}

/**
 * An ID token whose audience is the API's own client id (OpenID Connect Core sections 2, 3.1.3.6 and 3.3.2.11), and Keycloak's ID and refresh tokens, which say what they
 * are by a claim; of its access tokens older ones hold the nonce too.
 */
function isIdToken({ typ, nonce, at_hash: tokenHash, c_hash: codeHash, s_hash: stateHash }: JsonObject): boolean {
  if (typeof typ === 'string' && NO_ACCESS_TOKENS.has(typ.toLowerCase())) return true
  return tokenHash !== undefined || codeHash !== undefined || stateHash !== undefined || (nonce !== undefined && typ !== 'Bearer')
}

/** Reads what RFC 7515 section 5.2 asks for up to the signature; the length is the caller's to bound. */
export function readJws(text: string, isOfType: (header: JsonObject) => boolean = () => true): Jws | VerdictCode {
  const first = text.indexOf('.')
  const last = text.lastIndexOf('.')
  if (first <= 0 || last === first || text.indexOf('.', first + 1) !== last) return 'token_malformed'
  const header = decodeJson(text.slice(0, first))
  if (!header) return 'token_malformed'
  if (!isOfType(header)) return 'token_type'
  const { alg } = header
  if (!isAlgorithm(alg)) return 'token_algorithm'
  // We understand no extension, so none may be critical (RFC 7515 section 4.1.11).
  if (header.crit !== undefined) return 'token_malformed'
  const claims = decodeJson(text.slice(first + 1, last))
  const spelled = text.slice(last + 1)
  const signature = decode(spelled)
  // One spelling of each signature: the bits behind its last byte would make other texts of the same token (RFC 4648 section 3.5).
  if (!claims || !signature || signature.toString('base64url') !== spelled) return 'token_malformed'
  return { header, algorithm: alg, claims, signed: Buffer.from(text.slice(0, last), 'latin1'), signature }
}

function readClaims(claims: JsonObject, rules: TokenRules): TokenTimes | VerdictCode {
  // A Security Event Token is signed by the same issuer and may name the same audience (RFC 8417 section 4.5).
  if (claims.events !== undefined) return 'token_type'
  if (claims.iss !== rules.issuer) return 'token_issuer'
  if (!names(claims.aud, rules.audience)) return 'token_audience'
  if (claims.cnf !== undefined && !readConfirmation(claims.cnf)) return 'token_bound'
  if (claims.capolids_latebind !== undefined && !isIdList(claims.capolids_latebind)) return 'token_malformed'
  const { iat, exp, nbf } = claims
  if (!isTime(iat)) return 'token_issued_at'
  if (!isTime(exp)) return 'token_expired'
  if (nbf !== undefined && !isTime(nbf)) return 'token_not_yet'
  return { iat: Math.floor(iat), exp, nbf: nbf ?? 0 }
}

/**
 * What time alone says about a token, at first sight and at every later one.
 * @param seconds our wall clock
 * @param forgotten the last `until` of a cutoff that is gone: a token of that age may have been revoked, so no clock of ours can bring it back
 */
export function checkTimes({ iat, exp, nbf }: TokenTimes, rules: TokenRules, seconds: number, forgotten: number): VerdictCode | undefined {
  if (seconds >= exp + rules.leeway || exp <= forgotten) return 'token_expired'
  if (iat > seconds + AHEAD || nbf > seconds + AHEAD) return 'token_not_yet'
  if (exp - iat > rules.horizon || seconds - iat > rules.horizon) return 'token_horizon'
  return undefined
}

function names(aud: unknown, audience: ReadonlySet<string>): boolean {
  if (typeof aud === 'string') return audience.has(aud)
  return Array.isArray(aud) && aud.length <= MAX_AUDIENCES && aud.some((one) => audience.has(one))
}

/** What is left to the guard must be readable: a condition that is passed over would be met from anywhere. */
function isIdList(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MAX_LATE_BOUND && value.every((one) => isIdentifier(one, 256))
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isAlgorithm(value: unknown): value is Algorithm {
  return (ALGORITHMS as readonly unknown[]).includes(value)
}

/** Node's decoder skips what is not base64 and reads both alphabets; a token that makes use of that is refused. */
function decode(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url')
  const whole = part.length % 4 !== 1 && bytes.length === Math.floor((part.length * 3) / 4)
  return whole && bytes.length > 0 && !part.includes('+') && !part.includes('/') ? bytes : undefined
}

function decodeJson(part: string): JsonObject | undefined {
  try {
    const text = decode(part)?.toString('utf8') ?? ''
    const value: unknown = JSON.parse(text)
    // Two members of one name: whoever reads the other one reads another token (RFC 7515 section 4, RFC 8725 section 2.4).
    return isObject(value) && countMembers(text) === Object.keys(value).length ? value : undefined
  } catch {
    return undefined
  }
}

/** The members of the outermost object of a text that is known to be JSON: one colon each, outside of strings and of what lies deeper. */
function countMembers(text: string): number {
  let depth = 0
  let count = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // A string: on to the quote that no backslash hides.
        for (at++; text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++
        break
      case 0x7b:
      case 0x5b:
        depth++
        break
      case 0x7d:
      case 0x5d:
        depth--
        break
      case 0x3a:
        if (depth === 1) count++
    }
  }
  return count
}
