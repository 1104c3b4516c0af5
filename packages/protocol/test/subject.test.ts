import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CaegisError, parseHead, parseSet, parseSubject } from '../src/index.ts'
import { vectors } from './vectors/load.ts'

const code = (run: () => unknown): string | undefined => {
  try {
    run()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(CaegisError)
    return (error as CaegisError).code
  }
}

describe('parseSubject', () => {
  it.each(vectors('subjects'))('$spec: $description', ({ in: given, want }) => {
    if (want === 'bad') expect(code(() => parseSubject(given))).toBe('invalid_subject')
    else expect(parseSubject(given)).toEqual(want === 'same' ? given : want)
  })

  it('takes lists of at most 32, and texts of at most 1024', () => {
    const aliases = (length: number) => ({ format: 'aliases', identifiers: Array.from({ length }, (_, id) => ({ format: 'opaque', id: `${id}` })) })
    expect(parseSubject(aliases(32))).toEqual(aliases(32))
    expect(code(() => parseSubject(aliases(33)))).toBe('invalid_subject')
    expect(code(() => parseSubject({ format: 'opaque', id: 'x'.repeat(1025) }))).toBe('invalid_subject')
    const complex = Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`m${at}`, { format: 'opaque', id: 'x' }]))
    expect(code(() => parseSubject({ format: 'complex', ...complex }))).toBe('invalid_subject')
  })

  it('whatever JSON comes, only a CaegisError is thrown, and the prototype of all objects stays as it is', () => {
    const names = fc.constantFrom('format', 'iss', 'sub', 'id', 'user', 'identifiers', '__proto__', 'constructor', 'email')
    const formats = fc.constantFrom<any>('iss_sub', 'opaque', 'aliases', 'complex', 'email', 'ip-addresses', 'phone', '__proto__', 'constructor')
    const tree = fc.letrec<any>((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, formats, fc.jsonValue(), fc.array(tie('value')), tie('node')),
      node: fc
        .array(fc.tuple(names, tie('value')))
        .map((members) => JSON.parse(`{${members.map(([name, value]) => `"${name}":${JSON.stringify(value) ?? null}`)}}`)),
    })).node as fc.Arbitrary<any>
    fc.assert(
      fc.property(tree, (value) => {
        if (code(() => parseSubject(value)) === undefined) expect(typeof (value as any).format).toBe('string')
        expect(({} as any).format).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })
})

describe('parseSet', () => {
  const plain = {
    iss: 'https://id.example/t',
    jti: 'j1',
    iat: 1000,
    aud: 'https://rp.example',
    sub_id: { format: 'opaque', id: 'x' },
    events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': { event_timestamp: 999 } },
  }

  it.each(vectors('sets'))('$spec: $description', ({ with: more, without = [], want, error }) => {
    const payload: Record<string, unknown> = { ...plain, ...more }
    for (const name of without) delete payload[name]
    if (error) expect(code(() => parseSet(payload))).toBe(error)
    else expect(parseSet(payload)).toMatchObject(want)
  })

  it('an error tells neither peer nor log what the SET held', () => {
    try {
      parseSet({ ...plain, sub: 'secret-subject' })
      expect.unreachable()
    } catch (error) {
      expect(`${(error as CaegisError).message} ${JSON.stringify((error as CaegisError).detail)}`).not.toContain('secret-subject')
    }
  })

  it('whatever JSON comes, only a CaegisError is thrown', () => {
    const odd = fc.dictionary(fc.constantFrom(...Object.keys(plain), 'sub', 'exp', 'txn', 'caegis_seq'), fc.jsonValue())
    fc.assert(
      fc.property(fc.oneof(odd, fc.jsonValue()), (value) => {
        code(() => parseSet(value))
        code(() => parseSet({ ...plain, ...(value as object) }))
      }),
    )
  })
})

describe('parseHead', () => {
  const head = { epoch: 'e1', seq: 0, asOf: 1000.25, status: 'enabled' }

  it('reads a head', () => expect(parseHead(head)).toEqual(head))

  it.each([
    ['nothing', undefined],
    ['a negative seq', { ...head, seq: -1 }],
    ['a fractional seq', { ...head, seq: 1.5 }],
    ['no epoch', { ...head, epoch: '' }],
    ['asOf as text', { ...head, asOf: '1000' }],
    ['another status', { ...head, status: 'fresh' }],
  ])('refuses %s', (_, value) => expect(code(() => parseHead(value))).toBe('invalid_head'))
})
