import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const TENANT = {
  tenant: { name: 'contoso', displayName: 'Contoso' },
  groups: [{ displayName: 'staff' }],
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD, groups: ['staff'] },
    { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    {
      ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
      permissions: ['graph/RoleManagement.ReadWrite.Directory', 'graph/AppRoleAssignment.ReadWrite.All', 'graph/Application.Read.All'],
    },
  ],
}

let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ tenant: JSON.stringify(TENANT) })
})
afterAll(() => loop.close())

const idOf = async (upn: string) =>
  (await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', upn).executeTakeFirstOrThrow()).id
const status = async (method: string, path: string, body?: unknown) => (await loop.graph(method, path, body)).status
const json = async (path: string) => (await loop.graph('GET', path)).json() as Promise<{ value: Record<string, string>[] }>
const refTo = (id: string) => ({ '@odata.id': `${loop.origin}/v1.0/directoryObjects/${id}` })

describe('directory roles', () => {
  it('are given and taken; who holds one is told in wids, and a role that is gone is gone at once', async () => {
    const guard = await loop.guard()
    const alice = await idOf('alice@contoso.test')
    const flow = createFlow(loop, { capable: true })
    const { accessToken, refreshToken } = await flow.tokens()
    expect(claimsOf(accessToken)).not.toHaveProperty('wids')
    expect((await json('/directoryRoles')).value).toMatchObject([{ id: 'admin' }])
    expect(await status('POST', '/directoryRoles/admin/members/$ref', refTo(alice))).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    const next = (await flow.refresh(refreshToken)).body
    expect(claimsOf(String(next.access_token))).toMatchObject({ wids: ['admin'] })
    const members = (await json('/directoryRoles/admin/members')).value.map(({ userPrincipalName }) => userPrincipalName)
    expect(members.sort()).toEqual(['admin@contoso.test', 'alice@contoso.test'])

    const admin = createFlow(loop, { clientId: 'caegis-cli', scope: `${loop.origin}/User.Read.All openid` })
    const token = (await admin.tokens()).accessToken
    const users = async () => (await fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })).status
    expect(await users()).toBe(200)
    expect(await status('DELETE', `/directoryRoles/admin/members/${alice}/$ref`)).toBe(204)
    // The token is dead, or still let in and without the right.
    expect([401, 403]).toContain(await users())
    expect(claimsOf(String((await flow.refresh(String(next.refresh_token))).body.access_token))).not.toHaveProperty('wids')
  })

  it('C3: the last administrator stays one, whoever asks', async () => {
    const [admin, bob] = [await idOf('admin@contoso.test'), await idOf('bob@contoso.test')]
    const answer = await loop.graph('DELETE', `/directoryRoles/admin/members/${admin}/$ref`)
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining('last administrator') } })
    const { db } = loop.server.store
    // An administrator who is disabled, and the emergency account, are none to count on.
    expect(await status('POST', '/directoryRoles/admin/members/$ref', refTo(bob))).toBe(204)
    for (const columns of [{ enabled: 0 }, { enabled: 1, break_glass: 1 }]) {
      await db.updateTable('users').set(columns).where('id', '=', bob).execute()
      expect(await status('DELETE', `/directoryRoles/admin/members/${admin}/$ref`)).toBe(400)
    }
    await db.updateTable('users').set({ enabled: 1, break_glass: 0 }).where('id', '=', bob).execute()
    expect(await status('DELETE', `/directoryRoles/admin/members/${admin}/$ref`)).toBe(204)
    expect(await status('POST', '/directoryRoles/admin/members/$ref', refTo(admin))).toBe(204)
    expect(await status('DELETE', `/directoryRoles/admin/members/${bob}/$ref`)).toBe(204)
  })

  it('of an unknown name, for unknown users, or by who may not, are refused', async () => {
    expect(await status('POST', '/directoryRoles/owner/members/$ref', refTo(await idOf('bob@contoso.test')))).toBe(404)
    expect(await status('GET', '/directoryRoles/owner/members')).toBe(404)
    expect(await status('POST', '/directoryRoles/admin/members/$ref', refTo('nobody'))).toBe(404)
    const file = structuredClone(TENANT)
    for (const [permission, read] of [
      ['graph/RoleManagement.Read.Directory', 200],
      ['graph/User.ReadWrite.All', 403],
    ] as const) {
      Object.assign(file.applications[2] as object, { permissions: [permission] })
      await loop.server.apply(JSON.stringify(file))
      expect(await status('GET', '/directoryRoles')).toBe(read)
      expect(await status('GET', '/directoryRoles/admin/members')).toBe(read)
      expect(await status('POST', '/directoryRoles/admin/members/$ref', refTo(await idOf('bob@contoso.test')))).toBe(403)
      expect(await status('DELETE', `/directoryRoles/admin/members/${await idOf('admin@contoso.test')}/$ref`)).toBe(403)
      expect(await status('POST', '/servicePrincipals/files-api/appRoleAssignedTo', { principalId: 'x', appRoleId: 'Reader' })).toBe(403)
    }
    await loop.server.apply(JSON.stringify(TENANT))
  })
})

describe('roles of an application', () => {
  it('are given to users and groups, listed, and taken back', async () => {
    const guard = await loop.guard()
    const url = '/servicePrincipals/files-api/appRoleAssignedTo'
    const { id: staff } = await loop.server.store.db.selectFrom('groups').select('id').executeTakeFirstOrThrow()
    const alice = await idOf('alice@contoso.test')
    const flow = createFlow(loop, { capable: true })
    let tokens = await flow.tokens()
    const bob = await createFlow(loop, { capable: true, username: 'bob@contoso.test' }).tokens()
    const made: string[] = []
    for (const [principalId, appRoleId, roles] of [
      [alice, 'Reader', ['Reader']],
      [staff, 'Writer', ['Reader', 'Writer']],
    ] as const) {
      const answer = await loop.graph('POST', url, { principalId, appRoleId })
      expect(answer.status).toBe(201)
      made.push(((await answer.json()) as { id: string }).id)
      const old = tokens.accessToken
      await eventually(
        async () => (await verdictOf(guard, old)).allowed,
        (allowed) => !allowed,
      )
      const { body } = await flow.refresh(tokens.refreshToken)
      tokens = { ...tokens, accessToken: String(body.access_token), refreshToken: String(body.refresh_token) }
      expect(claimsOf(tokens.accessToken)).toMatchObject({ roles })
    }
    expect((await json(url)).value).toMatchObject([
      { id: made[0], principalId: alice, appRoleId: 'Reader', resourceId: 'files-api' },
      { id: made[1], principalId: staff, appRoleId: 'Writer' },
    ])
    expect(await verdictOf(guard, bob.accessToken)).toMatchObject({ allowed: true })
    expect(await status('DELETE', `${url}/${made[1]}`)).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, tokens.accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect(claimsOf(String((await flow.refresh(tokens.refreshToken)).body.access_token))).toMatchObject({ roles: ['Reader'] })
    expect(await status('DELETE', `${url}/${made[1]}`)).toBe(404)
    expect(await status('POST', '/servicePrincipals/nobody/appRoleAssignedTo', { principalId: alice, appRoleId: 'Reader' })).toBe(404)
    expect(await status('POST', url, { principalId: 'nobody', appRoleId: 'Reader' })).toBe(404)
  })
})
