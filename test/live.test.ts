import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { openSse } from './signals-tenant.ts'

const daemon = (appId: string, ...permissions: string[]) => ({
  ...{ appId, type: 'daemon', clientSecret: SECRET, permissions: permissions.map((one) => `graph/${one}`) },
})
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: ['admin', 'alice', 'bob', 'carol'].map((name) => ({
    ...{ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD },
    ...(name === 'admin' ? { roles: ['admin'] } : {}),
  })),
  applications: [
    { appId: 'files-api', displayName: 'Files', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    daemon('nightly', 'User.ReadWrite.All', 'SecurityEvents.ReadWrite.All', 'Application.ReadWrite.All'),
    daemon('everything', 'SecurityEvents.Read.All', 'AuditLog.Read.All'),
    daemon('auditor', 'SecurityEvents.Read.All'),
    daemon('reader', 'AuditLog.Read.All'),
  ],
})

let ahead = 0
let loop: Loop
const ends: (() => unknown)[] = []
beforeAll(async () => {
  loop = await startLoop({ tenant: TENANT, now: () => Date.now() + ahead * 1000 })
})
afterAll(async () => {
  for (const end of ends) await end()
  await loop.close()
})

const tokens = new Map<string, Promise<string>>()
const tokenOf = (clientId: string): Promise<string> => {
  const token = tokens.get(clientId) ?? loop.daemonToken(clientId, `${loop.origin}/.default`)
  tokens.set(clientId, token)
  return token
}
const get = async (path: string, clientId = 'everything', headers: Record<string, string> = {}) => {
  const response = await fetch(`${loop.origin}/v1.0/caegis${path}`, { headers: { authorization: `Bearer ${await tokenOf(clientId)}`, ...headers } })
  return { status: response.status, body: (await response.json()) as any }
}
const listen = async (topics: string, { clientId = 'everything', headers = {}, token = '' } = {}) => {
  const sse = await openSse(`${loop.origin}/v1.0/caegis/live?topics=${topics}`, token || (await tokenOf(clientId)), headers)
  ends.push(() => sse.close())
  return sse
}
const revoke = async (name = 'alice') =>
  (await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)).headers.get('caegis-txn') as string
const hopOf = (body: any, name: string) => body.hops.find(({ hop }: any) => hop === name)
type Sse = Awaited<ReturnType<typeof listen>>
const named = (sse: Sse, event: string) => sse.messages.filter((one) => one.event === event).map(({ data }) => data)

