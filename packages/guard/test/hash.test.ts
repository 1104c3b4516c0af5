import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createKeyedHash, cutoffText } from '../src/hash.ts'

/** HalfSipHash byte by byte with 64-bit output, as its paper describes it; slow, and written without a look at the fast one. */
function reference(key: Uint8Array, message: Uint8Array, c: number, d: number): string {
  const word = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)
  const rotate = (x: number, by: number) => ((x << by) | (x >>> (32 - by))) >>> 0
  const k0 = word(key, 0)
  const k1 = word(key, 4)
  let [v0, v1, v2, v3] = [k0, (k1 ^ 0xee) >>> 0, (0x6c796765 ^ k0) >>> 0, (0x74656462 ^ k1) >>> 0] as [number, number, number, number]
  const round = () => {
    v0 = (v0 + v1) >>> 0
    v1 = (rotate(v1, 5) ^ v0) >>> 0
    v0 = rotate(v0, 16)
    v2 = (v2 + v3) >>> 0
    v3 = (rotate(v3, 8) ^ v2) >>> 0
    v0 = (v0 + v3) >>> 0
    v3 = (rotate(v3, 7) ^ v0) >>> 0
    v2 = (v2 + v1) >>> 0
    v1 = (rotate(v1, 13) ^ v2) >>> 0
    v2 = rotate(v2, 16)
  }
  const padded = new Uint8Array((message.length >> 2) * 4 + 4)
  padded.set(message)
  padded[padded.length - 1] = message.length & 0xff
  for (let at = 0; at < padded.length; at += 4) {
    const m = word(padded, at)
    v3 = (v3 ^ m) >>> 0
    for (let i = 0; i < c; i++) round()
    v0 = (v0 ^ m) >>> 0
  }
  const hex = (x: number) => Buffer.from([x, x >>> 8, x >>> 16, x >>> 24]).toString('hex')
  v2 = (v2 ^ 0xee) >>> 0
  for (let i = 0; i < d; i++) round()
  const first = hex((v1 ^ v3) >>> 0)
  v1 = (v1 ^ 0xdd) >>> 0
  for (let i = 0; i < d; i++) round()
  return first + hex((v1 ^ v3) >>> 0)
}

const hexOf = ({ out }: { out: Int32Array }) => Buffer.from(out.buffer).toString('hex')

describe('the keyed hash', () => {
  const sequence = (length: number) => Uint8Array.from({ length }, (_, i) => i)

  it('the reference agrees with the published vectors of HalfSipHash-2-4', () => {
    // github.com/veorq/SipHash, vectors_hsip64: key 00 .. 07, messages of 0, 1, 2, 3 and 4 bytes 00 01 ...
    const published = ['218d1f59b9b83cc8', 'be552412f8387315', '064f39ef7c50eb57', 'ce0f1a45f7060679', 'd5e78a175be52ea1']
    expect(published.map((_, length) => reference(sequence(8), sequence(length), 2, 4))).toEqual(published)
  })

  it('is HalfSipHash-1-3 of the UTF-16 bytes, for any key and text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.string({ unit: 'binary', maxLength: 300 }), (key, text) => {
        const hash = createKeyedHash(key)
        hash.of(text)
        expect(hexOf(hash)).toBe(reference(key, Buffer.from(text, 'utf16le'), 1, 3))
      }),
    )
  })

  it('is the same of a cutoff, whatever was hashed before', () => {
    const name = fc.oneof(fc.constantFrom('https://a', 'user', 'grant'), fc.string({ unit: 'binary', maxLength: 40 }))
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.array(fc.tuple(name, name, name), { minLength: 1, maxLength: 8 }), (key, all) => {
        const hash = createKeyedHash(key)
        for (const [issuer, kind, id] of all) {
          hash.ofCutoff(issuer, kind, id)
          expect(hexOf(hash)).toBe(reference(key, Buffer.from(cutoffText(issuer, kind, id), 'utf16le'), 1, 3))
        }
      }),
    )
  })

  it('A12: is keyed per process: two tables file the same id differently', () => {
    const one = createKeyedHash()
    const other = createKeyedHash()
    one.of('alice')
    other.of('alice')
    expect(hexOf(one)).not.toBe(hexOf(other))
    expect(() => createKeyedHash(new Uint8Array(16))).toThrow(TypeError)
  })

  it('A12: has 64 bits: many ids, no two alike in all of them, many alike in any half', () => {
    const hash = createKeyedHash()
    const halves: [Set<number>, Set<number>] = [new Set(), new Set()]
    const whole = new Set<bigint>()
    const count = 300_000
    for (let i = 0; i < count; i++) {
      hash.of(cutoffText('https://id.example', 'user', `user-${i}`))
      halves[0].add(hash.out[0] as number)
      halves[1].add(hash.out[1] as number)
      whole.add((BigInt(hash.out[0] as number) << 32n) ^ BigInt((hash.out[1] as number) >>> 0))
    }
    expect(whole.size).toBe(count)
    // Birthday: about 10 pairs in 32 bits. Far more would be a bad hash.
    for (const half of halves) expect(half.size).toBeGreaterThan(count - 60)
  })

  it('A5: issuer, kind and id cannot run into each other', () => {
    expect(new Set([cutoffText('a', 'b', 'c'), cutoffText('ab', '', 'c'), cutoffText('a', 'bc', ''), cutoffText('', 'ab', 'c')]).size).toBe(4)
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '\0'), maxLength: 4 }).map((text) => text.replaceAll('\0', ''))
    const pair = fc.tuple(name, name, name)
    fc.assert(
      fc.property(pair, pair, (one, other) => {
        expect(cutoffText(...one) === cutoffText(...other)).toBe(one.join('\0') === other.join('\0'))
      }),
    )
    const hash = createKeyedHash()
    const of = (text: string) => {
      hash.of(text)
      return hexOf(hash)
    }
    const id = randomUUID()
    expect(of(cutoffText('https://a', 'user', id))).not.toBe(of(cutoffText('https://b', 'user', id)))
    // A trailing NUL is not the padding.
    expect(of('x')).not.toBe(of('x\0'))
  })
})
