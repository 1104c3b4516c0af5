import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Loop, SECRET, startLoop } from './loop.ts'

const TENANT = {
  tenant: { name: 'contoso' },
  users: Array.from({ length: 12 }, (_, index) => ({ userPrincipalName: `p${index}@contoso.test`, displayName: `Person ${index}` })),
  groups: [{ displayName: 'staff' }],
  applications: [{ appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] }],
}

let loop: Loop
let token: string
beforeAll(async () => {
  loop = await startLoop({ tenant: JSON.stringify(TENANT) })
  token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
})
afterAll(() => loop.close())

type Item = Record<string, unknown> & { id: string; '@removed'?: object; 'members@delta'?: Item[] }
type Page = { value: Item[]; '@odata.nextLink'?: string; '@odata.deltaLink'?: string }

const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(path.startsWith('https:') ? path : `${loop.origin}/v1.0${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: (text === '' ? {} : JSON.parse(text)) as Page & Item }
}
const get = async (path: string, headers?: Record<string, string>) => {
  const { status, body } = await call('GET', path, undefined, headers)
  expect(status, path).toBe(200)
  return body
}
const made = async (path: string, body: object) => (await call('POST', path, body)).body.id as string

/** A client that keeps a copy by what deltas tell it, and nothing else. */
function createCopy() {
  const objects = new Map<string, Item>()
  const members = new Map<string, Set<string>>()
  return {
    objects,
    members,
    apply({ value }: Page) {
      for (const { '@removed': removed, 'members@delta': changed, ...item } of value) {
        if (removed) {
          objects.delete(item.id)
          members.delete(item.id)
          continue
        }
        if (Object.keys(item).length > 1) objects.set(item.id, { ...objects.get(item.id), ...item })
        const held = members.get(item.id) ?? new Set()
        for (const one of changed ?? []) one['@removed'] ? held.delete(one.id) : held.add(one.id)
        if (changed) members.set(item.id, held)
      }
    },
    /** One round, with something else happening before each of its pages. */
    async round(url: string, meanwhile: () => Promise<unknown> = async () => {}): Promise<string> {
      for (;;) {
        const page = await get(url)
        this.apply(page)
        if (page['@odata.deltaLink']) return page['@odata.deltaLink']
        await meanwhile()
        url = page['@odata.nextLink'] as string
      }
    },
  }
}

describe('delta', () => {
  it('keeps a copy true through edits before, during and after its rounds', async () => {
    let seed = 7
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed % below
    }
    const users = (await get('/users?$top=999')).value.map(({ id }) => id)
    const groups = (await get('/groups')).value.map(({ id }) => id)
    let made_ = 0
    const edits = [
      async () =>
        users.push(await made('/users', { userPrincipalName: `n${made_}@contoso.test`, displayName: `New ${made_++}`, accountEnabled: true })),
      async () => groups.push(await made('/groups', { displayName: `Group ${made_++}` })),
      async () => call('PATCH', `/users/${users[random(users.length)]}`, { displayName: `Changed ${made_++}` }),
      async () => call('PATCH', `/groups/${groups[random(groups.length)]}`, { displayName: `Changed ${made_++}` }),
      async () => users.length > 4 && call('DELETE', `/users/${users.splice(random(users.length), 1)[0]}`),
      async () => groups.length > 2 && call('DELETE', `/groups/${groups.splice(random(groups.length), 1)[0]}`),
      ...Array.from({ length: 4 }, () => async () => {
        const url = `/groups/${groups[random(groups.length)]}/members`
        const user = users[random(users.length)]
        return random(2) === 0 ? call('DELETE', `${url}/${user}/$ref`) : call('POST', `${url}/$ref`, { '@odata.id': `https://x/users/${user}` })
      }),
    ]
    const some = async () => {
      for (let count = random(4); count >= 0; count--) await edits[random(edits.length)]?.()
    }
    for (let index = 0; index < 12; index++) await some()
    const [people, teams] = [createCopy(), createCopy()]
    let peopleUrl = await people.round('/users/delta?$top=3', some)
    let teamsUrl = await teams.round('/groups/delta?$top=2', some)
    for (let index = 0; index < 8; index++) {
      await some()
      peopleUrl = await people.round(peopleUrl, some)
      teamsUrl = await teams.round(teamsUrl, some)
    }
    await people.round(peopleUrl)
    await teams.round(teamsUrl)
    const list = async (path: string) => new Map((await get(path)).value.map(({ '@odata.etag': _, ...one }) => [one.id, one]))
    const plain = (copy: Map<string, Item>) => new Map([...copy].map(([id, { '@odata.etag': _, ...one }]) => [id, one]))
    expect(plain(people.objects)).toEqual(await list('/users?$top=999'))
    expect(plain(teams.objects)).toEqual(await list('/groups?$top=999'))
    for (const id of groups) {
      const held = (await get(`/groups/${id}/members?$top=999`)).value.map((one) => one.id)
      expect([...(teams.members.get(id) ?? [])].sort(), id).toEqual(held.sort())
    }
  })

  it('takes back in its first round whom it has told already, and tells who comes back to a group', async () => {
    const copy = createCopy()
    const first = await get('/users/delta?$top=1')
    copy.apply(first)
    const [told] = copy.objects.keys()
    await call('DELETE', `/users/${told}`)
    await copy.round(first['@odata.nextLink'] as string)
    expect(copy.objects.has(told as string)).toBe(false)
    const group = await made('/groups', { displayName: 'returning' })
    const user = (await get('/users?$top=1')).value[0]?.id as string
    const teams = createCopy()
    let url = await teams.round('/groups/delta')
    for (const [method, path] of [
      ['POST', `/groups/${group}/members/$ref`],
      ['DELETE', `/groups/${group}/members/${user}/$ref`],
      ['POST', `/groups/${group}/members/$ref`],
    ] as const) {
      await call(method, path, method === 'POST' ? { '@odata.id': `https://x/users/${user}` } : undefined)
      url = await teams.round(url)
      expect(teams.members.get(group)?.has(user)).toBe(method === 'POST')
    }
  })

  it('of nothing is nothing; latest begins now; minimal says what changed, select and ids bound it', async () => {
    const [a, b] = [
      await made('/users', { userPrincipalName: 'da@contoso.test', displayName: 'A', accountEnabled: true }),
      await made('/users', { userPrincipalName: 'db@contoso.test', displayName: 'B', accountEnabled: true }),
    ]
    const latest = await get('/users/delta?$deltatoken=latest')
    expect(latest.value).toEqual([])
    const link = latest['@odata.deltaLink'] as string
    expect((await get(link)).value).toEqual([])
    await call('PATCH', `/users/${a}`, { displayName: 'A2' })
    await call('PATCH', `/users/${a}`, { displayName: 'A2' })
    await call('DELETE', `/users/${b}`)
    expect((await get(link)).value).toEqual([
      expect.objectContaining({ id: a, displayName: 'A2', userPrincipalName: 'da@contoso.test' }),
      { id: b, '@removed': { reason: 'deleted' } },
    ])
    const minimal = await fetch(link, { headers: { authorization: `Bearer ${token}`, prefer: 'return=minimal' } })
    expect(minimal.headers.get('preference-applied')).toBe('return=minimal')
    expect(((await minimal.json()) as Page).value[0]).toEqual({ id: a, displayName: 'A2' })
    const chosen = await get(`/users/delta?$select=mail&$filter=${encodeURIComponent(`id eq '${a}' or id eq '${b}'`)}`)
    expect(chosen.value).toEqual([{ id: a, mail: null }])
    await call('POST', `/users/${a}/revokeSignInSessions`)
    await call('PATCH', `/users/${(await get('/users?$top=1')).value[0]?.id}`, { displayName: 'Somebody else' })
    expect((await get(chosen['@odata.deltaLink'] as string)).value).toEqual([{ id: a, mail: null }])
    const named = await get('/groups/delta?$select=displayName')
    expect(named.value.every((one) => !('members@delta' in one))).toBe(true)
    await call('DELETE', `/users/${a}`)
  })

  it('refuses other options, tokens of others, and those that have expired', async () => {
    const first = await get('/users/delta?$top=2')
    const next = first['@odata.nextLink'] as string
    const bad = [
      ...[
        '/users/delta?$orderby=id',
        '/users/delta?$search=x',
        '/users/delta?$count=true',
        "/users/delta?$filter=displayName eq 'x'",
        "/users/delta?$filter=id ne 'x'",
        '/users/delta?$expand=x',
      ],
      ...[
        '/users/delta?$deltatoken=x',
        '/users/delta?$skiptoken=latest',
        '/users/delta?$deltatoken=latest&$select=id',
        `${next}&$select=id`,
        next.replace('skiptoken', 'deltatoken'),
      ],
      ...[
        next.replace('/users/', '/groups/'),
        `${next.slice(0, -2)}xx`,
        `/users/delta?$filter=id in (${Array.from({ length: 51 }, (_, index) => `'${index}'`)})`,
      ],
    ]
    for (const path of bad) {
      const { status, body } = await call('GET', path)
      expect(`${path}: ${status}`).toBe(`${path}: 400`)
      expect(body).toMatchObject({ error: { code: 'Request_BadRequest', innerError: expect.anything() } })
    }
    const delta = (await get('/users/delta?$deltatoken=latest'))['@odata.deltaLink'] as string
    await loop.server.store.renewEpoch(loop.tenant, (await loop.server.store.position(loop.tenant)).epoch)
    for (const path of [next, delta]) {
      const { status, headers, body } = await call('GET', path)
      expect(status).toBe(410)
      expect(headers.get('location')).toBe(`${loop.origin}/v1.0/users/delta`)
      expect(body).toMatchObject({ error: { code: 'resyncRequired' } })
    }
  })
})

