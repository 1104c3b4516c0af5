import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const daemon = (appId: string, ...permissions: string[]) => ({ appId, type: 'daemon', clientSecret: SECRET, permissions })
const TENANT = {
  tenant: { name: 'contoso' },
  users: [
    { userPrincipalName: 'admin@contoso.test', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'former@contoso.test', password: PASSWORD, roles: ['admin'], enabled: false },
    { userPrincipalName: 'alice@contoso.test', password: PASSWORD, enabled: false },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    daemon('people', 'graph/User.ReadWrite.All', 'graph/UserAuthenticationMethod.ReadWrite.All'),
    daemon('switcher', 'graph/User.EnableDisableAccount.All'),
    daemon('hr', 'graph/SCIM.ReadWrite.All'),
    daemon('apps', 'graph/Application.ReadWrite.All'),
    daemon('whole', 'graph/.default'),
    { ...daemon('mighty', 'graph/.default'), dpopBoundAccessTokens: true, enabled: false },
    { ...daemon('meek'), dpopBoundAccessTokens: true, enabled: false },
  ],
}

let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ tenant: JSON.stringify(TENANT) })
})
afterAll(() => loop?.close())

async function ask(by: string, method: string, path: string, body?: unknown, base = `${loop.origin}/v1.0`) {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { authorization: `Bearer ${await loop.daemonToken(by, `${loop.origin}/.default`)}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, text: await response.text() }
}
const { stringify: json } = JSON
const idOf = async (name: string) =>
  (await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', `${name}@contoso.test`).executeTakeFirstOrThrow()).id

describe('C5: an application', () => {
  it('enables people, and no administrator: who was disabled still knows the password', async () => {
    expect(await ask('switcher', 'PATCH', '/users/former@contoso.test', { accountEnabled: true })).toMatchObject({ status: 403 })
    expect((await ask('switcher', 'PATCH', '/users/former@contoso.test', { accountEnabled: true })).text).toContain(
      'by an administrator, not by an application',
    )
    expect(await ask('switcher', 'PATCH', '/users/alice@contoso.test', { accountEnabled: true })).toMatchObject({ status: 204 })
    const file = { tenant: { name: 'contoso' }, users: [{ userPrincipalName: 'former@contoso.test', enabled: true }] }
    const { text } = await ask('people', 'POST', '/caegis/tenantFile/plan', { file })
    expect(await ask('people', 'POST', '/caegis/tenantFile/apply', { file, digest: JSON.parse(text).digest })).toMatchObject({ status: 403 })
  })

  it('that may do little lets none in that may do more: it neither enables it nor frees it of its key', async () => {
    for (const [path, body] of [
      ['/servicePrincipals/mighty', { accountEnabled: true }],
      ['/applications/mighty', { dpopBoundAccessTokens: false }],
    ] as const) {
      const { status, text } = await ask('apps', 'PATCH', path, body)
      expect([status, text]).toEqual([403, expect.stringContaining('may do more in the admin API')])
      expect(await ask('apps', 'PATCH', path.replace('mighty', 'meek'), body)).toMatchObject({ status: 204 })
    }
    expect(await ask('whole', 'PATCH', '/servicePrincipals/mighty', { accountEnabled: true })).toMatchObject({ status: 204 })
  })
})

describe('C3: the last administrator', () => {
  it.each([
    ['is not disabled by an application', 'switcher', 'PATCH', { accountEnabled: false }],
    ['is not deleted by one', 'people', 'DELETE', undefined],
  ])('%s', async (_, by, method, body) => {
    const { status, text } = await ask(by, method, '/users/admin@contoso.test', body)
    expect([status, text]).toEqual([400, expect.stringContaining('This is the last administrator')])
  })

  it('is neither disabled nor deleted by provisioning', async () => {
    const scim = `${loop.authority}/scim/v2`
    const id = await idOf('admin')
    const disable = { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [{ op: 'replace', path: 'active', value: false }] }
    expect(await ask('hr', 'PATCH', `/Users/${id}`, disable, scim)).toMatchObject({
      status: 400,
      text: expect.stringContaining('last administrator'),
    })
    expect(await ask('hr', 'DELETE', `/Users/${id}`, undefined, scim)).toMatchObject({
      status: 400,
      text: expect.stringContaining('last administrator'),
    })
  })

  it('does not disable themselves either; whoever has the host does what they say', async () => {
    const own = createFlow(loop, { username: 'admin@contoso.test', clientId: 'caegis-cli', scope: `${loop.origin}/User.ReadWrite.All openid` })
    const { accessToken } = await own.tokens()
    const response = await fetch(`${loop.origin}/v1.0/users/admin@contoso.test`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
      body: json({ accountEnabled: false }),
    })
    expect(response.status).toBe(400)
    await loop.server.apply(json({ ...TENANT, users: [{ userPrincipalName: 'admin@contoso.test', enabled: false }] }))
    const row = loop.server.store.db.selectFrom('users').select('enabled').where('upn_key', '=', 'admin@contoso.test')
    expect((await row.executeTakeFirstOrThrow()).enabled).toBe(0)
  })
})
