import { authorizeRequestOnClaimChallenge } from '@azure/core-client'
import {
  bearerTokenAuthenticationPolicy,
  createEmptyPipeline,
  createHttpHeaders,
  createPipelineRequest,
  type PipelineRequest,
} from '@azure/core-rest-pipeline'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { challengeObject, formatChallenge, formatRefusal, readClaimsChallenge } from '../src/index.ts'

/**
 * The parsers that are out there, each by its habits: what one of them trips over is a client that is never told.
 * Each returns the claims text, or nothing where it sees no challenge.
 */
const parsers: Record<string, (header: string) => string | undefined> = {
  ours: (header) => readClaimsChallenge(header)?.claims,

  'sample: split at commas, then at equals signs, atob'(header) {
    const found: Record<string, string> = {}
    for (const part of header.slice(header.indexOf(' ') + 1).split(',')) {
      const [name = '', value = ''] = part.trim().split('=')
      found[name] = value.replace(/^"|"$/g, '')
    }
    return found.claims === undefined ? undefined : atob(found.claims)
  },

  'sample: cut out between claims=" and ",'(header) {
    const tail = header.split('claims="')[1]
    return tail === undefined ? undefined : atob(tail.split('",')[0] as string)
  },

  'core-client: challenges at ", Bearer ", parameters at `", `, names at `="`'(header) {
    for (const challenge of `, ${header.trim()}`.split(', Bearer ').filter(Boolean)) {
      const parameters = new Map<string, string>()
      for (const piece of `${challenge.trim()}, `.split('", ').filter(Boolean)) {
        const [name = '', value = ''] = piece.trim().split('="')
        parameters.set(name, value)
      }
      const claims = parameters.get('claims')
      if (claims !== undefined) return Buffer.from(claims, 'base64').toString('utf8')
    }
    return undefined
  },

  'core-rest-pipeline: Bearer in this case, insufficient_claims, atob'(header) {
    for (const [, scheme, rest = ''] of header.matchAll(/(\w+)\s+((?:\w+=(?:"[^"]*"|[^,]*),?\s*)+)/g)) {
      const parameters = new Map([...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]))
      const claims = parameters.get('claims')
      if (scheme !== 'Bearer' || parameters.get('error') !== 'insufficient_claims' || claims === undefined) continue
      try {
        return atob(claims)
      } catch {
        return undefined
      }
    }
    return undefined
  },

  'Go azcore: padding trimmed, then the raw url-safe alphabet'(header) {
    const quoted = quotedOf(header)
    if (!header.startsWith('Bearer ') || quoted.get('error') !== 'insufficient_claims') return undefined
    const text = (quoted.get('claims') ?? '').replace(/=+$/, '')
    return /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, 'base64url').toString('utf8') : undefined
  },

  '.NET Azure.Core: strict base64, a multiple of four long'(header) {
    const quoted = quotedOf(header)
    const text = quoted.get('claims') ?? ''
    if (!header.startsWith('Bearer ') || quoted.get('error') !== 'insufficient_claims' || text.length % 4 !== 0) return undefined
    return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64').toString('utf8') : undefined
  },

  'Python azure-mgmt-core: one claims challenge only, pads by itself'(header) {
    if ([...header.matchAll(/\bclaims="/g)].length !== 1) return undefined
    const quoted = quotedOf(header)
    if (quoted.get('error') !== 'insufficient_claims') return undefined
    const text = quoted.get('claims') ?? ''
    return atob(text + '='.repeat(-text.length & 3))
  },

  'Java azure-core: quoted parameters, insufficient_claims, the standard decoder'(header) {
    const quoted = quotedOf(header)
    const text = quoted.get('claims') ?? ''
    if (!header.startsWith('Bearer ') || quoted.get('error') !== 'insufficient_claims') return undefined
    // Padding may be absent, but what is there must be right.
    return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(text) ? atob(text) : undefined
  },

  'MSAL.NET: any case, base64 or the JSON itself'(header) {
    const scheme = /^(\S+)\s/.exec(header)?.[1]?.toLowerCase()
    const quoted = quotedOf(header)
    const text = quoted.get('claims')
    if (scheme !== 'bearer' || quoted.get('error')?.toLowerCase() !== 'insufficient_claims' || text === undefined) return undefined
    return text.startsWith('{') ? text : atob(text)
  },

  'core-client of old: challenges at "Bearer ", atob'(header) {
    for (const challenge of header.trim().split('Bearer ').filter(Boolean)) {
      for (const piece of `${challenge.trim()}, `.split('", ').filter(Boolean)) {
        const [name = '', value = ''] = piece.trim().split('="')
        if (name === 'claims') return atob(value)
      }
    }
    return undefined
  },

  'Kiota: Bearer first, pieces at commas'(header) {
    if (!header.startsWith('Bearer ')) return undefined
    for (const piece of header.slice('Bearer '.length).split(',')) {
      const match = /^\s*claims="([^"]+)"$/.exec(piece)
      if (match) return atob(match[1] as string)
    }
    return undefined
  },
}

function quotedOf(header: string): Map<string, string> {
  return new Map([...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]))
}

const claims = fc.record(
  {
    nbf: fc.nat(4_000_000_000),
    rpAddress: fc.oneof(fc.ipV4(), fc.ipV6()),
    acrs: fc.uniqueArray(fc.constantFrom('c1', 'c99', '?>~'), { minLength: 1 }),
    maxAge: fc.nat(1e9),
    evidence: fc.string({ maxLength: 80 }),
  },
  { requiredKeys: [] },
)
const authorizationUri = fc.oneof(
  fc.webUrl({ withQueryParameters: true }),
  fc.constantFrom('https://id.example/a,b=c/authorize?x="y"', 'https://id.example/common/oauth2/v2.0/authorize'),
  fc.constantFrom(
    'https://x.b2clogin.example/t/authorize?p=b2c_1_signin',
    'https://id.example/authorize?claims=',
    'https://id.example/?error=,claims=',
  ),
)

describe.each(Object.entries(parsers))('%s', (_, parse) => {
  it('reads every challenge of ours', () => {
    fc.assert(
      fc.property(
        claims,
        authorizationUri,
        fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
        fc.option(authorizationUri, { nil: undefined }),
        (asked, uri, clientId, about) => {
          const text = parse(
            formatChallenge({
              authorizationUri: uri,
              ...(clientId === undefined ? {} : { clientId }),
              claims: asked,
              ...(about === undefined ? {} : { resourceMetadata: about }),
            }),
          )
          expect(JSON.parse(text ?? 'null')).toEqual(challengeObject(asked))
        },
      ),
    )
  })

  it('sees none in a plain refusal', () => {
    const authorizationUri = 'https://id.example/authorize'
    const needs = {
      error: 'insufficient_user_authentication',
      scope: ['a', 'b'],
      resourceMetadata: 'https://api.example/.well-known/oauth-protected-resource',
      acrValues: ['c1', 'c2'],
      maxAge: 300,
    }
    for (const more of [{ error: 'invalid_token' }, needs]) expect(parse(formatRefusal({ authorizationUri, ...more }))).toBeUndefined()
  })
})

describe('the real ones', () => {
  const given = fc
    .tuple(claims, authorizationUri)
    .map(([asked, uri]) => ({ asked, header: formatChallenge({ authorizationUri: uri, clientId: 'files-api', claims: asked }) }))

  it('@azure/core-rest-pipeline asks its credential for our claims, and calls again', async () => {
    await fc.assert(
      fc.asyncProperty(given, async ({ asked, header }) => {
        const questions: unknown[] = []
        const credential = {
          async getToken(_: unknown, options?: { claims?: string }) {
            questions.push(options?.claims)
            return { token: `t${questions.length}`, expiresOnTimestamp: Date.now() + 3_600_000 }
          },
        }
        const pipeline = createEmptyPipeline()
        pipeline.addPolicy(bearerTokenAuthenticationPolicy({ credential, scopes: 'api://files/.default' }))
        const sent: unknown[] = []
        const http = {
          async sendRequest(request: PipelineRequest) {
            const challenged = sent.push(request.headers.get('authorization')) === 1
            return { request, status: challenged ? 401 : 200, headers: createHttpHeaders(challenged ? { 'WWW-Authenticate': header } : {}) }
          },
        }
        expect((await pipeline.sendRequest(http, createPipelineRequest({ url: 'https://api.example/' }))).status).toBe(200)
        expect(questions.map((one) => one && JSON.parse(String(one)))).toEqual([undefined, challengeObject(asked)])
        expect(sent).toEqual(['Bearer t1', 'Bearer t2'])
      }),
    )
  })

  it('@azure/core-client hands our claims to its credential', async () => {
    await fc.assert(
      fc.asyncProperty(given, async ({ asked, header }) => {
        const request = createPipelineRequest({ url: 'https://api.example/' })
        const response = { request, status: 401, headers: createHttpHeaders({ 'WWW-Authenticate': header }) }
        let heard: string | undefined
        const done = await authorizeRequestOnClaimChallenge({
          ...{ request, response, scopes: ['api://files/.default'] },
          async getAccessToken(_, options) {
            heard = options?.claims
            return { token: 't', expiresOnTimestamp: Date.now() + 3_600_000 }
          },
        })
        expect(done).toBe(true)
        expect(JSON.parse(heard ?? 'null')).toEqual(challengeObject(asked))
      }),
    )
  })
})

describe('the form is needed: a usual one is refused by some of them', () => {
  const usual = (base64: string) =>
    `Bearer realm="", authorization_uri="https://id.example/authorize?a=b", error="insufficient_claims", claims="${base64}"`
  const object = { access_token: { acrs: { value: '~~~?~' } } }

  it.each([
    ['claims last', 'sample: cut out between claims=" and ",', usual(btoa('{"access_token":{}} '))],
    ['standard alphabet', 'Go azcore: padding trimmed, then the raw url-safe alphabet', usual(btoa(JSON.stringify(object)))],
    ['no padding', '.NET Azure.Core: strict base64, a multiple of four long', usual(btoa(JSON.stringify(object)).replace(/=+$/, ''))],
    [
      'url-safe alphabet',
      'core-rest-pipeline: Bearer in this case, insufficient_claims, atob',
      usual(Buffer.from(JSON.stringify(object)).toString('base64url')),
    ],
  ])('%s: %s', (_, name, header) => {
    let text: string | undefined
    try {
      text = parsers[name]?.(header)
    } catch {
      text = undefined
    }
    expect(text).toBeUndefined()
    expect(readClaimsChallenge(header)).toBeDefined()
  })
})
