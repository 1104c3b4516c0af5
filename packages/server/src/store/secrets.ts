import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * Keys derived from the one secret that the operator gives: what is sealed or digested with them is worthless without it, a copied database included.
 */
export interface Secrets {
  /** AES-256-GCM; the context (table, row) is bound, so that a sealed value cannot be moved to another row. */
  seal(context: string, value: unknown): Uint8Array
  /** Throws when the value was tampered with, or sealed under another secret. */
  open(context: string, sealed: Uint8Array): unknown
  /** Keyed digest of something that could be presented (a token id, a client secret). */
  digest(context: string, value: string): string
  matches(context: string, value: string, digest: string): boolean
  /** A key of its own for another component. */
  derive(purpose: string): Buffer
}

const NONCE = 12
const TAG = 16

export function createSecrets(master: string | Uint8Array): Secrets {
  const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', master, 'caegis', purpose, 32))
  // As key objects: with plain bytes Node finds out anew each time what they are, which takes longer than the digest itself.
  const sealing = createSecretKey(derive('seal'))
  const digesting = createSecretKey(derive('digest'))
  const digest = (context: string, value: string) => createHmac('sha256', digesting).update(`${context}\0${value}`).digest('base64url')
  return {
    derive,
    digest,
    seal(context, value) {
      const nonce = randomBytes(NONCE)
      const cipher = createCipheriv('aes-256-gcm', sealing, nonce)
      cipher.setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), body])
    },
    open(context, sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      const decipher = createDecipheriv('aes-256-gcm', sealing, bytes.subarray(0, NONCE))
      decipher.setAAD(Buffer.from(context))
      decipher.setAuthTag(bytes.subarray(NONCE, NONCE + TAG))
      return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString('utf8'))
    },
    matches(context, value, expected) {
      const given = Buffer.from(digest(context, value))
      const wanted = Buffer.from(expected)
      return given.length === wanted.length && timingSafeEqual(given, wanted)
    },
  }
}

/**
 * With what an API proves to the issuer where it saw a caller (see the evidence in @caegis/protocol): its own, so that no API can speak for another.
 * @param api client id of the API; of the admin API, its audience
 */
export function evidenceKey(secrets: Secrets, tenant: string, api: string): Buffer {
  return secrets.derive(`evidence:${tenant}:${api}`)
}
