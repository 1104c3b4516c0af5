import { EVENT } from '@caegis/protocol'
import { decodeJwt } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { createReceiver } from '../src/receiver/index.ts'
import { createForeign, QUICK, receive } from './foreign.ts'
import { AUDIENCE, callerOf, createLoop, ISSUER, type Loop, makeKey, revoke, startGuard, until } from './loop.ts'
import { type Arrival, accepted, createPushing, failing, PUSH, type Pushing, quiet, refusing } from './pushing.ts'

const caller = callerOf()
const never = () => new AbortController().signal
const GUARD = { caegis: { subjects: 'complex', guard: true } }

const running: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()))
})
function guardOf(loop: Loop, options: Parameters<typeof startGuard>[1] = {}) {
  const guard = startGuard(loop, options)
  running.push(guard.follower)
  return guard
}
function pushingOf(options: Parameters<typeof createPushing>[0] = {}): Pushing {
  const pushing = createPushing(options)
  running.push({ close: () => pushing.pusher.close() })
  return pushing
}

const idOf = ({ body }: { body?: unknown }) => (body as { stream_id: string }).stream_id
const polled = async (loop: Loop, id: string, body: object = {}) => {
  const answer = await loop.transmitter.poll(caller, id, { returnImmediately: true, ...body }, never())
  return answer.body as { sets: Record<string, string>; caegis_head: { seq: number } }
}
const usersOf = (sets: Record<string, string>) => Object.values(sets).map((jwt) => (decodeJwt(jwt).sub_id as { sub: string }).sub)
const userOf = ({ claims }: Arrival) => claims.sub_id.sub as string

describe('B1: what is heard regularly may still be deaf', () => {
  it('B1: a verification comes with a head, and proves nothing by itself', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const id = guard.follower.status().stream as string
    // The row is held back; only the verification arrives, with the head that says so.
    let verifications = 0
    loop.alter = async ({ path }, response) => {
      if (!path.includes('/poll/')) return response
      const body = (await response.json()) as { sets: Record<string, string> }
      const sets = Object.entries(body.sets).filter(([, jwt]) => EVENT.verification in (decodeJwt(jwt).events as object))
      verifications += sets.length
      expect(body).toHaveProperty('caegis_head.seq')
      return Response.json({ ...body, sets: Object.fromEntries(sets) })
    }
    loop.store.commit(revoke('alice'))
    const before = guard.heads.length
    await loop.transmitter.verify(caller, { stream_id: id, state: 'nonce' })
    await until(() => verifications > 0)
    const polls = loop.requests.length
    await until(() => loop.requests.length > polls + 3)
    expect(guard.heads.slice(before).every(({ seq }) => seq === 0)).toBe(true)
    loop.alter = undefined
    await until(() => guard.heads.at(-1)?.seq === 1)
  })

  it('B1(b): a node that nothing wakes still answers within the hold, with what there is', async () => {
    const loop = createLoop({
      limits: { hold: 0.05 },
      wrap: (store) => ({ ...store, wait: (_, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())) }),
    })
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    loop.store.commit(revoke('alice'))
    await until(() => guard.heads.at(-1)?.seq === 1)
    expect(guard.table.has('user alice')).toBe(true)
  })

  it('B1(b): a node that reads an old copy of the log is found out by its head', async () => {
    let lag = 0
    const loop = createLoop({
      limits: { hold: 0.05 },
      wrap: (store) => ({
        ...store,
        head: async () => {
          const head = await store.head()
          return { ...head, seq: Math.max(0, head.seq - lag) }
        },
      }),
    })
    const guard = guardOf(loop)
    loop.store.commit(revoke('alice'), revoke('bob'))
    await until(() => guard.heads.at(-1)?.seq === 2)
    lag = 1
    await until(() => guard.reasons.includes('the log went backwards'))
    lag = 0
    await until(() => guard.told.at(-1) === 'synced' && guard.heads.at(-1)?.seq === 2)
  })

  it.each(['paused', 'disabled', 'gone', 'another epoch', 'lower'])(
    'B1: %s is out of sync at the next answer, and not synced again before it is mended',
    async (what) => {
      const loop = createLoop()
      loop.store.commit(revoke('alice'), revoke('bob'))
      const guard = guardOf(loop)
      await until(() => guard.heads.length > 0)
      const id = guard.follower.status().stream as string
      let broken = true
      loop.alter = async ({ path }, response) => {
        if (!path.includes('/poll/') || !broken) return response
        if (what === 'gone') return new Response(null, { status: 404 })
        const body = (await response.json()) as { caegis_head: object }
        const change = what === 'another epoch' ? { epoch: 'other' } : what === 'lower' ? { seq: 1 } : {}
        return Response.json({ ...body, caegis_head: { ...body.caegis_head, ...change } })
      }
      if (what === 'paused' || what === 'disabled') loop.store.setStatus(id, what)
      await until(() => guard.reasons.length > 0)
      const heads = guard.heads.length
      const polls = loop.requests.length
      await until(() => loop.requests.length > polls + 5)
      expect(guard.heads).toHaveLength(heads)
      expect(guard.follower.status().state).toBe('out of sync')
      broken = false
      loop.store.setStatus(id, 'enabled')
      await until(() => guard.heads.length > heads && guard.follower.status().state === 'following')
    },
  )
})

