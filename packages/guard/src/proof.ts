import { createHash, createHmac, type JsonWebKey, timingSafeEqual } from 'node:crypto'
import { isIdentifier, isObject, type JsonObject } from '@caegis/protocol'
import { type GuardRequest, headerOf } from './credentials.ts'
import type { VerdictCode } from './errors.ts'
import { importVerifyKey, type VerifyKey } from './keys.ts'
import { createReplays } from './replays.ts'
import { readJws } from './token.ts'

/** Proofs of possession (RFC 9449): a token bound to a key is shown with one signed by that key, for this request, now. */
export interface Proofs {
  /** @returns why the request holds no good proof for this token by the key with this thumbprint */
  fault(request: GuardRequest, shown: { token: string; owner: string }, jkt: string): VerdictCode | undefined
  /** The nonce for the next proof (section 9); `undefined` where none are asked for. */
  nonce(): string | undefined
}

export interface ProofOptions {
  /** Milliseconds. */
  now: () => number
  /** Origins under which clients know this API; none: whatever the request was sent to. */
  origins: readonly string[]
  /** Shared by the replicas of an API: proofs must hold a nonce that was made with it. */
  nonceSecret: string | undefined
  /** Proofs that are remembered, so that none is used twice. */
  maxProofs: number
}

/** Seconds for which a proof is good, before and after the instant that it names. */
export const PROOF_LIFE = 60
/** Seconds for which one nonce is given out; it is good for as long again. */
const NONCE_LIFE = 120
const MAX_PROOF = 8192
const MAX_KEYS = 1024
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

export function createProofs({ now, origins, nonceSecret, maxProofs }: ProofOptions): Proofs {
  const replays = createReplays({ now, life: 2 * PROOF_LIFE, limit: maxProofs })
  /** Keys of tokens that were shown here: they need not be read anew for each request. */
  const keys = new Map<string, VerifyKey>()
  return { fault, nonce: () => (nonceSecret === undefined ? undefined : nonceOf(0)) }

  function fault(request: GuardRequest, { token, owner }: { token: string; owner: string }, jkt: string): VerdictCode | undefined {
    const text = headerOf(request, 'dpop')
    if (text === undefined || text.length > MAX_PROOF) return 'invalid_dpop_proof'
    const proof = readJws(text)
    if (typeof proof === 'string' || proof.header.typ !== 'dpop+jwt') return 'invalid_dpop_proof'
    const { claims, header } = proof
    const seconds = now() / 1000
    const { jti, htm, htu, iat, ath, nonce } = claims
    // What costs least comes first: the signature is computed only for the key that the token names.
    if (!isIdentifier(jti, 256) || htm !== request.method || !isHere(htu, request)) return 'invalid_dpop_proof'
    if (typeof iat !== 'number' || !(Math.abs(seconds - iat) <= PROOF_LIFE)) return 'invalid_dpop_proof'
    if (ath !== createHash('sha256').update(token).digest('base64url')) return 'invalid_dpop_proof'
    const key = keyOf(header.jwk, jkt)
    if (!key?.algorithms.includes(proof.algorithm)) return 'invalid_dpop_proof'
    if (!key.verify(proof.algorithm, proof.signed, proof.signature)) return 'invalid_dpop_proof'
    if (nonceSecret !== undefined && !isNonce(nonce)) return 'use_dpop_nonce'
    const replay = replays.take(jkt, jti, owner)
    if (replay === 'full') return 'dpop_full'
    return replay === 'again' ? 'invalid_dpop_proof' : undefined
  }

  function keyOf(jwk: unknown, jkt: string): VerifyKey | undefined {
    if (!isObject(jwk) || PRIVATE.some((name) => name in jwk) || thumbprint(jwk) !== jkt) return undefined
    const known = keys.get(jkt)
    if (known) return known
    const { kty, crv, x, y, n, e } = jwk
    const key = importVerifyKey({ kty, crv, x, y, n, e } as JsonWebKey)
    if (key && keys.size >= MAX_KEYS) keys.delete(keys.keys().next().value as string)
    if (key) keys.set(jkt, key)
    return key
  }

  /** RFC 9449 section 4.3: without query and fragment, and in one spelling. */
  function isHere(htu: unknown, request: GuardRequest): boolean {
    const said = typeof htu === 'string' && htu.length <= 4096 ? URL.parse(htu) : null
    if (said === null || said.username + said.password !== '') return false
    const target = request.originalUrl ?? request.url
    if (target === undefined) return false
    const own = URL.parse(target, originOf(request))
    if (!own || pathOf(own) !== pathOf(said)) return false
    return origins.length > 0 ? origins.includes(said.origin) : own.origin === said.origin
  }

  function nonceOf(ago: number): string {
    const slot = Math.floor(now() / 1000 / NONCE_LIFE) - ago
    return createHmac('sha256', nonceSecret as string)
      .update(`dpop nonce ${slot}`)
      .digest('base64url')
  }

  function isNonce(given: unknown): boolean {
    if (typeof given !== 'string') return false
    const bytes = Buffer.from(given)
    return [0, 1].some((ago) => {
      const right = Buffer.from(nonceOf(ago))
      return right.length === bytes.length && timingSafeEqual(right, bytes)
    })
  }
}

/** What the request was sent to, as far as its connection tells. */
function originOf(request: GuardRequest): string {
  // HTTP/2 says it in a pseudo-header, beside which `Host` means nothing (RFC 9113 section 8.3.1). No header of HTTP/1.1 begins with a colon.
  const authority = (request.headers as Record<string, unknown>)[':authority']
  const host = typeof authority === 'string' ? authority : headerOf(request, 'host')
  return `${request.socket?.encrypted ? 'https' : 'http'}://${host ?? 'unknown.invalid'}`
}

const UNRESERVED = /[A-Za-z0-9\-._~]/

/** RFC 3986 section 6.2.2: escapes in capitals, and none where none is needed. */
function pathOf({ pathname }: URL): string {
  return pathname.replace(/%[0-9A-Fa-f]{2}/g, (escaped) => {
    const unit = String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    return UNRESERVED.test(unit) ? unit : escaped.toUpperCase()
  })
}

/** RFC 7638: the members that make the key, by their names, without blanks. */
function thumbprint({ kty, crv, x, y, n, e }: JsonObject): string | undefined {
  const members = kty === 'EC' ? { crv, kty, x, y } : kty === 'RSA' ? { e, kty, n } : kty === 'OKP' ? { crv, kty, x } : {}
  const values = Object.values(members)
  if (values.length === 0 || !values.every((one) => typeof one === 'string')) return undefined
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url')
}
