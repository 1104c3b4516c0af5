import { fleetSubjects } from '@caegis/ssf/transmitter'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNats, hasNats, type Nats, PUBLISHER } from './nats.ts'
import { type Nodes, startNodes } from './nodes.ts'
import { hasPostgres, type Postgres, startPostgres } from './postgres.ts'
import { SIGNALS_TENANT } from './signals-tenant.ts'

const PATIENT = { timeout: 40_000, interval: 50 }

describe.runIf(hasPostgres() && hasNats())('two servers and one broker', () => {
  let postgres: Postgres
  let nats: Nats
  let world: Nodes
  let admin: string
  beforeAll(async () => {
    ;[postgres, nats] = await Promise.all([startPostgres(), createNats()])
    const environment = { NATS_URL: nats.url, NATS_USER: PUBLISHER.user, NATS_PASSWORD: PUBLISHER.pass }
    world = await startNodes({ postgres, tenant: SIGNALS_TENANT, environment })
    admin = await world.tokenOf('nightly', `${world.origin}/.default`)
  })
  afterAll(async () => {
    await world?.close()
    await nats?.close()
    await postgres?.close()
  })

  const revoke = async (i: number) => {
    const { status } = await world.ask(i, admin, 'POST', '/v1.0/users/alice@contoso.test/revokeSignInSessions')
    expect(status).toBe(200)
  }
  const head = async () => Number((await world.sql("select seq from tenants where name = 'contoso'"))[0]?.seq)
  /** The positions of all that the broker keeps, in its order. */
  async function kept(): Promise<number[]> {
    const connection = await connect({ servers: nats.url, ...PUBLISHER })
    try {
      const { streams } = await jetstreamManager(connection, { checkAPI: false })
      const last = await streams.getMessage('CAEGIS', { last_by_subj: fleetSubjects(world.issuer).log }).catch(() => null)
      const all: number[] = []
      for (let seq = 1; seq <= (last?.seq ?? 0); seq++) {
        const message = await streams.getMessage('CAEGIS', { seq })
        if (message) all.push(decodeJwt(message.string()).caegis_seq as number)
      }
      return all
    } finally {
      await connection.close()
    }
  }
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
  const whole = async (from: number) => expect.poll(kept, PATIENT).toEqual(range(from, await head()))

  it.each(['is killed', 'stands still and comes back'])(
    'B2: when the one that tells the fleet %s, the other goes on where the broker stands: nothing twice, nothing out of order',
    async (what) => {
      await expect.poll(() => world.holder('fleet '), PATIENT).not.toBe(-1)
      const owner = await world.holder('fleet ')
      const other = 1 - owner
      await revoke(owner)
      const told = await head()
      await expect.poll(async () => (await kept()).at(-1), PATIENT).toBe(told)
      const [from = 0] = await kept()
      for (let i = 0; i < 10; i++) {
        if (i === 5) void (what === 'is killed' ? world.kill(owner) : world.signal(owner, 'SIGSTOP'))
        await revoke(other)
      }
      await whole(from)
      expect(await world.holder('fleet ')).toBe(other)
      if (what === 'is killed') await world.start(owner)
      else world.signal(owner, 'SIGCONT')
      // It is there again, and tells nothing.
      for (let i = 0; i < 4; i++) await revoke(i % 2)
      await whole(from)
    },
  )

  it('B2: a broker that has lost everything while the one that told the fleet was killed misses nothing that is committed from then on', async () => {
    const owner = await world.holder('fleet ')
    const other = 1 - owner
    await nats.kill()
    nats.wipe()
    await world.kill(owner)
    await revoke(other)
    const lost = await head()
    await nats.start()
    await expect.poll(() => world.holder('fleet '), PATIENT).toBe(other)
    await expect
      .poll(async () => {
        await revoke(other)
        return (await kept()).length
      }, PATIENT)
      .toBeGreaterThan(0)
    const [from] = await kept()
    // What is left out stands before all that is told: who follows finds the gap at its beginning.
    expect(from).toBeGreaterThanOrEqual(lost)
    await whole(from ?? 0)
  })
})