describe('B4: snapshot and stream', () => {
  it('B4(c): a resync merges: what was learnt elsewhere, or is no longer in the log, stays', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    guard.table.set('user mallory', { issuer: 'https://elsewhere.test', kind: 'user', id: 'mallory', t: 5, depth: 'sign-in', until: 1e12 })
    loop.store.restore(0)
    loop.store.commit(revoke('bob'))
    await until(() => guard.table.has('user bob') && guard.told.at(-1) === 'synced')
    expect([...guard.table.keys()].sort()).toEqual(['user alice', 'user bob', 'user mallory'])
  })

  it('B4(d): a plain receiver whose stream expired makes a new one, and says that there is a gap', async () => {
    const foreign = createForeign()
    const { receiver, events } = receive(foreign)
    running.push(receiver)
    await receiver.start()
    foreign.streams.clear()
    await until(() => receiver.status().gaps === 1 && foreign.streams.size === 1)
    await foreign.send()
    await until(() => events.length === 1)
  })
})

describe('B5: the log goes backwards', () => {
  it.each(['another epoch', 'the same epoch'])(
    'B5: a guard at 1000 that sees 900 in %s loads a snapshot, and misses nothing of what follows',
    async (kind) => {
      const loop = createLoop()
      loop.store.commit(...Array.from({ length: 1000 }, (_, i) => revoke(`user-${i}`)))
      const guard = guardOf(loop, { maxEvents: 100 })
      await until(() => guard.heads.at(-1)?.seq === 1000)
      const { epoch } = await loop.store.head()
      loop.store.restore(900)
      // A restore that does not say so: the epoch is the old one.
      let hidden = kind === 'the same epoch'
      loop.alter = async ({ path }, response) => {
        if (!path.includes('/poll/') || !hidden) return response
        const body = (await response.json()) as { caegis_head: object }
        return Response.json({ ...body, sets: {}, caegis_head: { ...body.caegis_head, epoch } })
      }
      await until(() => guard.reasons.length > 0)
      expect(guard.reasons[0]).toBe(hidden ? 'the log went backwards' : 'the log has a new epoch')
      hidden = false
      loop.store.commit(...Array.from({ length: 100 }, (_, i) => revoke(`after-${i}`)))
      await until(() => guard.told.at(-1) === 'synced' && guard.heads.at(-1)?.seq === 1000)
      for (const user of ['user-0', 'user-999', 'after-0', 'after-99']) expect(guard.table.has(`user ${user}`)).toBe(true)
    },
  )

  it.each([
    ['an event', 'the host renews the epoch'],
    ['a snapshot', 'the host renews the epoch'],
    ['an event', 'nobody renews the epoch'],
    ['a snapshot', 'nobody renews the epoch'],
  ])(
    'B5: a guard that got where it stands by %s finds that another event stands there, though the log has gone past it again, and %s',
    async (way, host) => {
      const renews = host === 'the host renews the epoch'
      const loop: Loop = createLoop({
        transmitter: { ...(renews && { onAhead: async ({ head }) => loop.store.restore(head.seq) }) },
      })
      loop.store.commit(revoke('before'))
      const guard = guardOf(loop)
      await until(() => guard.heads.at(-1)?.seq === 1)
      // What is lost below: heard of as an event, or found in the snapshot of a guard that begins now.
      loop.store.commit(revoke('lost'))
      const late = way === 'a snapshot' ? guardOf(loop) : guard
      await until(() => late.heads.at(-1)?.seq === 2)
      const { epoch } = await loop.store.head()
      // Within one turn, so that nobody polls in between.
      loop.store.lose(1)
      loop.store.commit(revoke('in its place'), revoke('behind it'))
      await until(() => late.table.has('user behind it') && late.told.at(-1) === 'synced' && late.reasons.length > 0)
      expect(late.table.has('user in its place')).toBe(true)
      expect(late.reasons[0]).toBe(renews ? 'the log has a new epoch' : 'unknown stream')
      expect((await loop.store.head()).epoch === epoch).toBe(!renews)
    },
  )

  it.each(['poll', 'push'])('B5: a receiver by %s that has seen the lost SETs acts on those that take their places', async (delivery) => {
    const pushing = pushingOf()
    const { loop } = pushing
    const users: string[] = []
    const jtis = new Set<string>()
    // Signed after all: this receiver is a real one.
    loop.sign = createLoop().sign
    const receiver = createReceiver({
      transmitter: ISSUER,
      credentials: { token: async () => 'good' },
      delivery: delivery === 'poll' ? 'poll' : { push: { endpointUrl: 'https://us.test/in' } },
      audience: AUDIENCE,
      on: {
        'session-revoked'({ jti, subject }) {
          users.push((subject as { sub: string }).sub)
          jtis.add(jti)
        },
      },
      fetch: loop.fetch,
      now: () => 1e12,
      timing: QUICK,
    })
    running.push(receiver)
    pushing.respond = async (_, request) => {
      const { status, headers, body = '' } = await receiver.handler({ method: 'POST', headers: request.headers, body: request.body })
      return { status, headers, body }
    }
    await receiver.start()
    loop.store.commit(revoke('a'), revoke('b'), revoke('c'))
    await until(() => users.length === 3)
    loop.store.restore(1)
    await pushing.crash()
    loop.store.commit(revoke('b'), revoke('c'))
    await until(() => users.length === 5)
    expect([...users].sort()).toEqual(['a', 'b', 'b', 'c', 'c'])
    expect(jtis.size).toBe(5)
  })
})

