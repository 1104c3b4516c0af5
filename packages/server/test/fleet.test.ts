import { createMemoryStore, fleetSubjects, type NewEvent } from '@caegis/ssf/transmitter'
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Bus, type FleetOptions, publishFleet } from '../src/signals/fleet.ts'

const ISSUER = 'https://host.test/acme/v2.0'
const SUBJECTS = fleetSubjects(ISSUER)
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** A broker in memory, which can go away, lose its data, and hold back an answer. */
function createBus() {
  let kept: { text: string; at: number }[] = []
  let next = 1
  const listeners = new Set<() => void>()
  const bus = {
    away: false,
    refused: 0,
    heads: [] as string[],
    /** Runs before a message is taken. */
    before: undefined as (() => Promise<void>) | undefined,
    get kept() {
      return kept
    },
    get seqs() {
      return kept.map(({ text }) => decodeJwt(text).caegis_seq)
    },
    connect() {
      bus.away = false
      for (const one of listeners) one()
    },
    wipe() {
      kept = []
      next = 1
    },
    /** By whoever may. */
    write: (text: string) => void kept.push({ text, at: next++ }),
    port: {
      async last() {
        if (bus.away) throw new Error('away')
        return kept.at(-1)
      },
      async append(subject, text, after) {
        expect(subject).toBe(SUBJECTS.log)
        await bus.before?.()
        if (bus.away) throw new Error('away')
        if ((kept.at(-1)?.at ?? 0) !== after) {
          bus.refused++
          throw new Error('wrong last sequence')
        }
        bus.write(text)
        return next - 1
      },
      tell: (_subject, text) => void (bus.away || bus.heads.push(text)),
      onConnect: (listener) => void listeners.add(listener),
    } satisfies Bus as Bus,
  }
  return bus
}

let key: CryptoKey
let jwk: object
beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true })
  key = pair.privateKey
  jwk = { ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'ES256' }
})
const sign: FleetOptions['sign'] = (payload, { typ, alg }) => new SignJWT(payload).setProtectedHeader({ typ, alg, kid: 'one' }).sign(key)

const running: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.close()
})

const until = (right: () => boolean) => expect.poll(right, { timeout: 15_000, interval: 5 }).toBe(true)
const someone = (sub: string): NewEvent => ({
  type: 'urn:test',
  subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss: ISSUER, sub } } },
  payload: {},
})

function setup() {
  const store = createMemoryStore({ issuer: ISSUER })
  const bus = createBus()
  const ahead: { seq: number }[] = []
  const publish = (more: Partial<FleetOptions> = {}) => {
    const fleet = publishFleet({
      ...{ bus: bus.port, issuer: ISSUER, store, sign, keys: () => [jwk], log: silent },
      async onAhead({ claimed }) {
        ahead.push(claimed)
        store.restore((await store.head()).seq)
      },
      timing: { head: 5, backoff: [1, 5] },
      ...more,
    })
    running.push(fleet)
    return fleet
  }
  const commit = (...names: string[]) => store.commit(...names.map(someone))
  return { store, bus, ahead, publish, commit }
}

