import { BatchRequestContent, BatchResponseContent, Client, type GraphError, PageIterator } from '@microsoft/microsoft-graph-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const PEOPLE = 25
const TENANT = {
  tenant: { name: 'contoso' },
  groups: [{ displayName: 'staff' }],
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
    ...Array.from({ length: PEOPLE }, (_, index) => ({
      userPrincipalName: `p${index}@contoso.test`,
      displayName: `Person ${index}`,
      enabled: index % 2 === 0,
    })),
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET, optionalClaims: ['groups'] },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
    { appId: 'reader', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.Read.All'] },
  ],
}

let loop: Loop
let client: Client
let reader: Client
const clientOf = (appId: string) => {
  let token: Promise<string> | undefined
  return Client.init({
    baseUrl: `${loop.origin}/`,
    customHosts: new Set([new URL(loop.origin).hostname]),
    authProvider: (done) => {
      token ??= loop.daemonToken(appId, `${loop.origin}/.default`)
      token.then(
        (text) => done(null, text),
        (error) => done(error, null),
      )
    },
  })
}
beforeAll(async () => {
  loop = await startLoop({ tenant: JSON.stringify(TENANT) })
  client = clientOf('nightly')
  reader = clientOf('reader')
})
afterAll(() => loop.close())

/** What the client throws when it is refused: Graph's error body as it reads it. */
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: GraphError) => ({ status: error.statusCode, code: error.code, id: /^[0-9a-f-]{36}$/.test(error.requestId ?? '') }),
  )
const refused = (status: number, code: string) => ({ status, code, id: true })
type Row = { id: string; displayName: string; userPrincipalName: string }
const idOf = async (upn: string) => ((await client.api(`/users/${upn}`).get()) as Row).id