describe('ETags', () => {
  it('keep an edit from undoing another that its author has not seen', async () => {
    for (const [path, body, change] of [
      ['/users', { userPrincipalName: 'etag@contoso.test', displayName: 'E', accountEnabled: true }, { displayName: 'F' }],
      ['/groups', { displayName: 'etag' }, { displayName: 'etags' }],
    ] as const) {
      const one = `${path}/${await made(path, body)}`
      const { '@odata.etag': seen } = await get(one)
      expect(seen).toMatch(/^W\/"\d+"$/)
      expect((await get(`${path}?$top=999`)).value.find((item) => one.endsWith(item.id))?.['@odata.etag']).toBe(seen)
      const match = (etag: unknown) => ({ 'if-match': String(etag) })
      expect((await call('PATCH', one, change, match(seen))).status).toBe(204)
      const late = await call('PATCH', one, { displayName: 'late' }, match(seen))
      expect(late).toMatchObject({ status: 412, body: { error: { code: 'PreconditionFailed' } } })
      expect((await call('DELETE', one, undefined, match(seen))).status).toBe(412)
      expect((await call('PATCH', one, { displayName: 'odd' }, match('odd'))).status).toBe(412)
      expect(await get(one)).toMatchObject(change)
      expect((await call('PATCH', one, { displayName: 'any' }, match('*'))).status).toBe(204)
      // The same again changes nothing, and takes nobody by surprise.
      const { '@odata.etag': then } = await get(one)
      await call('PATCH', one, { displayName: 'any' })
      expect((await call('DELETE', one, undefined, match(then))).status).toBe(204)
    }
    expect((await call('GET', '/users', undefined, { 'if-match': 'W/"1"' })).status).toBe(400)
  })

  it('let one of two at the same time win', async () => {
    const one = `/users/${await made('/users', { userPrincipalName: 'race@contoso.test', displayName: 'R', accountEnabled: true })}`
    const headers = { 'if-match': String((await get(one))['@odata.etag']) }
    const found = await Promise.all(['a', 'b', 'c', 'd'].map((displayName) => call('PATCH', one, { displayName }, headers)))
    expect(found.map(({ status }) => status).sort()).toEqual([204, 412, 412, 412])
  })
})
