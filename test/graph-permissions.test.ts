import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { includesPermission, PERMISSIONS } from '../packages/server/src/directory/permissions.ts'
import { registerGraph } from '../packages/server/src/graph/routes.ts'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const ROUTES = registerGraph(Fastify(), { origin: 'https://localhost', log: quiet, admit: async () => undefined, tag: () => '' })

const tenantOf = (name: string) => ({
  tenant: { name },
  groups: [{ displayName: 'staff' }],
  users: [
    { userPrincipalName: `admin@${name}.test`, displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: `alice@${name}.test`, displayName: 'Alice', password: PASSWORD, groups: ['staff'] },
  ],
  devices: [{ deviceId: `${name}-laptop`, publicKey: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'B'.repeat(43) } }],
  applications: [
    {
      appId: `${name}-api`,
      identifierUris: [`api://${name}`],
      scopes: ['Files.Read'],
      clientSecret: SECRET,
      appRoles: [{ value: 'Reader', users: [`alice@${name}.test`] }],
    },
    { appId: 'tool', type: 'native', redirectUris: ['http://localhost'], permissions: ['graph/.default'] },
    { appId: 'everything', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
    ...PERMISSIONS.map((one) => ({ appId: `d-${one}`, type: 'daemon', clientSecret: SECRET, permissions: [`graph/${one}`] })),
  ],
})

let loop: Loop
let all: string
beforeAll(async () => {
  loop = await startLoop({ tenant: JSON.stringify(tenantOf('contoso')) })
  all = await loop.daemonToken('everything', `${loop.origin}/.default`)
})
afterAll(() => loop.close())

