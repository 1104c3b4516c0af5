import { EVENT, SET_TYPE } from '@caegis/protocol'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import type { Channel, ChannelHandlers, FollowOptions } from '../src/receiver/index.ts'
import { type EventRow, type FleetMessage, fleetEvent, fleetHead } from '../src/transmitter/index.ts'
import { createLoop, FAST, ISSUER, type Key, makeKey, revoke, startGuard, truth, until } from './loop.ts'

/** A broker that brings what a test gives it, when the test gives it. */
function createChannel() {
  const channel = { on: undefined as unknown as ChannelHandlers, restarts: 0, closed: 0 }
  const port: Channel = {
    open(on) {
      channel.on = on
    },
    restart: () => void channel.restarts++,
    close: async () => void channel.closed++,
  }
  return { channel, port }
}

const sign = ({ claims, typ }: FleetMessage, key: Key) =>
  new SignJWT(claims as never).setProtectedHeader({ alg: 'ES256', typ, kid: key.jwk.kid as string }).sign(key.private)

const guards: ReturnType<typeof startGuard>[] = []
afterEach(async () => {
  for (const { follower } of guards.splice(0)) await follower.close()
})

async function start(options: Partial<FollowOptions> = {}) {
  const loop = createLoop()
  const { channel, port } = createChannel()
  let answered = 0
  loop.alter = ({ path }, response) => {
    if (path.includes('/poll/')) answered++
    return response
  }
  // A minute: whatever is known sooner has not come by a poll.
  const guard = startGuard(loop, { channel: port, waitSeconds: 60, timing: { ...FAST, quiet: 60_000 }, ...options })
  guards.push(guard)
  await until(() => guard.told.includes('synced'))
  const key = loop.keys.ES256
  const status = () => guard.follower.status().channel as NonNullable<ReturnType<typeof guard.follower.status>['channel']>
  const one = {
    ...{ loop, guard, channel, key, status },
    polls: () => loop.requests.filter(({ path }) => path.includes('/poll/')),
    row: async (seq: number) => (await loop.store.events(seq - 1, 1))[0] as EventRow,
    text: async (seq: number, epoch?: string) => sign(fleetEvent(ISSUER, epoch ?? (await loop.store.head()).epoch, await one.row(seq)), key),
    bring: async (...seqs: number[]) => {
      for (const seq of seqs) channel.on.event(await one.text(seq))
    },
    head: async (more: Partial<{ epoch: string; seq: number; asOf: number }> = {}) =>
      channel.on.head(await sign(fleetHead(ISSUER, { ...(await loop.store.head()), ...more }), key)),
    /** The log comes by the channel from here on, and no poll is held. */
    async carry() {
      await one.head()
      await until(() => status().carries)
      loop.store.commit(revoke('somebody'))
      const { seq } = await loop.store.head()
      await one.bring(seq)
      await until(() => guard.follower.status().position?.seq === seq)
      await until(async () => {
        await one.head()
        return status().carries && status().counts.heads > 1 && one.polls().length === answered
      })
    },
    same: async () => expect(guard.table).toEqual(await truth(loop.store)),
  }
  return one
}