describe('the loop, hop by hop', () => {
  it('is idle in a fresh tenant, and tells how long each hop took once something went round', async () => {
    const fresh = await get('/loop', 'auditor')
    expect(fresh.body.hops.map(({ hop }: any) => hop)).toEqual(['change', 'log', 'streams', 'guards', 'refusals', 'signIns'])
    expect(fresh.body).toMatchObject({ windowMinutes: 60, asOfDateTime: expect.any(String) })
    for (const hop of fresh.body.hops)
      expect(hop).toMatchObject({ state: 'idle', backlog: 0, count: 0, p50Milliseconds: null, p95Milliseconds: null })

    const guard = await loop.guard()
    const flow = createFlow(loop)
    const { accessToken } = await flow.tokens()
    const check = async (token: string) => (await guard.check({ headers: { authorization: `Bearer ${token}` } })).allowed
    expect(await check(accessToken)).toBe(true)
    await revoke()
    await eventually(
      () => check(accessToken),
      (allowed) => !allowed,
      'the refusal',
    )
    const refused = await eventually(
      () => get('/loop', 'auditor'),
      ({ body }) => hopOf(body, 'refusals').count === 1,
      'the refusal in the loop',
    )
    for (const name of ['change', 'log', 'streams', 'guards']) expect(hopOf(refused.body, name)).toMatchObject({ state: 'ok', count: 1, backlog: 0 })
    for (const name of ['log', 'streams', 'guards', 'refusals'])
      expect([name, hopOf(refused.body, name).p50Milliseconds]).toEqual([name, hopOf(refused.body, name).p95Milliseconds])
    expect(hopOf(refused.body, 'guards').detail).toMatchObject({ guards: 1, live: 1, problems: [], problemsTotal: 0 })
    // Nobody has come back yet.
    expect(hopOf(refused.body, 'signIns')).toMatchObject({ state: 'ok', count: 0, backlog: 1, p50Milliseconds: null })
    await createFlow(loop).tokens()
    const back = await eventually(
      () => get('/loop', 'auditor'),
      ({ body }) => hopOf(body, 'signIns').count === 1,
      'the way back',
    )
    expect(hopOf(back.body, 'signIns')).toMatchObject({ backlog: 0, p50Milliseconds: expect.any(Number) })
    await guard.close()
  })

  it('says which receiver is silent, by the name of its application, and tells it live', async () => {
    let deaf = false
    const guard = await loop.guard({ fetch: (input, init) => (deaf ? Promise.reject(new TypeError('no network')) : fetch(input, init)) })
    ends.push(() => guard.close())
    const live = await listen('loop,streams', { clientId: 'auditor' })
    await eventually(
      () => named(live, 'loop').at(-1),
      (data) => data && hopOf(data, 'guards').state !== 'stale',
      'a loop that works',
    )
    deaf = true
    // What a poll that was held has heard is the last of it.
    await revoke('bob')
    ahead += 60
    const problems = () => hopOf(named(live, 'loop').at(-1), 'guards').detail.problems
    await eventually(problems, ([first]) => first !== undefined, 'a guard that is behind')
    ahead += 60
    // Something happens, so that it is looked at soon.
    await revoke('bob')
    const silent = await eventually(problems, ([first]) => first?.problem === 'silent', 'the silence')
    expect(silent).toEqual([{ streamId: expect.any(String), appId: 'files-api', displayName: 'Files', problem: 'silent' }])
    expect(hopOf(named(live, 'loop').at(-1), 'guards')).toMatchObject({ state: 'stale', detail: { guards: 1, live: 0 } })
    expect(named(live, 'streams').flatMap(({ ids }) => ids)).toContain(silent[0].streamId)
  })
})

describe('the live connection', () => {
  it('needs for each topic what reading it needs, and knows no others', async () => {
    const statusOf = async (topics: string, clientId: string) => (await listen(topics, { clientId })).response.status
    for (const [clientId, topics, status] of [
      ['auditor', 'events,loop,streams', 200],
      ['reader', 'signIns', 200],
      ['everything', 'events,signIns,loop,streams', 200],
      ['auditor', 'signIns', 403],
      ['auditor', 'events,signIns', 403],
      ...(['events', 'loop', 'streams'].map((topic) => ['reader', `signIns,${topic}`, 403]) as [string, string, number][]),
      ['nightly', 'signIns', 403],
      ['everything', '', 400],
      ['everything', 'events,users', 400],
      ['everything', 'events,events,events,events,events', 400],
    ] as const)
      expect([clientId, topics, await statusOf(topics, clientId)]).toEqual([clientId, topics, status])
    expect((await get('/live?topics=events')).status).toBe(400)
    expect((await get('/live', 'everything', { accept: 'text/event-stream' })).status).toBe(400)
    for (const path of ['/loop', '/activity']) expect((await get(path, path === '/loop' ? 'reader' : 'auditor')).status).toBe(403)
  })

  it('carries events and sign-ins of one sign-in after the other, and goes on after Last-Event-ID without a gap', async () => {
    const live = await listen('events,signIns')
    const txn = await revoke('carol')
    await createFlow(loop, { username: 'carol@contoso.test' }).tokens()
    const signIn = await eventually(
      () =>
        named(live, 'signIn').find(
          ({ userPrincipalName, uniqueTokenIdentifier }) => userPrincipalName === 'carol@contoso.test' && uniqueTokenIdentifier,
        ),
      (found) => found !== undefined,
      'the sign-in',
    )
    expect(signIn).toMatchObject({ outcome: 'allowed', status: { errorCode: 0 } })
    const event = live.messages.find((one) => one.event === 'event')
    expect(event).toMatchObject({ data: { txn, type: expect.stringContaining('session-revoked') } })
    await live.close()
    const txns = [await revoke('bob'), await revoke('carol')]
    const again = await listen('events', { headers: { 'last-event-id': event?.id as string } })
    await eventually(
      () => named(again, 'event').map((one) => one.txn),
      (found) => found.length === 2,
      'what was missed',
    ).then((found) => expect(found).toEqual(txns))
    expect((await listen('events', { headers: { 'last-event-id': 'x' } })).response.status).toBe(400)
  })

  it('C3: ends with the access of its token, and with any permission that one of its topics needs', async () => {
    const admin = loop.person('admin', { scopes: [`${loop.origin}/SecurityEvents.Read.All`, `${loop.origin}/AuditLog.Read.All`] })
    const live = await listen('events,signIns', { token: await admin.signIn() })
    const other = await listen('events,signIns')
    expect([live.response.status, other.response.status]).toEqual([200, 200])
    await revoke('admin')
    await live.ended
    // The other one has lost one of two: what it hears next is the end.
    await loop.server.store.db
      .updateTable('applications')
      .set({ permissions: JSON.stringify(['graph/SecurityEvents.Read.All']) })
      .where('app_id', '=', 'everything')
      .execute()
    await revoke('bob')
    await other.ended
    expect(named(other, 'event').length).toBeLessThan(2)
  })
})

