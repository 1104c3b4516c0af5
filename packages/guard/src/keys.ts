import { constants, createHash, createPublicKey, type JsonWebKey, type KeyObject, verify as verifySignature } from 'node:crypto'
import { isIdentifier, isObject } from '@caegis/protocol'
import type { Algorithm } from './token.ts'

/** A public key of an issuer. What was verified with it hangs on it: when it is `gone`, so is every token that it vouched for. */
export interface VerifyKey {
  readonly kid: string | undefined
  readonly algorithms: readonly Algorithm[]
  readonly gone: boolean
  verify(algorithm: Algorithm, signed: Buffer, signature: Buffer): boolean
}

export interface KeyFetches {
  done: number
  failed: number
  /** Why the last one failed, if it did. */
  failure?: string
}

/** Where the guard's keys come from. */
export interface KeySource {
  /** Resolves when keys can be looked up. */
  ready(): Promise<void>
  /** The keys of one issuer that have this `kid`; without a `kid`, the issuer's only key. Another issuer's keys are never looked at. */
  find(issuer: string, kid: string | undefined): readonly VerifyKey[]
  /** A look at the issuer's current keys because of a `kid` not known here; `undefined` when that was done too often lately. */
  learn(issuer: string): Promise<void> | undefined
  /** The issuer said that its keys changed: fetches until it succeeds. */
  changed(): Promise<void>
  /** Fetches of keys, where that is what it does. */
  readonly fetches?: Readonly<KeyFetches>
  /** For challenges: where clients sign in again. */
  readonly authorizationUri?: string | undefined
  close(): void
}

/** Keys by issuer and `kid`. A key that stays in a new set stays the same object, and what hangs on it stays too. */
export interface Keyring {
  /** Replaces the keys of one issuer. @returns how many keys can be used */
  replace(issuer: string, jwks: unknown): number
  find(issuer: string, kid: string | undefined): readonly VerifyKey[]
}

const MAX_KEYS = 64
const MIN_RSA_BITS = 2048
const NONE: readonly VerifyKey[] = []

interface RingKey extends VerifyKey {
  gone: boolean
}

export function createKeyring(): Keyring {
  const issuers = new Map<string, { byPrint: Map<string, RingKey>; byKid: Map<string, RingKey[]>; only: readonly RingKey[] }>()
  return {
    replace(issuer, jwks) {
      const list = isObject(jwks) && Array.isArray(jwks.keys) ? jwks.keys.slice(0, MAX_KEYS) : []
      const before = issuers.get(issuer)?.byPrint
      const byPrint = new Map<string, RingKey>()
      const byKid = new Map<string, RingKey[]>()
      for (const jwk of list) {
        const key = isObject(jwk) && speaksFor(jwk.issuer, issuer) ? importKey(jwk as JsonWebKey) : undefined
        if (!key) continue
        const kept = before?.get(key.print) ?? key
        byPrint.set(key.print, kept)
        if (kept.kid !== undefined) byKid.set(kept.kid, [...(byKid.get(kept.kid) ?? []), kept])
      }
      for (const [print, key] of before ?? []) if (!byPrint.has(print)) key.gone = true
      const all = [...byPrint.values()]
      issuers.set(issuer, { byPrint, byKid, only: all.length === 1 ? all : [] })
      return all.length
    },
    find(issuer, kid) {
      const keys = issuers.get(issuer)
      if (!keys) return NONE
      return kid === undefined ? keys.only : (keys.byKid.get(kid) ?? NONE)
    },
  }
}

/** Keys that are handed in, for tests and for issuers that are in the same process. */
export function createStaticKeys(initial: Record<string, { keys: readonly JsonWebKey[] }>): KeySource & {
  replace(issuer: string, jwks: { keys: readonly JsonWebKey[] }): void
} {
  const ring = createKeyring()
  const replace = (issuer: string, jwks: { keys: readonly JsonWebKey[] }) => {
    ring.replace(issuer, jwks)
  }
  for (const [issuer, jwks] of Object.entries(initial)) replace(issuer, jwks)
  return { ready: async () => {}, find: ring.find, learn: () => undefined, changed: async () => {}, replace, close: () => {} }
}