describe('a log that comes over a channel', () => {
  it('B2: is applied as it comes, while the stream is polled without a hold and only to report', async () => {
    const { loop, guard, carry, bring, head, polls, status, same } = await start({ waitSeconds: 0.05 })
    await carry()
    await until(() => polls().at(-1)?.body?.returnImmediately === true)
    const from = polls().length
    // Nothing wakes a poll that nobody holds: what is known is known from the channel.
    loop.intercept = (request, next) =>
      request.path.includes('/poll/') && request.body?.returnImmediately !== true ? new Response(null, { status: 503 }) : next()
    loop.store.commit(revoke('alice'), revoke('bob', { session: 's' }))
    const { seq } = await loop.store.head()
    await bring(seq - 1, seq)
    await until(() => guard.follower.status().position?.seq === seq)
    await head()
    await until(() => guard.heads.at(-1)?.seq === seq)
    await same()
    await until(() =>
      polls()
        .slice(from)
        .some(({ body }) => (body as { caegis_applied: { seq: number } }).caegis_applied.seq === seq),
    )
    expect(
      polls()
        .slice(from)
        .map(({ body }) => body?.returnImmediately),
    ).not.toContain(false)
    expect(status()).toMatchObject({ carries: true, counts: { refused: 0 } })
    expect(guard.reasons).toEqual([])
  })

  it('B1: messages and a broker that answers prove nothing: without heads of the log it is polled again', async () => {
    const { loop, guard, carry, channel, head, status, same } = await start({ timing: { ...FAST, quiet: 150 } })
    // Yesterday's, before any of today.
    await head({ asOf: Date.now() / 1000 - 100 })
    await until(() => status().counts.replayed === 1)
    expect(status()).toMatchObject({ carries: false, counts: { heads: 0 } })
    await carry()
    const texts = [await sign(fleetHead(ISSUER, await loop.store.head()), loop.keys.ES256)]
    loop.store.commit(revoke('alice'))
    // The publisher has lost the broker. The last head, over and over, is no news.
    await until(() => {
      for (const text of texts) channel.on.head(text)
      return !status().carries
    })
    await until(async () => guard.follower.status().position?.seq === (await loop.store.head()).seq)
    await same()
    expect(status()).toMatchObject({ carries: false, reason: 'no head came for too long' })
  })

  it('B1: heads that are new, and later each time, do not keep the guard from the stream', async () => {
    const { loop, guard, carry, head, status, same } = await start({ timing: { ...FAST, quiet: 400 } })
    await carry()
    const held = await loop.store.head()
    loop.store.commit(revoke('alice'))
    // A broker that holds everything back lets a head through now and then, each a little newer than the one before.
    let shown = 0
    await until(async () => {
      await head({ ...held, asOf: held.asOf + ++shown / 1000 })
      return !status().carries
    })
    await until(async () => guard.follower.status().position?.seq === (await loop.store.head()).seq)
    await same()
  })

  it('B2: messages that are too long for one of the issuer’s are not kept until somebody reads them', async () => {
    const { carry, channel, status } = await start()
    await carry()
    const { refused } = status().counts
    const long = 'x'.repeat(65_537)
    for (let i = 0; i < 10_001; i++) channel.on.event(long)
    expect(status()).toMatchObject({ carries: true, counts: { refused: refused + 10_001 } })
  })

  it('B1: an event that a head names and nobody brought comes by the stream, and the channel has to bring one before it is relied on again', async () => {
    const { loop, guard, carry, bring, head, channel, status, same } = await start()
    await carry()
    loop.store.commit(revoke('alice'))
    const { seq } = await loop.store.head()
    await head({ asOf: Date.now() / 1000 + 0.5 })
    await head({ asOf: Date.now() / 1000 + 1 })
    await until(() => guard.follower.status().position?.seq === seq)
    await same()
    expect(channel.restarts).toBe(1)
    const before = status().counts.heads
    for (let i = 2; i < 5; i++) await head({ asOf: Date.now() / 1000 + i })
    await until(() => status().counts.heads >= before + 3)
    expect(status()).toMatchObject({ carries: false, reason: 'an event is missing' })
    await bring(seq)
    await head({ asOf: Date.now() / 1000 + 9 })
    await until(() => status().carries)
  })

  it('B2: a gap is filled by the stream, and what came ahead is not lost', async () => {
    const { loop, guard, carry, bring, status, same } = await start()
    await carry()
    loop.store.commit(revoke('alice'), revoke('bob'), revoke('carol'))
    const { seq } = await loop.store.head()
    await bring(seq)
    await until(() => guard.follower.status().position?.seq === seq)
    expect(guard.events.map((event) => event.seq)).toEqual([1, 2, 3, 4].filter((one) => one <= seq))
    await same()
    expect(status().reason).toBe('gap')
  })

  it('B2: what is not the issuer’s word to the fleet is counted, and changes nothing', async () => {
    const { loop, guard, carry, channel, text, row, status, key } = await start()
    const stranger = { ...(await makeKey('ES256', 'es-1')) }
    await carry()
    const { epoch, seq } = await loop.store.head()
    loop.store.commit(revoke('alice'))
    const real = fleetEvent(ISSUER, epoch, await row(seq + 1))
    const aimed = fleetHead(ISSUER, { epoch, seq, asOf: Date.now() / 1000 + 50 })
    const forged = [
      ...['', 'x', 'eyJhbGciOiJub25lIn0.e30.', (await text(seq + 1)).slice(0, -8)],
      await sign(real, stranger),
      await sign({ ...real, claims: { ...real.claims, aud: 'api://files' } }, key),
      await sign({ ...real, claims: { ...real.claims, iss: 'https://other.test' } }, key),
      await sign({ ...real, claims: { ...real.claims, caegis_epoch: undefined } }, key),
      await sign({ ...real, claims: { ...real.claims, caegis_seq: undefined } }, key),
      await sign({ ...real, typ: 'at+jwt' }, key),
      await sign({ ...aimed, typ: SET_TYPE }, key),
    ]
    const heads = [
      await sign(aimed, stranger),
      await sign({ ...aimed, claims: { ...aimed.claims, aud: 'api://files' } }, key),
      await sign({ ...aimed, claims: { ...aimed.claims, caegis_head: { epoch, seq } } }, key),
      await sign(real, key),
    ]
    for (const one of forged) channel.on.event(one)
    for (const one of heads) channel.on.head(one)
    await until(() => status().counts.refused === forged.length + heads.length)
    expect(guard.follower.status().position?.seq).toBe(seq)
    expect(guard.heads.filter((one) => one.asOf > Date.now() / 1000 + 20)).toEqual([])
    expect(status().carries).toBe(true)
  })

  it('B2: old messages sent again, of this log or another, change nothing', async () => {
    const { loop, guard, carry, channel, text, status, head } = await start()
    await carry()
    const { epoch, seq, asOf } = await loop.store.head()
    const { known, replayed } = status().counts
    for (let i = 0; i < 3; i++) channel.on.event(await text(seq))
    channel.on.event(await text(seq, 'another'))
    await head({ seq: 0, asOf: asOf - 100 })
    await head({ epoch: 'another', asOf: asOf - 100 })
    await until(() => status().counts.known >= known + 4 && status().counts.replayed >= replayed + 2)
    expect(guard.follower.status().position).toEqual({ epoch, seq })
    expect(guard.heads.filter((one) => one.asOf < asOf - 50)).toEqual([])
    expect(status().carries).toBe(true)
    expect(guard.reasons).toEqual([])
  })

  it('B2: another epoch is believed only to the stream, which loads a snapshot', async () => {
    const { loop, guard, carry, head, same, status } = await start()
    await carry()
    loop.store.restore(1)
    await head({ asOf: Date.now() / 1000 + 0.5 })
    await until(() => guard.reasons.length > 0)
    await until(async () => guard.heads.at(-1)?.epoch === (await loop.store.head()).epoch)
    expect(guard.reasons).toEqual(['the log has a new epoch'])
    await same()
    await head({ asOf: Date.now() / 1000 + 1 })
    await until(() => status().carries)
  })

  it('B2: replicas agree, in whatever order and however often their broker brings what was committed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ user: fc.constantFrom('alice', 'bob', 'carol'), back: fc.nat({ max: 50 }), enabled: fc.boolean() }), {
          minLength: 1,
          maxLength: 8,
        }),
        fc.array(fc.array(fc.nat({ max: 7 }), { maxLength: 12 }), { minLength: 3, maxLength: 3 }),
        async (changes, orders) => {
          const loop = createLoop()
          const replicas = orders.map(() => {
            const { channel, port } = createChannel()
            const guard = startGuard(loop, { channel: port, waitSeconds: 0.5, timing: { ...FAST, quiet: 60_000 } })
            return { channel, guard }
          })
          try {
            await until(() => replicas.every(({ guard }) => guard.told.includes('synced')))
            const now = Math.floor(Date.now() / 1000)
            for (const { user, back, enabled } of changes)
              loop.store.commit(revoke(user, { t: now - back, ...(enabled && { type: EVENT.accountEnabled }) }))
            const { epoch } = await loop.store.head()
            const rows = await loop.store.events(0, 100)
            const texts = await Promise.all(rows.map((row) => sign(fleetEvent(ISSUER, epoch, row), loop.keys.ES256)))
            for (const [i, order] of orders.entries()) for (const at of order) if (texts[at]) replicas[i]?.channel.on.event(texts[at])
            await until(() => replicas.every(({ guard }) => guard.follower.status().position?.seq === rows.length))
            const right = await truth(loop.store)
            for (const { guard } of replicas) {
              expect(guard.table).toEqual(right)
              expect(guard.events.map(({ seq }) => seq)).toEqual(rows.map(({ seq }) => seq))
              expect(guard.reasons).toEqual([])
            }
          } finally {
            await Promise.all(replicas.map(({ guard }) => guard.follower.close()))
          }
        },
      ),
      { numRuns: 15 },
    )
  })

  it('is closed with its follower, and only a guard has one', async () => {
    const { channel, guard } = await start()
    await guard.follower.close()
    expect(channel.closed).toBe(1)
    expect(() => startGuard(createLoop(), { channel: createChannel().port, stream: { subjects: 'simple', alg: 'ES256', guard: false } })).toThrow(
      TypeError,
    )
  })
})