describe('activity', () => {
  it('counts each decision once in the word that the sign-in log has for it, and can be asked for by that word', async () => {
    const before = await get('/activity?hours=1', 'reader')
    expect(before.body).toMatchObject({ intervalMinutes: 1 })
    expect(before.body.value).toHaveLength(60)
    const totals = ({ body }: any) =>
      body.value.reduce(
        (sum: any, one: any) => ({ allowed: sum.allowed + one.allowed, blocked: sum.blocked + one.blocked, failed: sum.failed + one.failed }),
        { allowed: 0, blocked: 0, failed: 0 },
      )
    await createFlow(loop, { username: 'bob@contoso.test' }).tokens()
    const form = { grant_type: 'client_credentials', client_id: 'reader', client_secret: 'a wrong one', scope: `${loop.origin}/.default` }
    expect((await loop.token(form)).status).toBe(401)
    await loop.graph('PATCH', '/users/bob@contoso.test', { accountEnabled: false })
    await createFlow(loop, { username: 'bob@contoso.test' })
      .tokens()
      .catch(() => {})
    await loop.server.store.flush()
    const [was, now] = [totals(before), totals(await get('/activity?hours=1', 'reader'))]
    // The edit needed a token, too.
    expect([now.allowed - was.allowed, now.blocked - was.blocked, now.failed - was.failed]).toEqual([2, 1, 1])
    const list = async (filter: string) => {
      const path = `${loop.origin}/v1.0/auditLogs/signIns?$filter=${encodeURIComponent(filter)}`
      const response = await fetch(path, { headers: { authorization: `Bearer ${await tokenOf('reader')}` } })
      return { status: response.status, body: (await response.json()) as any }
    }
    const blocked = await list("userPrincipalName eq 'bob@contoso.test' and outcome eq 'blocked'")
    expect(blocked.body.value.map(({ status }: any) => status.errorCode)).toEqual([50057])
    expect((await list("outcome eq 'blocked'")).body.value.map(({ outcome }: any) => outcome)).toEqual(['blocked'])
    expect((await list("outcome eq 'refused'")).status).toBe(400)
    expect((await get('/activity', 'reader')).body.value).toHaveLength(96)
    for (const [hours, minutes, length] of [
      [168, 120, 84],
      [97, 120, 49],
      [720, 480, 90],
    ] as const) {
      const { body } = await get(`/activity?hours=${hours}`, 'reader')
      expect([hours, body.intervalMinutes, body.value.length]).toEqual([hours, minutes, length])
    }
    for (const hours of ['0', '721', '-1', 'x', '1.5'])
      expect([hours, (await get(`/activity?hours=${hours}`, 'reader')).status]).toEqual([hours, 400])
  })
})
