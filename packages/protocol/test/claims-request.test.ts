import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CaegisError, challengeObject, MAX_CLAIMS_LENGTH, parseClaimsRequest } from '../src/index.ts'
import { vectors } from './vectors/load.ts'

const read = (text: string) => {
  try {
    return parseClaimsRequest(text)
  } catch (error) {
    expect(error).toBeInstanceOf(CaegisError)
    return (error as CaegisError).code
  }
}

describe('parseClaimsRequest', () => {
  it.each(vectors('claims-requests'))('$spec: $description', ({ in: given, want, error }) => {
    if (error) expect(read(given)).toBe(error)
    else expect(parseClaimsRequest(given)).toEqual(want)
  })

  it('reads what a challenge asked for', () => {
    for (const acrs of [['c1'], ['c1', 'c2']]) {
      const asked = { nbf: 1_753_000_000, rpAddress: '2001:db8::7', acrs, maxAge: 300 }
      expect(parseClaimsRequest(JSON.stringify(challengeObject(asked)))).toEqual({ capable: false, ...asked })
    }
  })

  it('refuses what is too long, unread', () => {
    expect(read(`{"a":"${'x'.repeat(MAX_CLAIMS_LENGTH)}"}`)).toBe('invalid_claims_request')
    expect(read('['.repeat(MAX_CLAIMS_LENGTH))).toBe('invalid_claims_request')
  })

  it('keeps at most 32 authentication contexts', () => {
    const values = Array.from({ length: 99 }, (_, at) => `c${at}`)
    expect(parseClaimsRequest(JSON.stringify({ access_token: { acrs: { values } } })).acrs).toHaveLength(32)
  })

  it('whatever text comes, only a CaegisError is thrown', () => {
    const member = fc.oneof(
      fc.jsonValue(),
      fc.record({ value: fc.jsonValue() }),
      fc.record({ values: fc.jsonValue() }),
      fc.record({ max_age: fc.jsonValue() }),
    )
    const asked = fc.dictionary(
      fc.constantFrom('nbf', 'acrs', 'xms_cc', 'xms_rp_ipaddr', 'auth_time', 'caegis_evidence', '__proto__', 'toString'),
      member,
    )
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      asked.map((access_token) => JSON.stringify({ access_token })),
    )
    fc.assert(
      fc.property(text, (given) => {
        const request = read(given)
        if (typeof request === 'string') {
          expect(request).toBe('invalid_claims_request')
          return
        }
        expect(request.acrs.every((one) => typeof one === 'string')).toBe(true)
        for (const number of [request.nbf, request.maxAge]) if (number !== undefined) expect(Number.isSafeInteger(number) && number >= 0).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})
