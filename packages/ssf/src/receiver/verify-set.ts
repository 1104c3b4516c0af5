import { CaegisError, isObject, parseSet, SET_TYPE, type SecurityEvent } from '@caegis/protocol'
import { failure } from './errors.ts'
import { createJwsVerifier, type JwsVerifier, type JwsVerifierOptions } from './verify-jws.ts'

export interface SetExpectation {
  /** The stream's `iss`: the configured transmitter. */
  issuer: string
  /** What the stream's `aud` names. */
  audience: readonly string[]
  /** Milliseconds. */
  now: number
}

export interface SetVerifierOptions extends JwsVerifierOptions {
  issuer: string
  audience: readonly string[]
}

/** A SET may be dated this many seconds ahead of us; beyond, its clock or its word is wrong. */
const MAX_AHEAD = 60

/**
 * A function that verifies the SETs of one transmitter for one audience.
 * @throws (the function) CaegisError `set_refused`; `unavailable` when the keys cannot be had
 */
export function createSetVerifier(options: SetVerifierOptions): (jwt: unknown, signal?: AbortSignal) => Promise<SecurityEvent> {
  const { issuer, audience, now = Date.now } = options
  if (!issuer || audience.length === 0) throw new TypeError('issuer and audience are required')
  const verifier = createJwsVerifier(options)
  return (jwt, signal) => verifySet(verifier, jwt, { issuer, audience, now: now() }, signal)
}

/** The order is that of cost and of trust: bounds, `typ`, `alg`, signature, issuer, audience, then the shape (SSF 1.0 section 4, RFC 8417 section 4.1). */
export async function verifySet(verifier: JwsVerifier, jwt: unknown, expected: SetExpectation, signal?: AbortSignal): Promise<SecurityEvent> {
  return acceptSet(await verifier.verify(jwt, SET_TYPE, signal), expected)
}

/** The same for a payload whose signature has been verified. @throws CaegisError `set_refused` */
export function acceptSet(payload: unknown, expected: SetExpectation): SecurityEvent {
  if (!isObject(payload) || payload.iss !== expected.issuer) throw failure('set_refused', 'iss')
  if (!namesAudience(payload.aud, expected.audience)) throw failure('set_refused', 'aud')
  let set: SecurityEvent
  try {
    set = parseSet(payload)
  } catch (error) {
    throw failure('set_refused', error instanceof CaegisError ? error.detail : 'shape', error)
  }
  if (set.iat > expected.now / 1000 + MAX_AHEAD) throw failure('set_refused', 'iat is in the future')
  return set
}

export function namesAudience(aud: unknown, expected: readonly string[]): boolean {
  const named = Array.isArray(aud) ? aud : [aud]
  return named.some((one) => typeof one === 'string' && expected.includes(one))
}
