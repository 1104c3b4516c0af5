import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readClaimsChallenge } from '../src/index.ts'

// Headers as they are met, made from their parts: how somebody writes a challenge must not decide whether it is understood.

const AUTHORIZE = 'https://id.example/common/oauth2/v2.0/authorize'
type Arbitrary<T> = fc.Arbitrary<T>

const seconds = fc.nat(4_000_000_000)
/** The forms of a claims request that are known from the field, and what they say. */
const constraint = fc.oneof(
  seconds.map((nbf) => ({ asked: { nbf: { essential: true, value: String(nbf) } }, nbf })),
  seconds.map((nbf) => ({ asked: { nbf: { value: nbf } }, nbf })),
  seconds.map((nbf) => ({ asked: { nbf: { essential: false, values: [String(nbf)] } }, nbf })),
  fc.constant({ asked: { nbf: null }, nbf: undefined }),
  fc.constant({ asked: {}, nbf: undefined }),
)
const others = fc.dictionary(
  fc.constantFrom('xms_rp_ipaddr', 'acrs', 'capolids', 'xms_caeerror', 'constructor', '>>>???', 'größe'),
  fc.oneof(fc.constant(null), fc.record({ value: fc.oneof(fc.ipV6(), fc.constantFrom('c1', '~~~', '>?>?', 'ü', '😀', '"\\,=')) })),
  { noNullPrototype: true },
)
const request = fc
  .tuple(constraint, others, fc.boolean())
  .map(([{ asked, nbf }, more, idToken]) => ({ json: { ...(idToken ? { id_token: { x: null } } : {}), access_token: { ...more, ...asked } }, nbf }))

/** The text of the parameter: either alphabet, padded or not, or the JSON itself. */
const ENCODINGS: Record<string, (json: string) => string> = {
  base64: (json) => Buffer.from(json).toString('base64'),
  'base64 without padding': (json) => Buffer.from(json).toString('base64').replace(/=+$/, ''),
  base64url: (json) => Buffer.from(json).toString('base64url'),
  'base64url, padded'(json) {
    const text = Buffer.from(json).toString('base64url')
    return text + '='.repeat(-text.length & 3)
  },
  'base64, padded once too often': (json) => `${Buffer.from(json).toString('base64')}==`,
  // What is not ASCII cannot stand in a header.
  JSON: (json) => json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
}
const blanks = fc.constantFrom('', ' ', '  ', '\t')
const comma = fc.tuple(blanks, fc.constantFrom(',', ',', ',,', ', ,'), blanks).map((parts) => parts.join(''))
const anyCase = (word: string): Arbitrary<string> => fc.mixedCase(fc.constant(word))

/** A value in quotes, with escapes where they must be and, by chance, where they may be. */
function quoted(value: string): Arbitrary<string> {
  return fc.infiniteStream(fc.nat(9)).map((chance) => {
    const text = [...value].map((unit) => (unit === '"' || unit === '\\' || chance.next().value === 0 ? `\\${unit}` : unit)).join('')
    return `"${text}"`
  })
}

/** A parameter, quoted or, where its value is a token, by chance not. */
function parameter(name: string, value: string): Arbitrary<string> {
  const bare = /^[\w.~+-]+$/.test(value) ? [fc.constant(value)] : []
  return fc
    .tuple(anyCase(name), blanks, blanks, fc.oneof(quoted(value), ...bare))
    .map(([key, before, after, text]) => `${key}${before}=${after}${text}`)
}