/**
 * Entra publishes the keys of several clouds and of personal accounts in one set, and says of each whose tokens it may sign, `{tenantid}` standing for any tenant. A
 * key of somebody else must not sign for this issuer; of other issuers' keys nothing is said.
 */
function speaksFor(named: unknown, issuer: string): boolean {
  if (named === undefined || named === issuer) return true
  if (typeof named !== 'string') return false
  const [before, after, ...more] = named.split('{tenantid}')
  if (before === undefined || after === undefined || more.length > 0) return false
  const tenant = issuer.slice(before.length, issuer.length - after.length)
  return tenant !== '' && !tenant.includes('/') && issuer === `${before}${tenant}${after}`
}

/** A public key that tokens or proofs can be verified with. @returns `undefined` for one that is too short, or of a kind that is not used here */
export function importVerifyKey(jwk: JsonWebKey): VerifyKey | undefined {
  return importKey(jwk)
}

function importKey(jwk: JsonWebKey): (RingKey & { print: string }) | undefined {
  const { kid, alg, use, key_ops: operations } = jwk
  if ((use !== undefined && use !== 'sig') || (Array.isArray(operations) && !operations.includes('verify'))) return undefined
  if (kid !== undefined && !isIdentifier(kid, 256)) return undefined
  const fitting = algorithmsOf(jwk)
  const algorithms = alg === undefined ? fitting : fitting.filter((one) => one === alg)
  if (algorithms.length === 0) return undefined
  let key: KeyObject
  try {
    // Public members only: an issuer that publishes a private key must not make us hold it.
    const { kty, crv, x, y, n, e } = jwk
    key = createPublicKey({ key: { kty, crv, x, y, n, e } as JsonWebKey, format: 'jwk' })
  } catch {
    return undefined
  }
  if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) return undefined
  const der = key.export({ type: 'spki', format: 'der' })
  const print = createHash('sha256')
    .update(`${kid ?? ''}\0${algorithms.join()}\0`)
    .update(der)
    .digest('base64url')
  return { kid: kid as string | undefined, algorithms, gone: false, print, verify: verifierOf(key) }
}

/** The algorithms that a key may be used with follow from the key, never from the token (RFC 8725 section 3.1). */
function algorithmsOf({ kty, crv }: JsonWebKey): Algorithm[] {
  if (kty === 'EC' && crv === 'P-256') return ['ES256']
  if (kty === 'RSA') return ['RS256', 'PS256']
  if (kty === 'OKP' && crv === 'Ed25519') return ['EdDSA']
  return []
}

function verifierOf(key: KeyObject): VerifyKey['verify'] {
  const pss = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  return (algorithm, signed, signature) => {
    switch (algorithm) {
      case 'ES256':
        return signature.length === 64 && verifySignature('sha256', signed, key, toDer(signature))
      case 'RS256':
        return verifySignature('sha256', signed, key, signature)
      case 'PS256':
        return verifySignature('sha256', signed, pss, signature)
      case 'EdDSA':
        return verifySignature(null, signed, key, signature)
    }
  }
}

/**
 * An ES256 signature, two numbers of 32 bytes (RFC 7518 section 3.4), as the DER sequence that OpenSSL speaks. Node converts too when asked by an options
 * object, but reading a key out of such an object costs it a quarter of the whole verification.
 */
function toDer(signature: Buffer): Buffer {
  const der = Buffer.allocUnsafe(72)
  let at = 2
  for (const start of [0, 32]) {
    const end = start + 32
    let from = start
    while (from < end - 1 && signature[from] === 0) from++
    // Integers are signed there: a zero keeps a leading one from making it negative.
    const padded = (signature[from] as number) >= 0x80
    der[at++] = 0x02
    der[at++] = end - from + (padded ? 1 : 0)
    if (padded) der[at++] = 0
    at += signature.copy(der, at, from, end)
  }
  der[0] = 0x30
  der[1] = at - 2
  return der.subarray(0, at)
}
