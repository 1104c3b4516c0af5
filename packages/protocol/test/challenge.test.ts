import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CaegisError,
  type ChallengeClaims,
  encodeClaims,
  formatChallenge,
  formatRefusal,
  parseChallenges,
  readClaimsChallenge,
} from '../src/index.ts'
import { vectors } from './vectors/load.ts'

const T1 = { access_token: { nbf: { essential: true, value: '1753000000' } } }
const T2 = { access_token: { nbf: { essential: true, value: '1753000000' }, xms_rp_ipaddr: { value: '203.0.113.7' } } }
const unicode = fc.string({ unit: 'binary' })

describe('encodeClaims', () => {
  it.each([
    ['T1', T1, 'eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzUzMDAwMDAwIn19fSAg'],
    [
      'T2',
      T2,
      'eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzUzMDAwMDAwIn0sInhtc19ycF9pcGFkZHIiOnsidmFsdWUiOiIyMDMuMC4xMTMuNyJ9fX0g',
    ],
  ])('%s as Entra emits it', (_, claims, text) => expect(encodeClaims(claims)).toBe(text))

  it('is the same text in both alphabets, unpadded, a multiple of four long, and decodes to what went in', () => {
    const claims = fc.dictionary(unicode, fc.oneof(unicode, fc.constantFrom('>>>???~~~\x7f', '\\?', '"~"'), fc.jsonValue() as fc.Arbitrary<any>), {
      noNullPrototype: true,
    })
    fc.assert(
      fc.property(claims, (value) => {
        const text = encodeClaims(value)
        expect(text).toMatch(/^[A-Za-z0-9]*$/)
        expect(text.length % 4).toBe(0)
        expect(Buffer.from(text, 'base64').toString('latin1')).toBe(Buffer.from(text, 'base64url').toString('utf8'))
        expect(JSON.parse(atob(text))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
      { numRuns: 500 },
    )
  })

  it('keeps half of a surrogate pair', () => expect(JSON.parse(atob(encodeClaims({ a: '\ud83d' })))).toEqual({ a: '\ud83d' }))
})

describe('formatChallenge', () => {
  const authorizationUri = 'https://id.example/contoso/oauth2/v2.0/authorize'

  it('has the one form that every known parser accepts', () => {
    expect(formatChallenge({ authorizationUri, clientId: 'files-api', claims: { nbf: 1753000000 } })).toBe(
      `Bearer realm="", authorization_uri="${authorizationUri}", client_id="files-api", error="insufficient_claims", claims="${encodeClaims(T1)}", cc_type="cae"`,
    )
  })

  it('is of the scheme that a bound token needs (RFC 9449 section 7.1), and read as the other one is', () => {
    const header = formatChallenge({ authorizationUri, claims: { nbf: 5 }, proofAlgorithms: ['ES256', 'x", claims="e'] })
    expect(header).toMatch(
      /^DPoP realm="", authorization_uri="[^"]+", error="insufficient_claims", claims="[^"]+", cc_type="cae", algs="ES256 x[^" ]+"$/,
    )
    expect(parseChallenges(header)).toHaveLength(1)
    expect(readClaimsChallenge(header)).toMatchObject({ nbf: 5, authorizationUri })
  })

  it('A11: carries all unmet constraints at once', () => {
    const header = formatChallenge({ authorizationUri, claims: { nbf: 1753000000, rpAddress: '203.0.113.7' } })
    expect(readClaimsChallenge(header)).toEqual({ claims: JSON.stringify(T2), nbf: 1753000000, authorizationUri })
  })

  it('no value can forge a parameter, a challenge or a header line', () => {
    const hostile = fc.oneof(
      unicode,
      fc.constantFrom('x", claims="eyJ9', 'x"\r\nSet-Cookie: a=b', 'x\\', 'x, Bearer claims="', '\ud83d', 'a=b', '\0', '😀'),
    )
    fc.assert(
      fc.property(hostile, hostile, (uri, clientId) => {
        const header = formatChallenge({ authorizationUri: uri, clientId, claims: { nbf: 5 } })
        expect(header).toMatch(/^[\x20-\x7e]+$/)
        expect([...header].filter((unit) => unit === '"')).toHaveLength(12)
        const challenges = parseChallenges(header)
        expect(challenges).toHaveLength(1)
        expect([...(challenges[0]?.parameters.keys() ?? [])]).toEqual(['realm', 'authorization_uri', 'client_id', 'error', 'claims', 'cc_type'])
        expect(readClaimsChallenge(header)?.nbf).toBe(5)
        const refusal = formatRefusal({ authorizationUri: uri, error: clientId, scope: [uri, clientId] })
        expect(refusal).toMatch(/^[\x20-\x7e]+$/)
        expect(parseChallenges(refusal).map(({ parameters }) => [...parameters.keys()])).toEqual([['realm', 'authorization_uri', 'error', 'scope']])
        expect(readClaimsChallenge(refusal)).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })

  it('a step-up says c1 as every emission does, several as values, and the age of the sign-in', () => {
    const asked = (claims: ChallengeClaims) =>
      JSON.parse(readClaimsChallenge(formatChallenge({ authorizationUri, claims }))?.claims as string).access_token
    expect(asked({ acrs: ['c1'] })).toEqual({ acrs: { essential: true, value: 'c1' } })
    expect(asked({ acrs: ['c1', 'c2'], maxAge: 300 })).toEqual({
      acrs: { essential: true, values: ['c1', 'c2'] },
      auth_time: { essential: true, max_age: '300' },
    })
  })

  it('a plain refusal lists scopes (RFC 6750), contexts and age (RFC 9470), and no word of them can forge a parameter', () => {
    expect(formatRefusal({ error: 'insufficient_scope', scope: ['api://files/Read', 'Write'] })).toBe(
      'Bearer realm="", error="insufficient_scope", scope="api://files/Read Write"',
    )
    expect(formatRefusal({ authorizationUri, error: 'insufficient_user_authentication', acrValues: ['c1', 'c2'], maxAge: 5 })).toBe(
      `Bearer realm="", authorization_uri="${authorizationUri}", error="insufficient_user_authentication", acr_values="c1 c2", max_age="5"`,
    )
    expect(formatRefusal({ scope: ['x", claims="e', 'a\r\nb', 'c\\'] })).toBe('Bearer realm="", scope="x%22,%20claims=%22e a%0D%0Ab c%5C"')
  })

  it.each([
    ['https://x.b2clogin.example/t/oauth2/v2.0/authorize?p=b2c_1_signin', undefined],
    ['https://id.example/authorize?a=1&b=%3D%2C#!$()*+;@', undefined],
    // Naive splitters are in pieces at a comma, and look for a name before `="`.
    ['https://id.example/a,b/authorize', 'https://id.example/a%2Cb/authorize'],
    ['https://id.example/authorize?claims=', 'https://id.example/authorize?claims%3D'],
  ])('where to sign in is what was given: %s', (uri, inChallenge) => {
    expect(readClaimsChallenge(formatChallenge({ authorizationUri: uri, claims: { nbf: 5 } }))?.authorizationUri).toBe(inChallenge ?? uri)
    expect(parseChallenges(formatRefusal({ authorizationUri: uri }))[0]?.parameters.get('authorization_uri')).toBe(uri)
  })

  it('scopes and contexts are what was given, whatever RFC 6749 section 3.3 lets stand in them', () => {
    const all = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i))
      .filter((unit) => unit !== '"' && unit !== '\\')
      .join('')
    const words = ['urn:x:read=1', 'a,b', all]
    const parameters = parseChallenges(formatRefusal({ scope: words, acrValues: words }))[0]?.parameters
    expect([parameters?.get('scope'), parameters?.get('acr_values')]).toEqual([words.join(' '), words.join(' ')])
  })

  it('a plain refusal holds no claims', () => {
    expect(formatRefusal({ error: 'invalid_token' })).toBe('Bearer realm="", error="invalid_token"')
    expect(readClaimsChallenge(formatRefusal({ authorizationUri, error: 'invalid_token' }))).toBeUndefined()
  })
})

describe('parseChallenges', () => {
  it.each(vectors('grammar'))('$spec: $description', ({ in: given, want }) => {
    const plain = parseChallenges(given).map(({ scheme, parameters }) => [scheme, [...parameters]])
    expect(plain).toEqual(want.map(([scheme, parameters]: [string, object]) => [scheme, Object.entries(parameters)]))
  })

  it('reads back what was written by the grammar', () => {
    const token = fc.stringMatching(/^[a-z][a-z0-9!#$%&'*+.^_`|~-]{0,8}$/)
    const quoted = fc.string({ unit: fc.constantFrom(...' "\\,=;abcZ09/?>') })
    const challenge = fc.record({ scheme: token, parameters: fc.uniqueArray(fc.tuple(token, quoted), { minLength: 1, selector: ([name]) => name }) })
    const written = ({ scheme, parameters }: { scheme: string; parameters: [string, string][] }) =>
      `${scheme} ${parameters.map(([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`).join(', ')}`
    fc.assert(
      fc.property(fc.array(challenge), (list) => {
        const read = parseChallenges(list.map(written).join(', '))
        expect(read.map(({ scheme, parameters }) => ({ scheme, parameters: [...parameters] }))).toEqual(list)
      }),
    )
  })

  it('never throws, whatever text comes', () => {
    const pieces = fc.array(fc.constantFrom('Bearer', ' ', ',', '=', '==', '"', '\\', 'claims', 'a', '"eyJ9"', ';', '\t', '/', 'é'), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(
        fc.oneof(
          unicode,
          pieces.map((list) => list.join('')),
        ),
        (text) => {
          expect(Array.isArray(parseChallenges(text))).toBe(true)
          try {
            readClaimsChallenge(text)
          } catch (error) {
            expect((error as CaegisError).code).toBe('invalid_challenge')
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  const full = 16_384
  const repeat = (piece: string) => piece.repeat(Math.ceil(full / piece.length)).slice(0, full)

  it.each(['a ', 'a=', 'a=,', '"', '\\', 'a "', 'a="', 'Bearer ', 'Bearer a=b,', 'a,', ', ', '=', 'a ==', 'a b==,', ' \t', 'a="\\"'])(
    'E9: 16 KB of %j are one pass',
    (piece) => {
      // Steps are counted, not seconds: each look at the text goes through this string's index.
      const text = repeat(piece)
      let looks = 0
      const counted = new Proxy(Object(text), {
        get(target, name) {
          if (typeof name === 'string' && /^\d+$/.test(name)) looks++
          const value = target[name]
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
      parseChallenges(counted)
      expect(looks).toBeGreaterThan(0)
      expect(looks).toBeLessThan(8 * full)
    },
  )

  it('E9: a header over 16 KB is not read', () => expect(parseChallenges(`Bearer a="${'x'.repeat(full)}"`)).toEqual([]))
})

describe('readClaimsChallenge', () => {
  it.each(vectors('challenges'))('$spec: $description', ({ in: given, json, want, error }) => {
    const header = given ?? `Bearer error="insufficient_claims", claims="${encodeClaims(json)}"`
    if (error) {
      expect(() => readClaimsChallenge(header)).toThrow(expect.objectContaining({ name: 'CaegisError', code: error }))
      return
    }
    const expected = json ? { claims: JSON.stringify(json), ...want } : (want ?? undefined)
    expect(readClaimsChallenge(header)).toEqual(expected)
  })

  it('an absent header holds none', () => {
    expect(readClaimsChallenge(null)).toBeUndefined()
    expect(readClaimsChallenge(undefined)).toBeUndefined()
  })

  it('claims over 8 KB are refused unread, and their text is in no message', () => {
    const text = `Bearer claims="${'A'.repeat(8193)}"`
    try {
      readClaimsChallenge(text)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(CaegisError)
      expect(`${(error as Error).message} ${(error as CaegisError).detail}`).not.toContain('AAAA')
    }
  })
})
