import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const daemon = (appId: string, ...permissions: string[]) => ({ appId, type: 'daemon', clientSecret: SECRET, permissions })
let loop: Loop
beforeAll(async () => {
  loop = await startLoop({
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      users: ['alice', 'bob', 'carol', 'root'].map((name) => ({ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET, optionalClaims: ['groups'] },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        daemon('hr', 'graph/SCIM.ReadWrite.All'),
        daemon('okta', 'graph/SCIM.ReadWrite.All'),
        daemon('nightly', 'graph/User.ReadWrite.All', 'graph/Group.ReadWrite.All'),
      ],
    }),
  })
  await loop.server.store.db.updateTable('users').set({ break_glass: 1 }).where('upn_key', '=', 'root@contoso.test').execute()
})
afterAll(() => loop.close())

const tokens = new Map<string, Promise<string>>()
interface Given {
  by?: string
  token?: string
  tenant?: string
  headers?: Record<string, string>
}
async function scim(method: string, path: string, body?: unknown, { by = 'hr', token, tenant = 'contoso', headers = {} }: Given = {}) {
  if (!tokens.has(by)) tokens.set(by, loop.daemonToken(by, `${loop.origin}/.default`))
  const response = await fetch(`${loop.origin}/${tenant}/scim/v2${path}`, {
    method,
    headers: {
      ...(token === '' ? {} : { authorization: `Bearer ${token ?? (await tokens.get(by))}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/scim+json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  if (text !== '') expect(response.headers.get('content-type')).toMatch(/^application\/scim\+json/)
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}
const patchOf = (...Operations: object[]) => ({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations })
const find = async (filter: string, given?: Given) =>
  (await scim('GET', `/Users?filter=${encodeURIComponent(filter)}`, undefined, given)).body.Resources as { id: string; [name: string]: any }[]
const idOf = async (name: string) => (await find(`userName eq "${name}@contoso.test"`))[0]?.id as string
const rowOf = (id: string) => loop.server.store.db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
const seq = async () => (await loop.server.store.db.selectFrom('tenants').select('seq').where('id', '=', loop.tenant).executeTakeFirstOrThrow()).seq
const refusal = ({ status, body }: { status: number; body: any }) => {
  expect(body).toMatchObject({ schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'], status: String(status), detail: expect.any(String) })
  return body.scimType === undefined ? String(status) : `${status} ${body.scimType}`
}
const person = (name: string, more: object = {}) => ({
  ...{ schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName: `${name}@contoso.test`, externalId: `hr-${name}`, active: true },
  ...{ name: { givenName: name, familyName: 'Low' }, emails: [{ value: `${name}@mail.test`, type: 'work', primary: true }] },
  ...more,
})

describe('what it takes back', () => {
  it.each([
    ['Entra', 'alice', patchOf({ op: 'Replace', path: 'active', value: 'False' })],
    ['Okta', 'bob', patchOf({ op: 'replace', value: { active: false } })],
  ])('PATCH active: false, as %s says it, is refused by the API', async (_from, name, body) => {
    const guard = await loop.guard()
    const flow = createFlow(loop, { username: `${name}@contoso.test` })
    const { accessToken, refreshToken } = await flow.tokens()
    expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
    const id = await idOf(name)
    const done = await scim('PATCH', `/Users/${id}`, body)
    expect(done).toMatchObject({ status: 200, body: { id, active: false } })
    expect(done.headers.get('caegis-txn')).toMatch(/^[0-9a-f-]{36}$/)
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect((await flow.refresh(refreshToken)).status).toBe(400)
    const events = await loop.server.store.db
      .selectFrom('events')
      .select(['type', 'payload'])
      .where('txn', '=', done.headers.get('caegis-txn'))
      .execute()
    expect(events.map(({ type }) => type.split('/').at(-1))).toEqual(['account-disabled'])
    expect(JSON.parse(events[0]?.payload as string)).toMatchObject({ initiating_entity: 'admin' })
    // What was enabled again is enabled; what was issued before stays dead.
    expect(await scim('PATCH', `/Users/${id}`, patchOf({ op: 'replace', path: 'active', value: true }))).toMatchObject({ body: { active: true } })
    expect((await verdictOf(guard, accessToken)).allowed).toBe(false)
  })

  it('a password that is set ends what was signed in before; the same one again ends nothing', async () => {
    const guard = await loop.guard()
    const id = await idOf('carol')
    const { accessToken } = await createFlow(loop, { username: 'carol@contoso.test' }).tokens()
    const before = await seq()
    expect((await scim('PATCH', `/Users/${id}`, patchOf({ op: 'replace', value: { password: PASSWORD } }))).status).toBe(200)
    expect(await seq()).toBe(before)
    const { body } = await scim('PATCH', `/Users/${id}`, patchOf({ op: 'replace', value: { password: 'another good password' } }))
    expect(JSON.stringify(body)).not.toContain('password')
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    const { browser, url } = createFlow(loop)
    const back = await browser.signIn(url, 'http://localhost', { username: 'carol@contoso.test', password: 'another good password' })
    expect(back.searchParams.get('code')).toBeTruthy()
  })

  it('DELETE ends everything, and frees the name', async () => {
    const { body } = await scim('POST', '/Users', person('dora', { password: PASSWORD }))
    const guard = await loop.guard()
    const { accessToken } = await createFlow(loop, { username: 'dora@contoso.test' }).tokens()
    expect((await scim('DELETE', `/Users/${body.id}`)).status).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect(refusal(await scim('GET', `/Users/${body.id}`))).toBe('404')
    expect(refusal(await scim('DELETE', `/Users/${body.id}`))).toBe('404')
    expect((await scim('POST', '/Users', person('dora'))).status).toBe(201)
  })
})

describe('Users', () => {
  it('are made, shown, replaced and changed', async () => {
    const made = await scim('POST', '/Users', person('erin', { displayName: 'Erin', nickName: 'ignored', 'urn:x:y': { a: 1 } }))
    expect(made.status).toBe(201)
    const { id } = made.body
    const location = `${loop.origin}/contoso/scim/v2/Users/${id}`
    expect(made.headers.get('location')).toBe(location)
    expect(made.body).toEqual({
      ...{ schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], id, externalId: 'hr-erin', userName: 'erin@contoso.test', displayName: 'Erin' },
      ...{ name: { givenName: 'erin', familyName: 'Low' }, emails: [{ value: 'erin@mail.test', type: 'work', primary: true }], active: true },
      meta: { resourceType: 'User', created: expect.any(String), location, version: made.headers.get('etag') },
    })
    expect(await rowOf(id)).toMatchObject({ source: 'scim:hr', external_id: 'hr-erin', mail: 'erin@mail.test', given_name: 'erin', enabled: 1 })
    expect(await scim('GET', `/Users/${id}`)).toMatchObject({ status: 200, body: made.body })
    // What a PUT does not say is gone, except what cannot be; above all it enables nobody.
    await scim('PATCH', `/Users/${id}`, patchOf({ op: 'replace', path: 'active', value: false }))
    const { body } = await scim('PUT', `/Users/${id}`, { userName: 'erin@contoso.test', emails: [] })
    expect(body).toMatchObject({ userName: 'erin@contoso.test', displayName: 'Erin', active: false })
    expect(Object.keys(body).sort()).toEqual(['active', 'displayName', 'id', 'meta', 'schemas', 'userName'])
    const some = await scim('GET', `/Users/${id}?attributes=userName`)
    expect(Object.keys(some.body).sort()).toEqual(['id', 'schemas', 'userName'])
  })

  it('that are written twice change nothing: no event, no version', async () => {
    const { body, headers } = await scim('POST', '/Users', person('finn'))
    const [row, before] = [await rowOf(body.id), await seq()]
    expect(refusal(await scim('POST', '/Users', person('finn')))).toBe('409 uniqueness')
    const again = await scim('PUT', `/Users/${body.id}`, person('finn'))
    expect(again).toMatchObject({ status: 200, body })
    expect(again.headers.get('etag')).toBe(headers.get('etag'))
    expect((await scim('PATCH', `/Users/${body.id}`, patchOf({ op: 'replace', value: person('finn') }))).status).toBe(200)
    expect(await rowOf(body.id)).toEqual(row)
    expect(await seq()).toBe(before)
  })

  it('of a load that breaks off are gone on with by repeating it', async () => {
    const people = Array.from({ length: 30 }, (_, index) => person(`load${index}`))
    const load = async (until: number) => {
      for (const one of people.slice(0, until)) {
        const known = (await find(`externalId eq "${one.externalId}"`))[0]
        const { status } = known ? await scim('PUT', `/Users/${known.id}`, one) : await scim('POST', '/Users', one)
        expect(status).toBe(known ? 200 : 201)
      }
    }
    await load(12)
    const half = await Promise.all((await find('userName sw "load"')).map(({ id }) => rowOf(id)))
    const before = await seq()
    await load(people.length)
    expect(await seq()).toBe(before)
    for (const row of half) expect(await rowOf(row.id)).toEqual(row)
    // Pages neither repeat nor leave out.
    const seen: string[] = []
    for (let startIndex = 1; startIndex <= 30; startIndex += 7) {
      const { body } = await scim('GET', `/Users?filter=userName%20sw%20%22load%22&startIndex=${startIndex}&count=7`)
      expect(body).toMatchObject({ totalResults: 30, startIndex, itemsPerPage: Math.min(7, 31 - startIndex) })
      seen.push(...body.Resources.map(({ userName }: { userName: string }) => userName))
    }
    expect(new Set(seen).size).toBe(30)
    expect((await scim('GET', '/Users?count=0')).body).toMatchObject({ itemsPerPage: 0, Resources: [], totalResults: expect.any(Number) })
  })

  it('are found by filters', async () => {
    await scim('POST', '/Users', person('gina', { displayName: 'Gina 100%' }))
    const names = async (filter: string, given?: Given) => (await find(filter, given)).map(({ userName }) => userName.split('@')[0]).sort()
    expect(await names('userName eq "GINA@contoso.test"')).toEqual(['gina'])
    expect(await names('displayName co "00%"')).toEqual(['gina'])
    expect(await names('displayName co "0_%"')).toEqual([])
    expect(await names('emails[type eq "work" and value eq "gina@mail.test"]')).toEqual(['gina'])
    expect(await names('emails[type eq "home"]')).toEqual([])
    expect(await names('userName sw "gi" or (displayName eq "carol" and active eq true)')).toEqual(['carol', 'gina'])
    expect(await names('userName sw "g" and active eq false')).toEqual([])
    expect(await names(`id eq "${await idOf('gina')}"`)).toEqual(['gina'])
    // Ids of other systems are not this one's.
    expect(await names('externalId eq "hr-gina"')).toEqual(['gina'])
    expect(await names('externalId eq "hr-gina"', { by: 'okta' })).toEqual([])
    expect((await find('userName eq "gina@contoso.test"', { by: 'okta' }))[0]?.externalId).toBeUndefined()
  })

  it('of nobody else become the client’s by its id; of another system they stay that one’s', async () => {
    const carol = await idOf('carol')
    await scim('PATCH', `/Users/${carol}`, patchOf({ op: 'add', path: 'externalId', value: 'hr-carol' }))
    expect((await find('externalId eq "hr-carol"')).map(({ id }) => id)).toEqual([carol])
    const other = await scim(
      'PATCH',
      `/Users/${carol}`,
      patchOf({ op: 'add', path: 'externalId', value: 'o-1' }, { op: 'replace', path: 'displayName', value: 'C' }),
      { by: 'okta' },
    )
    expect(other.body).toMatchObject({ displayName: 'C' })
    expect(await rowOf(carol)).toMatchObject({ source: 'scim:hr', external_id: 'hr-carol', display_name: 'C' })
    expect(refusal(await scim('POST', '/Users', person('other', { externalId: 'hr-carol' })))).toBe('409 uniqueness')
  })

  it('are changed only as the version that If-Match names', async () => {
    const { body, headers } = await scim('POST', '/Users', person('hugo'))
    const etag = headers.get('etag') as string
    const rename = (displayName: string) => patchOf({ op: 'replace', path: 'displayName', value: displayName })
    expect((await scim('GET', `/Users/${body.id}`, undefined, { headers: { 'if-none-match': etag } })).status).toBe(304)
    const first = await scim('PATCH', `/Users/${body.id}`, rename('Hugo'), { headers: { 'if-match': etag } })
    expect(first.status).toBe(200)
    expect(first.headers.get('etag')).not.toBe(etag)
    for (const [method, given] of [
      ['PATCH', rename('Other')],
      ['PUT', person('hugo')],
      ['DELETE', undefined],
    ] as const)
      expect(refusal(await scim(method, `/Users/${body.id}`, given, { headers: { 'if-match': etag } }))).toBe('412')
    expect((await scim('GET', `/Users/${body.id}`)).body.displayName).toBe('Hugo')
    expect((await scim('DELETE', `/Users/${body.id}`, undefined, { headers: { 'if-match': first.headers.get('etag') as string } })).status).toBe(204)
  })
})

describe('Groups', () => {
  const group = (displayName: string, ...members: string[]) => ({
    displayName,
    externalId: `g-${displayName}`,
    members: members.map((value) => ({ value })),
  })
  const memberIds = async (id: string) =>
    ((await scim('GET', `/Groups/${id}`)).body.members ?? []).map(({ value }: { value: string }) => value).sort()

  it('cost those a silent refresh whose tokens would say something else, and nobody else', async () => {
    const guard = await loop.guard()
    const [alice, bob] = [createFlow(loop, { capable: true }), createFlow(loop, { capable: true, username: 'bob@contoso.test' })]
    const [hers, his] = [await alice.tokens(), await bob.tokens()]
    const { body: made } = await scim('POST', '/Groups', group('finance'))
    expect((await verdictOf(guard, hers.accessToken)).allowed).toBe(true)
    await scim('PATCH', `/Groups/${made.id}`, patchOf({ op: 'Add', path: 'members', value: [{ value: await idOf('alice') }] }))
    await eventually(
      async () => (await verdictOf(guard, hers.accessToken)).allowed,
      (allowed) => !allowed,
    )
    const fresh = await alice.refresh(hers.refreshToken)
    expect(fresh.status).toBe(200)
    const renewed = String(fresh.body.access_token)
    expect((await verdictOf(guard, renewed)).allowed).toBe(true)
    expect((await verdictOf(guard, his.accessToken)).allowed).toBe(true)
    const before = await seq()
    await scim('PATCH', `/Groups/${made.id}`, patchOf({ op: 'Add', path: 'members', value: [{ value: await idOf('alice') }] }))
    await scim('PUT', `/Groups/${made.id}`, group('finance', await idOf('alice')))
    expect(await seq()).toBe(before)
    await scim('PATCH', `/Groups/${made.id}`, patchOf({ op: 'remove', path: `members[value eq "${await idOf('alice')}"]` }))
    await eventually(
      async () => (await verdictOf(guard, renewed)).allowed,
      (allowed) => !allowed,
    )
    expect((await verdictOf(guard, his.accessToken)).allowed).toBe(true)
  })

  it('are made, found, changed as Entra and Okta say it, and deleted', async () => {
    const [a, b, c] = (await Promise.all(['alice', 'bob', 'carol'].map(idOf))) as [string, string, string]
    const made = await scim('POST', '/Groups', group('staff', a))
    expect(made).toMatchObject({ status: 201, body: { displayName: 'staff', externalId: 'g-staff', meta: { resourceType: 'Group' } } })
    expect(made.body.members).toEqual([{ value: a, type: 'User', $ref: `${loop.origin}/contoso/scim/v2/Users/${a}` }])
    const { id } = made.body
    expect(refusal(await scim('POST', '/Groups', group('staff')))).toBe('409 uniqueness')
    const { body: found } = await scim('GET', `/Groups?filter=${encodeURIComponent('externalId eq "g-staff"')}&excludedAttributes=members`)
    expect(found).toMatchObject({ totalResults: 1, Resources: [{ id }] })
    expect(found.Resources[0].members).toBeUndefined()
    for (const [Operations, want] of [
      [[{ op: 'Add', path: 'members', value: [{ value: b }, { value: c }] }], [a, b, c]],
      [[{ op: 'Remove', path: 'members', value: [{ value: b }] }], [a, c]],
      [[{ op: 'remove', path: `members[value eq "${c}"]` }], [a]],
      [[{ op: 'replace', path: 'members', value: [{ value: b }] }], [b]],
      [[{ op: 'replace', value: { id, displayName: 'people' } }], [b]],
      [
        [
          { op: 'add', path: 'members', value: [{ value: a }] },
          { op: 'remove', path: `members[value eq "${a}"]` },
        ],
        [b],
      ],
      [
        [
          { op: 'remove', path: `members[value eq "${b}"]` },
          { op: 'add', path: 'members', value: [{ value: b }] },
        ],
        [b],
      ],
      [
        [
          { op: 'remove', path: 'members' },
          { op: 'add', path: 'members', value: { value: c } },
        ],
        [c],
      ],
      [
        [
          { op: 'replace', path: 'members', value: [{ value: a }, { value: b }] },
          { op: 'remove', path: `members[value eq "${a}"]` },
        ],
        [b],
      ],
      [[{ op: 'remove', path: 'members' }], []],
    ] as const) {
      expect((await scim('PATCH', `/Groups/${id}`, patchOf(...Operations))).status).toBe(200)
      expect(await memberIds(id)).toEqual([...want].sort())
    }
    const { body, headers } = await scim('PUT', `/Groups/${id}`, group('people', c))
    expect(body).toMatchObject({ displayName: 'people', members: [{ value: c }] })
    for (const [Operations, want] of [
      [[{ op: 'add', path: 'members', value: [{ value: 'nobody' }] }], '400 invalidValue'],
      [[{ op: 'add', path: 'members', value: ['x'] }], '400 invalidValue'],
      [[{ op: 'remove', path: 'members[value co "a"]' }], '400 invalidFilter'],
      [[{ op: 'replace', path: `members[value eq "${c}"].value`, value: a }], '400 invalidPath'],
      [[{ op: 'remove', path: 'displayName' }], '400 invalidValue'],
    ] as const)
      expect(refusal(await scim('PATCH', `/Groups/${id}`, patchOf(...Operations)))).toBe(want)
    const stale = { 'if-match': made.headers.get('etag') as string }
    expect(refusal(await scim('PATCH', `/Groups/${id}`, patchOf({ op: 'remove', path: 'members' }), { headers: stale }))).toBe('412')
    expect(refusal(await scim('DELETE', `/Groups/${id}`, undefined, { headers: stale }))).toBe('412')
    expect(await memberIds(id)).toEqual([c])
    expect((await scim('DELETE', `/Groups/${id}`, undefined, { headers: { 'if-match': headers.get('etag') as string } })).status).toBe(204)
    expect(refusal(await scim('GET', `/Groups/${id}`))).toBe('404')
  })
})

describe('refuses', () => {
  it('whoever is not a daemon of this tenant with the permission', async () => {
    const path = '/Users?count=1'
    const anonymous = await scim('GET', path, undefined, { token: '' })
    expect(refusal(anonymous)).toBe('401')
    expect(anonymous.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(refusal(await scim('GET', path, undefined, { token: SECRET }))).toBe('401')
    expect(refusal(await scim('GET', path, undefined, { by: 'nightly' }))).toBe('403')
    expect(refusal(await scim('POST', '/Users', person('ida'), { by: 'nightly' }))).toBe('403')
    const { accessToken } = await createFlow(loop, { username: 'alice@contoso.test' }).tokens()
    expect(refusal(await scim('GET', path, undefined, { token: accessToken }))).toBe('401')
    // Neither is the permission enough without a token that names it.
    const permitted = (appId: string, permissions: string[]) =>
      loop.server.store.db
        .updateTable('applications')
        .set({ permissions: JSON.stringify(permissions) })
        .where('app_id', '=', appId)
        .execute()
    await permitted('nightly', ['graph/SCIM.ReadWrite.All'])
    expect(refusal(await scim('GET', path, undefined, { by: 'nightly' }))).toBe('403')
    // It is for SCIM, and for nothing else.
    const hr = await loop.daemonToken('hr', `${loop.origin}/.default`)
    expect((await fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${hr}` } })).status).toBe(403)
    // What was taken from the application is gone at once, whatever its token says.
    await permitted('okta', [])
    expect(refusal(await scim('GET', path, undefined, { by: 'okta' }))).toBe('403')
  })

  it('the users of another tenant, whatever the path says', async () => {
    const fabrikam = await loop.server.apply(
      JSON.stringify({
        tenant: { name: 'fabrikam' },
        users: [{ userPrincipalName: 'zoe@fabrikam.test', password: PASSWORD }],
        applications: [daemon('hr', 'graph/SCIM.ReadWrite.All')],
      }),
    )
    const zoe = (await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', 'zoe@fabrikam.test').executeTakeFirstOrThrow()).id
    for (const tenant of ['fabrikam', fabrikam.tenant, 'nobody']) expect(refusal(await scim('GET', '/Users', undefined, { tenant }))).toBe('403')
    expect(refusal(await scim('GET', `/Users/${zoe}`))).toBe('404')
    expect(refusal(await scim('DELETE', `/Users/${zoe}`))).toBe('404')
    expect(refusal(await scim('PATCH', `/Users/${zoe}`, patchOf({ op: 'replace', path: 'active', value: false })))).toBe('404')
    expect(await find('userName co "fabrikam"')).toEqual([])
    expect(await rowOf(zoe)).toMatchObject({ enabled: 1, deleted_at: null })
  })

  it('to touch the emergency account', async () => {
    const root = await idOf('root')
    for (const [method, body] of [
      ['PATCH', patchOf({ op: 'replace', path: 'active', value: false })],
      ['PUT', person('root', { password: 'a password of theirs' })],
      ['DELETE', undefined],
    ] as const)
      expect(refusal(await scim(method, `/Users/${root}`, body))).toBe('403')
    expect(await rowOf(root)).toMatchObject({ enabled: 1, deleted_at: null, source: '' })
  })

  it('to take over an administrator, who can be ended all the same where another one is left', async () => {
    const id = await idOf('carol')
    const { db } = loop.server.store
    const setRoles = (roles: string[]) =>
      db
        .updateTable('users')
        .set({ roles: JSON.stringify(roles) })
        .where('id', '=', id)
        .execute()
    await setRoles(['admin'])
    const before = await rowOf(id)
    const password = 'a password of theirs'
    expect(refusal(await scim('PATCH', `/Users/${id}`, patchOf({ op: 'replace', path: 'password', value: password })))).toBe('403')
    // Nor to give them another name or address: what others send to these is for whoever is behind them.
    const emails = [{ value: 'carol@elsewhere.test', type: 'work', primary: true }]
    for (const operation of [
      { op: 'replace', path: 'userName', value: 'mallory@contoso.test' },
      { op: 'replace', path: 'emails', value: emails },
      { op: 'replace', value: { userName: 'mallory@contoso.test', active: false } },
    ])
      expect(refusal(await scim('PATCH', `/Users/${id}`, patchOf(operation)))).toBe('403')
    expect(await rowOf(id)).toEqual(before)
    const turn = (value: boolean) => {
      const same = { op: 'replace', path: 'userName', value: before.upn }
      return scim('PATCH', `/Users/${id}`, patchOf(same, { op: 'replace', path: 'active', value }))
    }
    expect(refusal(await turn(false))).toBe('400 mutability')
    const other = await loop.server.store.db
      .selectFrom('users')
      .select(['id', 'roles'])
      .where('id', '!=', id)
      .where('enabled', '=', 1)
      .executeTakeFirstOrThrow()
    await db.updateTable('users').set({ roles: '["admin"]' }).where('id', '=', other.id).execute()
    expect((await turn(false)).status).toBe(200)
    // Who is let in again comes back with all that they knew.
    expect(refusal(await turn(true))).toBe('403')
    await setRoles([])
    await db.updateTable('users').set({ roles: other.roles }).where('id', '=', other.id).execute()
    expect((await turn(true)).status).toBe(200)
  })

  it('what it cannot read', async () => {
    const id = await idOf('carol')
    const row = await rowOf(id)
    for (const [method, path, body, want] of [
      ['POST', '/Users', '{', '400 invalidSyntax'],
      ['POST', '/Users', '[]', '400 invalidSyntax'],
      ['POST', '/Users', 'null', '400 invalidSyntax'],
      ['POST', '/Users', '', '400 invalidSyntax'],
      ['POST', '/Users', {}, '400 invalidValue'],
      ['POST', '/Users', person('x', { userName: 'no-domain' }), '400 invalidValue'],
      ['POST', '/Users', person('x', { password: 'short' }), '400 invalidValue'],
      ['POST', '/Users', person('x', { active: 'maybe' }), '400 invalidValue'],
      ['POST', '/Users', person('x', { emails: [{ value: 'x' }] }), '400 invalidValue'],
      ['POST', '/Users', person('x', { displayName: 'x'.repeat(600_000) }), '413'],
      ['PUT', `/Users/${id}`, person('alice'), '409 uniqueness'],
      ['PATCH', `/Users/${id}`, { Operations: [] }, '400 invalidSyntax'],
      ['PATCH', '/Users/carol@contoso.test', patchOf({ op: 'replace', path: 'active', value: false }), '404'],
      ['GET', '/Users?filter=nickName%20eq%20%22x%22', undefined, '400 invalidFilter'],
      ['GET', '/Users?filter=', undefined, '400 invalidFilter'],
      ['GET', '/Users?sortBy=userName', undefined, '400 invalidValue'],
      ['GET', '/Users?count=x', undefined, '400 invalidValue'],
      ['GET', '/Users?attributes=id&excludedAttributes=name', undefined, '400 invalidValue'],
      ['GET', '/Nothing', undefined, '404'],
      ['POST', '/Bulk', {}, '404'],
    ] as const)
      expect(`${method} ${path} ${refusal(await scim(method, path, body))}`).toBe(`${method} ${path} ${want}`)
    expect(refusal(await scim('POST', '/Users', 'a=1', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }))).toBe(
      '415 invalidSyntax',
    )
    expect(await rowOf(id)).toEqual(row)
  })
})

it('says what it can do, without a token', async () => {
  const get = (path: string) => scim('GET', path, undefined, { token: '' })
  expect((await get('/ServiceProviderConfig')).body).toMatchObject({
    ...{ patch: { supported: true }, bulk: { supported: false }, sort: { supported: false }, etag: { supported: true }, filter: { supported: true } },
  })
  const { body: types } = await get('/ResourceTypes')
  for (const { meta, schema } of types.Resources) {
    expect(await (await fetch(meta.location)).json()).toMatchObject({ schema })
    expect((await get(`/Schemas/${schema}`)).body).toMatchObject({ id: schema, attributes: expect.any(Array) })
  }
  expect((await get('/Schemas')).body.totalResults).toBe(types.totalResults)
  expect(refusal(await get('/Schemas/urn:x'))).toBe('404')
  expect(refusal(await scim('GET', '/Schemas', undefined, { token: '', tenant: 'nobody' }))).toBe('404')
})
