import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: 'correct horse battery' }],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    {
      appId: 'nightly',
      type: 'daemon',
      clientSecret: SECRET,
      permissions: ['graph/Application.ReadWrite.All', 'graph/AppRoleAssignment.ReadWrite.All', 'api://files/.default'],
    },
    { appId: 'registrar', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Application.ReadWrite.All'] },
    {
      ...{ appId: 'named-in-file', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      appRoles: [{ value: 'Reader', users: ['alice@contoso.test'] }],
    },
    { appId: 'mighty', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
    { appId: 'portal', type: 'web', redirectUris: ['https://portal.test/in'], clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
    { appId: 'lister', type: 'web', redirectUris: ['https://lister.test/in'], clientSecret: SECRET, permissions: ['graph/Application.Read.All'] },
  ],
})
const REDIRECT = 'http://localhost'

describe('applications in the admin API', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop({ tenant: TENANT })
  })
  afterAll(() => loop.close())

  const read = async (path: string) =>
    (await (await loop.graph('GET', path)).json()) as Record<string, unknown> & { value: Record<string, unknown>[] }
  const eventsOf = async (appId: string) =>
    (await loop.server.store.db.selectFrom('events').selectAll().orderBy('seq').execute())
      .filter(({ subject }) => JSON.parse(subject).complex.application?.id === appId)
      .map(({ type }) => type.split('/').at(-1))

  it('one is made, signs somebody in, and its end ends all that it holds, for ever', async () => {
    const body = { appId: 'fresh', displayName: 'Fresh', publicClient: { redirectUris: [REDIRECT] }, permissions: [SCOPE] }
    const made = await loop.graph('POST', '/applications', body)
    expect(made.status).toBe(201)
    expect(await made.json()).toMatchObject({
      appId: 'fresh',
      displayName: 'Fresh',
      publicClient: { redirectUris: [REDIRECT] },
      spa: { redirectUris: [] },
    })
    const guard = await loop.guard()
    const flow = createFlow(loop, { clientId: 'fresh', redirectUri: REDIRECT })
    const { accessToken, refreshToken } = await flow.tokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    expect((await loop.graph('DELETE', '/applications/fresh')).status).toBe(204)
    await eventually(
      () => verdictOf(guard, accessToken),
      (verdict) => !verdict.allowed,
    )
    expect(await flow.refresh(refreshToken)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect(await eventsOf('fresh')).toEqual(['account-disabled'])
    const cut = loop.server.store.db.selectFrom('cutoffs').select(['kind', 'depth']).where('id', '=', 'fresh')
    expect(await cut.execute()).toEqual([{ kind: 'app', depth: 'sign-in' }])
    for (const path of ['/applications/fresh', '/servicePrincipals/fresh']) expect((await loop.graph('GET', path)).status).toBe(404)
    expect((await loop.graph('PATCH', '/servicePrincipals/fresh', { accountEnabled: true })).status).toBe(404)
    expect((await loop.graph('DELETE', '/applications/fresh')).status).toBe(404)
    expect((await loop.graph('POST', '/applications', body)).status).toBe(409)
    expect((await read('/applications')).value.map(({ appId }) => appId)).not.toContain('fresh')
  })

  it('one that ended stays so when the tenant file still names it', async () => {
    expect((await loop.graph('DELETE', '/applications/named-in-file')).status).toBe(204)
    await loop.server.apply(TENANT)
    expect((await loop.graph('GET', '/applications/named-in-file')).status).toBe(404)
    expect(await loop.server.store.db.selectFrom('assignments').selectAll().execute()).toEqual([])
  })

  it('a confidential one loses its secret with everything else', async () => {
    await loop.graph('POST', '/applications', { appId: 'secretive', displayName: 'S', web: { redirectUris: ['https://s.test/back'] } })
    await loop.graph('POST', '/servicePrincipals/secretive/addPassword', { passwordCredential: { displayName: 'one' } })
    expect((await read('/applications/secretive')).passwordCredentials).toMatchObject([{ displayName: 'one' }])
    expect((await loop.graph('DELETE', '/applications/secretive')).status).toBe(204)
    expect(await loop.server.store.db.selectFrom('credentials').selectAll().where('app_id', '=', 'secretive').execute()).toEqual([])
  })

  it('edits: a scope that is gone cuts what holds it, and nothing is taken from another', async () => {
    const api = (...values: string[]) => ({ api: { oauth2PermissionScopes: values.map((value) => ({ value })) } })
    const made = await loop.graph('POST', '/applications', { displayName: 'An API', identifierUris: ['api://made'], ...api('Read', 'Write') })
    const { appId } = (await made.json()) as { appId: string }
    expect(appId).toMatch(/^[0-9a-f-]{36}$/)
    await loop.graph('POST', '/applications', {
      ...{ appId: 'caller', displayName: 'Caller', spa: { redirectUris: ['https://spa.test/a'] } },
      permissions: ['api://made/Read', 'api://made/Write'],
    })
    const native = { appId: 'caller-native', displayName: 'N', publicClient: { redirectUris: [REDIRECT] }, permissions: ['api://made/Write'] }
    await loop.graph('POST', '/applications', native)
    await createFlow(loop, { clientId: 'caller-native', redirectUri: REDIRECT, scope: 'api://made/Write openid' }).tokens()
    expect((await loop.graph('PATCH', `/applications/${appId}`, { displayName: 'Renamed' })).status).toBe(204)
    expect(await eventsOf('caller-native')).toEqual([])
    expect((await loop.graph('PATCH', `/applications/${appId}`, api('Read'))).status).toBe(204)
    expect(await eventsOf('caller-native')).toEqual(['token-claims-change'])
    expect(await read(`/applications/${appId}`)).toMatchObject({ displayName: 'Renamed', identifierUris: ['api://made'], ...api('Read') })
    expect((await loop.graph('PATCH', '/applications/caller', { spa: { redirectUris: ['https://spa.test/b'] } })).status).toBe(204)
    expect((await read('/applications/caller')).spa).toEqual({ redirectUris: ['https://spa.test/b'] })
  })

  it('says what kind one is, what it may ask for and what its tokens hold; whatever is taken away ends what held it', async () => {
    const robot = { appId: 'robot', displayName: 'Robot', applicationType: 'daemon', permissions: ['api://files/.default'] }
    expect((await loop.graph('POST', '/applications', { ...robot, spa: { redirectUris: [REDIRECT] } })).status).toBe(400)
    expect((await loop.graph('POST', '/applications', robot)).status).toBe(201)
    expect(await read('/servicePrincipals/robot')).toMatchObject({ applicationType: 'daemon', cae: false, accountEnabled: true })
    // Without a credential it is nobody, and no public client either.
    const asked = { grant_type: 'client_credentials', client_id: 'robot', scope: 'api://files/.default' }
    expect((await loop.token(asked)).body).toMatchObject({ error: 'invalid_client' })
    expect((await loop.token({ ...asked, client_secret: 'robot' })).body).toMatchObject({ error: 'invalid_client' })
    const added = await loop.graph('POST', '/servicePrincipals/robot/addPassword', { passwordCredential: { displayName: 'one' } })
    const { secretText } = (await added.json()) as { secretText: string }
    expect((await loop.token({ ...asked, client_secret: secretText })).status).toBe(200)

    const change = (appId: string, body: object) => loop.graph('PATCH', `/applications/${appId}`, body)
    expect((await change('robot', { permissions: [] })).status).toBe(204)
    expect(await eventsOf('robot')).toEqual(['session-revoked'])
    expect((await loop.token({ ...asked, client_secret: secretText })).status).toBe(400)
    for (const permission of ['graph/User.ReadWrite.All', `${loop.origin}/User.ReadWrite.All`, 'files'])
      expect(`${permission} ${(await change('robot', { permissions: [permission] })).status}`).toMatch(/ 40[03]$/)
    expect(await read('/applications/robot')).toMatchObject({ permissions: [] })
    // What it has already may stay, or go.
    expect((await change('portal', { permissions: ['graph/User.ReadWrite.All', SCOPE] })).status).toBe(204)
    expect((await change('portal', { permissions: [SCOPE] })).status).toBe(204)
    expect((await change('portal', { permissions: ['graph/User.ReadWrite.All', SCOPE] })).status).toBe(403)

    expect((await change('files-api', { cae: false, optionalClaims: { accessToken: [{ name: 'email' }] } })).status).toBe(204)
    expect(await read('/applications/files-api')).toMatchObject({
      applicationType: 'api',
      cae: false,
      optionalClaims: { accessToken: [{ name: 'email' }] },
    })
    expect((await change('files-api', { optionalClaims: { accessToken: [{ name: 'password' }] } })).status).toBe(400)
    expect((await read("/applications?$filter=applicationType eq 'daemon'&$select=appId")).value.map(({ appId }) => appId)).toEqual(
      expect.arrayContaining(['nightly', 'mighty', 'robot']),
    )
    await loop.server.apply(TENANT)
    const { id: alice } = await loop.server.store.db.selectFrom('users').select('id').executeTakeFirstOrThrow()
    const { db } = loop.server.store
    await db.insertInto('assignments').values({ tenant: loop.tenant, app_id: 'files-api', role: 'Reader', principal_id: alice }).execute()
    expect((await read('/servicePrincipals/files-api/appRoleAssignedTo')).value).toMatchObject([
      { appRoleId: 'Reader', principalId: alice, principalDisplayName: 'Alice', principalType: 'User' },
    ])
  })

  it('gets permissions only by whoever may give them, as in a tenant file; whoever edits applications takes them away', async () => {
    const token = await loop.daemonToken('registrar', `${loop.origin}/.default`)
    const as = (method: string, path: string, body: object) =>
      fetch(`${loop.origin}/v1.0${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const body = { appId: 'plain', displayName: 'Plain', publicClient: { redirectUris: [REDIRECT] } }
    expect((await as('POST', '/applications', { ...body, permissions: [SCOPE] })).status).toBe(403)
    expect((await as('POST', '/applications', { ...body, permissions: [] })).status).toBe(201)
    const change = async (permissions: string[]) => (await as('PATCH', '/applications/plain', { permissions })).status
    expect(await change([SCOPE])).toBe(403)
    expect(await read('/applications/plain')).toMatchObject({ permissions: [] })
    expect((await loop.graph('PATCH', '/applications/plain', { permissions: [SCOPE, 'api://other/Read'] })).status).toBe(204)
    expect(await change([SCOPE, 'api://other/Read', 'api://other/Write'])).toBe(403)
    expect(await change([SCOPE])).toBe(204)
    expect(await change([SCOPE])).toBe(204)

    // What is taken away between the look and the change does not come back by it.
    const { store } = loop.server
    const { commit } = store
    store.commit = async (edit) => {
      store.commit = commit
      expect((await loop.graph('PATCH', '/applications/plain', { permissions: [] })).status).toBe(204)
      return commit(edit)
    }
    const late = await change([SCOPE])
    store.commit = commit
    expect(late).toBe(412)
    expect(await read('/applications/plain')).toMatchObject({ permissions: [] })
  })

  it('lists go by the query', async () => {
    const { value } = await read("/applications?$filter=startsWith(displayName,'files')&$select=appId,displayName")
    expect(value).toEqual([{ appId: 'files-api', displayName: 'files-api' }])
    expect((await read("/servicePrincipals?$filter=appId eq 'nightly'")).value).toMatchObject([{ appId: 'nightly', accountEnabled: true }])
    const first = await read('/applications?$top=2&$orderby=displayName')
    expect(first.value).toHaveLength(2)
    const rest = await read(String(first['@odata.nextLink']).slice(`${loop.origin}/v1.0`.length))
    expect(rest.value.map(({ id }) => id)).not.toContain(first.value[1]?.id)
    expect((await read("/servicePrincipals?$filter=appId eq 'nightly'")).value[0]?.passwordCredentials).toMatchObject([{ keyId: 'file' }])
    expect(JSON.stringify(await read('/applications'))).not.toContain(SECRET)
  })

  it.each([
    ['an id that is taken', { appId: 'nightly' }, 409],
    ["the server's own id", { appId: 'caegis-cli' }, 409],
    ["another API's name", { identifierUris: ['api://files'] }, 409],
    ['an unknown member', { signInAudience: 'x' }, 400],
    ['two kinds', { spa: { redirectUris: [] }, web: { redirectUris: [] } }, 400],
    ['a redirect without TLS', { spa: { redirectUris: ['http://elsewhere.test/'] } }, 400],
    ['rights in the admin API', { permissions: ['graph/User.ReadWrite.All'] }, 400],
  ])('%s is refused', async (_, more, status) => {
    expect((await loop.graph('POST', '/applications', { displayName: 'x', ...more })).status).toBe(status)
  })

  it.each(['graph', 'All', 'none'])('is not registered as %s, which policies mean something else by', async (appId) => {
    const answer = await loop.graph('POST', '/applications', { appId, displayName: 'Anything' })
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('must not be a word of Conditional Access policies')
  })

  it('is not registered under a name that every object has: what a session keeps of it would be kept with all of them', async () => {
    for (const appId of Object.getOwnPropertyNames(Object.prototype)) {
      expect((await loop.graph('POST', '/applications', JSON.parse(`{"appId":"${appId}","displayName":"x"}`))).status, appId).toBe(400)
      const file = `{"tenant":{"name":"contoso"},"applications":[{"appId":"${appId}"}]}`
      await expect(loop.server.apply(file), appId).rejects.toMatchObject({ code: 'invalid_tenant_file' })
    }
  })

  it('gets no credential and no address through one that may do less than it: nobody comes so to rights in the admin API', async () => {
    const secret = { passwordCredential: { displayName: 'x' } }
    const elsewhere = { web: { redirectUris: ['https://elsewhere.test/in'] } }
    const rows = () => loop.server.store.db.selectFrom('credentials').selectAll().orderBy('id').execute()
    const before = await rows()
    for (const appId of ['mighty', 'portal']) {
      const answer = await loop.graph('POST', `/servicePrincipals/${appId}/addPassword`, secret)
      expect(answer.status, appId).toBe(403)
      expect(await answer.text()).not.toContain('secretText')
    }
    expect((await loop.graph('PATCH', '/applications/portal', elsewhere)).status).toBe(403)
    expect(await rows()).toEqual(before)
    expect((await read('/applications/portal')).web).toEqual({ redirectUris: ['https://portal.test/in'] })
    // What takes away, and what gives no more than there is, is no matter.
    expect((await loop.graph('PATCH', '/applications/portal', { displayName: 'Portal', web: { redirectUris: [] } })).status).toBe(204)
    expect((await loop.graph('POST', '/servicePrincipals/lister/addPassword', secret)).status).toBe(200)
    expect((await loop.graph('PATCH', '/applications/lister', elsewhere)).status).toBe(204)
    // Who may do everything gives everything.
    const token = await loop.daemonToken('mighty', `${loop.origin}/.default`)
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const url = `${loop.origin}/v1.0/servicePrincipals/portal/addPassword`
    expect((await fetch(url, { method: 'POST', headers, body: JSON.stringify(secret) })).status).toBe(200)
  })

  it('refuses the rights of the server by their URLs, and to touch its own applications', async () => {
    for (const more of [{ permissions: [`${loop.origin}/User.ReadWrite.All`] }, { identifierUris: [`${loop.origin}/v1.0`] }])
      expect((await loop.graph('POST', '/applications', { displayName: 'x', ...more })).status).toBe(400)
    expect((await loop.graph('DELETE', '/applications/caegis-cli')).status).toBe(400)
    expect((await loop.graph('PATCH', '/applications/caegis-account', { displayName: 'x' })).status).toBe(400)
    expect((await loop.graph('PATCH', '/applications/nightly', { web: { redirectUris: [] } })).status).toBe(400)
    expect((await loop.graph('PATCH', '/applications/nightly', { identifierUris: ['api://files'] })).status).toBe(409)
  })
})