const call = async (token: string, method: string, url: string, body?: unknown) => {
  const response = await fetch(`${loop.origin}/v1.0${url}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, text }
}
const nowhere = (url: string) => url.replace(/:\w+/g, 'nobody')
const DENIED = { error: { code: 'Authorization_RequestDenied', message: expect.any(String), innerError: expect.anything() } }

describe('each route', () => {
  it('declares who may use it, and lets each daemon do what its one permission says and no more', async () => {
    expect(ROUTES.length).toBeGreaterThan(60)
    for (const held of PERMISSIONS) {
      const token = await loop.daemonToken(`d-${held}`, `${loop.origin}/.default`)
      const answers = await Promise.all(ROUTES.map(async (route) => ({ ...route, ...(await call(token, route.method, nowhere(route.url))) })))
      for (const { method, url, needs, own, status, text } of answers) {
        const may = needs === 'each alone' || needs.some((one) => includesPermission([held], one))
        if (own) expect(`${held}: ${method} ${url} ${status}`).toBe(`${held}: ${method} ${url} 400`)
        else
          expect(`${held}: ${method} ${url} ${status === 403 ? 'denied' : 'let in'}`).toBe(`${held}: ${method} ${url} ${may ? 'let in' : 'denied'}`)
        expect(status, text).toBeLessThan(500)
        if (status === 403) expect(JSON.parse(text)).toEqual(DENIED)
      }
    }
    // Some thousands of requests.
  }, 180_000)

  it('asks people for the role beside the permission, and for the permission beside the role', async () => {
    const tokenOf = async (name: string, scope: string) =>
      (await createFlow(loop, { username: `${name}@contoso.test`, clientId: 'tool', scope }).tokens()).accessToken
    const everything = PERMISSIONS.map((one) => `${loop.origin}/${one}`).join(' ')
    const alice = await tokenOf('alice', `${everything} openid`)
    const little = await tokenOf('admin', `${loop.origin}/User.Read openid`)
    for (const { method, url, needs, own } of ROUTES) {
      if (needs === 'each alone') continue
      for (const [who, token] of [
        ['without the role', alice],
        ['without the permission', little],
      ] as const) {
        const { status, text } = await call(token, method, nowhere(url))
        if (own) expect(`${who}: ${method} ${url} ${status}`).toBe(`${who}: ${method} ${url} 200`)
        else
          expect(`${who}: ${method} ${url} ${status} ${status === 403 ? JSON.parse(text).error.code : text}`).toBe(
            `${who}: ${method} ${url} 403 ${DENIED.error.code}`,
          )
      }
    }
    const admin = await tokenOf('admin', `${everything} openid`)
    for (const { method, url, needs } of ROUTES.filter((one) => one.method === 'GET')) {
      if (needs === 'each alone') continue
      expect(`${url} ${(await call(admin, method, nowhere(url))).status}`).not.toBe(`${url} 403`)
    }
  })
})

describe('another tenant', () => {
  it('can neither be seen nor touched, by any route and any id of it', async () => {
    await loop.server.apply(JSON.stringify(tenantOf('fabrikam')))
    const { db } = loop.server.store
    const { id: other } = await db.selectFrom('tenants').select('id').where('name', '=', 'fabrikam').executeTakeFirstOrThrow()
    const { id: user } = await db.selectFrom('users').select('id').where('upn', '=', 'alice@fabrikam.test').executeTakeFirstOrThrow()
    const { id: group } = await db.selectFrom('groups').select('id').where('tenant', '=', other).executeTakeFirstOrThrow()
    const { kid } = await db.selectFrom('keys').select('kid').where('tenant', '=', other).executeTakeFirstOrThrow()
    const theirs = async (method: string, url: string, body: object) => {
      const form = { grant_type: 'client_credentials', client_id: 'everything', client_secret: SECRET, scope: `${loop.origin}/.default` }
      const token = await fetch(`${loop.origin}/fabrikam/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
      const { text } = await call(((await token.json()) as { access_token: string }).access_token, method, url, body)
      return text === '' ? '' : String(JSON.parse(text).id)
    }
    const conditions = { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] } }
    const rule = { displayName: 'fabrikam', state: 'disabled', conditions, grantControls: { operator: 'OR', builtInControls: ['mfa'] } }
    const policy = await theirs('POST', '/identity/conditionalAccess/policies', rule)
    const location = await theirs('POST', '/identity/conditionalAccess/namedLocations', { displayName: 'fabrikam', ipRanges: ['192.0.2.1'] })
    await theirs('PATCH', '/identity/conditionalAccess/authenticationContextClassReferences/c1', { displayName: 'fabrikam' })
    await theirs('POST', '/identityProtection/riskyUsers/confirmCompromised', { userIds: [user] })
    await theirs('POST', '/identityProtection/riskyServicePrincipals/confirmCompromised', { servicePrincipalIds: ['fabrikam-api'] })
    const job = { reason: 'r', t: 1, version: 1, scope: null, state: 'done', created_at: 1, ended_at: 1 } as const
    await db
      .insertInto('reevaluations')
      .values({ tenant: other, id: 'their-edit', ...job })
      .execute()
    const { id: principal } = await db.selectFrom('applications').select('id').where('app_id', '=', 'fabrikam-api').executeTakeFirstOrThrow()
    const ours = (await db.selectFrom('users').select('id').where('upn', '=', 'alice@contoso.test').executeTakeFirstOrThrow()).id
    const ids: [RegExp, string][] = [
      [/^(\/caegis)?\/users\//, user],
      [/^\/groups\//, group],
      [/^\/(servicePrincipals|applications)\//, 'fabrikam-api'],
      [/^(\/caegis)?\/devices\//, 'fabrikam-laptop'],
      [/^\/caegis\/keys\//, kid],
      [/^\/identity\/conditionalAccess\/policies\//, policy],
      [/^\/identity\/conditionalAccess\/namedLocations\//, location],
      [/^\/identity\/conditionalAccess\/authenticationContextClassReferences\//, 'c1'],
      [/^\/identity\/conditionalAccess\/reevaluations\//, 'their-edit'],
      [/^\/identityProtection\/riskyUsers\//, user],
      [/^\/identityProtection\/riskyServicePrincipals\//, principal],
      [/^\/oauth2PermissionGrants\//, Buffer.from(`${user}\ntool`).toString('base64url')],
    ]
    const bodies: Record<string, object> = {
      'PATCH /users/:id': { accountEnabled: false },
      'POST /users/:id/getMemberGroups': { securityEnabledOnly: false },
      'PATCH /groups/:id': { displayName: 'taken' },
      'POST /groups/:id/members/$ref': { '@odata.id': `https://x/users/${ours}` },
      'PATCH /applications/:id': { displayName: 'taken' },
      'PATCH /servicePrincipals/:id': { accountEnabled: false },
      'POST /servicePrincipals/:id/addPassword': { passwordCredential: { displayName: 'x' } },
      'POST /servicePrincipals/:id/removePassword': { keyId: 'file' },
      'POST /servicePrincipals/:id/appRoleAssignedTo': { principalId: ours, appRoleId: 'Reader' },
      'PATCH /devices/:id': { accountEnabled: false },
      'PATCH /identity/conditionalAccess/policies/:id': { state: 'enabled' },
      'PATCH /identity/conditionalAccess/namedLocations/:id': { isTrusted: true },
      'POST /caegis/devices/:id/revoke': { user: 'alice@contoso.test' },
      'POST /directoryRoles/:id/members/$ref': { '@odata.id': `https://x/users/${user}` },
    }
    const dump = async () => {
      const tables = [
        'users',
        'groups',
        'members',
        'nested',
        'applications',
        'credentials',
        'assignments',
        'devices',
        'policies',
        'locations',
        'contexts',
        'keys',
        'events',
        'cutoffs',
        'changes',
      ]
      const found = await Promise.all(tables.map((table) => sql`select * from ${sql.table(table)} where tenant = ${other}`.execute(db)))
      return JSON.stringify(found.map(({ rows }) => rows))
    }
    const before = await dump()
    let tried = 0
    for (const { method, url } of ROUTES.filter((one) => one.url.includes(':'))) {
      const id = ids.find(([prefix]) => prefix.test(url))?.[1] ?? user
      const path = url
        .replace(':member', user)
        .replace(':assignment', Buffer.from(`Reader\n${user}`).toString('base64url'))
        .replace('directoryRoles/:id', 'directoryRoles/admin')
        .replace(/:\w+/g, id)
      const body = bodies[`${method} ${url}`]
      const { status, text } = await call(all, method, path, body)
      // A role that both tenants have is ours; whoever holds it there is not.
      if (url === '/directoryRoles/:id/members') expect(text).not.toContain('fabrikam')
      else if (status !== 404)
        expect(`${method} ${path} ${status}`).toBe(`${method} ${path} ${body || method === 'GET' || method === 'DELETE' ? 404 : 400}`)
      tried++
    }
    expect(tried).toBeGreaterThan(40)
    for (const { method, url } of ROUTES.filter((one) => one.method === 'GET' && !one.url.includes(':') && !one.own))
      expect((await call(all, method, url)).text, url).not.toContain('fabrikam')
    expect(await dump()).toBe(before)
  })
})

describe('the OpenAPI document', () => {
  it('is valid, and says every route with its permission', async () => {
    const response = await fetch(`${loop.origin}/v1.0/openapi.json`)
    expect(response.status).toBe(200)
    const document = (await response.json()) as { paths: Record<string, Record<string, { description: string }>> }
    expect(await new Validator().validate(structuredClone(document))).toMatchObject({ valid: true })
    for (const { method, url, needs } of ROUTES) {
      const { description } = document.paths[url.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()] ?? {}
      for (const one of needs === 'each alone' ? ['each'] : needs) expect(description, `${method} ${url}`).toContain(one)
    }
  })
})
