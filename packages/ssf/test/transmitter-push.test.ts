import { EVENT } from '@caegis/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { createPusher, outcomeOf, type PusherOptions, type PushResponse, type StreamRecord } from '../src/transmitter/index.ts'
import { callerOf, revoke } from './loop.ts'
import { type Arrival, accepted, createPushing, failing, PUSH, type Pushing, quiet, refusing } from './pushing.ts'

const caller = callerOf()
const URL_A = 'https://a.test/in'
const HOUR = 3_600_000
const DAY = 24 * HOUR

let running: Pushing[] = []
function begin(options: Partial<PusherOptions> = {}): Pushing {
  const pushing = createPushing(options)
  running.push(pushing)
  return pushing
}
afterEach(async () => {
  await Promise.all(running.map(({ pusher }) => pusher.close()))
  running = []
})

const userOf = ({ claims }: Arrival) => claims.sub_id.sub as string | undefined
const typeOf = ({ claims }: Arrival) => Object.keys(claims.events)[0] as string
const record = (pushing: Pushing, id: string) => pushing.loop.store.streams().find((stream) => stream.id === id) as StreamRecord

describe('outcomes', () => {
  it.each<[Partial<PushResponse>, string]>([
    [{ status: 202 }, 'accepted'],
    [{ status: 200 }, 'accepted'],
    [{ status: 204 }, 'accepted'],
    [{ status: 500 }, 'retry http 500'],
    [{ status: 503 }, 'retry http 503'],
    [{ status: 408 }, 'retry http 408'],
    [{ status: 429 }, 'retry http 429'],
    [{ status: 401 }, 'retry http 401'],
    [{ status: 302 }, 'retry http 302'],
    [refusing('invalid_key'), 'retry invalid_key'],
    [refusing('authentication_failed'), 'retry authentication_failed'],
    [refusing('invalid_request'), 'dead invalid_request'],
    [refusing('invalid_issuer'), 'dead invalid_issuer'],
    [refusing('invalid_audience'), 'dead invalid_audience'],
    [refusing('access_denied'), 'dead access_denied'],
    [refusing('made up\nINJECTED'), 'dead http 400'],
    [{ status: 400, body: '<html>' }, 'dead http 400'],
    [{ status: 400, body: `{"err":"invalid_key","x":"${'x'.repeat(70_000)}"}` }, 'dead http 400'],
    [{ status: 403 }, 'dead http 403'],
    [{ status: 404 }, 'dead http 404'],
    [{ status: 413 }, 'dead http 413'],
  ])('B6: %j is %s', (response, want) => {
    const outcome = outcomeOf({ status: 400, headers: {}, body: '', ...response }, 0)
    expect(outcome.is === 'accepted' ? outcome.is : `${outcome.is} ${outcome.reason}`).toBe(want)
  })

  it('heeds Retry-After within bounds', () => {
    const after = (value: string | string[]) => {
      const outcome = outcomeOf({ status: 429, headers: { 'retry-after': value }, body: '' }, Date.parse('2026-01-01T00:00:00Z'))
      return outcome.is === 'retry' ? outcome.after : 'no retry'
    }
    expect([after('7'), after(['8']), after('Thu, 01 Jan 2026 00:00:09 GMT'), after('99999999'), after('soon'), after('-5')]).toEqual([
      7,
      8,
      9,
      600,
      undefined,
      undefined,
    ])
  })
})

