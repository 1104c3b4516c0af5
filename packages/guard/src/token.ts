import { isIdentifier, isObject, type JsonObject } from '@caegis/protocol'
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

/** Everything that can be refused before a signature is computed: an attacker's junk costs microseconds. */
export function parseToken(token: string, rules: TokenRules): ParsedToken | VerdictCode {
  if (token.length > MAX_TOKEN_LENGTH) return 'token_malformed'
  const first = token.indexOf('.')
  const last = token.lastIndexOf('.')
  if (first <= 0 || last === first || token.indexOf('.', first + 1) !== last) return 'token_malformed'
  const header = decodeJson(token.slice(0, first))
  if (!header) return 'token_malformed'
  const { alg, typ, kid } = header
  if (typ !== undefined && !(typeof typ === 'string' && TYPES.has(typ.toLowerCase()))) return 'token_type'
  if (!isAlgorithm(alg)) return 'token_algorithm'
  // We understand no extension, so none may be critical (RFC 7515 section 4.1.11).
  if (header.crit !== undefined) return 'token_malformed'
  if (kid !== undefined && !isIdentifier(kid, 256)) return 'token_key'

  const claims = decodeJson(token.slice(first + 1, last))
  if (!claims) return 'token_malformed'
  const times = readClaims(claims, rules)
  if (typeof times === 'string') return times
  const signature = decode(token.slice(last + 1))
  if (!signature) return 'token_malformed'
  return { algorithm: alg, kid, claims, times, signed: Buffer.from(token.slice(0, last), 'latin1'), signature }
}

function readClaims(claims: JsonObject, rules: TokenRules): TokenTimes | VerdictCode {
  // A Security Event Token is signed by the same issuer and may name the same audience (RFC 8417 section 4.5).
  if (claims.events !== undefined) return 'token_type'
  if (claims.iss !== rules.issuer) return 'token_issuer'
  if (!names(claims.aud, rules.audience)) return 'token_audience'
  if (claims.cnf !== undefined) return 'token_bound'
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
    const value: unknown = JSON.parse(decode(part)?.toString('utf8') ?? '')
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