describe('B6: a key rotation loses nothing', () => {
  it.each(['invalid_key', 'authentication_failed'])(
    'B6: what a push receiver refuses with %s goes out until it is taken, under the newest key',
    async (err) => {
      const pushing = pushingOf()
      await pushing.open('https://a.test/in')
      let patience = 4
      pushing.respond = () => (patience-- > 0 ? refusing(err) : accepted)
      pushing.loop.store.commit(revoke('alice'))
      await pushing.advance(600_000)
      expect(new Set(pushing.arrivals.map(({ jti }) => jti)).size).toBe(1)
      expect(pushing.arrivals).toHaveLength(5)
      expect(await pushing.loop.transmitter.deadLetters(pushing.loop.store.streams()[0]?.id as string)).toEqual([])
    },
  )

  it('B6: a poll receiver asks for newer keys before it says anything final, and keeps the order meanwhile', async () => {
    const foreign = createForeign()
    const { receiver, events } = receive(foreign, { timing: { keyPatience: 60_000 } })
    running.push(receiver)
    await receiver.start()
    const next = await makeKey('ES256', 'es-2')
    const old = foreign.key
    // Two about one subject: the first under a key that is published late. The second must not overtake it.
    foreign.key = next
    const first = await foreign.send()
    foreign.key = old
    const second = await foreign.send()
    const other = await foreign.send({ sub_id: { format: 'iss_sub', iss: 'https://them.test/t/acme', sub: 'somebody else' } })
    await until(() => events.length === 1)
    const polls = foreign.asked.length
    await until(() => foreign.asked.length > polls + 5)
    expect(events.map(({ jti }) => jti)).toEqual([other])
    expect(foreign.errors).toEqual({})
    foreign.jwks = [...foreign.jwks, next.jwk]
    await until(() => events.length === 3)
    expect(events.map(({ jti }) => jti)).toEqual([other, first, second])
  })
})

