import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/**
 * A piece of a snapshot: cutoffs as columns (see @caegis/protocol), encrypted, and named by what it is. It never changes, so any cache may keep it, and nobody reads it who
 * was not given its key: the snapshot, which is authorised, hands out the names and the keys.
 */
export interface SegmentName {
  /** SHA-256 of the encrypted bytes, base64url. */
  digest: string
  /** How many they are. */
  bytes: number
  /** AES-256, base64url; of this segment alone. */
  key: string
}

/** Bytes of a segment that is read. */
export const MAX_SEGMENT = 4_194_304
/** Segments of a snapshot. */
export const MAX_SEGMENTS = 10_000

const ALGORITHM = 'aes-256-gcm'
const KEY = 32
const TAG = 16
/** A key encrypts one text only, so the nonce can be the same for all (NIST SP 800-38D section 8: what must not recur is the pair). */
const NONCE = Buffer.alloc(12)

export function sealSegment(plain: Uint8Array): SegmentName & { body: Uint8Array } {
  const key = randomBytes(KEY)
  const cipher = createCipheriv(ALGORITHM, key, NONCE)
  const body = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  return { digest: digestOf(body), bytes: body.byteLength, key: key.toString('base64url'), body }
}

/** @returns undefined when it is not the segment of that name, or does not open with that key */
export function openSegment(body: Uint8Array, { digest, key }: SegmentName): Uint8Array | undefined {
  if (body.byteLength < TAG || digestOf(body) !== digest) return undefined
  try {
    const decipher = createDecipheriv(ALGORITHM, Buffer.from(key, 'base64url'), NONCE)
    const end = body.byteLength - TAG
    decipher.setAuthTag(body.subarray(end))
    return Buffer.concat([decipher.update(body.subarray(0, end)), decipher.final()])
  } catch {
    return undefined
  }
}

/** What may stand in a URL. */
export function isDigest(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{43}$/.test(value)
}

function digestOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url')
}