describe('the unmodified @microsoft/microsoft-graph-client', () => {
  it('lists, filters, orders, counts and searches', async () => {
    const found = await client
      .api('/users')
      .filter("startsWith(displayName,'person 1') and accountEnabled eq true")
      .orderby('displayName desc')
      .select('id,displayName')
      .get()
    expect(found.value.map(({ displayName }: Row) => displayName)).toEqual(['Person 18', 'Person 16', 'Person 14', 'Person 12', 'Person 10'])
    expect(
      Object.keys(found.value[0])
        .filter((name) => !name.startsWith('@'))
        .sort(),
    ).toEqual(['displayName', 'id'])
    const counted = await client.api('/users').header('ConsistencyLevel', 'eventual').count(true).top(3).get()
    expect(counted).toMatchObject({ '@odata.count': PEOPLE + 2, '@odata.nextLink': expect.stringContaining('skiptoken') })
    const searched = await client.api('/users').header('ConsistencyLevel', 'eventual').search('"displayName:alice" OR "displayName:admin"').get()
    expect(searched.value.map(({ displayName }: Row) => displayName).sort()).toEqual(['Admin', 'Alice'])
    const bare = await client.api('/users/$count').header('ConsistencyLevel', 'eventual').filter('accountEnabled eq false').get()
    expect(String(bare)).toBe('12')
    const ends = await client.api('/users').header('ConsistencyLevel', 'eventual').filter("endsWith(userPrincipalName,'24@contoso.test')").get()
    expect(ends.value).toHaveLength(1)
  })

  it('pages through everybody with its own iterator', async () => {
    for (const order of ['displayName', 'createdDateTime desc', 'userPrincipalName desc']) {
      const names: string[] = []
      const first = await client.api('/users').top(4).orderby(order).get()
      await new PageIterator(client, first, ({ userPrincipalName }: Row) => names.push(userPrincipalName) > 0).iterate()
      expect(names).toHaveLength(PEOPLE + 2)
      expect(new Set(names).size).toBe(PEOPLE + 2)
    }
  })

  it('follows what changes by delta links', async () => {
    const make = (name: string) =>
      client.api('/users').post({ userPrincipalName: `${name}@contoso.test`, displayName: name, accountEnabled: true }) as Promise<Row>
    const [stays, goes] = [await make('stays'), await make('goes')]
    const follow = async (link: string) => {
      const rows: (Partial<Row> & { '@removed'?: { reason: string } })[] = []
      const iterator = new PageIterator(client, await client.api(link).get(), (row) => rows.push(row) > 0)
      await iterator.iterate()
      return { rows, link: String(iterator.getDeltaLink()) }
    }
    const all = await follow('/users/delta?$select=displayName')
    expect(new Set(all.rows.map(({ id }) => id)).size).toBe(PEOPLE + 4)
    expect(await follow(all.link)).toMatchObject({ rows: [] })
    await client.api(`/users/${stays.id}`).patch({ displayName: 'Stays here' })
    await client.api(`/users/${goes.id}`).delete()
    const { rows } = await follow(all.link)
    expect(rows.find(({ id }) => id === stays.id)).toMatchObject({ displayName: 'Stays here' })
    expect(rows.find(({ id }) => id === goes.id)).toMatchObject({ '@removed': { reason: expect.any(String) } })
    expect(rows).toHaveLength(2)
    await client.api(`/users/${stays.id}`).delete()
  })

  it('makes, changes, revokes and deletes a user', async () => {
    const made = await client.api('/users').post({
      ...{ userPrincipalName: 'new@contoso.test', displayName: 'New', accountEnabled: true, mailNickname: 'new', mail: 'new@mail.test' },
      ...{ givenName: 'N', surname: 'Ew', passwordProfile: { password: PASSWORD, forceChangePasswordNextSignIn: false } },
    })
    expect(made).toMatchObject({
      id: expect.any(String),
      userPrincipalName: 'new@contoso.test',
      mail: 'new@mail.test',
      givenName: 'N',
      surname: 'Ew',
    })
    const { accessToken } = await createFlow(loop, { username: 'new@contoso.test' }).tokens()
    const guard = await loop.guard()
    expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
    await client.api(`/users/${made.id}`).patch({ displayName: 'Newer', mail: null, userPrincipalName: 'newer@contoso.test', userType: 'Guest' })
    expect(await client.api('/users/NEWER@contoso.test').select('displayName,mail,userType').get()).toMatchObject({
      displayName: 'Newer',
      mail: null,
      userType: 'Guest',
    })
    expect(await client.api(`/users/${made.id}/revokeSignInSessions`).post({})).toMatchObject({ value: true })
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    await client.api(`/users/${made.id}`).delete()
    expect(await refusal(client.api(`/users/${made.id}`).get())).toEqual(refused(404, 'Request_ResourceNotFound'))
    expect(await refusal(client.api('/users').post({ userPrincipalName: 'ALICE@contoso.test', displayName: 'A', accountEnabled: true }))).toEqual(
      refused(409, 'Request_Conflict'),
    )
    for (const wrong of [
      {},
      { displayName: 'A', accountEnabled: true },
      { userPrincipalName: 'x@y', displayName: 'A', accountEnabled: true, roles: ['admin'] },
      { userPrincipalName: 'x@y', displayName: 'A', accountEnabled: true, passwordProfile: { password: 'short' } },
    ])
      expect(await refusal(client.api('/users').post(wrong))).toEqual(refused(400, 'Request_BadRequest'))
  })

  it('hears of every refusal in Graph’s own words, and of unsupported options as 400', async () => {
    for (const path of [
      '/users?$expand=memberOf',
      '/users?$skip=3',
      '/groups?$filter=mailEnabled eq true',
      '/groups?$orderby=description',
      '/sites',
      '/users/delta?$orderby=id',
    ])
      expect({ path, ...Object(await refusal(client.api(path).get())) }).toMatchObject({ path, status: 400, id: true })
    expect(await refusal(reader.api('/groups').get())).toEqual(refused(403, 'Authorization_RequestDenied'))
    expect(await refusal(reader.api('/users').post({ userPrincipalName: 'x@contoso.test', displayName: 'X', accountEnabled: true }))).toEqual(
      refused(403, 'Authorization_RequestDenied'),
    )
  })
})

