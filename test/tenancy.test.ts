import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { createForge } from './forge.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'
import { createReceiver, startEndpoint } from './signals-tenant.ts'

const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

/** Two companies that name everything alike: people, applications, scopes, passwords and secrets. */
const tenantOf = (name: string) =>
  JSON.stringify({
    tenant: { name },
    users: ['alice', 'bob'].map((one) => ({ userPrincipalName: `${one}@same.test`, displayName: one, password: PASSWORD })),
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read'] },
      {
        ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
        permissions: ['graph/User.ReadWrite.All', 'graph/SecurityEvents.ReadWrite.All', 'graph/Organization.ReadWrite.All'],
      },
    ],
  })

/** One of both, as everything that the tests have sees it. */
interface Side extends Loop {
  name: string
  admin(method: string, path: string, body?: unknown): Promise<Response>
}

describe('two tenants of one server', () => {
  let loop: Loop
  let a: Side
  let b: Side
  beforeAll(async () => {
    loop = await startLoop({ tenant: tenantOf('alpha'), environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    const other = await loop.server.apply(tenantOf('beta'))
    const ids = await loop.server.store.db.selectFrom('tenants').select(['id', 'name']).execute()
    a = sideOf('alpha', loop.issuer)
    b = sideOf('beta', other.issuer)
    function sideOf(name: string, issuer: string): Side {
      const authority = issuer.slice(0, -'/v2.0'.length)
      const token: Loop['token'] = async (form) => {
        const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
        return { status: response.status, body: (await response.json()) as Record<string, unknown>, headers: response.headers }
      }
      const daemonToken = async (clientId: string, scope: string) =>
        String((await token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, scope })).body.access_token)
      const admin = async (method: string, path: string, body?: unknown) =>
        fetch(`${loop.origin}/v1.0${path}`, {
          method,
          headers: {
            authorization: `Bearer ${await daemonToken('nightly', `${loop.origin}/.default`)}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
      return {
        ...loop,
        ...{ name, issuer, authority, token, daemonToken, admin },
        tenant: ids.find((one) => one.name === name)?.id as string,
        guard: (more = {}) => loop.guard({ issuer, ...more }),
      }
    }
  })
  afterAll(() => loop.close())

  const flow = (side: Side, browser = createBrowser()) => createFlow(side, { username: 'alice@same.test', browser })
  const json = async (answer: Promise<Response>) => (await answer).json() as Promise<any>

  it('people of the same name are two people, whom only their own administrators see', async () => {
    const [here, there] = await Promise.all([json(a.admin('GET', '/users/alice@same.test')), json(b.admin('GET', '/users/alice@same.test'))])
    expect(here.id).not.toBe(there.id)
    for (const [method, path, body] of [
      ['GET', `/users/${there.id}`],
      ['PATCH', `/users/${there.id}`, { accountEnabled: false }],
      ['POST', `/users/${there.id}/revokeSignInSessions`],
      ['DELETE', `/users/${there.id}`],
    ] as const)
      expect((await a.admin(method, path, body)).status, `${method} ${path}`).toBe(404)
    expect((await json(b.admin('GET', '/users/alice@same.test?$select=accountEnabled'))).accountEnabled).toBe(true)
    expect((await json(a.admin('GET', '/users'))).value).toHaveLength(2)
  })

  it('A5: tokens, codes, refresh tokens and keys of one are nothing at the other', async () => {
    const mine = flow(a)
    const code = await mine.code()
    const redeem = { grant_type: 'authorization_code', client_id: 'files-native', code_verifier: mine.verifier, redirect_uri: 'http://localhost' }
    expect(await b.token({ ...redeem, code })).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    const { accessToken, refreshToken } = await flow(a).tokens()
    expect(await b.token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: refreshToken })).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    })
    expect((await a.token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: refreshToken })).status).toBe(200)

    const [forA, forB] = await Promise.all([a.guard(), b.guard()])
    expect(await verdictOf(forA, accessToken)).toMatchObject({ allowed: true })
    expect(await verdictOf(forB, accessToken)).toMatchObject({ allowed: false, status: 401 })
    // The key of one with the issuer of the other, at an API and at the server.
    const forge = await createForge(loop, a.tenant)
    expect(await verdictOf(forB, forge.like(accessToken, { iss: b.issuer, tid: b.tenant }))).toMatchObject({ allowed: false, code: 'token_key' })
    const admin = await a.daemonToken('nightly', `${loop.origin}/.default`)
    const asAdmin = (token: string) => fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })
    expect((await asAdmin(admin)).status).toBe(200)
    expect((await asAdmin(forge.like(admin, { iss: b.issuer, tid: b.tenant }))).status).toBe(401)
    const kids = async (side: Side) => (await json(fetch(`${side.authority}/discovery/v2.0/keys`))).keys.map(({ kid }: { kid: string }) => kid)
    const [first, second] = await Promise.all([kids(a), kids(b)])
    expect(first.filter((kid: string) => second.includes(kid))).toEqual([])
    expect((await a.admin('DELETE', `/caegis/keys/${second[0]}`)).status).toBe(404)
    expect(await kids(b)).toEqual(second)
  })

  it('the session of one is not one at the other', async () => {
    const browser = createBrowser()
    await flow(a, browser).tokens()
    const silent = { ...{ username: 'alice@same.test', browser }, more: { prompt: 'none' } }
    expect((await createFlow(a, silent).signIn()).searchParams.get('code')).toBeTruthy()
    expect((await createFlow(b, silent).signIn()).searchParams.get('error')).toBe('login_required')
  })

  it('A5: what ends at one is heard by its own guards and seen in its own log only', async () => {
    const [forA, forB] = await Promise.all([a.guard(), b.guard()])
    const [mine, theirs] = [(await flow(a).tokens()).accessToken, (await flow(b).tokens()).accessToken]
    expect(claimsOf(mine).sub).not.toBe(claimsOf(theirs).sub)
    const done = await a.admin('POST', '/users/alice@same.test/revokeSignInSessions')
    const txn = done.headers.get('caegis-txn') as string
    await eventually(
      () => verdictOf(forA, mine),
      (verdict) => !verdict.allowed,
    )
    expect(await verdictOf(forB, theirs)).toMatchObject({ allowed: true })
    expect((await a.admin('GET', `/caegis/revocations/${txn}`)).status).toBe(200)
    expect((await b.admin('GET', `/caegis/revocations/${txn}`)).status).toBe(404)
    expect(JSON.stringify(await json(b.admin('GET', '/caegis/events')))).not.toContain(txn)
    const streams = async (side: Side) => (await json(side.admin('GET', '/caegis/streams'))).value as { id: string }[]
    const [own] = await streams(a)
    expect((await streams(b)).map(({ id }) => id)).not.toContain(own?.id)
    const api = await b.daemonToken('files-api', 'ssf.read ssf.manage')
    const at = (side: Side, path: string) => fetch(`${side.authority}/ssf${path}`, { headers: { authorization: `Bearer ${api}` } })
    expect((await at(b, `/streams?stream_id=${own?.id}`)).status).toBe(404)
    expect((await at(b, `/snapshot?stream_id=${own?.id}`)).status).toBe(404)
    // A token of the one at the endpoints of the other.
    for (const path of ['/streams', `/snapshot?stream_id=${own?.id}`, `/status?stream_id=${own?.id}`]) expect((await at(a, path)).status).toBe(401)
  })

  it("A5: the streams of one, and what died on them, are nobody's at the other", async () => {
    const endpoint = await startEndpoint(loop.data, () => 400)
    try {
      const created = await createReceiver(b).call('POST', '/streams', {
        delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: endpoint.url },
        events_requested: [SESSION_REVOKED],
      })
      expect(created.status).toBe(201)
      const path = `/caegis/streams/${created.body.stream_id}`
      expect((await b.admin('POST', '/users/bob@same.test/revokeSignInSessions')).status).toBe(200)
      const { value: letters } = await eventually(
        async () => json(b.admin('GET', `${path}/deadLetters`)) as Promise<{ value: { id: string }[] }>,
        ({ value }) => value.length > 0,
      )
      await loop.server.store.flush()
      const before = await json(b.admin('GET', path))
      const pushed = endpoint.pushed.length
      for (const [method, rest] of [
        ['GET', ''],
        ['DELETE', ''],
        ['GET', '/deadLetters'],
        ['POST', '/deadLetters/redeliver'],
        ...['verify', 'pause', 'enable', 'disable'].map((action) => ['POST', `/${action}`]),
      ] as [string, string][]) {
        const body = rest.endsWith('redeliver') ? { ids: letters.map(({ id }) => id) } : undefined
        expect((await a.admin(method, path + rest, body)).status, `${method} ${rest}`).toBe(404)
      }
      // The receiver's own way leads there neither, with the token of the other's application of the same name.
      for (const [method, rest] of [
        ['GET', `/streams?stream_id=${created.body.stream_id}`],
        ['DELETE', `/streams?stream_id=${created.body.stream_id}`],
        ['GET', `/status?stream_id=${created.body.stream_id}`],
      ] as [string, string][])
        expect((await createReceiver(a).call(method, rest)).status, `${method} ${rest}`).toBe(404)
      expect(await json(b.admin('GET', path))).toEqual(before)
      expect((await json(b.admin('GET', `${path}/deadLetters`))).value).toEqual(letters)
      expect(endpoint.pushed).toHaveLength(pushed)
    } finally {
      endpoint.close()
    }
  })
})
