import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

const DAEMONS = {
  'd-all': ['graph/User.ReadWrite.All'],
  'd-default': ['graph/.default'],
  'd-read': ['graph/User.Read.All'],
  'd-revoke': ['graph/User.RevokeSessions.All'],
  'd-enable': ['graph/User.EnableDisableAccount.All'],
  'd-self': ['graph/User.Read'],
}
const PEOPLE = ['alice', 'bob', "o'neil", '100%', 'a_b', 'axb', 'Zoë']
const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'second@contoso.test', displayName: 'Second', password: PASSWORD, roles: ['admin'] },
    ...PEOPLE.map((name) => ({ userPrincipalName: `${name}@contoso.test`, displayName: `${name} of Contoso`, password: PASSWORD })),
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'tool', type: 'native', redirectUris: ['http://localhost'], permissions: ['graph/.default'] },
    { appId: 'reader', type: 'native', redirectUris: ['http://localhost'], permissions: ['graph/User.Read.All', 'graph/User.Read'] },
    { appId: 'd-none', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
    ...Object.entries(DAEMONS).map(([appId, permissions]) => ({ appId, type: 'daemon', clientSecret: SECRET, permissions })),
  ],
})

let loop: Loop
const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}

const call = (token: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  fetch(`${loop.origin}/v1.0${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
const as = (name: string) => (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
  call(tokens[name] as string, method, path, body, headers)
const delegated = async (username: string, clientId: string, scope: string) =>
  (await createFlow(loop, { username: `${username}@contoso.test`, clientId, scope: `${loop.origin}/${scope} openid` }).tokens()).accessToken

beforeAll(async () => {
  loop = await startLoop({ tenant: TENANT })
  for (const name of Object.keys(DAEMONS)) tokens[name] = await loop.daemonToken(name, `${loop.origin}/.default`)
  tokens.admin = await delegated('admin', 'tool', 'User.ReadWrite.All')
  tokens['admin-reading'] = await delegated('admin', 'reader', 'User.Read.All')
  tokens.alice = await delegated('alice', 'tool', 'User.ReadWrite.All')
  tokens['alice-self'] = await delegated('alice', 'tool', 'User.Read')
  for (const { id, upn } of await loop.server.store.db.selectFrom('users').select(['id', 'upn']).execute()) ids[upn.split('@')[0] as string] = id
})
afterAll(() => loop.close())

/** Graph's error body, with an id to ask about. */
async function refused(response: Response, status: number, code?: string): Promise<void> {
  expect(response.status).toBe(status)
  expect(await response.json()).toEqual({
    error: {
      code: code ?? expect.any(String),
      message: expect.stringMatching(/\S/),
      innerError: expect.objectContaining({ 'request-id': expect.stringMatching(/^[0-9a-f-]{36}$/), date: expect.any(String) }),
    },
  })
  expect(response.headers.get('caegis-txn')).toBeNull()
}

describe('permissions', () => {
  const routes: [name: string, method: string, path: string, body: unknown, done: number, who: string[]][] = [
    ['list', 'GET', '/users', undefined, 200, ['d-all', 'd-default', 'd-read', 'admin', 'admin-reading']],
    ['get', 'GET', '/users/bob@contoso.test', undefined, 200, ['d-all', 'd-default', 'd-read', 'admin', 'admin-reading']],
    ['enable', 'PATCH', '/users/bob@contoso.test', { accountEnabled: true }, 204, ['d-all', 'd-default', 'd-enable', 'admin']],
    ['rename', 'PATCH', '/users/bob@contoso.test', { displayName: 'bob of Contoso' }, 204, ['d-all', 'd-default', 'admin']],
    [
      'enable and rename',
      'PATCH',
      '/users/bob@contoso.test',
      { accountEnabled: true, displayName: 'bob of Contoso' },
      204,
      ['d-all', 'd-default', 'admin'],
    ],
    ['password', 'PATCH', '/users/bob@contoso.test', { passwordProfile: { password: PASSWORD } }, 204, ['d-all', 'd-default', 'admin']],
    ['revoke', 'POST', '/users/bob@contoso.test/revokeSignInSessions', undefined, 200, ['d-all', 'd-default', 'd-revoke', 'admin']],
    // Whoever may delete is told that there is nobody.
    ['delete', 'DELETE', '/users/nobody@contoso.test', undefined, 404, ['d-all', 'd-default', 'admin']],
  ]
  it.each(routes)('%s', async (_name, method, path, body, done, who) => {
    const allowed: string[] = []
    for (const name of Object.keys(tokens)) {
      const response = await as(name)(method, path, body)
      if (response.status === done) allowed.push(name)
      else await refused(response, 403, 'Authorization_RequestDenied')
    }
    expect(allowed.sort()).toEqual([...who].sort())
  })

  it('me: for a user with User.Read in whatever permission, not for a daemon', async () => {
    for (const name of ['alice', 'alice-self', 'admin']) {
      const response = await as(name)('GET', '/me')
      expect(response.status).toBe(200)
      expect(await response.json()).toMatchObject({ userPrincipalName: `${name.split('-')[0]}@contoso.test` })
    }
    await refused(await as('d-all')('GET', '/me'), 400)
  })

  it('a daemon without any permission gets no token for it', async () => {
    const form = { grant_type: 'client_credentials', client_id: 'd-none', client_secret: SECRET }
    expect(await loop.token({ ...form, scope: `${loop.origin}/.default` })).toMatchObject({ status: 400, body: { error: 'invalid_scope' } })
  })
})

describe('queries', () => {
  const list = async (query: string) => {
    const response = await as('d-read')('GET', `/users?${query}`)
    expect(response.status, query).toBe(200)
    return (await response.json()) as { value: Record<string, unknown>[]; '@odata.nextLink'?: string }
  }
  const names = async (filter: string) =>
    (await list(`$filter=${encodeURIComponent(filter)}`)).value.map(({ userPrincipalName }) => String(userPrincipalName).split('@')[0])

  it('filters by eq and startswith; a value is taken literally', async () => {
    expect(await names("userPrincipalName eq 'ALICE@contoso.test'")).toEqual(['alice'])
    expect(await names("userPrincipalName eq 'o''neil@contoso.test'")).toEqual(["o'neil"])
    expect(await names("displayName eq 'alice of Contoso'")).toEqual(['alice'])
    expect(await names(`id eq '${ids.bob}'`)).toEqual(['bob'])
    expect(await names("userPrincipalName eq 'alice'")).toEqual([])
    expect((await names("startswith(userPrincipalName,'A')")).sort()).toEqual(['a_b', 'admin', 'alice', 'axb'])
    expect(await names("startswith(displayName,'a_')")).toEqual(['a_b'])
    expect(await names("startswith(displayName,'100%')")).toEqual(['100%'])
    expect(await names("startswith(displayName,'%')")).toEqual([])
    expect(await names("startswith(displayName,'_')")).toEqual([])
    expect(await names("startswith(displayName,'Zoë')")).toEqual(['Zoë'])
    expect(await names("displayName eq ''' or 1=1 --'")).toEqual([])
    expect(await names("startswith(displayName,'o''n')")).toEqual(["o'neil"])
  })

  it('selects what is asked for, and the usual properties otherwise', async () => {
    const [first] = (await list('$top=1')).value
    expect(Object.keys(first as object).sort()).toEqual([
      '@odata.etag',
      'accountEnabled',
      'displayName',
      'givenName',
      'id',
      'mail',
      'surname',
      'userPrincipalName',
    ])
    const selected = await as('d-read')('GET', '/users/bob@contoso.test?$select=id,signInSessionsValidFromDateTime')
    const body = (await selected.json()) as Record<string, unknown>
    expect(Object.keys(body).sort()).toEqual(['@odata.context', '@odata.etag', 'id', 'signInSessionsValidFromDateTime'])
    expect(Date.parse(String(body.signInSessionsValidFromDateTime))).toBeGreaterThan(0)
    expect(JSON.stringify((await list('')).value)).not.toMatch(/argon2|password/)
  })

  it('pages through everybody once, whatever the size of a page', async () => {
    const all = (await list('')).value.map(({ id }) => id)
    expect(all).toHaveLength(PEOPLE.length + 2)
    for (const top of [1, 2, 4, 999]) {
      const seen: unknown[] = []
      let query: string | undefined = `$top=${top}&$select=id`
      while (query !== undefined) {
        const page = await list(query)
        expect(page.value.length).toBeLessThanOrEqual(top)
        seen.push(...page.value.map(({ id }) => id))
        const next: string | undefined = page['@odata.nextLink']
        if (next !== undefined) expect(next.startsWith(`${loop.origin}/v1.0/users?`)).toBe(true)
        query = next?.slice(next.indexOf('?') + 1)
      }
      expect(seen).toEqual(all)
    }
  })

  it('refuses what it does not understand, and never ignores it', async () => {
    for (const query of [
      ...[
        '$orderby=accountEnabled',
        '$count=true',
        '$search="displayName:a"',
        '$expand=manager',
        '$skip=5',
        '$format=xml',
        'filter=x',
        '$FILTER=x',
        'a=b',
        '$apply=x',
      ],
      ...['$top=0', '$top=-1', '$top=1000', '$top=1e2', '$top=', '$top=1&$top=2', '$select=', '$select=password', '$select=id,,id', '$select=*'],
      ...['$skiptoken=x', "$skiptoken=' or ''='", '$filter=', '$filter=true'],
      ...["displayName gt 'x'", "displayName eq 'x' or", "displayName eq 'o'neil'", "accountEnabled eq 'true'", 'displayName eq "x"'].map(
        (filter) => `$filter=${encodeURIComponent(filter)}`,
      ),
      ...["contains(displayName,'a')", "endswith(displayName,'a')", "password eq 'x'", "__proto__ eq 'x'", "not startswith(id,'a')"].map(
        (filter) => `$filter=${encodeURIComponent(filter)}`,
      ),
    ]) {
      const response = await as('d-read')('GET', `/users?${query}`)
      expect(`${query}: ${response.status}`).toBe(`${query}: 400`)
      await refused(response, 400, 'Request_BadRequest')
    }
    await refused(await as('d-read')('GET', '/users/bob@contoso.test?$top=1'), 400)
    for (const [method, path] of [
      ['PATCH', '/users/bob@contoso.test?$select=id'],
      ['DELETE', '/users/bob@contoso.test?confirm=true'],
      ['POST', '/users/bob@contoso.test/revokeSignInSessions?x=y'],
    ] as const) {
      await refused(await as('d-all')(method, path, method === 'PATCH' ? { accountEnabled: true } : undefined), 400)
    }
  })
})

describe('writes', () => {
  it('each names its txn, under which its events stand in the log', async () => {
    for (const [method, path, body, events] of [
      ['PATCH', '/users/axb@contoso.test', { accountEnabled: false }, 1],
      ['PATCH', '/users/axb@contoso.test', { accountEnabled: true, displayName: 'X', passwordProfile: { password: PASSWORD } }, 2],
      ['PATCH', '/users/axb@contoso.test', { displayName: 'X' }, 0],
      ['POST', '/users/axb@contoso.test/revokeSignInSessions', undefined, 1],
      ['DELETE', '/users/axb@contoso.test', undefined, 1],
    ] as const) {
      const response = await as('d-all')(method, path, body)
      expect(response.status).toBeLessThan(300)
      const txn = response.headers.get('caegis-txn') as string
      expect(txn).toMatch(/^[0-9a-f-]{36}$/)
      expect(await loop.server.store.db.selectFrom('events').select('seq').where('txn', '=', txn).execute()).toHaveLength(events)
    }
    await refused(await as('d-all')('GET', '/users/axb@contoso.test'), 404, 'Request_ResourceNotFound')
    await refused(await as('d-all')('PATCH', '/users/axb@contoso.test', { accountEnabled: true }), 404)
  })

  it('{id} is the id or the name in any case; what is not there is 404', async () => {
    for (const id of [ids.bob, 'bob@contoso.test', 'BOB@Contoso.Test', 'bob%40contoso.test']) {
      expect(await (await as('d-all')('GET', `/users/${id}`)).json()).toMatchObject({ id: ids.bob })
      expect((await as('d-all')('PATCH', `/users/${id}`, { accountEnabled: true })).status).toBe(204)
    }
    for (const id of ['nobody@contoso.test', 'bob', '%', '..%2fme', 'x'.repeat(400), "' or ''='"]) {
      for (const method of ['GET', 'DELETE'])
        await refused(await as('d-all')(method, `/users/${encodeURIComponent(decodeURIComponent(id.replace(/%$/, '%25')))}`), 404)
    }
  })

  it('refuses what it does not know or cannot use, and changes nothing', async () => {
    const { seq } = await loop.server.store.position(loop.tenant)
    const row = () => loop.server.store.db.selectFrom('users').selectAll().where('upn', '=', 'bob@contoso.test').executeTakeFirstOrThrow()
    const before = await row()
    for (const body of [
      {},
      [],
      null,
      'x',
      { accountEnabled: 'false' },
      { accountEnabled: null },
      { accountEnabled: 0 },
      { accountEnabled: false, roles: ['admin'] },
      { accountEnabled: false, unknown: 1 },
      { displayName: '' },
      { displayName: 'x'.repeat(257) },
      { userPrincipalName: 'mallory' },
      { mail: 'mallory' },
      { givenName: '' },
      { id: ids.alice },
      { passwordProfile: { password: 'short' } },
      { passwordProfile: { password: PASSWORD, forceChangePasswordNextSignIn: 'yes' } },
      { passwordProfile: { password: PASSWORD, more: 1 } },
      { passwordProfile: {} },
    ]) {
      const response = await as('d-all')('PATCH', '/users/bob@contoso.test', body)
      expect(`${JSON.stringify(body).slice(0, 60)}: ${response.status}`).toBe(`${JSON.stringify(body).slice(0, 60)}: 400`)
      await refused(response, 400, 'Request_BadRequest')
    }
    expect(await row()).toEqual(before)
    expect((await loop.server.store.position(loop.tenant)).seq).toBe(seq)
  })

  it('what is no part of it is refused with the same body, and the client-request-id comes back only when it is one', async () => {
    for (const [method, path] of [
      ['GET', '/sites'],
      ['POST', '/users/x'],
      ['PUT', '/users/x'],
      ['GET', '/users/x/manager'],
      ['POST', '/users/x/revokesigninsessions/y'],
      ['GET', '/'],
    ] as const) {
      await refused(await as('d-all')(method, path), 400)
    }
    const ask = async (id: string) =>
      ((await (await as('d-all')('GET', '/sites', undefined, { 'client-request-id': id })).json()) as { error: { innerError: object } }).error
        .innerError
    expect(await ask('abc-123')).toHaveProperty('client-request-id', 'abc-123')
    expect(await ask('<script>')).not.toHaveProperty('client-request-id')
    expect((await fetch(`${loop.origin}/v1.0/sites`)).status).toBe(401)
  })
})

describe('C3: whoever sets a password can sign in with it', () => {
  const given = { passwordProfile: { password: 'a password of theirs', forceChangePasswordNextSignIn: false } }
  const rowOf = (name: string) =>
    loop.server.store.db
      .selectFrom('users')
      .selectAll()
      .where('id', '=', ids[name] as string)
      .executeTakeFirstOrThrow()

  it('a daemon ends administrators, and becomes none, whatever it is permitted', async () => {
    const before = await rowOf('second')
    for (const daemon of ['d-all', 'd-default'])
      for (const body of [given, { userPrincipalName: 'mallory@contoso.test' }, { mail: 'second@elsewhere.test' }])
        await refused(await as(daemon)('PATCH', `/users/${ids.second}`, body), 403)
    expect(await rowOf('second')).toEqual(before)
    const turn = (by: string, accountEnabled: boolean) => as(by)('PATCH', `/users/${ids.second}`, { accountEnabled })
    expect((await turn('d-all', false)).status).toBe(204)
    for (const daemon of ['d-all', 'd-default']) await refused(await turn(daemon, true), 403)
    expect((await turn('admin', true)).status).toBe(204)
  })

  it('the emergency account is not to be had through the API, and no daemon touches it', async () => {
    const mark = (break_glass: number) =>
      loop.server.store.db
        .updateTable('users')
        .set({ break_glass })
        .where('id', '=', ids.bob as string)
        .execute()
    await mark(1)
    const before = await rowOf('bob')
    await refused(await as('admin')('PATCH', `/users/${ids.bob}`, given), 403)
    const path = `/users/${ids.bob}`
    for (const [method, url, body] of [
      ['PATCH', path, given],
      ['PATCH', path, { accountEnabled: false }],
      ['PATCH', path, { userPrincipalName: 'gone@contoso.test' }],
      ['DELETE', path, undefined],
      ['POST', `${path}/revokeSignInSessions`, undefined],
      ['POST', '/identityProtection/riskyUsers/confirmCompromised', { userIds: [ids.bob] }],
      ['DELETE', `${path}/authentication/methods/any`, undefined],
    ] as const)
      await refused(await as('d-default')(method, url, body), 403)
    expect(await rowOf('bob')).toEqual(before)
    await mark(0)
  })
})

describe('C3: the actor is looked at again inside the change', () => {
  /** Stops the next commit of the admin API at its door: the guard and the permissions have let it in. */
  function holdNextCommit() {
    const { store } = loop.server
    const real = store.commit
    const held = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    store.commit = async (change) => {
      store.commit = real
      held.resolve()
      await gate.promise
      return real(change)
    }
    return { held: held.promise, release: () => gate.resolve() }
  }
  let own: string
  const asSystem = (columns: Record<string, unknown>, table: 'users' | 'applications', where: [string, string]) =>
    loop.server.store.db
      .updateTable(table)
      .set(columns as never)
      .where(where[0] as never, '=', where[1] as never)
      .execute()

  beforeEach(async () => {
    await asSystem({ enabled: 1, roles: '["admin"]' }, 'users', ['upn', 'second@contoso.test'])
    await asSystem({ enabled: 1 }, 'applications', ['app_id', 'd-all'])
    own = await delegated('second', 'tool', 'User.ReadWrite.All')
  })

  const losses: [string, () => Promise<unknown>][] = [
    ['is revoked', () => as('d-default')('POST', '/users/second@contoso.test/revokeSignInSessions')],
    ['is disabled', () => as('d-default')('PATCH', '/users/second@contoso.test', { accountEnabled: false })],
    ['gets another password', () => as('admin')('PATCH', '/users/second@contoso.test', { passwordProfile: { password: PASSWORD } })],
    ['loses the role', () => asSystem({ roles: '[]' }, 'users', ['upn', 'second@contoso.test'])],
  ]
  it.each(losses)('an admin who %s meanwhile changes nothing any more', async (_name, lose) => {
    const commit = holdNextCommit()
    const answer = call(own, 'PATCH', '/users/alice@contoso.test', { accountEnabled: false })
    await commit.held
    await lose()
    const { seq } = await loop.server.store.position(loop.tenant)
    commit.release()
    await refused(await answer, 403, 'Authorization_RequestDenied')
    const alice = await loop.server.store.db.selectFrom('users').selectAll().where('upn', '=', 'alice@contoso.test').executeTakeFirstOrThrow()
    expect(alice.enabled).toBe(1)
    expect((await loop.server.store.position(loop.tenant)).seq).toBe(seq)
  })

  it('a daemon whose application is disabled meanwhile changes nothing any more', async () => {
    const commit = holdNextCommit()
    const answer = as('d-all')('PATCH', '/users/alice@contoso.test', { accountEnabled: false })
    await commit.held
    await asSystem({ enabled: 0 }, 'applications', ['app_id', 'd-all'])
    commit.release()
    await refused(await answer, 403, 'Authorization_RequestDenied')
    await refused(await as('d-all')('GET', '/users'), 403)
  })

  it('an admin who disables himself cannot enable himself again', async () => {
    expect((await call(own, 'PATCH', '/users/second@contoso.test', { accountEnabled: false })).status).toBe(204)
    expect((await call(own, 'PATCH', '/users/second@contoso.test', { accountEnabled: true })).status).toBe(401)
  })
})

describe("C3: the server's own guard", () => {
  beforeAll(() =>
    loop.server.store.db.updateTable('users').set({ enabled: 1, roles: '["admin"]' }).where('upn', '=', 'second@contoso.test').execute(),
  )

  it('refuses the very next request after the revocation was answered', async () => {
    for (let i = 0; i < 5; i++) {
      const token = await delegated('second', 'tool', 'User.ReadWrite.All')
      expect((await call(token, 'GET', '/users?$top=1')).status).toBe(200)
      expect((await as('d-all')('POST', '/users/second@contoso.test/revokeSignInSessions')).status).toBe(200)
      const next = await call(token, 'GET', '/users?$top=1')
      expect(next.status).toBe(401)
      expect(await next.json()).toMatchObject({ code: 'revoked' })
    }
  })

  it('protects from the first request on, and asks nobody on the network', async () => {
    const real = globalThis.fetch
    const asked: string[] = []
    globalThis.fetch = (input, init) => {
      asked.push(String(input))
      return real(input, init)
    }
    const fresh = await startLoop({ tenant: TENANT })
    try {
      expect(asked).toEqual([])
      const first = await real(`${fresh.origin}/v1.0/users`, { headers: { authorization: `Bearer ${tokens['d-all']}` } })
      expect(first.status).toBe(401)
    } finally {
      globalThis.fetch = real
      await fresh.close()
    }
  })

  it('a restart forgets no revocation', async () => {
    const token = await delegated('second', 'tool', 'User.ReadWrite.All')
    await as('d-all')('POST', '/users/second@contoso.test/revokeSignInSessions')
    const { createServer } = await import('@caegis/server')
    const first = loop.server
    await first.close()
    loop.server = await createServer({ settings: loop.settings })
    // What closes the loop closes the first one once more.
    first.close = () => loop.server.close()
    await loop.server.listen()
    expect((await call(token, 'GET', '/users')).status).toBe(401)
    expect((await as('d-all')('GET', '/users')).status).toBe(200)
  })
})
