import type { Guard } from '@caegis/guard'
import { fleet } from '@caegis/guard/fleet'
import { FLEET_STREAM, fleetSubjects } from '@caegis/ssf/transmitter'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, type Loop, startLoop, verdictOf } from './loop.ts'
import { createNats, FOLLOWER, hasNats, type Nats, OPERATOR, PUBLISHER } from './nats.ts'

describe.runIf(hasNats())('a fleet of guards behind a broker', () => {
  let nats: Nats
  let loop: Loop
  const guards: Guard[] = []
  const polls: { returnImmediately?: boolean }[] = []
  let held = 0
  beforeAll(async () => {
    nats = await createNats()
    loop = await startLoop({ environment: { NATS_URL: nats.url, NATS_USER: PUBLISHER.user, NATS_PASSWORD: PUBLISHER.pass } })
    for (let i = 0; i < 3; i++) guards.push(await replica())
    await carrying()
  })
  afterAll(async () => {
    await loop?.close()
    await nats?.close()
  })

  const replica = () =>
    loop.guard({
      fleet: fleet({ servers: nats.url, ...FOLLOWER }),
      async fetch(input, init) {
        if (!String(input).includes('/ssf/poll/')) return fetch(input, init)
        const body = JSON.parse(String(init?.body))
        polls.push(body)
        const holds = body.returnImmediately === false
        if (holds) held++
        return fetch(input, init).finally(() => {
          if (holds) held--
        })
      },
    })
  const fleetOf = (guard: Guard) => (guard.status().source as { fleet: { carries: boolean; counts: Record<string, number> } }).fleet
  const applied = (guard: Guard) => fleetOf(guard).counts.applied as number
  /** By the broker, whether or not a poll that was still held has brought it too. */
  const brought = (guard: Guard) => applied(guard) + (fleetOf(guard).counts.known as number)
  const until = async (right: () => boolean, what: string) => {
    for (let tries = 0; tries < 4 && !right(); tries++) await eventually(right, Boolean, what).catch((error) => tries === 3 && Promise.reject(error))
  }
  const carrying = () => until(() => guards.every((guard) => fleetOf(guard).carries), 'the broker carries')
  const revoke = async () => expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
  const answers = (token: string) => Promise.all(guards.map(async (guard) => (await verdictOf(guard, token)).allowed))
  const signIn = async () => {
    const token = await loop.person('alice').signIn()
    expect(await answers(token)).toEqual(guards.map(() => true))
    return token
  }
  const refused = (token: string) =>
    eventually(
      () => answers(token),
      (all) => all.every((allowed) => !allowed),
      'the revocation',
    )

  it('B2: a revocation reaches every replica over the broker, while none of them holds a poll', async () => {
    // A machine that stands still for seconds makes every guard poll, rightly: then it is tried again.
    const alone = async () => {
      // Polls that were held when the broker took over have ended.
      await until(() => held === 0 && guards.every((guard) => fleetOf(guard).carries), 'the broker carries alone')
      const before = guards.map(applied)
      polls.length = 0
      const token = await signIn()
      await revoke()
      await refused(token)
      return guards.every((guard, i) => applied(guard) > (before[i] as number)) && !polls.some((one) => one.returnImmediately === false)
    }
    expect((await alone()) || (await alone()) || (await alone())).toBe(true)
  })

  it('B2: a replica that starts in the middle knows from the snapshot what the others were told', async () => {
    const token = await signIn()
    await revoke()
    await refused(token)
    guards.push(await replica())
    expect(await answers(token)).toEqual(guards.map(() => false))
    await carrying()
  })

  it('B2: who follows may not publish, and what a thief of the publisher’s password writes changes nothing', async () => {
    const subjects = fleetSubjects(loop.issuer)
    const token = await signIn()
    const before = guards.map((guard) => guard.status())
    const errors: string[] = []
    for (const who of [FOLLOWER, PUBLISHER]) {
      const connection = await connect({ servers: nats.url, ...who, reconnect: false })
      void (async () => {
        for await (const status of connection.status()) if (status.type === 'error') errors.push(`${who.user}: ${status.error.message}`)
      })()
      for (const subject of Object.values(subjects)) connection.publish(subject, 'eyJhbGciOiJub25lIn0.e30.')
      await connection.flush()
      await connection.close()
    }
    await until(
      () => guards.every((guard, i) => (fleetOf(guard).counts.refused as number) >= ((before[i]?.source as any)?.fleet.counts.refused as number) + 2),
      'it is counted',
    )
    expect(errors.filter((one) => one.startsWith('guard: ')).length).toBe(2)
    expect(errors.filter((one) => one.startsWith('caegis: '))).toEqual([])
    expect(guards.map((guard) => fleetOf(guard).counts.refused)).toEqual(before.map((one) => (one.source as any).fleet.counts.refused + 2))
    expect(guards.map((guard) => guard.status().cutoffs)).toEqual(before.map(({ cutoffs }) => cutoffs))
    expect(await answers(token)).toEqual(guards.map(() => true))
    // Behind what is not the issuer's word, the publisher goes on.
    const counts = guards.map(brought)
    await revoke()
    await refused(token)
    await until(() => guards.every((guard, i) => brought(guard) > (counts[i] as number)), 'the next event by the broker')
  })

  /** What is revoked from now on reaches everybody by the broker. */
  async function carriesAgain(): Promise<void> {
    await carrying()
    const counts = guards.map(brought)
    const next = await signIn()
    await revoke()
    await refused(next)
    await until(() => guards.every((guard, i) => brought(guard) > (counts[i] as number)), 'the next event by the broker')
    await carrying()
  }

  it('B2: a broker whose stream was removed while it runs carries again from the next event on', async () => {
    const token = await signIn()
    const connection = await connect({ servers: nats.url, ...OPERATOR })
    await (await jetstreamManager(connection)).streams.delete(FLEET_STREAM)
    await connection.close()
    await until(() => guards.every((guard) => !fleetOf(guard).carries), 'the fall back')
    await revoke()
    await refused(token)
    await carriesAgain()
  })

  it.each(['was killed and comes back', 'has lost everything'])('B2: a broker that %s', async (what) => {
    const token = await signIn()
    await nats.kill()
    await until(() => guards.every((guard) => !fleetOf(guard).carries), 'the fall back')
    // Meanwhile by the stream of each.
    await revoke()
    await refused(token)
    if (what.includes('lost')) nats.wipe()
    await nats.start()
    await carriesAgain()
  })
})