describe('groups', () => {
  const names = (found: { value: Row[] }) => found.value.map(({ displayName }) => displayName).sort()

  it('are made, listed, renamed and deleted; members come and go, and nest', async () => {
    const [p1, p2, p3] = [await idOf('p1@contoso.test'), await idOf('p2@contoso.test'), await idOf('p3@contoso.test')]
    const object = (id: string) => `${loop.origin}/v1.0/directoryObjects/${id}`
    const inner = await client.api('/groups').post({
      displayName: 'inner',
      mailEnabled: false,
      securityEnabled: true,
      mailNickname: 'inner',
      'members@odata.bind': [object(p1), object(p2)],
    })
    expect(inner).toMatchObject({ displayName: 'inner', description: null, securityEnabled: true, mailEnabled: false, groupTypes: [] })
    const outer = await client.api('/groups').post({ displayName: 'outer', description: 'holds inner' })
    await client.api(`/groups/${outer.id}`).patch({ 'members@odata.bind': [object(inner.id), object(p3)] })
    await client.api(`/groups/${outer.id}/members/$ref`).post({ '@odata.id': object(p1) })
    expect(names(await client.api(`/groups/${outer.id}/members`).get())).toEqual(['Person 1', 'Person 3', 'inner'])
    expect(names(await client.api(`/groups/${outer.id}/transitiveMembers`).get())).toEqual(['Person 1', 'Person 2', 'Person 3', 'inner'])
    expect(names(await client.api(`/groups/${outer.id}/transitiveMembers/microsoft.graph.user`).filter("displayName ne 'Person 1'").get())).toEqual([
      'Person 2',
      'Person 3',
    ])
    expect(names(await client.api(`/users/${p2}/memberOf`).get())).toEqual(['inner'])
    expect(names(await client.api(`/users/${p2}/transitiveMemberOf`).get())).toEqual(['inner', 'outer'])
    expect(names(await client.api(`/groups/${inner.id}/memberOf`).get())).toEqual(['outer'])
    expect((await client.api(`/users/${p2}/getMemberGroups`).post({ securityEnabledOnly: false })).value.sort()).toEqual([inner.id, outer.id].sort())
    for (const top of [1, 2, 3]) {
      const seen: string[] = []
      const first = await client.api(`/groups/${outer.id}/transitiveMembers`).top(top).get()
      await new PageIterator(
        client,
        first,
        (one: Row & { '@odata.type': string }) => seen.push(`${one['@odata.type']} ${one.displayName}`) > 0,
      ).iterate()
      expect(seen.sort()).toEqual([
        '#microsoft.graph.group inner',
        '#microsoft.graph.user Person 1',
        '#microsoft.graph.user Person 2',
        '#microsoft.graph.user Person 3',
      ])
    }
    await client.api(`/groups/${outer.id}/members/${p3}/$ref`).delete()
    expect(names(await client.api(`/groups/${outer.id}/members`).get())).toEqual(['Person 1', 'inner'])
    await client.api(`/groups/${outer.id}`).patch({ displayName: 'outermost', description: null })
    expect(names(await client.api('/groups').filter("startsWith(displayName,'OUT')").get())).toEqual(['outermost'])
    expect(await refusal(client.api('/groups').post({ displayName: 'inner' }))).toEqual(refused(409, 'Request_Conflict'))
    for (const wrong of [
      {},
      { displayName: '' },
      { displayName: 'x', mailEnabled: true },
      { displayName: 'x', securityEnabled: false },
      { displayName: 'x', 'members@odata.bind': Array(21).fill(object(p1)) },
      { displayName: 'x', 'members@odata.bind': ['x'] },
    ])
      expect(await refusal(client.api('/groups').post(wrong))).toEqual(refused(400, 'Request_BadRequest'))
    expect(await refusal(client.api('/groups').post({ displayName: 'x', 'members@odata.bind': [object(crypto.randomUUID())] }))).toEqual(
      refused(404, 'Request_ResourceNotFound'),
    )
    expect(names(await client.api('/groups').get())).not.toContain('x')
    await client.api(`/groups/${inner.id}`).delete()
    expect(names(await client.api(`/users/${p2}/transitiveMemberOf`).get())).toEqual([])
    await client.api(`/groups/${outer.id}`).delete()
    expect(await refusal(client.api(`/groups/${outer.id}/members`).get())).toEqual(refused(404, 'Request_ResourceNotFound'))
  })

  it('that are deleted cost one silent refresh of those whose tokens named them, and nobody else', async () => {
    const group = await client.api('/groups').post({ displayName: 'doomed' })
    const object = (id: string) => `${loop.origin}/v1.0/users/${id}`
    await client.api(`/groups/${group.id}/members/$ref`).post({ '@odata.id': object(await idOf('alice@contoso.test')) })
    const guard = await loop.guard()
    const flowOf = (name: string) => createFlow(loop, { username: `${name}@contoso.test`, capable: true })
    const [alice, admin] = [flowOf('alice'), flowOf('admin')]
    const [hers, his] = [await alice.tokens(), await admin.tokens()]
    expect(claimsOf(hers.accessToken)).toMatchObject({ groups: [group.id] })
    await client.api(`/groups/${group.id}`).delete()
    await eventually(
      async () => (await verdictOf(guard, hers.accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect((await verdictOf(guard, his.accessToken)).allowed).toBe(true)
    const next = String((await alice.refresh(hers.refreshToken)).body.access_token)
    expect(claimsOf(next).groups ?? []).toEqual([])
    expect((await verdictOf(guard, next)).allowed).toBe(true)
  })
})

describe('$batch', () => {
  it('goes through the client: each request is answered as if alone, and what depends on a failure is not tried', async () => {
    const request = (path: string, options?: RequestInit) => new Request(`https://graph.microsoft.com${path}`, options)
    const json = (method: string, body: object) => ({ method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const content = new BatchRequestContent([
      {
        id: 'make',
        request: request('/users', json('POST', { userPrincipalName: 'batch@contoso.test', displayName: 'Batch', accountEnabled: true })),
      },
      { id: 'rename', request: request('/users/batch@contoso.test', json('PATCH', { displayName: 'Batched' })), dependsOn: ['make'] },
      { id: 'read', request: request('/users/batch@contoso.test?$select=displayName'), dependsOn: ['rename'] },
    ])
    const answers = new BatchResponseContent(await client.api('/$batch').post(await content.getContent()))
    expect(answers.getResponseById('make').status).toBe(201)
    expect(answers.getResponseById('rename').status).toBe(204)
    expect(await answers.getResponseById('read').json()).toMatchObject({ displayName: 'Batched' })
    const found = await client.api('/$batch').post({
      requests: [
        { id: '1', method: 'GET', url: '/users/nobody@contoso.test' },
        { id: '2', method: 'DELETE', url: '/users/batch@contoso.test', dependsOn: ['1'] },
        { id: '3', method: 'GET', url: '/users/$count', headers: { ConsistencyLevel: 'eventual' } },
        { id: '4', method: 'GET', url: '/users?$expand=x' },
        { id: '5', method: 'POST', url: '/$batch', body: { requests: [{ id: '1', method: 'GET', url: '/users' }] } },
        { id: '6', method: 'POST', url: '/%24batch', body: { requests: [{ id: '1', method: 'GET', url: '/users' }] } },
        { id: '7', method: 'GET', url: '/../contoso/ssf/streams' },
        { id: '8', method: 'GET', url: '/%2e%2e/healthz' },
        { id: '9', method: 'GET', url: '/users', headers: { authorization: 'Bearer x' } },
        { id: '10', method: 'PATCH', url: '/users/batch@contoso.test', body: { displayName: '' } },
        { id: '11', method: 'GET', url: '/users/batch@contoso.test' },
      ],
    })
    const status = found.responses.map((one: { id: string; status: number }) => `${one.id} ${one.status}`)
    expect(status).toEqual(['1 404', '2 424', '3 200', '4 400', '5 400', '6 400', '7 400', '8 400', '9 400', '10 400', '11 200'])
    for (const one of found.responses)
      if (one.status >= 400)
        expect(one.body).toMatchObject({ error: { code: expect.any(String), message: expect.any(String), innerError: expect.anything() } })
    const one = { id: '1', method: 'GET', url: '/users' }
    for (const requests of [
      [],
      [one, one],
      [{ ...one, dependsOn: ['2'] }],
      [{ ...one, dependsOn: ['1'] }],
      [{ ...one, method: 'PUT' }],
      [{ ...one, url: 'users' }],
      Array.from({ length: 21 }, (_, index) => ({ ...one, id: String(index) })),
    ])
      expect(await refusal(client.api('/$batch').post({ requests }))).toEqual(refused(400, 'Request_BadRequest'))
  })

  it('gives nobody more than they have, and a revocation in it holds for what follows', async () => {
    const ask = async (token: string, requests: object[]) => {
      const response = await fetch(`${loop.origin}/v1.0/$batch`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ requests }),
      })
      return ((await response.json()) as { responses: { status: number; headers: Record<string, string> }[] }).responses
    }
    const only = await ask(await loop.daemonToken('reader', `${loop.origin}/.default`), [
      { id: '1', method: 'GET', url: '/users' },
      { id: '2', method: 'DELETE', url: '/users/alice@contoso.test' },
      { id: '3', method: 'GET', url: '/me' },
    ])
    expect(only.map(({ status }) => status)).toEqual([200, 403, 400])
    const flow = createFlow(loop, { username: 'admin@contoso.test', clientId: 'caegis-cli', scope: `${loop.origin}/User.ReadWrite.All openid` })
    const own = await ask((await flow.tokens()).accessToken, [
      { id: '1', method: 'GET', url: '/me' },
      { id: '2', method: 'POST', url: '/users/admin@contoso.test/revokeSignInSessions' },
      { id: '3', method: 'GET', url: '/me' },
    ])
    expect(own.map(({ status }) => status)).toEqual([200, 200, 401])
    expect(own[1]?.headers).toHaveProperty('caegis-txn')
    expect((await fetch(`${loop.origin}/v1.0/$batch`, { method: 'POST', body: '{}' })).status).toBe(401)
  })
})