describe('B7: order about one subject', () => {
  it('B7: a handler that fails holds up what follows about its subject, also when that was committed later', async () => {
    const loop = createLoop()
    const users: string[] = []
    let failures = 3
    const receiver = createReceiver({
      transmitter: ISSUER,
      credentials: { token: async () => 'good' },
      delivery: 'poll',
      on: {
        'account-disabled'() {
          if (failures-- > 0) {
            // The opposite is committed while this one fails.
            if (failures === 2) loop.store.commit(revoke('alice', { type: EVENT.accountEnabled }))
            throw new Error('cannot do that now')
          }
          users.push('disabled')
        },
        'account-enabled': () => void users.push('enabled'),
      },
      fetch: loop.fetch,
      timing: QUICK,
    })
    running.push(receiver)
    await receiver.start()
    loop.store.commit(revoke('alice', { type: EVENT.accountDisabled }))
    await until(() => users.length === 2)
    expect(users).toEqual(['disabled', 'enabled'])
  })

  it('B7: what is said about the stream itself keeps its order, too', async () => {
    const pushing = pushingOf()
    const id = await pushing.open('https://a.test/in', { delivery: { method: PUSH, endpoint_url: 'https://a.test/in' } })
    const held: (() => void)[] = []
    pushing.respond = () => new Promise((resolve) => held.push(() => resolve(accepted)))
    await pushing.loop.transmitter.setStatus(id, 'paused')
    await quiet()
    await pushing.loop.transmitter.setStatus(id, 'enabled')
    await quiet()
    // The receiver has not answered yet: it may take in the later word first.
    expect(pushing.arrivals).toHaveLength(1)
    held[0]?.()
    await quiet()
    expect(pushing.arrivals.map(({ claims }) => claims.events[EVENT.streamUpdated].status)).toEqual(['paused', 'enabled'])
    held[1]?.()
  })
})

describe('B9: nobody holds the log for ever', () => {
  it('B9: who lags is disabled and told so, and a guard makes a new stream', async () => {
    const loop = createLoop({ limits: { backlog: 2 } })
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const plain = idOf(await loop.transmitter.create(caller, {}))
    const followed = guard.follower.status().stream as string
    loop.intercept = () => new Response(null, { status: 503 })
    loop.store.commit(revoke('a'), revoke('b'), revoke('c'))
    expect((await loop.transmitter.tidy()).lagging.sort()).toEqual([plain, followed].sort())
    const { sets } = await polled(loop, plain)
    expect(Object.values(sets).map((jwt) => decodeJwt(jwt).events)).toEqual([{ [EVENT.streamUpdated]: { status: 'disabled', reason: 'lagging' } }])
    loop.intercept = undefined
    // A poll that was held at the commit may still have brought the events: the stream is lost either way.
    await until(() => guard.heads.at(-1)?.seq === 3 && ![undefined, followed].includes(guard.follower.status().stream as string | undefined))
    expect([...guard.table.keys()].sort()).toEqual(['user a', 'user b', 'user c'])
  })

  it('B9: streams, subjects, polls and verifications have quotas; a receiver cannot use up those of another', async () => {
    const loop = createLoop({ limits: { streams: 2, subjects: 1, controls: 1, polls: 1, hold: 0.2 } })
    const error = ({ status, body }: { status: number; body?: unknown }) => [status, (body as { error?: string } | undefined)?.error]
    const first = idOf(await loop.transmitter.create(caller, {}))
    await loop.transmitter.create(caller, GUARD)
    expect(error(await loop.transmitter.create(caller, {}))).toEqual([403, 'too_many_streams'])
    expect((await loop.transmitter.create(callerOf('other-api'), {})).status).toBe(201)
    const remove = (sub: string) => loop.transmitter.removeSubject(caller, { stream_id: first, subject: { format: 'iss_sub', iss: ISSUER, sub } })
    expect((await remove('a')).status).toBe(204)
    expect(error(await remove('b'))).toEqual([429, 'too_many_subjects'])
    const held = loop.transmitter.poll(caller, first, {}, never())
    await until(async () => (await loop.transmitter.poll(caller, first, {}, AbortSignal.abort())).status === 429)
    await held
    expect((await loop.transmitter.verify(caller, { stream_id: first, state: 'x' })).status).toBe(204)
    expect(error(await loop.transmitter.verify(caller, { stream_id: first, state: 'y' }))).toEqual([429, 'too_many_requests'])
  })

  it('B9: a subject cannot be removed from a guard stream, whoever asks', async () => {
    const loop = createLoop()
    const id = idOf(await loop.transmitter.create(caller, GUARD))
    const subject = { format: 'iss_sub', iss: ISSUER, sub: 'mallory' }
    expect((await loop.transmitter.removeSubject(caller, { stream_id: id, subject })).status).toBe(403)
    expect((await loop.transmitter.removeSubject(callerOf('other-api'), { stream_id: id, subject })).status).toBe(404)
    loop.store.commit(revoke('mallory'))
    expect(Object.keys((await polled(loop, id)).sets)).toHaveLength(1)
  })
})

