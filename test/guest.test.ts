import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, holdNextMint, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const apps = [
  {
    ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    optionalClaims: ['acct'],
  },
  { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
  { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
]
const HOME = { tenant: { name: 'fabrikam' }, users: [{ userPrincipalName: 'gina@fabrikam.test', password: PASSWORD }], applications: apps }
/** Gina is a guest of contoso, with an account that says whose she is; so is somebody of a server elsewhere. */
const hostOf = (home: object) =>
  JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    users: [
      { userPrincipalName: 'gina@contoso.test', password: PASSWORD, type: 'guest', home },
      { userPrincipalName: 'far@contoso.test', password: PASSWORD, type: 'guest', home: { issuer: 'https://elsewhere.test/v2.0', id: 'far' } },
      { userPrincipalName: 'alice@contoso.test', password: PASSWORD },
    ],
    applications: apps,
  })

/** Of the home tenant, the loop; of the one that she is a guest in, the same with another authority. */
let home: Loop
let host: Loop
let gina: { home: string; host: string }

beforeAll(async () => {
  home = await startLoop({ tenant: JSON.stringify(HOME) })
  const { db } = home.server.store
  const of = async (upn: string) => (await db.selectFrom('users').select('id').where('upn_key', '=', upn).executeTakeFirstOrThrow()).id
  const own = await of('gina@fabrikam.test')
  const { issuer, tenant } = await home.server.apply(hostOf({ issuer: home.issuer, id: own }))
  const authority = issuer.slice(0, -'/v2.0'.length)
  host = {
    ...{ ...home, issuer, tenant, authority },
    async token(form) {
      const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
      return { status: response.status, body: (await response.json()) as Record<string, unknown>, headers: response.headers }
    },
    guard: (more = {}) => home.guard({ issuer, ...more }),
  }
  gina = { home: own, host: await of('gina@contoso.test') }
})
afterAll(() => home.close())

const flowOf = (who = 'gina') => createFlow(host, { username: `${who}@contoso.test` })
const logOf = async (tenant: string, after: number) =>
  (await home.server.store.db.selectFrom('events').selectAll().where('tenant', '=', tenant).where('seq', '>', after).orderBy('seq').execute()).map(
    ({ type, subject, payload, txn, seq }) => ({
      type: type.split('/').at(-1),
      subject: JSON.parse(subject),
      payload: JSON.parse(payload),
      txn,
      seq,
    }),
  )
const position = async (tenant: string) => (await home.server.store.position(tenant)).seq
const patch = async (body: object) => expect((await home.graph('PATCH', `/users/${gina.home}`, body)).status).toBe(204)
const dead = async (guard: Awaited<ReturnType<Loop['guard']>>, token: string) =>
  eventually(
    async () => (await verdictOf(guard, token)).allowed,
    (allowed) => !allowed,
  )

