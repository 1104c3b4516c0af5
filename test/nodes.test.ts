import { join } from 'node:path'
import { createGuard, type Guard } from '@caegis/guard'
import { POLL_METHOD, PUSH_METHOD } from '@caegis/ssf/transmitter'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { PASSWORD, SCOPE, SECRET, verdictOf } from './loop.ts'
import { type Nodes, startNodes } from './nodes.ts'
import { hasPostgres, type Postgres, query, startPostgres } from './postgres.ts'
import { runProgram } from './process.ts'
import { SIGNALS_TENANT, startEndpoint } from './signals-tenant.ts'

const PATIENT = { timeout: 30_000, interval: 20 }

describe.runIf(hasPostgres())('two servers over one PostgreSQL', () => {
  let postgres: Postgres
  let world: Nodes
  let files: string
  let admin: string
  const ends: (() => unknown)[] = []
  beforeAll(async () => {
    postgres = await startPostgres()
    world = await startNodes({ postgres, tenant: SIGNALS_TENANT })
    files = await world.tokenOf('files-api', 'ssf.read ssf.manage')
    admin = await world.tokenOf('nightly', `${world.origin}/.default`)
  })
  afterAll(async () => {
    for (const end of ends.reverse()) await end()
    await world?.close()
    await postgres?.close()
  })

  const ssf = async (i: number, path: string, body: object) => world.ask(i, files, 'POST', `/contoso/ssf${path}`, body)
  const create = async (i: number, delivery: object): Promise<string> => {
    const { status, body } = await ssf(i, '/streams', { delivery })
    expect(status).toBe(201)
    return body.stream_id
  }
  const poll = async (i: number, id: string, body: object = {}) => {
    const answer = await ssf(i, `/poll/${id}`, { returnImmediately: true, ...body })
    expect(answer.status).toBe(200)
    return answer.body as { sets: Record<string, string>; caegis_head: { epoch: string; seq: number; status: string } }
  }
  const revoke = async (i: number, name: string): Promise<string> => {
    const { status, txn } = await world.ask(i, admin, 'POST', `/v1.0/users/${name}@contoso.test/revokeSignInSessions`)
    expect(status).toBe(200)
    return txn as string
  }
  const progressOf = async (id: string) => {
    await new Promise((resolve) => setTimeout(resolve, 0))
    return JSON.parse((await world.sql(`select progress from streams where id = '${id}'`))[0]?.progress as string)
  }
  const head = async () => (await world.sql("select seq, epoch from tenants where name = 'contoso'"))[0] as { seq: number | string; epoch: string }
  const seqOf = async () => Number((await head()).seq)
  const follow = async (): Promise<Guard> => {
    const guard = createGuard({ issuer: world.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
    ends.push(() => guard.close())
    await guard.ready()
    return guard
  }
  const signIn = (name: string) =>
    createPerson({
      ...{ authority: world.authority, clientId: 'files-native', scopes: [SCOPE] },
      ...{ username: `${name}@contoso.test`, password: PASSWORD },
    }).signIn()
  const isAllowed = async (guard: Guard, token: string) => (await verdictOf(guard, token)).allowed

  it.each(['is killed', 'ends'])(
    'push: what both commit goes out by one; when it %s the other goes on, in order for each subject, and nothing is lost',
    async (how) => {
      const endpoint = await startEndpoint(world.data)
      ends.push(() => endpoint.close())
      await expect.poll(() => world.holder('push '), PATIENT).not.toBe(-1)
      const owner = await world.holder('push ')
      const other = 1 - owner
      const id = await create(other, { method: PUSH_METHOD, endpoint_url: endpoint.url })
      const arrived = () => endpoint.pushed.map((one) => decodeJwt(one).txn)
      const txns: string[] = []
      for (let i = 0; i < 4; i++) txns.push(await revoke(i % 2, 'alice'))
      await expect.poll(() => txns.every((one) => arrived().includes(one)), PATIENT).toBe(true)
      // One pusher: nothing came twice.
      expect(endpoint.pushed.length).toBe(4)

      let ending: Promise<void> | undefined
      for (let i = 0; i < 16; i++) {
        if (i === 4) ending = how === 'ends' ? world.stop(owner) : world.kill(owner)
        txns.push(await revoke(other, i % 2 === 0 ? 'alice' : 'bob'))
      }
      await ending
      await expect.poll(() => txns.filter((one) => !arrived().includes(one)), PATIENT).toEqual([])
      const sets = endpoint.pushed.map((one) => decodeJwt(one) as { txn: string; sub_id: { sub: string } })
      for (const who of new Set(sets.map(({ sub_id: { sub } }) => sub))) {
        const first = [...new Set(sets.filter(({ sub_id }) => sub_id.sub === who).map(({ txn }) => txn))]
        expect(first).toEqual(txns.filter((one) => first.includes(one)))
      }
      expect(await world.holder('push ')).toBe(other)
      await world.ask(other, files, 'DELETE', `/contoso/ssf/streams?stream_id=${id}`)
      await world.start(owner)
    },
  )

  it('poll: what one hands out the other takes back, and neither hands it out again', async () => {
    const id = await create(0, { method: POLL_METHOD })
    const txns: string[] = []
    for (let i = 0; i < 10; i++) txns.push(await revoke(i % 2, 'alice'))
    const { sets } = await poll(0, id)
    expect(Object.values(sets).map((one) => decodeJwt(one).txn)).toEqual(txns)
    const jtis = Object.keys(sets)
    // The half here, the half there, at the same time.
    await Promise.all([poll(0, id, { ack: jtis.slice(0, 5), maxEvents: 0 }), poll(1, id, { ack: jtis.slice(5), maxEvents: 0 })])
    for (const i of [0, 1]) await expect.poll(async () => Object.keys((await poll(i, id)).sets).length, PATIENT).toBe(0)
    await expect.poll(async () => (await progressOf(id)).acked, PATIENT).toBe(await seqOf())
    // And with every call at another one.
    const got = new Set<string>()
    let most = 0
    let ack: string[] = []
    for (let i = 0; i < 30; i++) {
      if (i < 20) txns.push(await revoke(i % 2, 'bob'))
      const answer = await poll((i + 1) % 2, id, { ack })
      ack = Object.keys(answer.sets)
      for (const one of Object.values(answer.sets)) got.add(decodeJwt(one).txn as string)
      const { acked } = await progressOf(id)
      expect(acked).toBeGreaterThanOrEqual(most)
      most = acked
    }
    expect(txns.slice(10).filter((one) => !got.has(one))).toEqual([])
    await expect.poll(async () => (await progressOf(id)).acked, PATIENT).toBe(await seqOf())
  })

  it('a verification that is asked for at one arrives at the poll that the other holds, and so does a change of status', async () => {
    const id = await create(0, { method: POLL_METHOD })
    const held = poll(1, id, { returnImmediately: false })
    expect((await ssf(0, '/verify', { stream_id: id, state: 'the state' })).status).toBe(204)
    const [set] = Object.values((await held).sets)
    expect(JSON.stringify(decodeJwt(set as string).events)).toContain('the state')
    expect((await poll(0, id, { ack: Object.keys((await held).sets) })).sets).toEqual({})
    expect((await ssf(0, '/status', { stream_id: id, status: 'paused' })).status).toBe(200)
    await revoke(0, 'alice')
    expect(await poll(1, id)).toMatchObject({ sets: {}, caegis_head: { status: 'paused' } })
    expect((await ssf(1, '/status', { stream_id: id, status: 'enabled' })).status).toBe(200)
    expect(Object.keys((await poll(0, id)).sets)).toHaveLength(1)
  })

  it('B1(b): a server that the database cannot call any more answers a held poll all the same', async () => {
    const id = await create(0, { method: POLL_METHOD })
    const held = poll(1, id, { returnImmediately: false })
    await world.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'")
    const txn = await revoke(0, 'alice')
    expect(Object.values((await held).sets).map((one) => decodeJwt(one).txn)).toEqual([txn])
  })

  it('a server that fails at its start gives back at once what it had taken on for all', async () => {
    const database = await postgres.database()
    const port = String(Number(new URL(world.origin).port) + 1)
    const failed = await runProgram(['serve', '--port', port, '--data', world.data, '--import', join(world.data, 'tenant.yaml'), '--log', 'debug'], {
      env: { DATABASE_URL: database, CAEGIS_KEY_SECRET: SECRET },
    })
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(/"a lease was taken".*port is taken/s) })
    expect(await query(database, 'select name from leases')).toEqual([])
    expect(await query(database, 'select id from nodes')).toEqual([])
  })

  it('B10(d): a guard that polls now here, now there, is in sync, and both servers know it', async () => {
    const guard = await follow()
    const token = await signIn('alice')
    expect(await isAllowed(guard, token)).toBe(true)
    for (const i of [0, 1]) {
      await expect
        .poll(async () => {
          const { body } = await world.ask(i, admin, 'GET', '/v1.0/caegis/streams')
          return (body.value as { guard: boolean; live: boolean | null }[]).filter((one) => one.guard).map(({ live }) => live)
        }, PATIENT)
        .toEqual([true])
    }
    await revoke(1, 'alice')
    await expect.poll(() => isAllowed(guard, token), PATIENT).toBe(false)
    // Long-lived, because there is somebody to take it back.
    const { iat, exp } = decodeJwt(await signIn('bob')) as { iat: number; exp: number }
    expect(exp - iat).toBeGreaterThan(6 * 3600)
    await guard.close()
  })

  it('B5: a failover to a copy that had not got everything gets a new epoch; what follows at the same positions reaches everybody', async () => {
    const guard = await follow()
    const id = await create(0, { method: POLL_METHOD })
    const [alice, bob] = [await signIn('alice'), await signIn('bob')]
    expect([await isAllowed(guard, alice), await isAllowed(guard, bob)]).toEqual([true, true])
    const copy = await world.copy()
    const behind = await head()
    await revoke(0, 'alice')
    await expect.poll(() => isAllowed(guard, alice), PATIENT).toBe(false)
    const lost = await poll(1, id)
    await poll(0, id, { ack: Object.keys(lost.sets), maxEvents: 0 })
    expect(Object.keys(lost.sets)).toHaveLength(1)
    expect(await isAllowed(guard, bob)).toBe(true)

    await world.failOver(copy)
    expect(Number((await head()).seq)).toBe(Number(behind.seq))
    let txn: string | undefined
    await expect
      .poll(async () => {
        txn ??= (await world.ask(1, admin, 'POST', '/v1.0/users/bob@contoso.test/revokeSignInSessions')).txn ?? undefined
        return txn
      }, PATIENT)
      .toBeDefined()
    await expect.poll(() => isAllowed(guard, bob), PATIENT).toBe(false)
    expect(await isAllowed(guard, alice)).toBe(false)
    await expect.poll(async () => (await head()).epoch, PATIENT).not.toBe(behind.epoch)
    // At the position that was acknowledged stands another event by now.
    const got = new Set<unknown>()
    await expect
      .poll(async () => {
        for (const one of Object.values((await poll(0, id)).sets)) got.add(decodeJwt(one).txn)
        return got.has(txn)
      }, PATIENT)
      .toBe(true)
    await expect.poll(() => guard.status().inSync, PATIENT).toBe(true)
  })
})