const noise = fc.oneof(
  fc.constantFrom('Negotiate', 'Negotiate TlRMTVNTUAAB==', 'NTLM', 'Basic realm="a, b=c"', 'Digest realm="x", nonce="a\\"b", qop=auth'),
  fc.constantFrom(
    'PoP nonce="eyJ9"',
    'DPoP algs="ES256 RS256", error="use_dpop_nonce"',
    'Bearer realm="", error="invalid_token"',
    'Custom claims="eyJ9"',
  ),
)
const extra = fc.subarray([
  ['realm', ''],
  ['client_id', '00000003-0000-0000-c000-000000000000'],
  ['error_description', 'Continuous access evaluation resulted in challenge, with result: "InteractionRequired" \\ code=X, Bearer claims="eyJ9"'],
  ['cc_type', 'authcontext'],
  ['resource_metadata', 'https://api.example/.well-known/oauth-protected-resource?a=b,c'],
] as [string, string][])

/** One challenge with these claims, its parameters in any order. */
function challenge(claims: string): Arbitrary<string> {
  const error = fc.constantFrom('insufficient_claims', 'invalid_token', undefined)
  return fc.tuple(extra, error, fc.boolean(), anyCase('Bearer')).chain(([more, code, uri, scheme]) => {
    const all: [string, string][] = [...more, ['claims', claims], ...(code ? [['error', code] as [string, string]] : [])]
    if (uri) all.push(['authorization_uri', AUTHORIZE])
    return fc
      .tuple(
        fc.shuffledSubarray(
          all.map(([name, value]) => parameter(name, value)),
          { minLength: all.length },
        ),
        comma,
      )
      .chain(([list, separator]) => fc.tuple(...list).map((texts) => `${scheme} ${texts.join(separator)}`))
  })
}

/** Challenges on one header line or several, as `fetch` puts them together. */
function header(claims: string): Arbitrary<string> {
  return fc.tuple(fc.array(noise, { maxLength: 3 }), challenge(claims), fc.array(noise, { maxLength: 2 }), comma, fc.boolean()).map((parts) => {
    const [before, ours, after, separator, lines] = parts
    const list = [...before, ours, ...after]
    if (!lines) return list.join(separator)
    const headers = new Headers()
    for (const line of list) headers.append('WWW-Authenticate', line)
    return headers.get('WWW-Authenticate') as string
  })
}

describe.each(Object.entries(ENCODINGS))('a header with the claims in %s', (_, encode) => {
  it('is read whatever its order, quoting, blanks, neighbours and lines', () => {
    const given = request.chain(({ json, nbf }) => header(encode(JSON.stringify(json))).map((text) => ({ text, json, nbf })))
    let uris = 0
    fc.assert(
      fc.property(given, ({ text, json, nbf }) => {
        const read = readClaimsChallenge(text)
        expect(JSON.parse(read?.claims ?? 'null')).toEqual(JSON.parse(JSON.stringify(json)))
        expect(read?.nbf).toBe(nbf)
        const named = /authorization_uri/i.test(text)
        expect(read?.authorizationUri).toBe(named ? AUTHORIZE : undefined)
        if (named) uris++
      }),
      { numRuns: 400 },
    )
    expect(uris).toBeGreaterThan(20)
  })

  it('cut off anywhere holds the whole of the claims or none, never a part', () => {
    const json = { access_token: { nbf: { essential: true, value: '1753000000' } } }
    fc.assert(
      fc.property(header(encode(JSON.stringify(json))), fc.nat(), (text, at) => {
        let read: ReturnType<typeof readClaimsChallenge>
        try {
          read = readClaimsChallenge(text.slice(0, at % text.length))
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_challenge' })
          return
        }
        if (read) expect(JSON.parse(read.claims)).toEqual(json)
      }),
      { numRuns: 200 },
    )
  })
})

it.each([8192, 8193])('claims of %i characters: 8 KB are the limit', (length) => {
  const json = (fill: number) => JSON.stringify({ access_token: { a: { value: 'x'.repeat(fill) } } })
  const text = json(length - json(0).length)
  expect(text).toHaveLength(length)
  const read = () => readClaimsChallenge(`Bearer claims="${text.replaceAll('"', '\\"')}"`)
  if (length <= 8192) expect(read()?.claims).toBe(text)
  else expect(read).toThrow(expect.objectContaining({ code: 'invalid_challenge' }))
})