describe('E8: a guest', () => {
  it('whose own account is disabled is refused where it is a guest too: one row in each log, one txn', async () => {
    const guard = await host.guard()
    const flow = flowOf()
    const { accessToken, refreshToken } = await flow.tokens()
    const others = [(await flowOf('alice').tokens()).accessToken, (await flowOf('far').tokens()).accessToken]
    expect(claimsOf(accessToken)).toMatchObject({ acct: 1 })
    expect(claimsOf(others[0] as string)).toMatchObject({ acct: 0 })
    const [atHome, atHost] = [await position(home.tenant), await position(host.tenant)]
    await patch({ accountEnabled: false })
    await dead(guard, accessToken)
    for (const token of others) expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const [own, guest] = [await logOf(home.tenant, atHome), await logOf(host.tenant, atHost)]
    expect(own).toMatchObject([{ type: 'account-disabled', seq: atHome + 1, subject: { simple: { iss: home.issuer, sub: gina.home } } }])
    expect(guest).toMatchObject([
      { type: 'account-disabled', seq: atHost + 1, txn: own[0]?.txn, subject: { simple: { iss: host.issuer, sub: gina.host } } },
    ])
    expect(JSON.stringify(guest)).not.toContain(gina.home)
    expect(JSON.stringify(own)).not.toContain(gina.host)

    expect(await flow.refresh(refreshToken)).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant', suberror: 'bad_token', error_codes: [50057] },
    })
    await expect(flowOf().signIn()).rejects.toThrow(/disabled/)
    await patch({ accountEnabled: true })
    expect((await logOf(host.tenant, atHost + 1)).map(({ type }) => type)).toEqual(['account-enabled'])
    expect(await verdictOf(guard, (await flowOf().tokens()).accessToken)).toMatchObject({ allowed: true })
    // What it had before stays dead.
    expect((await flow.refresh(refreshToken)).status).toBe(400)
  })

  it('whose sessions are revoked at home signs in again, here too', async () => {
    const guard = await host.guard()
    const flow = flowOf()
    const { accessToken, refreshToken } = await flow.tokens()
    expect((await home.graph('POST', `/users/${gina.home}/revokeSignInSessions`)).status).toBe(200)
    await dead(guard, accessToken)
    expect(await flow.refresh(refreshToken)).toMatchObject({ status: 400, body: { error_codes: [50173] } })
    expect(await verdictOf(guard, (await flowOf().tokens()).accessToken)).toMatchObject({ allowed: true })
  })

  it('is one of its account in a tenant: another is refused, so that an end at home has no more to do than there are tenants', async () => {
    const file = JSON.parse(hostOf({ issuer: home.issuer, id: gina.home }))
    const twin = { userPrincipalName: 'twin@contoso.test', type: 'guest', home: { issuer: home.issuer, id: gina.home } }
    await expect((async () => home.server.apply(JSON.stringify({ ...file, users: [...file.users, twin] })))()).rejects.toMatchObject({
      code: 'user_exists',
    })
    const before = await position(host.tenant)
    expect((await home.graph('POST', `/users/${gina.home}/revokeSignInSessions`)).status).toBe(200)
    expect(await logOf(host.tenant, before)).toHaveLength(1)
    await home.server.apply(JSON.stringify(file))
  })

  it('is nothing to its home: what ends it here ends nothing there', async () => {
    const guard = await home.guard()
    const { accessToken } = await createFlow(home, { username: 'gina@fabrikam.test' }).tokens()
    const before = await position(home.tenant)
    const { directory } = await import('../packages/server/src/directory/directory.ts').then(({ createDirectory }) => ({
      directory: createDirectory(home.server.store, host.tenant, host.issuer),
    }))
    const system = { kind: 'system', reason: 'test' } as const
    await directory.update(system, gina.host, { enabled: false })
    await expect(flowOf().signIn()).rejects.toThrow(/disabled/)
    await directory.update(system, gina.host, { enabled: true })
    expect(await position(home.tenant)).toBe(before)
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    const type = await position(host.tenant)
    await directory.update(system, gina.host, { type: 'member' })
    expect(await logOf(host.tenant, type)).toMatchObject([{ type: 'token-claims-change', payload: { claims: { acct: 0 } } }])
    expect(claimsOf((await flowOf().tokens()).accessToken)).toMatchObject({ acct: 0 })
    await directory.update(system, gina.host, { type: 'guest' })
  })

  it('A4: whose home account is disabled while a token is minted here does not get it', async () => {
    const flow = flowOf()
    const { refreshToken } = await flow.tokens()
    const mint = holdNextMint(home)
    const answer = flow.refresh(refreshToken)
    await mint.held
    await patch({ accountEnabled: false })
    mint.release()
    expect(await answer).toMatchObject({ status: 400, body: { error_codes: [50057] } })
    await patch({ accountEnabled: true })
    // Enabling publishes no cutoff; an answer that was decided before it is decided again all the same.
    const again = flowOf()
    const code = await again.code()
    const second = holdNextMint(home)
    const redeemed = again.redeem(code)
    await second.held
    await home.server.store.db.updateTable('users').set({ enabled: 0, version: 1000 }).where('id', '=', gina.home).execute()
    second.release()
    expect(await redeemed).toMatchObject({ status: 400, body: { error_codes: [50057] } })
    await home.server.store.db.updateTable('users').set({ enabled: 1, version: 1001 }).where('id', '=', gina.home).execute()
  })

  it('cannot enumerate the directory: it reads itself', async () => {
    const scope = `${home.origin}/User.Read.All openid`
    const { accessToken } = await createFlow(host, { clientId: 'caegis-cli', username: 'gina@contoso.test', scope }).tokens()
    const get = (path: string) => fetch(`${home.origin}/v1.0${path}`, { headers: { authorization: `Bearer ${accessToken}` } })
    for (const path of ['/me', `/users/${gina.host}`, '/users/gina@contoso.test']) {
      const answer = await get(`${path}?$select=id,userType`)
      expect({ path, status: answer.status, body: await answer.json() }).toMatchObject({ status: 200, body: { id: gina.host, userType: 'Guest' } })
    }
    const paths = ['/users', '/users/alice@contoso.test', `/users/${gina.home}`, `/users?$filter=id eq '${gina.host}'`, '/devices', '/directoryRoles']
    for (const path of [...paths, '/users/nobody@contoso.test', '/servicePrincipals/files-api', `/caegis/users/${gina.host}/sessions`])
      expect({ path, status: (await get(path)).status }).toEqual({ path, status: 403 })
  })

  it('is read and changed in the admin API by its type', async () => {
    const token = String(
      (await host.token({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${home.origin}/.default` })).body
        .access_token,
    )
    const call = (method: string, path: string, body?: object) =>
      fetch(`${home.origin}/v1.0${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    const typeOf = async (upn: string) => ((await (await call('GET', `/users/${upn}?$select=userType`)).json()) as { userType: string }).userType
    expect([await typeOf('far@contoso.test'), await typeOf('alice@contoso.test')]).toEqual(['Guest', 'Member'])
    expect((await call('PATCH', '/users/alice@contoso.test', { userType: 'Guest' })).status).toBe(204)
    expect(await typeOf('alice@contoso.test')).toBe('Guest')
    expect((await call('PATCH', '/users/alice@contoso.test', { userType: 'Visitor' })).status).toBe(400)
    const wrong = JSON.parse(hostOf({ issuer: home.issuer, id: gina.home }))
    wrong.users[0].type = 'member'
    await expect((async () => home.server.apply(JSON.stringify(wrong)))()).rejects.toMatchObject({ code: 'invalid_tenant_file' })
  })

  it('whose own account is deleted is nobody any more', async () => {
    const guard = await host.guard()
    const flow = flowOf()
    const { accessToken, refreshToken } = await flow.tokens()
    const before = await position(host.tenant)
    expect((await home.graph('DELETE', `/users/${gina.home}`)).status).toBe(204)
    await dead(guard, accessToken)
    expect((await logOf(host.tenant, before)).map(({ type }) => type)).toEqual(['account-disabled'])
    expect(await flow.refresh(refreshToken)).toMatchObject({ status: 400, body: { error_codes: [50057] } })
    await expect(flowOf().signIn()).rejects.toThrow(/disabled/)
  })
})