describe('push', () => {
  it('sends each SET once, as RFC 8935 says, with the configured authorization or none', async () => {
    const pushing = begin()
    const { loop } = pushing
    const open = await pushing.open(URL_A)
    const secret = await pushing.open('https://b.test/in', {
      delivery: { method: PUSH, endpoint_url: 'https://b.test/in', authorization_header: 'Bearer hush-hush' },
    })
    const [row] = loop.store.commit(revoke('alice', { t: 5, until: 9 }), revoke('bob', { session: 's' }))
    await quiet()
    expect(pushing.arrivals).toHaveLength(2)
    const [a, b] = pushing.arrivals.sort((one, other) => one.url.localeCompare(other.url)) as [Arrival, Arrival]
    expect(a.headers).toEqual({ 'content-type': 'application/secevent+jwt', accept: 'application/json' })
    expect(b.headers).toEqual({ ...a.headers, authorization: 'Bearer hush-hush' })
    expect(a).toMatchObject({ jti: `${row?.id}.${open}`, claims: { txn: row?.txn, sub_id: { sub: 'alice' } } })
    expect(JSON.stringify(a.claims)).not.toContain('caegis')
    expect(record(pushing, open)).toMatchObject({ acked: 2, ackedAhead: [] })
    expect(loop.store.deliveries().filter(({ stream }) => stream === secret)).toMatchObject([
      { seq: 1, state: 'sent', attempt: 1, txn: row?.txn },
      { seq: 1, state: 'acked', attempt: 1 },
    ])
    await pushing.advance(HOUR)
    expect(pushing.arrivals).toHaveLength(2)
    expect(JSON.stringify([loop.logged, loop.store.deliveries(), pushing.pusher.status()])).not.toContain('hush')
  })

  it('takes along streams that come, move and go', async () => {
    const pushing = begin()
    const { transmitter, store } = pushing.loop
    await quiet()
    const id = await pushing.open(URL_A)
    store.commit(revoke('alice'))
    await quiet()
    await transmitter.update(caller, { stream_id: id, delivery: { method: PUSH, endpoint_url: 'https://b.test/in' } })
    store.commit(revoke('bob'))
    await quiet()
    await transmitter.replace(caller, { stream_id: id })
    store.commit(revoke('carol'))
    await quiet()
    expect(pushing.pusher.status()).toEqual([])
    // What was not pushed is there to be polled.
    const polled = await transmitter.poll(caller, id, { returnImmediately: true }, new AbortController().signal)
    expect(Object.keys((polled.body as { sets: object }).sets)).toHaveLength(1)
    await transmitter.update(caller, { stream_id: id, delivery: { method: PUSH, endpoint_url: URL_A } })
    await quiet()
    await transmitter.remove(caller, id)
    store.commit(revoke('dave'))
    await quiet()
    expect(pushing.arrivals.map((one) => [one.url, userOf(one)])).toEqual([
      [URL_A, 'alice'],
      ['https://b.test/in', 'bob'],
      [URL_A, 'carol'],
    ])
  })

  it('verifies by push, with the state, and tells a stop as its last words', async () => {
    const pushing = begin()
    const { transmitter, store } = pushing.loop
    const id = await pushing.open(URL_A)
    expect(await transmitter.verify(caller, { stream_id: id, state: 'n-1' })).toMatchObject({ status: 204 })
    await quiet()
    await transmitter.setStatus(id, 'paused', 'maintenance')
    store.commit(revoke('alice'))
    await pushing.advance(HOUR)
    expect(pushing.arrivals.map(({ claims }) => [claims.sub_id.id, Object.values(claims.events)[0]])).toEqual([
      [id, { state: 'n-1' }],
      [id, { status: 'paused', reason: 'maintenance' }],
    ])
    expect(await store.listControls(id)).toEqual([])
    await transmitter.setStatus(id, 'enabled')
    await quiet()
    expect(pushing.arrivals.slice(2).map((one) => [typeOf(one), userOf(one)])).toEqual([
      [EVENT.streamUpdated, undefined],
      [EVENT.sessionRevoked, 'alice'],
    ])
  })

  it('stops with the stream: nothing leaves after the change, not even what was being prepared', async () => {
    const pushing = begin()
    const { transmitter, store } = pushing.loop
    const id = await pushing.open(URL_A)
    await quiet()
    const { sign } = pushing.loop
    let signed = () => {}
    pushing.loop.sign = async (...what) => {
      await new Promise<void>((resolve) => {
        signed = resolve
      })
      return sign(...what)
    }
    // It is about to be sent; the stream is disabled first.
    store.commit(revoke('alice'))
    await quiet()
    store.setStatus(id, 'disabled')
    pushing.loop.sign = sign
    signed()
    await pushing.advance(HOUR)
    expect(pushing.arrivals).toEqual([])
    await transmitter.updateStatus(caller, { stream_id: id, status: 'enabled' })
    store.commit(revoke('bob'))
    await quiet()
    expect(pushing.arrivals.map(userOf)).toEqual(['bob'])
  })

  it('I3: retries with growing pauses and jitter, and pauses the stream when that lasts, without loss', async () => {
    let random = 0
    const pushing = begin({ random: () => random })
    const { transmitter, store } = pushing.loop
    const id = await pushing.open(URL_A)
    pushing.respond = () => failing
    store.commit(revoke('alice'))
    await pushing.advance(150_000)
    const at = pushing.arrivals.map((one) => one.at - 1e12)
    const gaps = at.slice(1).map((time, i) => time - (at[i] as number))
    expect(gaps).toEqual([50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000])
    random = 0.98
    store.commit(revoke('bob'))
    await pushing.advance(HOUR)
    expect((await transmitter.status(caller, id)).body).toMatchObject({ status: 'paused', reason: 'delivery fails: http 503' })
    expect(typeOf(pushing.arrivals.at(-1) as Arrival)).toBe(EVENT.streamUpdated)
    const before = pushing.arrivals.length
    pushing.respond = () => accepted
    await transmitter.updateStatus(caller, { stream_id: id, status: 'enabled' })
    await quiet()
    expect(pushing.arrivals.slice(before).map(userOf)).toEqual(['alice', 'bob'])
    expect(await transmitter.deadLetters(id)).toEqual([])
  })

  it('I3: a stream that it has paused is tried with its last words, rarely, and goes on by itself when these are taken', async () => {
    const pushing = begin()
    const { transmitter, store } = pushing.loop
    const id = await pushing.open(URL_A)
    pushing.respond = () => failing
    store.commit(revoke('alice'))
    await pushing.advance(2 * HOUR)
    store.commit(revoke('bob'))
    const before = pushing.arrivals.length
    await pushing.advance(DAY)
    const tried = pushing.arrivals.slice(before)
    expect(new Set(tried.map(typeOf))).toEqual(new Set([EVENT.streamUpdated]))
    expect(tried).toHaveLength(24 * 12)
    expect(record(pushing, id)).toMatchObject({ status: 'paused' })
    pushing.respond = () => accepted
    await pushing.advance(5 * 60_000)
    expect(record(pushing, id)).toMatchObject({ status: 'enabled', acked: 2 })
    expect(record(pushing, id)?.statusReason).toBeUndefined()
    const after = pushing.arrivals.slice(before + tried.length)
    const told = after.filter((one) => typeOf(one) === EVENT.streamUpdated)
    expect(told.map(({ claims }) => claims.events[EVENT.streamUpdated].status)).toEqual(['paused', 'enabled'])
    expect(after.filter((one) => !told.includes(one)).map(userOf)).toEqual(['alice', 'bob'])
    expect(await transmitter.deadLetters(id)).toEqual([])
  })

  it.each(['its host', 'its receiver'])('a stream that it has paused, and that %s has stopped since, stays so', async (who) => {
    const pushing = begin()
    const { transmitter, store } = pushing.loop
    const id = await pushing.open(URL_A)
    pushing.respond = () => failing
    store.commit(revoke('alice'))
    await pushing.advance(2 * HOUR)
    if (who === 'its host') await transmitter.setStatus(id, 'paused', 'investigation')
    else await transmitter.updateStatus(caller, { stream_id: id, status: 'paused' })
    const before = pushing.arrivals.length
    pushing.respond = () => accepted
    await pushing.advance(HOUR)
    expect(record(pushing, id)).toMatchObject({ status: 'paused', acked: 0 })
    expect(pushing.arrivals.slice(before).map(typeOf)).toEqual([EVENT.streamUpdated])
  })

  it('a new address is tried at once', async () => {
    const pushing = begin()
    const { transmitter, store } = pushing.loop
    const id = await pushing.open(URL_A)
    pushing.respond = ({ url }) => (url === URL_A ? failing : accepted)
    store.commit(revoke('alice'))
    await pushing.advance(200_000)
    await transmitter.update(caller, { stream_id: id, delivery: { method: PUSH, endpoint_url: 'https://b.test/in' } })
    await quiet()
    expect(pushing.arrivals.at(-1)?.url).toBe('https://b.test/in')
  })

  it('a lost connection and a silent receiver are retried; their messages are not repeated', async () => {
    const pushing = begin({ pushLimits: { timeout: 5 } })
    const { store, logged } = pushing.loop
    await pushing.open(URL_A)
    let aborted = 0
    const ways = [
      () => Promise.reject(Object.assign(new Error('connect https://secret@a.test'), { code: 'ECONNREFUSED' })),
      () => Promise.reject(new TypeError('fetch failed', { cause: { code: 'UND_ERR_SOCKET' } })),
      () => Promise.reject('odd'),
      (_: Arrival, { signal }: { signal: AbortSignal }) =>
        new Promise<never>(() => {
          signal.addEventListener('abort', () => aborted++)
        }),
    ]
    pushing.respond = (arrival, request) => (ways.shift() ?? (() => accepted))(arrival, request)
    store.commit(revoke('alice'))
    await pushing.advance(60_000)
    expect(store.deliveries().map(({ state, reason }) => [state, reason])).toEqual([
      ['sent', undefined],
      ['failed', 'network ECONNREFUSED'],
      ['sent', undefined],
      ['failed', 'network UND_ERR_SOCKET'],
      ['sent', undefined],
      ['failed', 'network'],
      ['sent', undefined],
      ['failed', 'timeout'],
      ['sent', undefined],
      ['acked', undefined],
    ])
    expect(aborted).toBe(1)
    expect(JSON.stringify(logged)).not.toContain('secret')
  })

  it('B6: a SET whose key the receiver does not know yet is sent again; one that it cannot use is a dead letter', async () => {
    const pushing = begin()
    const { store, transmitter } = pushing.loop
    const id = await pushing.open(URL_A)
    const answers = [refusing('invalid_key'), refusing('authentication_failed'), accepted, refusing('invalid_audience')]
    pushing.respond = () => answers.shift() ?? accepted
    store.commit(revoke('alice'))
    await pushing.advance(60_000)
    const [, bob] = [...store.commit(revoke('x')), ...store.commit(revoke('bob'))].reverse()
    await pushing.advance(60_000)
    expect(pushing.arrivals.map(userOf)).toEqual(['alice', 'alice', 'alice', 'x', 'bob'])
    expect(await transmitter.deadLetters(id)).toMatchObject([{ id: bob?.id, seq: 2, reason: 'invalid_audience', attempts: 1 }])
    expect(record(pushing, id)).toMatchObject({ acked: 3, ackedAhead: [] })
    await transmitter.redeliver(id)
    await quiet()
    expect(pushing.arrivals.map(userOf).slice(5)).toEqual(['x'])
    expect(pushing.arrivals[5]?.jti).toBe(pushing.arrivals[3]?.jti)
    expect(await transmitter.deadLetters(id)).toEqual([])
  })

  it('one SET that always fails does not stop the others, and ends as a dead letter', async () => {
    const pushing = begin()
    const { store, transmitter } = pushing.loop
    const id = await pushing.open(URL_A)
    pushing.respond = (arrival) => (userOf(arrival) === 'poison' ? failing : accepted)
    const [poison] = store.commit(revoke('poison'), revoke('a'), revoke('b'))
    await pushing.advance(10_000)
    expect(new Set(pushing.arrivals.map(userOf))).toEqual(new Set(['poison', 'a', 'b']))
    for (let i = 0; i < 8; i++) {
      store.commit(revoke(`c${i}`))
      await pushing.advance(HOUR / 4)
    }
    expect(await transmitter.deadLetters(id)).toMatchObject([{ id: poison?.id, reason: 'gave up: http 503' }])
    expect(record(pushing, id)).toMatchObject({ status: 'enabled', acked: 11, ackedAhead: [] })
  })

  it('refuses settings with which it could not work', () => {
    const base = { issuer: 'https://i.test', base: 'https://i.test/ssf', jwksUri: 'https://i.test/keys', store: {} as any, sign: async () => '' }
    expect(() => createPusher({ ...base } as any)).toThrow(TypeError)
    expect(() => createPusher({ ...base, send: async () => accepted, pushLimits: { total: 0 } })).toThrow(TypeError)
  })
})