describe('what is out while something else happens', () => {
  it('B7: a long poll does not hand out what follows a SET that is out about the same subject', async () => {
    const loop = createLoop({ limits: { hold: 0.02 } })
    const id = idOf(await loop.transmitter.create(caller, {}))
    loop.store.commit(revoke('alice', { type: EVENT.accountDisabled }))
    // It goes to a connection that is dead, though nobody knows that yet.
    await loop.transmitter.poll(caller, id, {}, never())
    loop.store.commit(revoke('alice', { type: EVENT.accountEnabled }), revoke('bob'))
    const answer = await loop.transmitter.poll(caller, id, {}, never())
    expect(usersOf((answer.body as { sets: Record<string, string> }).sets)).toEqual(['bob'])
  })

  it.each(['invalid_key', 'authentication_failed'])('B6: what a poll receiver reports as %s comes again', async (err) => {
    const loop = createLoop()
    const id = idOf(await loop.transmitter.create(caller, {}))
    loop.store.commit(revoke('alice'))
    const [jti] = Object.keys((await polled(loop, id)).sets) as [string]
    expect(Object.keys((await polled(loop, id, { setErrs: { [jti]: { err, description: '' } } })).sets)).toEqual([jti])
  })

  it('B5: an answer to a push of before a failover does not settle what stands at its position now', async () => {
    const pushing = pushingOf()
    const id = await pushing.open('https://a.test/in')
    const { store } = pushing.loop
    let answer: (() => void) | undefined
    let down = true
    pushing.respond = (arrival) => {
      if (userOf(arrival) === 'old') {
        return new Promise((resolve) => {
          answer = () => resolve(accepted)
        })
      }
      return down ? failing : accepted
    }
    store.commit(revoke('old'))
    await quiet()
    // Another node took over, with a log that lacks the last row; this process lives on.
    store.restore(0)
    store.commit(revoke('new'))
    await quiet()
    answer?.()
    await quiet()
    down = false
    await pushing.advance(600_000)
    expect(pushing.arrivals.filter((arrival) => userOf(arrival) === 'new').length).toBeGreaterThan(1)
    expect(store.streams().find((stream) => stream.id === id)).toMatchObject({ acked: 1 })
  })

  it('B5: an acknowledgement of before a failover does not settle what stands at its position now', async () => {
    const loop = createLoop()
    const id = idOf(await loop.transmitter.create(caller, {}))
    loop.store.commit(revoke('old'))
    const [jti] = Object.keys((await polled(loop, id)).sets) as [string]
    loop.store.restore(0)
    loop.store.commit(revoke('new'))
    expect(usersOf((await polled(loop, id, { ack: [jti] })).sets)).toEqual(['new'])
  })

  it('B5: a restored log does not take the letters of the lost rows for its own', async () => {
    const pushing = pushingOf()
    await pushing.open('https://a.test/in')
    pushing.respond = () => refusing('invalid_request')
    pushing.loop.store.commit(revoke('old'))
    await quiet()
    await pushing.pusher.close()
    pushing.loop.store.restore(0)
    pushing.loop.store.commit(revoke('new'))
    pushing.respond = () => accepted
    pushing.start()
    await pushing.advance(1000)
    expect(pushing.arrivals.map(userOf)).toEqual(['old', 'new'])
  })
})
