import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const NAMES = ['a', 'b', 'c'] as const
type Name = (typeof NAMES)[number]

/** Each knows the others as applications that receive, and the same people by the same ids. */
const tenantOf = (name: Name) =>
  JSON.stringify({
    tenant: { name: `org-${name}` },
    users: ['alice', 'bob'].map((user) => ({ userPrincipalName: `${user}@contoso.test`, displayName: user, password: PASSWORD })),
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      {
        appId: 'nightly',
        type: 'daemon',
        clientSecret: SECRET,
        permissions: ['graph/User.ReadWrite.All', 'graph/Upstream.ReadWrite.All', 'graph/SecurityEvents.ReadWrite.All'],
      },
      ...NAMES.filter((other) => other !== name).map((other) => ({
        ...{ appId: `partner-${other}`, identifierUris: [`api://partner-${other}`] },
        ...{ cae: true, clientSecret: SECRET },
      })),
    ],
  })

describe('servers that listen to each other', () => {
  const loops = {} as Record<Name, Loop>
  const ids = {} as Record<string, string>

  beforeAll(async () => {
    for (const name of NAMES) {
      loops[name] = await startLoop({ tenant: tenantOf(name), environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
      const { store } = loops[name].server
      // Provisioned from one place, they have the same ids everywhere.
      for (const user of ['alice', 'bob']) {
        const { id } = await store.db.selectFrom('users').select('id').where('upn', '=', `${user}@contoso.test`).executeTakeFirstOrThrow()
        ids[user] ??= id
        await store.db.updateTable('users').set({ id: ids[user], source: 'hr', external_id: ids[user] }).where('id', '=', id).execute()
      }
    }
  })
  afterAll(async () => {
    for (const loop of Object.values(loops)) await loop.close()
  })

  /** `here` begins to listen to `there`. */
  const listen = async (here: Name, there: Name, more: object = {}) => {
    const response = await loops[here].graph('POST', '/caegis/upstreams', {
      ...{ issuer: loops[there].issuer, displayName: there, source: 'hr' },
      credentials: { clientId: `partner-${here}`, clientSecret: SECRET },
      ...more,
    })
    const { id } = (await response.json()) as { id: string }
    expect(response.status).toBe(201)
    await eventually(
      () => status(here, there),
      ({ state }) => state === 'running',
      `${here} listens to ${there}`,
    )
    return id
  }
  const upstreams = async (here: Name) => ((await (await loops[here].graph('GET', '/caegis/upstreams')).json()) as { value: any[] }).value
  const status = async (here: Name, there: Name) => (await upstreams(here)).find((one) => one.issuer === loops[there].issuer).status
  const forget = async () => {
    for (const name of NAMES) for (const { id } of await upstreams(name)) await loops[name].graph('DELETE', `/caegis/upstreams/${id}`)
  }
  /** How often each outcome was met, over all upstreams. */
  const outcomes = async (here: Name) => {
    const all: Record<string, number> = {}
    for (const { status } of await upstreams(here))
      for (const { outcome, count } of status.outcomes) if (outcome !== 'ignored') all[outcome] = (all[outcome] ?? 0) + count
    return all
  }
  const settles = (here: Name, wanted: Record<string, number>) =>
    eventually(
      () => outcomes(here),
      (found) => JSON.stringify(Object.entries(found).sort()) === JSON.stringify(Object.entries(wanted).sort()),
      `${here}: ${JSON.stringify(wanted)}`,
    )
  const rows = async (here: Name) =>
    loops[here].server.store.db.selectFrom('events').selectAll().where('tenant', '=', loops[here].tenant).orderBy('seq').execute()
  const revoke = async (here: Name, user: string) => {
    const done = await loops[here].graph('POST', `/users/${user}@contoso.test/revokeSignInSessions`)
    return done.headers.get('caegis-txn') as string
  }
  const counts = async (txn: string) => {
    const found: number[] = []
    for (const name of NAMES) found.push((await rows(name)).filter((row) => row.txn === txn).length)
    return found
  }

  it('B14: two that trust each other tell each other once, and people get in again', async () => {
    await listen('a', 'b')
    await listen('b', 'a')
    const guard = await loops.b.guard()
    const flow = createFlow(loops.b)
    const { accessToken } = await flow.tokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    const txn = await revoke('a', 'alice')
    await eventually(
      () => verdictOf(guard, accessToken),
      ({ allowed }) => !allowed,
      'the refusal at the other one',
    )
    await settles('b', { committed: 1 })
    await settles('a', { returned: 1 })
    expect(await counts(txn)).toEqual([1, 1, 0])
    // A later cause from the other side passes behind it, so nothing of the first is still on its way.
    const second = await revoke('b', 'bob')
    await settles('a', { returned: 1, committed: 1 })
    await settles('b', { committed: 1, returned: 1 })
    expect(await counts(txn)).toEqual([1, 1, 0])
    expect(await counts(second)).toEqual([1, 1, 0])
    expect((await createFlow(loops.b).tokens()).accessToken).toMatch(/^ey/)
    await forget()
  })

  it('B14: nothing is sent back to the receiver that it came from', async () => {
    await listen('a', 'b', { receiver: 'partner-b' })
    await listen('b', 'a', { receiver: 'partner-a' })
    const txn = await revoke('a', 'alice')
    await settles('b', { committed: 1 })
    const second = await revoke('b', 'bob')
    await settles('a', { committed: 1 })
    const third = await revoke('a', 'bob')
    await settles('b', { committed: 2 })
    expect(await outcomes('a')).toEqual({ committed: 1 })
    for (const one of [txn, second, third]) expect(await counts(one)).toEqual([1, 1, 0])
    await forget()
  })

  it('B14: in a ring of three each commits once', async () => {
    await listen('b', 'a')
    await listen('c', 'b')
    await listen('a', 'c')
    const txn = await revoke('a', 'alice')
    await settles('a', { returned: 1 })
    await settles('b', { committed: 1 })
    await settles('c', { committed: 1 })
    expect(await counts(txn)).toEqual([1, 1, 1])
    const second = await revoke('b', 'alice')
    await settles('b', { committed: 1, returned: 1 })
    expect(await counts(second)).toEqual([1, 1, 1])
    expect(await counts(txn)).toEqual([1, 1, 1])
    await forget()
  })

  it('B14: three that all trust each other, with effects that differ on the way, still come to rest', async () => {
    for (const here of NAMES)
      for (const there of NAMES) if (here !== there) await listen(here, there, here === 'b' ? { actions: { 'session-revoked': 'disable' } } : {})
    const txn = await revoke('a', 'bob')
    await eventually(
      () => outcomes('a'),
      ({ returned = 0 }) => returned >= 2,
      'what comes back to a',
    )
    const sum = (all: Record<string, number>) => Object.values(all).reduce((one, other) => one + other, 0)
    await eventually(async () => sum(await outcomes('b')) >= 2 && sum(await outcomes('c')) >= 2, Boolean, 'the others')
    // A later cause of each passes behind what is on its way.
    for (const here of NAMES) await revoke(here, 'alice')
    await eventually(async () => sum(await outcomes('a')) >= 6 && sum(await outcomes('b')) >= 6 && sum(await outcomes('c')) >= 6, Boolean, 'the rest')
    const [a, b, c] = (await counts(txn)) as [number, number, number]
    expect([a, b]).toEqual([1, 1])
    // Told of a revocation by one and of a disabled account by the other, it does each once.
    expect(c).toBeLessThanOrEqual(2)
    const types = (await rows('c')).filter((row) => row.txn === txn).map(({ type }) => type)
    expect(new Set(types).size).toBe(types.length)
    await forget()
  })

  it('shows a stream that was paused over there, and catches up when it goes on', async () => {
    await listen('b', 'a')
    const { stream } = await status('b', 'a')
    expect((await loops.a.graph('POST', `/caegis/streams/${stream}/pause`, {})).status).toBe(200)
    await eventually(
      () => status('b', 'a'),
      ({ state, stale }) => state === 'paused' && stale === true,
      'the pause',
    )
    const txn = await revoke('a', 'alice')
    expect((await loops.a.graph('POST', `/caegis/streams/${stream}/enable`, {})).status).toBe(200)
    await settles('b', { committed: 1 })
    expect(await status('b', 'a')).toMatchObject({ state: 'running', stale: false, gaps: 0 })
    expect(await counts(txn)).toEqual([1, 1, 0])
    await forget()
  })
})