describe('order and fairness', () => {
  it.each([0, 1, 2])('B7: disable, enable, disable never end reordered (failing: number %i)', async (which) => {
    const pushing = begin()
    const { store } = pushing.loop
    await pushing.open(URL_A)
    const kinds = [EVENT.accountDisabled, EVENT.accountEnabled, EVENT.accountDisabled]
    const rows = store.commit(...kinds.map((type) => revoke('alice', { type })), revoke('bob'))
    let failures = 3
    const told: string[] = []
    pushing.respond = (arrival) => {
      const seq = rows.findIndex((row) => arrival.jti.startsWith(row.id))
      if (seq === which && failures-- > 0) return failing
      if (userOf(arrival) === 'alice') told.push(typeOf(arrival))
      return accepted
    }
    await pushing.advance(60_000)
    expect(told).toEqual(kinds)
    expect(pushing.arrivals.filter((one) => userOf(one) === 'bob')).toHaveLength(1)
  })

  it('B7: at most one in flight about a user, several about several users, no more than the limit', async () => {
    const pushing = begin({ pushLimits: { perStream: 3 } })
    const { store } = pushing.loop
    await pushing.open(URL_A, { caegis: { subjects: 'complex' } })
    const open: (() => void)[] = []
    const flying: string[] = []
    const doubled: string[] = []
    let most = 0
    pushing.respond = (arrival) => {
      const user = arrival.claims.sub_id.user.sub
      if (flying.includes(user)) doubled.push(user)
      flying.push(user)
      most = Math.max(most, flying.length)
      return new Promise((resolve) =>
        open.push(() => {
          flying.splice(flying.indexOf(user), 1)
          resolve(accepted)
        }),
      )
    }
    // A session of the user is the user, as far as order matters.
    store.commit(...[...'aabbccdde'].map((user, i) => revoke(user, i % 2 ? { session: 's' } : {})))
    for (let i = 0; i < 30; i++) {
      await quiet()
      // The newest first: what overtakes is what would be reordered.
      open.pop()?.()
    }
    expect(pushing.arrivals).toHaveLength(9)
    expect(most).toBe(3)
    expect(doubled).toEqual([])
    for (const user of 'abcd') {
      const mine = pushing.arrivals.filter((one) => one.claims.sub_id.user.sub === user)
      expect(mine.map((one) => one.claims.sub_id.session === undefined)).toEqual(mine[0]?.claims.sub_id.session ? [false, true] : [true, false])
    }
  })

  it('B7: a dead letter stays one while a later event about the same user may have arrived unanswered', async () => {
    const pushing = begin()
    const { store, transmitter } = pushing.loop
    const id = await pushing.open(URL_A)
    const answers = [refusing('invalid_request'), new Promise<never>(() => {})]
    pushing.respond = () => answers.shift() ?? accepted
    const [disable] = store.commit(revoke('alice', { type: EVENT.accountDisabled }), revoke('alice', { type: EVENT.accountEnabled }))
    await quiet()
    expect(await transmitter.redeliver(id)).toEqual({ queued: [], refused: [{ id: disable?.id, reason: 'superseded' }] })
    await pushing.advance(HOUR)
    expect(pushing.arrivals.map(typeOf)).toEqual([EVENT.accountDisabled, EVENT.accountEnabled, EVENT.accountEnabled])
    await transmitter.redeliver(id, undefined, { force: true })
    await quiet()
    expect(pushing.arrivals).toHaveLength(4)
  })

  it('a letter that was stored before a crash is not sent again, nor is there a second', async () => {
    const pushing = begin()
    const { store, transmitter } = pushing.loop
    const id = await pushing.open(URL_A)
    const { saveProgress } = store
    pushing.respond = () => refusing('invalid_request')
    await quiet()
    store.saveProgress = () => Promise.reject(new Error('down'))
    store.commit(revoke('alice'))
    await quiet()
    store.saveProgress = saveProgress
    await pushing.crash()
    await pushing.advance(HOUR)
    expect(pushing.arrivals).toHaveLength(1)
    expect(await transmitter.deadLetters(id)).toHaveLength(1)
    expect(record(pushing, id)).toMatchObject({ acked: 1 })
  })

  it('dead receivers slow nobody: the others get everything while no time passes', async () => {
    const pushing = begin({ pushLimits: { total: 8, backoff: [1, 1] } })
    const { store } = pushing.loop
    for (let i = 0; i < 12; i++) await pushing.open(`https://dead${i}.test/in`)
    await pushing.open('https://well.test/in')
    pushing.respond = ({ url }) => (url.includes('dead') ? new Promise<never>(() => {}) : accepted)
    store.commit(revoke('first'))
    // Each has failed by now, and is tried again all the time.
    await pushing.advance(35_000)
    expect(pushing.pusher.status().reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(4)
    const before = pushing.arrivals.length
    store.commit(...Array.from({ length: 200 }, (_, i) => revoke(`u${i}`)))
    for (let i = 0; i < 60; i++) await quiet()
    const since = pushing.arrivals.slice(before)
    expect(since.filter(({ url }) => url.includes('well'))).toHaveLength(200)
    expect(since.filter(({ url }) => url.includes('dead')).length).toBeLessThan(20)
  })

  it('a stream that fails is tried with one SET at a time', async () => {
    const pushing = begin()
    await pushing.open(URL_A)
    const answers = [failing, failing, failing, failing]
    pushing.respond = () => answers.shift() ?? new Promise<never>(() => {})
    pushing.loop.store.commit(...Array.from({ length: 10 }, (_, i) => revoke(`u${i}`)))
    await quiet()
    expect(pushing.arrivals).toHaveLength(4)
    await pushing.advance(5000)
    expect(pushing.pusher.status()).toMatchObject([{ inFlight: 1, failures: 4 }])
  })

  it('streams take turns: a long backlog does not make a short one wait', async () => {
    const pushing = begin({ pushLimits: { total: 2, perStream: 2 } })
    const { store } = pushing.loop
    await pushing.open('https://long.test/in')
    store.commit(...Array.from({ length: 50 }, (_, i) => revoke(`u${i}`)))
    // Held back until the short one is there too.
    const held: (() => void)[] = []
    pushing.respond = () => new Promise((resolve) => held.push(() => resolve(accepted)))
    await quiet()
    await pushing.open('https://short.test/in')
    store.commit(revoke('x'))
    for (let i = 0; i < 6; i++) {
      await quiet()
      held.shift()?.()
    }
    await quiet()
    expect(pushing.arrivals.findIndex(({ url }) => url.includes('short'))).toBeGreaterThan(0)
    while (held.length > 0) {
      for (const one of held.splice(0)) one()
      await quiet()
    }
    expect(pushing.arrivals).toHaveLength(52)
  })

  it('closes without losing what was delivered, and calls off the rest', async () => {
    const pushing = begin({ pushLimits: { perStream: 1 } })
    const { store } = pushing.loop
    const id = await pushing.open(URL_A)
    pushing.respond = (arrival) => (userOf(arrival) === 'b' ? new Promise<never>(() => {}) : accepted)
    store.commit(revoke('a'), revoke('b'))
    await quiet()
    await pushing.pusher.close()
    expect(record(pushing, id)).toMatchObject({ acked: 0, ackedAhead: [1] })
    store.commit(revoke('c'))
    await quiet()
    expect(pushing.arrivals).toHaveLength(2)
  })
})
