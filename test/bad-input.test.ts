import { createHmac, createPublicKey, randomUUID } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import { join } from 'node:path'
import { createSetVerifier } from '@caegis/ssf/receiver'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type SampleApi, startApi } from '../packages/cli/src/demo/api.ts'
import { createFlow } from './flow.ts'
import { createForge, type Forge, headerOf, leaked, part, type RawAnswer, raw } from './forge.ts'
import { claimsOf, type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

/** Another tenant in the same server, with the same names: only keys and issuer tell them apart. */
const NEIGHBOUR = JSON.stringify({
  tenant: { name: 'fabrikam' },
  users: [{ userPrincipalName: 'alice@contoso.test', password: PASSWORD, roles: ['admin'] }],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
  ],
})

let loop: Loop
let api: SampleApi
let own: Forge
let neighbour: Forge
let neighbourIssuer: string
/** Good tokens, of which each bad one is a copy with one thing wrong. */
let apiToken: string
let adminToken: string
let neighbourToken: string
let refreshToken: string
let idToken: string
let set: string
let output: string[] = []

beforeAll(async () => {
  loop = await startLoop({ environment: { CAEGIS_LOG: 'debug' } })
  const { tenant, issuer } = await loop.server.apply(NEIGHBOUR)
  neighbourIssuer = issuer
  own = await createForge(loop)
  neighbour = await createForge(loop, tenant)
  const tls = { cert: readFileSync(join(loop.data, 'tls/cert.pem'), 'utf8'), key: readFileSync(join(loop.data, 'tls/key.pem'), 'utf8') }
  api = await startApi({
    ...{
      issuer: loop.issuer,
      audience: 'api://files',
      clientId: 'files-api',
      clientSecret: SECRET,
      tls,
      port: 0,
      pageOrigin: 'http://localhost:8445',
    },
  })
  const flow = createFlow(loop)
  const tokens = await flow.tokens()
  apiToken = tokens.accessToken
  idToken = tokens.idToken
  refreshToken = tokens.refreshToken
  adminToken = await loop.daemonToken('nightly', `${loop.origin}/.default`)
  const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${loop.origin}/.default` }
  const answer = await fetch(`${loop.origin}/fabrikam/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
  neighbourToken = ((await answer.json()) as { access_token: string }).access_token
  set = await realSet()
})
afterAll(async () => {
  await api?.close()
  await loop?.close()
})
beforeEach(() => {
  output = []
  for (const stream of [process.stderr, process.stdout]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      output.push(String(text))
      return true
    })
  }
})
afterEach(() => vi.restoreAllMocks())