describe('the log of a tenant for its fleet', () => {
  it('is published as it is committed, signed for the fleet, with epoch and position; what was before is in the snapshot', async () => {
    const { store, bus, publish, commit } = setup()
    commit('old')
    publish()
    await until(() => bus.heads.length > 0)
    commit('alice', 'bob')
    await until(() => bus.kept.length === 2)
    const { epoch } = await store.head()
    expect(bus.seqs).toEqual([2, 3])
    const claims = decodeJwt(bus.kept[0]?.text as string)
    expect(claims).toMatchObject({ iss: ISSUER, aud: `${ISSUER}/fleet`, caegis_epoch: epoch, caegis_seq: 2, jti: expect.stringMatching(/\.fleet$/) })
    await until(() => (decodeJwt(bus.heads.at(-1) as string).caegis_head as { seq: number }).seq === 3)
    expect(decodeJwt(bus.heads.at(-1) as string)).toMatchObject({ aud: `${ISSUER}/fleet`, caegis_head: { epoch, status: 'enabled' } })
  })

  it('B2: after an outage of the broker it goes on where the broker stands, without a hole', async () => {
    const { bus, publish, commit } = setup()
    publish()
    await until(() => bus.heads.length > 0)
    commit('a')
    await until(() => bus.kept.length === 1)
    bus.away = true
    commit('b', 'c')
    bus.connect()
    await until(() => bus.kept.length === 3)
    expect(bus.seqs).toEqual([1, 2, 3])
  })

  it('B2: so does a server that starts anew', async () => {
    const { bus, publish, commit } = setup()
    const first = publish()
    await until(() => bus.heads.length > 0)
    commit('a')
    await until(() => bus.kept.length === 1)
    await first.close()
    commit('b')
    publish()
    await until(() => bus.kept.length === 2)
    expect(bus.seqs).toEqual([1, 2])
  })

  it('B2: a message that was taken although its answer was lost is not sent again', async () => {
    const { bus, publish, commit } = setup()
    publish()
    await until(() => bus.heads.length > 0)
    commit('a')
    await until(() => bus.kept.length === 1)
    const real = bus.port.append
    bus.port.append = async (...args) => {
      bus.port.append = real
      await real(...args)
      throw new Error('no answer in time')
    }
    commit('b', 'c')
    await until(() => bus.kept.length === 3)
    expect(bus.seqs).toEqual([1, 2, 3])
  })

  it('B2: of two servers, one of them stalled with a message in its hands, none sends anything twice or out of order', async () => {
    const { bus, publish, commit } = setup()
    publish()
    publish()
    await until(() => bus.heads.length > 1)
    commit('a')
    await until(() => bus.kept.length === 1)
    const gate = Promise.withResolvers<void>()
    let stalled = false
    bus.before = async () => {
      if (stalled) return
      stalled = true
      await gate.promise
    }
    commit('b')
    await until(() => bus.kept.length === 2)
    commit('c', 'd')
    await until(() => bus.kept.length === 4)
    const { refused } = bus
    gate.resolve()
    await until(() => bus.refused > refused)
    commit('e')
    await until(() => bus.kept.length === 5)
    expect(bus.seqs).toEqual([1, 2, 3, 4, 5])
  })

  it('B2: a broker that lost everything, or whose messages had their time, misses nothing that is committed from then on', async () => {
    const { bus, publish, commit } = setup()
    publish()
    await until(() => bus.heads.length > 0)
    commit('a')
    await until(() => bus.kept.length === 1)
    bus.wipe()
    commit('b')
    await until(() => bus.kept.length === 1)
    expect(bus.seqs).toEqual([2])
  })

  it('B2: what somebody else wrote is not believed: the log goes on behind it', async () => {
    const { bus, publish, commit, ahead } = setup()
    publish()
    await until(() => bus.heads.length > 0)
    commit('a')
    await until(() => bus.kept.length === 1)
    const stranger = (await generateKeyPair('ES256')).privateKey
    const { text } = bus.kept[0] as { text: string }
    bus.write(
      await new SignJWT({ ...decodeJwt(text), caegis_seq: 999 }).setProtectedHeader({ alg: 'ES256', typ: 'secevent+jwt', kid: 'one' }).sign(stranger),
    )
    bus.connect()
    commit('b')
    await until(() => bus.kept.length === 3)
    expect(bus.seqs).toEqual([1, 999, 2])
    expect(ahead).toEqual([])
  })

  it('B5: a broker that holds more than the log, or another event at its place, shows that the log was restored', async () => {
    for (const commits of [['x'], ['x', 'y', 'z', 'later']]) {
      const { store, bus, publish, commit, ahead } = setup()
      const first = publish()
      await until(() => bus.heads.length > 0)
      commit('a', 'b', 'c')
      await until(() => bus.kept.length === 3)
      await first.close()
      const { epoch } = await store.head()
      // As a restored file would be: other events, and nobody has said so.
      const restored = createMemoryStore({ issuer: ISSUER })
      for (const name of commits) restored.commit(someone(name))
      const same = { ...restored, head: async () => ({ ...(await restored.head()), ...(ahead.length === 0 && { epoch }) }) }
      publish({ store: same, onAhead: async ({ claimed }) => void ahead.push(claimed) })
      await until(() => ahead.length === 1)
      expect(ahead).toEqual([expect.objectContaining({ seq: 3, epoch })])
      restored.commit(someone('new'))
      await until(() => bus.kept.length === 4)
      expect(decodeJwt(bus.kept[3]?.text as string)).toMatchObject({ caegis_epoch: (await restored.head()).epoch, caegis_seq: commits.length + 1 })
    }
  })

  it('B1: no head is kept for a broker that is away: it would tell later what was true once', async () => {
    const { bus, publish } = setup()
    publish()
    await until(() => bus.heads.length > 0)
    const { text } = { text: bus.heads[0] as string }
    expect(bus.kept).toEqual([])
    expect((decodeJwt(text).caegis_head as { asOf: number }).asOf).toBeGreaterThan(Date.now() / 1000 - 60)
  })
})
