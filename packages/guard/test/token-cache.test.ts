import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTokenCache, ownText, type SeenToken } from '../src/token-cache.ts'
import { mint, outcome, START, startGuard } from './tokens.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const seenOf = (text: string, gone = false) => ({ text: ownText(text), key: { gone } }) as unknown as SeenToken

/** As it stands in a request: a piece of a longer text. */
const asShown = (token: string) => `Bearer ${token}`.slice('Bearer '.length)

describe('the cache of verified tokens', () => {
  it('finds a token by its text, in whatever string it comes', () => {
    const cache = createTokenCache(100)
    const token = mint()
    const seen = seenOf(token)
    cache.set(seen)
    expect(cache.get(token)).toBe(seen)
    expect(cache.get(asShown(token))).toBe(seen)
    expect(cache.get(Buffer.from(token).toString())).toBe(seen)
  })

  it('takes no text for a seen one that differs in one character, wherever that is', () => {
    const cache = createTokenCache(100)
    const token = mint()
    cache.set(seenOf(token))
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === 'A' ? 'B' : 'A'
      expect(cache.get(token.slice(0, at) + other + token.slice(at + 1)), `replaced at ${at}`).toBeUndefined()
      expect(cache.get(token.slice(0, at) + token.slice(at + 1)), `left out at ${at}`).toBeUndefined()
      expect(cache.get(token.slice(0, at) + other + token.slice(at)), `put in at ${at}`).toBeUndefined()
    }
    expect(cache.get(`${token}A`)).toBeUndefined()
    expect(cache.get(token.slice(-43))).toBeUndefined()
    expect(cache.get('')).toBeUndefined()
  })

  it('is exact for texts that are as alike as can be, in both generations', () => {
    const part = fc.string({ unit: fc.constantFrom(...ALPHABET, '.', 'ÿ', '☃'), minLength: 0, maxLength: 60 })
    // Few ends, so that most texts share theirs with another.
    const end = fc.constantFrom('x'.repeat(43), `${'x'.repeat(42)}y`, `y${'x'.repeat(42)}`, 'x'.repeat(40))
    fc.assert(
      fc.property(fc.array(fc.tuple(part, end), { maxLength: 40 }), fc.array(fc.tuple(part, end), { maxLength: 40 }), (filed, asked) => {
        const cache = createTokenCache(16)
        const known = new Set<string>()
        for (const [start, tail] of filed) {
          // What is filed was verified, and so is base64url and dots.
          const text = (start + tail).replace(/[^\x21-\x7e]/g, '')
          cache.set(seenOf(text))
          known.add(text)
        }
        for (const [start, tail] of [...filed, ...asked]) {
          const found = cache.get(start + tail)
          if (found !== undefined) expect(found.text).toBe(start + tail)
          if (!known.has(start + tail)) expect(found).toBeUndefined()
        }
        expect(cache.size).toBeLessThanOrEqual(16)
      }),
      { numRuns: 500 },
    )
  })

  it('puts out one of two tokens whose signatures end alike, and takes neither for the other', () => {
    const cache = createTokenCache(100)
    const end = 'S'.repeat(43)
    const [one, other] = [seenOf(`one.${end}`), seenOf(`other.${end}`)]
    cache.set(one)
    expect(cache.get(other.text)).toBeUndefined()
    cache.set(other)
    expect(cache.get(other.text)).toBe(other)
    expect(cache.get(one.text)).toBeUndefined()
  })

  it('keeps what is asked for when the generations change, and forgets what removed keys vouched for', () => {
    const cache = createTokenCache(8)
    const token = mint()
    const seen = seenOf(token)
    cache.set(seen)
    for (let i = 0; i < 50; i++) {
      cache.set(seenOf(`${i}.${String(i).padStart(43, 'z')}`))
      expect(cache.get(asShown(token))).toBe(seen)
    }
    const gone = seenOf(`gone.${'g'.repeat(43)}`, true)
    cache.set(gone)
    cache.dropGone()
    expect(cache.get(gone.text)).toBeUndefined()
    expect(cache.get(token)).toBe(seen)
  })

  it('keeps no request alive of which a token was a piece', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const cache = createTokenCache(1000)
    const used = () => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = used()
    for (let i = 0; i < 100; i++) {
      // A header of half a megabyte, in one piece; the token is cut out of it, and asked for again as a piece of another.
      const text = `${String(i).padStart(43, 'k')}.${String(i).padStart(43, 's')}`
      const shown = () =>
        Buffer.from(text + 'x'.repeat(500_000), 'latin1')
          .toString('latin1')
          .slice(0, text.length)
      cache.set(seenOf(shown()))
      expect(cache.get(shown())?.text).toBe(text)
    }
    expect(used() - before).toBeLessThan(10_000_000)
    expect(cache.size).toBe(100)
  })
})

describe('a guard that has seen a token', () => {
  it('refuses what differs from it in one character of header, claims or signature', () => {
    const { check } = startGuard()
    const token = mint()
    const good = check(token)
    expect(outcome(good)).toBe('allowed')
    // The last character of a signature has bits that stand for nothing: that text is another token of the same signature.
    for (let at = 0; at < token.length - 1; at++) {
      if (token[at] === '.') continue
      const other = ALPHABET[(ALPHABET.indexOf(token[at] as string) + 1) % 64] as string
      expect(outcome(check(token.slice(0, at) + other + token.slice(at + 1))), `at ${at}`).not.toBe('allowed')
    }
    expect(outcome(check(token))).toBe('allowed')
  })

  it('gives each token its own claims, however alike they are', () => {
    const { check } = startGuard()
    const tokens = Array.from({ length: 50 }, (_, i) => mint({ sub: `user-${i}`, oid: `user-${i}`, iat: START - 60 }))
    for (let round = 0; round < 2; round++) {
      for (const [i, token] of tokens.entries()) {
        const verdict = check(token)
        expect(verdict.allowed && verdict.claims.sub).toBe(`user-${i}`)
      }
    }
  })
})
