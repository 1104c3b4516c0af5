import { randomBytes } from 'node:crypto'

/**
 * The keyed 64-bit hash under which the guard files cutoffs.
 *
 * HalfSipHash-1-3 with 64 bits of output, over the UTF-16LE bytes of a string: made of 32-bit additions, rotations and exclusive-ors, which is all that
 * JavaScript does fast. The key is random per process, so nobody who chooses ids can aim at a collision, and no two replicas share one: a false match costs
 * one user of one replica one refresh. At 64 bits and 10 M cutoffs a token has a false match with probability 5e-12 a key; at 32 bits it would be 0.2 %.
 */
export interface KeyedHash {
  /** Leaves both halves, as signed 32-bit integers, in `out`: nothing is allocated. */
  of(text: string): void
  /** The same of a {@link cutoffText}, in a third of the time: what the texts of one issuer and kind begin with is hashed once. */
  ofCutoff(issuer: string, kind: string, id: string): void
  readonly out: Int32Array
}

/**
 * The text that is hashed for a cutoff. The issuer is part of it, and no identifier holds a NUL, so the pieces cannot run into each other. What comes before the id is
 * as many whole words, by one more NUL where that is needed.
 */
export function cutoffText(issuer: string, kind: string, id: string): string {
  return head(issuer, kind) + id
}

function head(issuer: string, kind: string): string {
  const text = `${issuer}\0${kind}\0`
  return text.length & 1 ? `${text}\0` : text
}

/**
 * Cutoffs of depth `claims` lie beside the others of the same key, where only tokens with cp1 look: the same first half, this second one.
 * @param h2 second half of the hash
 */
export function claimsHalf(h2: number): number {
  return h2 ^ 0x3c6ef372
}

/** The state after some whole words, and how many UTF-16 units they were. */
interface Begun {
  readonly v0: number
  readonly v1: number
  readonly v2: number
  readonly v3: number
  readonly units: number
}

/** @param key 8 bytes; random unless a test asks for certain ones */
export function createKeyedHash(key: Uint8Array = randomBytes(8)): KeyedHash {
  if (key.length !== 8) throw new TypeError('The hash key has 8 bytes')
  const view = new DataView(key.buffer, key.byteOffset, 8)
  const k0 = view.getInt32(0, true)
  const k1 = view.getInt32(4, true)
  const out = new Int32Array(2)
  const state = new Int32Array(4)
  const start: Begun = { v0: k0, v1: k1 ^ 0xee, v2: 0x6c796765 ^ k0, v3: 0x74656462 ^ k1, units: 0 }
  /** Of the issuer that was named last, by kind: a guard's realm has one. */
  let whose: string | undefined
  let heads = new Map<string, Begun>()

  return {
    of: (text) => finish(start, text),
    ofCutoff(issuer, kind, id) {
      if (issuer !== whose) {
        whose = issuer
        heads = new Map()
      }
      let known = heads.get(kind)
      if (known === undefined) {
        known = begin(head(issuer, kind))
        heads.set(kind, known)
      }
      finish(known, id)
    },
    out,
  }

  /** Leaves in `state` what comes of whole words, and of the last one where that is the end: the odd unit, if any, and the length in bytes. */
  function absorb({ v0, v1, v2, v3, units }: Begun, text: string, isEnd: boolean): void {
    const { length } = text
    // Two UTF-16 units make one 32-bit word.
    const words = length >> 1
    const last = ((units + length) << 25) | (length & 1 ? text.charCodeAt(length - 1) : 0)
    const count = isEnd ? words + 1 : words
    for (let i = 0; i < count; i++) {
      const at = i << 1
      const m = i < words ? text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16) : last
      v3 ^= m
      v0 = (v0 + v1) | 0
      v1 = rotate(v1, 5) ^ v0
      v0 = rotate(v0, 16)
      v2 = (v2 + v3) | 0
      v3 = rotate(v3, 8) ^ v2
      v0 = (v0 + v3) | 0
      v3 = rotate(v3, 7) ^ v0
      v2 = (v2 + v1) | 0
      v1 = rotate(v1, 13) ^ v2
      v2 = rotate(v2, 16)
      v0 ^= m
    }
    state[0] = v0
    state[1] = v1
    state[2] = v2
    state[3] = v3
  }

  function begin(text: string): Begun {
    absorb(start, text, false)
    const [v0, v1, v2, v3] = state as unknown as [number, number, number, number]
    return { v0, v1, v2, v3, units: text.length }
  }

  function finish(begun: Begun, text: string): void {
    absorb(begun, text, true)
    let v0 = state[0] as number
    let v1 = state[1] as number
    let v2 = (state[2] as number) ^ 0xee
    let v3 = state[3] as number
    for (let i = 0; i < 6; i++) {
      if (i === 3) {
        out[0] = v1 ^ v3
        v1 ^= 0xdd
      }
      v0 = (v0 + v1) | 0
      v1 = rotate(v1, 5) ^ v0
      v0 = rotate(v0, 16)
      v2 = (v2 + v3) | 0
      v3 = rotate(v3, 8) ^ v2
      v0 = (v0 + v3) | 0
      v3 = rotate(v3, 7) ^ v0
      v2 = (v2 + v1) | 0
      v1 = rotate(v1, 13) ^ v2
      v2 = rotate(v2, 16)
    }
    out[1] = v1 ^ v3
  }
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by))
}