/** A SET that the server made for a stream of `files-api`. */
async function realSet(): Promise<string> {
  const token = await loop.daemonToken('files-api', 'ssf.read ssf.manage')
  const call = async (path: string, body: object) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    return (await fetch(`${loop.authority}/ssf${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json()
  }
  const stream = (await call('/streams', {
    delivery: { method: 'urn:ietf:rfc:8936' },
    caegis: { subjects: 'complex', alg: 'ES256', guard: true },
  })) as {
    stream_id: string
  }
  await loop.graph('POST', '/users/bob@contoso.test/revokeSignInSessions')
  const { sets } = (await call(`/poll/${stream.stream_id}`, { returnImmediately: true })) as { sets: Record<string, string> }
  return Object.values(sets)[0] as string
}

interface Door {
  name: string
  good(): string
  send(headers: string[], query?: string): Promise<RawAnswer>
}

const DOORS: Door[] = [
  { name: 'a protected API', good: () => apiToken, send: (headers, query = '') => raw(api.origin, `/controlplane/manage${query}`, { headers }) },
  { name: 'the admin API', good: () => adminToken, send: (headers, query = '') => raw(loop.origin, `/v1.0/users${query}`, { headers }) },
]

const bearer = (token: string) => ['authorization', `Bearer ${token}`]

function refused(answer: RawAnswer, token: string, expected: { status: number; code?: string }): void {
  expect(answer.status).toBe(expected.status)
  const body = JSON.parse(answer.body || '{}') as { code?: string; error?: unknown }
  if (expected.code !== undefined) expect(body.code).toBe(expected.code)
  else expect(body.error).toBeTruthy()
  expect(answer.headers).not.toHaveProperty('retry-after')
  if (token !== '') expect(leaked(token, `${JSON.stringify(answer.headers)} ${answer.body} ${output.join('')}`)).toBeUndefined()
}

describe.each(DOORS)('$name', ({ good, send }) => {
  const wrong = (token: string, code: string, status = 401) => send(bearer(token)).then((answer) => refused(answer, token, { status, code }))

  it('lets the good token in, of which the others are copies', async () => {
    expect((await send(bearer(good()))).status).toBe(200)
    expect((await send(bearer(own.like(good(), { jti: randomUUID() })))).status).toBe(200)
  })

  it('refuses a request without a token, or with another scheme', async () => {
    for (const headers of [[], ['authorization', ''], ['authorization', 'Basic YWxpY2U6cGFzc3dvcmQ='], ['authorization', `DPoP ${good()}`]]) {
      const answer = await send(headers)
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
    }
  })

  it('refuses what is malformed', async () => {
    const [head, body, signature] = good().split('.') as [string, string, string]
    for (const token of [
      'x',
      'a.b.c',
      `${head}.${body}`,
      `${head}.${body}.`,
      `${head}.${body}.${signature}.x`,
      `${head}.${body}.${signature}=`,
      `${head}..${signature}`,
      `.${body}.${signature}`,
      `${body}.${head}.${signature}`,
      'ab cdefghijklmnop.qrs.tuv',
    ]) {
      const answer = await send(bearer(token))
      expect(answer.status, token.slice(0, 8)).toBe(401)
      refused(answer, token, { status: 401 })
    }
  })

  it('refuses by time: expired, issued in the future, without iat, too long a life', async () => {
    const now = Math.floor(Date.now() / 1000)
    await wrong(own.like(good(), { exp: now - 31, iat: now - 3600, nbf: now - 3600 }), 'token_expired')
    await wrong(own.like(good(), { iat: now + 90, nbf: now + 90 }), 'token_not_yet')
    await wrong(own.like(good(), { iat: undefined }), 'token_issued_at')
    await wrong(own.like(good(), { iat: (now * 1000) as number }), 'token_not_yet')
    await wrong(own.like(good(), { exp: undefined }), 'token_expired')
    await wrong(own.like(good(), { exp: '9999999999' }), 'token_expired')
    await wrong(own.like(good(), { exp: now + 40 * 3600 }), 'token_horizon')
  })

  it('refuses another audience', async () => {
    for (const aud of ['api://mail', 'api://files/', 'API://FILES', `${loop.origin}/`, [], ['api://mail'], undefined, null, { 0: 'api://files' }]) {
      await wrong(own.like(good(), { aud }), 'token_audience')
    }
  })

  it('refuses a signature that is not of the issuer: none, HS256 with the public key, another key, altered claims', async () => {
    const claims = claimsOf(good())
    for (const alg of ['none', 'None', 'NONE', '']) await wrong(`${part({ ...headerOf(good()), alg })}.${part(claims)}.AA`, 'token_algorithm')
    const secrets = [
      JSON.stringify(own.publicJwk),
      createPublicKey({ key: own.publicJwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }) as string,
    ]
    for (const secret of secrets) {
      const input = `${part({ ...headerOf(good()), alg: 'HS256' })}.${part(claims)}`
      await wrong(`${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`, 'token_algorithm')
    }
    await wrong(own.like(good(), {}, { alg: 'RS256' }), 'token_algorithm')
    await wrong(own.like(good(), {}, { kid: 'unknown-key' }), 'token_key')
    await wrong(own.like(good(), {}, { kid: 'x'.repeat(2000) }), 'token_key')
    await wrong(own.like(good(), {}, { crit: ['b64'], b64: false }), 'token_malformed')
    // A key that the token brings along, or says where to find, is nobody's.
    await wrong(neighbour.like(good(), {}, { jwk: neighbour.publicJwk, jku: 'https://evil.test/keys' }), 'token_signature')
    await wrong(neighbour.like(good(), {}, { jwk: neighbour.publicJwk, kid: undefined }), 'token_key')
    const [head, , signature] = good().split('.')
    await wrong(`${head}.${part({ ...claims, oid: randomUUID() })}.${signature}`, 'token_signature')
  })

  it("A5: refuses another tenant's key under our issuer, and our key under another's", async () => {
    await wrong(neighbour.like(good(), {}, { kid: neighbour.kid }), 'token_key')
    await wrong(neighbour.like(good(), {}), 'token_signature')
    const foreign = own.like(good(), { iss: neighbourIssuer })
    const answer = await send(bearer(foreign))
    // The API knows one issuer; the admin API asks the guard of the tenant that the token names, whose keys are others.
    refused(answer, foreign, { status: 401, code: JSON.parse(answer.body).code === 'token_issuer' ? 'token_issuer' : 'token_key' })
    for (const iss of ['https://evil.test/contoso/v2.0', `${loop.issuer}/`, loop.issuer.toUpperCase(), `${loop.origin}/nobody/v2.0`, undefined, 7]) {
      const token = own.like(good(), { iss })
      refused(await send(bearer(token)), token, { status: 401 })
    }
  })

  it('refuses what is no access token: SET, id token, refresh token, in their own form and dressed up', async () => {
    await wrong(set, 'token_type')
    await wrong(own.like(set, { aud: claimsOf(good()).aud, exp: claimsOf(good()).exp, sub: claimsOf(good()).sub }, { typ: 'at+jwt' }), 'token_type')
    await wrong(own.like(good(), {}, { typ: 'secevent+jwt' }), 'token_type')
    await wrong(own.like(good(), {}, { typ: 'logout+jwt' }), 'token_type')
    refused(await send(bearer(idToken)), idToken, { status: 401 })
    refused(await send(bearer(refreshToken)), refreshToken, { status: 401 })
  })

  it('refuses a bound token as a bearer token, and a chain of actors that is too long', async () => {
    await wrong(own.like(good(), { cnf: { jkt: 'x' } }), 'token_bound')
    let act: object | undefined
    for (let depth = 0; depth < 6; depth++) act = { sub: `a${depth}`, ...(act ? { act } : {}) }
    await wrong(own.like(good(), { act }), 'token_actor')
  })

  it('refuses a token in the query, even beside a good one, and two Authorization lines', async () => {
    for (const query of [`?access_token=${good()}`, `?a=b&access%5Ftoken=${good()}`]) {
      for (const headers of [[], bearer(good())]) {
        // The admin API finds the tenant by the header; without one there is nobody to ask.
        const answer = await send(headers, query)
        expect([400, 401]).toContain(answer.status)
        refused(answer, good(), { status: answer.status })
        if (headers.length > 0) expect(answer.status).toBe(400)
      }
    }
    const twice = await send([...bearer(good()), ...bearer(own.like(good(), { jti: randomUUID() }))])
    refused(twice, good(), { status: 400, code: 'token_malformed' })
  })

  it('refuses a token of 100 kB before anything reads it', async () => {
    const large = own.like(good(), { groups: 'x'.repeat(7000) })
    expect((await send(bearer(large))).status).toBe(200)
    const token = own.like(good(), { groups: 'x'.repeat(75_000) })
    expect(token.length).toBeGreaterThan(100_000)
    const { status, body } = await send(bearer(token)).catch(() => ({ status: 431, body: '' }))
    expect(status).toBe(431)
    expect(leaked(token, body + output.join(''))).toBeUndefined()
  })
})

it('an access token is no SET, in its own form or dressed up', async () => {
  const verify = createSetVerifier({ issuer: loop.issuer, audience: ['api://files'], jwksUri: `${loop.authority}/discovery/v2.0/keys` })
  await expect(verify(set)).resolves.toMatchObject({ iss: loop.issuer })
  const { exp, sub, ...rest } = claimsOf(apiToken)
  const dressed = {
    sub_id: { format: 'iss_sub', iss: loop.issuer, sub },
    events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {} },
  }
  const header = { alg: 'ES256', kid: own.kid, typ: 'secevent+jwt' }
  for (const token of [
    apiToken,
    own.sign(header, claimsOf(apiToken)),
    own.sign(header, { ...rest, exp, ...dressed }),
    own.sign(header, { ...rest, sub, ...dressed }),
    own.sign({ ...header, typ: 'at+jwt' }, { ...rest, ...dressed }),
    neighbour.sign({ ...header, kid: neighbour.kid }, { ...rest, ...dressed }),
    neighbour.sign(header, { ...rest, ...dressed }),
    own.sign(header, { ...rest, ...dressed, iss: neighbourIssuer }),
    own.sign(header, { ...rest, ...dressed, aud: 'api://mail' }),
    `${part({ ...header, alg: 'none' })}.${part({ ...rest, ...dressed })}.`,
  ]) {
    const error = await verify(token).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'set_refused' })
    expect(leaked(token, `${(error as Error).message} ${JSON.stringify((error as { detail: unknown }).detail)}`)).toBeUndefined()
  }
  await expect(verify(own.sign(header, { ...rest, ...dressed }))).resolves.toMatchObject({ jti: rest.jti })
})

it('A5: a neighbour of the same names is another world: its admin sees its own users only', async () => {
  const list = async (token: string) => {
    const response = await fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })
    return ((await response.json()) as { value: { id: string }[] }).value.map(({ id }) => id)
  }
  const [ours, theirs] = [await list(adminToken), await list(neighbourToken)]
  expect(ours.length).toBeGreaterThan(1)
  expect(theirs).toHaveLength(1)
  expect(ours).not.toContain(theirs[0])
  for (const path of [`/users/${ours[0]}`, '/users/bob@contoso.test']) {
    const headers = { authorization: `Bearer ${neighbourToken}` }
    expect((await fetch(`${loop.origin}/v1.0${path}`, { headers })).status).toBe(404)
    expect((await fetch(`${loop.origin}/v1.0${path}/revokeSignInSessions`, { method: 'POST', headers })).status).toBe(404)
    expect((await fetch(`${loop.origin}/v1.0${path}`, { method: 'DELETE', headers })).status).toBe(404)
  }
})

it('waits for no request for ever, however slowly it comes', async () => {
  const seen = new Set<HttpServer>()
  const look = (message: unknown) => void seen.add((message as { server: HttpServer }).server)
  subscribe('http.server.request.start', look)
  await fetch(`${loop.origin}/healthz`)
  unsubscribe('http.server.request.start', look)
  expect(seen.size).toBe(1)
  for (const { requestTimeout, headersTimeout } of seen) {
    expect(requestTimeout).toBe(120_000)
    expect(headersTimeout).toBe(60_000)
  }
})

it('asks who calls before it reads what is sent: a broken or a large body without a token is 401', async () => {
  for (const [path, method] of [
    ['/v1.0/users/alice@contoso.test', 'PATCH'],
    ['/contoso/ssf/streams', 'POST'],
  ] as const) {
    for (const body of ['{ broken', 'x'.repeat(2_000_000)]) {
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${loop.origin}${path}`, { method, headers, body }).catch(() => undefined)
      // The server may end the connection while a large body is still on its way.
      if (body.length < 1000 || response) expect(response?.status).toBe(401)
    }
  }
})
