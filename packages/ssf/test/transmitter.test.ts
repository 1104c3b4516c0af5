import { EVENT, isObject } from '@caegis/protocol'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { describe, expect, it } from 'vitest'
import { type Answer, claimsOfEvent, isLive, type StreamRecord } from '../src/transmitter/index.ts'
import { AUDIENCE, BASE, callerOf, createLoop, ISSUER, type Loop, revoke } from './loop.ts'

const caller = callerOf()
const never = () => new AbortController().signal
const GUARD = { caegis: { subjects: 'complex', alg: 'ES256', guard: true } }

async function open(loop: Loop, body: Record<string, unknown> = {}, who = caller): Promise<string> {
  const answer = await loop.transmitter.create(who, body)
  expect(answer.status).toBe(201)
  return (answer.body as { stream_id: string }).stream_id
}

interface Polled {
  sets: Record<string, string>
  moreAvailable?: boolean
  caegis_head: { epoch: string; seq: number; asOf: number; status: string }
}

async function poll(loop: Loop, id: string, body: Record<string, unknown> = {}, who = caller): Promise<Polled> {
  const answer = await loop.transmitter.poll(who, id, { returnImmediately: true, ...body }, never())
  expect(answer.status).toBe(200)
  return answer.body as Polled
}

/** `{}` would match any object. */
const NONE = expect.toSatisfy((sets) => isObject(sets) && Object.keys(sets).length === 0)
const errorOf = (answer: Answer) => [answer.status, isObject(answer.body) ? answer.body.error : undefined]
const subjects = (polled: Polled) => Object.values(polled.sets).map((jwt) => (decodeJwt(jwt).sub_id as { sub?: string }).sub)

describe('discovery', () => {
  it('says what is there and nothing else', () => {
    const metadata = createLoop().transmitter.metadata()
    expect(metadata).toMatchObject({
      spec_version: '1_0',
      issuer: ISSUER,
      delivery_methods_supported: ['urn:ietf:rfc:8936'],
      configuration_endpoint: `${BASE}/streams`,
      add_subject_endpoint: `${BASE}/subjects/add`,
      remove_subject_endpoint: `${BASE}/subjects/remove`,
      critical_subject_members: ['session', 'application', 'device'],
      authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
      default_subjects: 'ALL',
      caegis_snapshot_endpoint: `${BASE}/snapshot`,
    })
    expect(Object.keys(metadata).join()).not.toMatch(/events_supported|scopes/)
  })
})

describe('streams', () => {
  it('creates, reads, lists, tells the status of and deletes', async () => {
    const loop = createLoop()
    const made = await loop.transmitter.create(caller, {
      events_requested: [EVENT.sessionRevoked, 'urn:unknown'],
      description: 'mine',
    })
    expect(made).toMatchObject({ status: 201, headers: { 'cache-control': 'no-store' } })
    const config = made.body as Record<string, unknown>
    const id = config.stream_id as string
    expect(id).toMatch(/^[A-Za-z0-9_-]{20,}$/)
    expect(config).toMatchObject({
      iss: ISSUER,
      aud: AUDIENCE,
      delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: `${BASE}/poll/${id}` },
      events_delivered: [EVENT.sessionRevoked],
      min_verification_interval: 1,
      description: 'mine',
      caegis: { subjects: 'simple', alg: 'RS256', guard: false, start: { seq: 0 } },
    })
    expect((await loop.transmitter.read(caller, id)).body).toEqual(config)
    expect((await loop.transmitter.read(caller, undefined)).body).toEqual([config])
    expect((await loop.transmitter.status(caller, id)).body).toEqual({ stream_id: id, status: 'enabled' })
    expect(await loop.transmitter.remove(caller, id)).toMatchObject({ status: 204 })
    expect(errorOf(await loop.transmitter.remove(caller, id))).toEqual([404, 'unknown_stream'])
    expect(errorOf(await loop.transmitter.read(caller, id))).toEqual([404, 'unknown_stream'])
    expect(errorOf(await loop.transmitter.poll(caller, id, {}, never()))).toEqual([404, 'unknown_stream'])
    expect((await loop.transmitter.read(caller, undefined)).body).toEqual([])
  })

  it('E7: the audience is the application, whatever the request says', async () => {
    const loop = createLoop()
    const made = await loop.transmitter.create(caller, { aud: 'api://victim', iss: 'https://evil.test', stream_id: 'x', receiver: 'victim' })
    expect(made.body).toMatchObject({ aud: AUDIENCE, iss: ISSUER })
    const id = (made.body as { stream_id: string }).stream_id
    loop.store.commit(revoke('alice'))
    for (const jwt of Object.values((await poll(loop, id)).sets)) expect(decodeJwt(jwt)).toMatchObject({ aud: AUDIENCE, iss: ISSUER })
  })

  it("E7: another receiver's stream does not exist", async () => {
    const loop = createLoop()
    const id = await open(loop, GUARD)
    const other = callerOf('nightly', undefined, 'api://nightly')
    const answers = await Promise.all([
      loop.transmitter.read(other, id),
      loop.transmitter.remove(other, id),
      loop.transmitter.status(other, id),
      loop.transmitter.verify(other, { stream_id: id }),
      loop.transmitter.poll(other, id, { returnImmediately: true }, never()),
      loop.transmitter.snapshot(other, id),
    ])
    for (const answer of answers) expect(errorOf(answer)).toEqual([404, 'unknown_stream'])
    expect((await loop.transmitter.read(other, undefined)).body).toEqual([])
  })

  it('asks for a scope, and says which', async () => {
    const loop = createLoop()
    const id = await open(loop)
    const none = callerOf('files-api', ['openid'])
    const reader = callerOf('files-api', ['ssf.read'])
    const manager = callerOf('files-api', ['ssf.manage'])
    const calls = (who: typeof caller) => ({
      read: [
        loop.transmitter.read(who, id),
        loop.transmitter.status(who, id),
        loop.transmitter.poll(who, id, { returnImmediately: true }, never()),
        loop.transmitter.snapshot(who, id),
      ],
      manage: [loop.transmitter.create(who, {}), loop.transmitter.verify(who, { stream_id: id }), loop.transmitter.remove(who, 'gone')],
    })
    for (const answer of await Promise.all(Object.values(calls(none)).flat())) {
      expect(errorOf(answer)).toEqual([403, 'insufficient_scope'])
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer error="insufficient_scope", scope="ssf\./)
    }
    const asReader = calls(reader)
    for (const answer of await Promise.all(asReader.manage)) expect(errorOf(answer)).toEqual([403, 'insufficient_scope'])
    for (const answer of await Promise.all(asReader.read)) expect(errorOf(answer)[1]).not.toBe('insufficient_scope')
    for (const answer of await Promise.all(calls(manager).read)) expect(errorOf(answer)[1]).not.toBe('insufficient_scope')
  })

  it('puts an unreadable body before permission, and permission before existence', async () => {
    const loop = createLoop()
    const none = callerOf('files-api', [])
    expect((await loop.transmitter.create(none, undefined)).status).toBe(400)
    expect((await loop.transmitter.poll(none, 'gone', 'text', never())).status).toBe(400)
    expect((await loop.transmitter.remove(none, 'gone')).status).toBe(403)
    expect((await loop.transmitter.poll(caller, 'gone', { maxEvents: -1 }, never())).status).toBe(404)
  })

  it('refuses what it does not have', async () => {
    const loop = createLoop({ limits: { streams: 1 } })
    const create = async (body: Record<string, unknown>) => errorOf(await loop.transmitter.create(caller, body))
    expect(await create({ delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://x.test' } })).toEqual([400, 'unsupported_delivery_method'])
    expect(await create({ delivery: 'poll' })).toEqual([400, 'invalid_request'])
    expect(await create({ events_requested: 'all' })).toEqual([400, 'invalid_request'])
    expect(await create({ caegis: { subjects: 'none' } })).toEqual([400, 'invalid_extension'])
    expect(await create({ caegis: { alg: 'none' } })).toEqual([400, 'invalid_extension'])
    expect(await create({ caegis: { guard: true, subjects: 'simple' } })).toEqual([400, 'invalid_extension'])
    expect(await create({ caegis: { horizon: 1 } })).toEqual([400, 'invalid_extension'])
    await open(loop)
    expect(await create({})).toEqual([403, 'too_many_streams'])
  })
})

describe('poll', () => {
  it('a plain stream gets what it asked for about whole users, signed RS256, and nothing of ours', async () => {
    const loop = createLoop()
    const id = await open(loop, { events_requested: [EVENT.sessionRevoked] })
    const [row] = loop.store.commit(revoke('alice', { t: 100, until: 200 }))
    loop.store.commit(revoke('bob', { session: 's1' }), revoke('carol', { type: EVENT.accountEnabled }))
    const { sets } = await poll(loop, id)
    const [[jti, jwt]] = Object.entries(sets) as [[string, string]]
    expect(Object.keys(sets)).toHaveLength(1)
    expect(decodeProtectedHeader(jwt)).toMatchObject({ typ: 'secevent+jwt', alg: 'RS256' })
    const claims = decodeJwt(jwt)
    expect(claims).toMatchObject({ iss: ISSUER, jti, iat: row?.at, aud: AUDIENCE, txn: row?.txn, sub_id: { format: 'iss_sub', sub: 'alice' } })
    expect(JSON.stringify(claims)).not.toContain('caegis')
    expect(claims).not.toHaveProperty('sub')
    expect(claims).not.toHaveProperty('exp')
    expect((claims.events as Record<string, unknown>)[EVENT.sessionRevoked]).toMatchObject({ event_timestamp: 100 })
    // Acknowledged: the cursor passes the rows that are not for this stream, too.
    expect((await poll(loop, id, { ack: [jti] })).sets).toEqual({})
    expect(loop.store.streams()[0]).toMatchObject({ acked: 3, ackedAhead: [] })
  })

  it('a guard gets every row with its position, and what it has applied decides', async () => {
    const loop = createLoop()
    const id = await open(loop, GUARD)
    loop.store.commit(revoke('alice', { until: 900 }), revoke('bob', { session: 's1' }), revoke('carol', { type: EVENT.accountEnabled }))
    const first = await poll(loop, id, { caegis_applied: { epoch: (await loop.store.head()).epoch, seq: 0 } })
    const claims = Object.values(first.sets).map((jwt) => decodeJwt(jwt))
    expect(claims.map((one) => one.caegis_seq)).toEqual([1, 2, 3])
    expect(JSON.stringify(claims[0])).toContain('"caegis_until":900')
    expect(decodeProtectedHeader(Object.values(first.sets)[0] as string).alg).toBe('ES256')
    const { epoch } = first.caegis_head
    // The answer was lost: what was applied says so, also to a long poll, at once.
    const again = await loop.transmitter.poll(caller, id, { caegis_applied: { epoch, seq: 1 } }, never())
    expect(Object.keys((again.body as Polled).sets)).toEqual(Object.keys(first.sets).slice(1))
    expect((await poll(loop, id, { caegis_applied: { epoch, seq: 3 } })).sets).toEqual({})
    // Elsewhere: the head, and nothing that could be mistaken for its continuation.
    for (const applied of [
      { epoch: 'another', seq: 0 },
      { epoch, seq: 99 },
    ]) {
      const lost = await loop.transmitter.poll(caller, id, { caegis_applied: applied }, never())
      expect(lost.body).toMatchObject({ sets: NONE, caegis_head: { epoch, seq: 3 } })
    }
  })

  it('B8: a retry is the same SET, days later and after the key was changed', async () => {
    let clock = 1_000_000_000_000
    const loop = createLoop({ now: () => clock })
    const id = await open(loop, GUARD)
    loop.store.commit(revoke('alice', { t: 999_999_990 }))
    const [[jti, first]] = Object.entries((await poll(loop, id)).sets) as [[string, string]]
    expect((await poll(loop, id)).sets[jti]).toBe(first)
    expect(loop.signed).toBe(1)
    clock += 3 * 86_400_000
    const later = (await poll(loop, id)).sets[jti] as string
    expect(loop.signed).toBe(2)
    expect(later).not.toBe(first)
    expect(later.split('.')[1]).toBe(first.split('.')[1])
    expect(decodeJwt(later).iat).toBe(1_000_000_000)
  })

  it('B8: claims depend on stream and row only', () => {
    const stream = { id: 's', aud: AUDIENCE, subjects: 'simple', guard: false } as StreamRecord
    const row = { seq: 1, id: 'e', txn: 't', at: 10, payload: {}, ...revoke('alice') }
    expect(JSON.stringify(claimsOfEvent(ISSUER, stream, row))).toBe(
      JSON.stringify(claimsOfEvent(ISSUER, structuredClone(stream), structuredClone(row))),
    )
    expect(claimsOfEvent(ISSUER, stream, row)).toMatchObject({ jti: 'e.s', iat: 10 })
  })

  it('B14: what was learnt from a receiver does not go back to it, but to its guards', async () => {
    const loop = createLoop()
    const id = await open(loop)
    const guard = await open(loop, GUARD)
    loop.store.commit({ ...revoke('alice'), from: caller.receiver }, { ...revoke('bob'), from: 'somebody-else' }, revoke('carol'))
    expect(Object.keys((await poll(loop, id)).sets)).toHaveLength(2)
    expect(Object.keys((await poll(loop, guard)).sets)).toHaveLength(3)
    expect(JSON.stringify(Object.values((await poll(loop, id)).sets).map((jwt) => decodeJwt(jwt as string)))).not.toContain('alice')
  })

  it('B1: every answer carries the head, read before the content', async () => {
    // A row commits between the two reads: the head must not cover what the content lacks.
    const loop = createLoop({
      wrap: (store) => ({
        ...store,
        async head() {
          const head = await store.head()
          if (armed) loop.store.commit(revoke('late'))
          return head
        },
      }),
    })
    let armed = false
    const id = await open(loop, GUARD)
    loop.store.commit(revoke('alice'))
    armed = true
    const { epoch } = await loop.store.head()
    const polled = await poll(loop, id)
    expect(polled.caegis_head).toMatchObject({ seq: 1, status: 'enabled' })
    expect(Object.keys(polled.sets)).toHaveLength(1)
    const claimed = await poll(loop, id, { caegis_applied: { epoch, seq: 0 } })
    expect(claimed.caegis_head.seq).toBe(Object.keys(claimed.sets).length)
  })

  it('B1(a): a paused stream answers with its status, sends nothing, and still takes acknowledgements', async () => {
    const loop = createLoop()
    const id = await open(loop)
    loop.store.commit(revoke('alice'))
    const jtis = Object.keys((await poll(loop, id)).sets)
    loop.store.commit(revoke('bob'))
    loop.store.setStatus(id, 'paused')
    const paused = await poll(loop, id, { ack: jtis })
    expect(paused).toMatchObject({ sets: NONE, caegis_head: { seq: 2, status: 'paused' } })
    expect(errorOf(await loop.transmitter.verify(caller, { stream_id: id }))).toEqual([400, 'stream_not_enabled'])
    loop.store.setStatus(id, 'enabled')
    expect(subjects(await poll(loop, id))).toEqual(['bob'])
  })

  it('a long poll is woken by the commit, and by a pause', async () => {
    const loop = createLoop()
    const id = await open(loop)
    const held = loop.transmitter.poll(caller, id, {}, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    loop.store.commit(revoke('alice'))
    expect(subjects((await held).body as Polled)).toEqual(['alice'])
    const guard = await open(loop, GUARD)
    const { epoch, seq } = await loop.store.head()
    const waiting = loop.transmitter.poll(caller, guard, { caegis_applied: { epoch, seq } }, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    loop.store.setStatus(guard, 'paused')
    expect((await waiting).body).toMatchObject({ sets: NONE, caegis_head: { status: 'paused' } })
  })

  it('a long poll ends with a fresh head, at the shortest of the three bounds, or when the caller goes', async () => {
    for (const [options, body] of [
      [{ limits: { hold: 0.02 } }, {}],
      [{ maxStaleness: 0.06 }, {}],
      [{}, { caegis_wait: 0.02 }],
    ] as const) {
      const loop = createLoop(options)
      const id = await open(loop)
      const before = Date.now() / 1000
      const { body: polled } = await loop.transmitter.poll(caller, id, body, never())
      expect(polled).toMatchObject({ sets: NONE })
      expect((polled as Polled).caegis_head.asOf).toBeGreaterThan(before)
    }
    const loop = createLoop()
    const gone = new AbortController()
    const held = loop.transmitter.poll(caller, await open(loop), {}, gone.signal)
    gone.abort()
    expect((await held).status).toBe(200)
  })

  it('a long poll does not repeat what went out a moment ago; a short one does', async () => {
    let clock = 1e12
    const loop = createLoop({ now: () => clock, limits: { hold: 0.02 } })
    const id = await open(loop)
    loop.store.commit(revoke('alice'))
    const long = async () => subjects((await loop.transmitter.poll(caller, id, {}, never())).body as Polled)
    expect(await long()).toEqual(['alice'])
    expect(await long()).toEqual([])
    expect(subjects(await poll(loop, id))).toEqual(['alice'])
    clock += 10_000
    expect(await long()).toEqual(['alice'])
  })

  it('keeps to maxEvents, says that there is more, and zero only acknowledges', async () => {
    const loop = createLoop({ limits: { maxEvents: 3 } })
    const id = await open(loop)
    loop.store.commit(...'abcde'.split('').map((user) => revoke(user)))
    const two = await poll(loop, id, { maxEvents: 2 })
    expect(two).toMatchObject({ moreAvailable: true })
    expect(subjects(two)).toEqual(['a', 'b'])
    expect(await poll(loop, id, { maxEvents: 0, ack: Object.keys(two.sets) })).toMatchObject({ sets: NONE, moreAvailable: true })
    const rest = await poll(loop, id, { maxEvents: 5000 })
    expect(subjects(rest)).toEqual(['c', 'd', 'e'])
    expect(rest).not.toHaveProperty('moreAvailable')
  })

  it('B6: a guard cannot lose a SET by setErrs; for others it is final and logged', async () => {
    const loop = createLoop()
    const plain = await open(loop)
    const guard = await open(loop, GUARD)
    loop.store.commit(revoke('alice'))
    for (const id of [plain, guard]) {
      const [jti] = Object.keys((await poll(loop, id)).sets) as [string]
      const left = await poll(loop, id, { setErrs: { [jti]: { err: 'invalid_issuer', description: 'who is that' } } })
      expect(Object.keys(left.sets)).toEqual(id === guard ? [jti] : [])
    }
    expect(loop.logged).toContainEqual(expect.objectContaining({ message: expect.stringContaining('dead letter') }))
    expect(JSON.stringify(loop.logged)).toContain('invalid_issuer')
  })

  it('does not write for a quiet stream more than once a second', async () => {
    let clock = 1e12
    let writes = 0
    const loop = createLoop({
      now: () => clock,
      wrap: (store) => ({ ...store, saveProgress: (id, progress) => store.saveProgress(id, progress).then(() => void writes++) }),
    })
    const id = await open(loop)
    for (let i = 0; i < 20; i++) await poll(loop, id)
    expect(writes).toBe(1)
    clock += 1000
    await poll(loop, id)
    expect(writes).toBe(2)
    loop.store.commit(revoke('alice'))
    await poll(loop, id, { ack: Object.keys((await poll(loop, id)).sets) })
    expect(writes).toBe(3)
  })

  it('holds a bounded number of polls', async () => {
    const loop = createLoop({ limits: { polls: 1 } })
    const id = await open(loop)
    const gone = new AbortController()
    const held = loop.transmitter.poll(caller, id, {}, gone.signal)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(errorOf(await loop.transmitter.poll(caller, id, {}, never()))).toEqual([429, 'too_many_polls'])
    await poll(loop, id)
    gone.abort()
    await held
    expect((await loop.transmitter.poll(caller, id, { caegis_wait: 0 }, never())).status).toBe(200)
  })

  it('asks its host for room to hold a poll, and answers with the head when the host ends the hold', async () => {
    const ends: (() => void)[] = []
    const holds = {
      most: 1,
      enter(receiver: string, end: () => void) {
        expect(receiver).toBe(caller.receiver)
        if (ends.length >= this.most) return undefined
        ends.push(end)
        return () => void ends.splice(ends.indexOf(end), 1)
      },
    }
    const loop = createLoop({ transmitter: { holds } })
    const id = await open(loop)
    const held = loop.transmitter.poll(caller, id, {}, never())
    await expect.poll(() => ends.length).toBe(1)
    const refused = await loop.transmitter.poll(caller, id, {}, never())
    expect([...errorOf(refused), refused.headers['retry-after']]).toEqual([429, 'too_many_polls', '5'])
    // Who does not want to wait needs no room.
    await poll(loop, id)
    ends[0]?.()
    const { status, body } = await held
    expect([status, body]).toMatchObject([200, { sets: {}, caegis_head: { seq: 0, status: 'enabled' } }])
    expect(ends).toEqual([])
  })
})

describe('verification', () => {
  it('echoes the state through the poll, about the stream itself, until acknowledged', async () => {
    let clock = 1e12
    const loop = createLoop({ now: () => clock })
    const id = await open(loop)
    expect(await loop.transmitter.verify(caller, { stream_id: id, state: 'n-1' })).toMatchObject({ status: 204 })
    expect(errorOf(await loop.transmitter.verify(caller, { stream_id: id }))).toEqual([429, 'too_many_requests'])
    const first = await poll(loop, id)
    const [[jti, jwt]] = Object.entries(first.sets) as [[string, string]]
    expect(decodeJwt(jwt)).toMatchObject({ sub_id: { format: 'opaque', id }, events: { [EVENT.verification]: { state: 'n-1' } } })
    expect(Object.keys((await poll(loop, id)).sets)).toEqual([jti])
    expect((await poll(loop, id, { ack: [jti] })).sets).toEqual({})
    clock += 1000
    await loop.transmitter.verify(caller, { stream_id: id })
    const [bare] = Object.values((await poll(loop, id)).sets)
    expect(decodeJwt(bare as string).events).toEqual({ [EVENT.verification]: {} })
    expect(errorOf(await loop.transmitter.verify(caller, { stream_id: id, state: 7 }))).toEqual([400, 'invalid_request'])
  })

  it('wakes a long poll', async () => {
    const loop = createLoop()
    const id = await open(loop, GUARD)
    const { epoch, seq } = await loop.store.head()
    const held = loop.transmitter.poll(caller, id, { caegis_applied: { epoch, seq } }, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    await loop.transmitter.verify(caller, { stream_id: id })
    expect(Object.keys(((await held).body as Polled).sets)).toHaveLength(1)
  })
})

describe('isLive', () => {
  it('I5: a guard stays live in a quiet log: what it has applied is kept with each poll, however soon it follows the end of the last', async () => {
    let clock = 1e12
    const loop = createLoop({ now: () => clock, maxStaleness: 30, limits: { hold: 0.02 } })
    const id = await open(loop, GUARD)
    const caegis_applied = await loop.store.head()
    for (let round = 0; round < 6; round++) {
      const held = loop.transmitter.poll(caller, id, { caegis_applied }, never())
      await new Promise((resolve) => setTimeout(resolve, 5))
      // It says what it has applied when it begins, and hears that nothing came when the hold is over.
      clock += 10_000
      await held
    }
    await poll(loop, id, { caegis_applied })
    const { epoch, seq } = caegis_applied
    expect((await loop.store.getStream(id))?.applied).toEqual({ epoch, seq, asOf: clock / 1000 })
  })

  it('B10: only a hydrated guard that lately applied what there is', async () => {
    let clock = 1e12
    const loop = createLoop({ now: () => clock })
    const live = (epoch: string) => isLive(loop.store.streams()[0] as StreamRecord, clock / 1000, 30, epoch)
    const id = await open(loop, GUARD)
    const { epoch } = await loop.store.head()
    await poll(loop, id)
    expect(live(epoch)).toBe(false)
    await poll(loop, id, { caegis_applied: { epoch, seq: 0 } })
    expect(live(epoch)).toBe(false)
    for await (const _ of (await loop.transmitter.snapshot(caller, id)).body as AsyncIterable<string>);
    clock += 1000
    await poll(loop, id, { caegis_applied: { epoch, seq: 0 } })
    expect(live(epoch)).toBe(true)
    expect(live('another')).toBe(false)
    // It polls on, but never applies the row: it is as old as that row.
    loop.store.commit(revoke('alice'))
    for (let i = 0; i < 4; i++) {
      clock += 10_000
      await poll(loop, id, { caegis_applied: { epoch, seq: 0 } })
    }
    expect(live(epoch)).toBe(false)
    await poll(loop, id, { caegis_applied: { epoch, seq: 1 } })
    expect(live(epoch)).toBe(true)
    loop.store.setStatus(id, 'paused')
    expect(live(epoch)).toBe(false)
    loop.store.setStatus(id, 'enabled')
    clock += 31_000
    expect(live(epoch)).toBe(false)
  })

  it('B10(a): selected events are no guard', async () => {
    const loop = createLoop()
    const id = await open(loop, { events_requested: [EVENT.accountEnabled] })
    const { epoch } = await loop.store.head()
    await poll(loop, id, { caegis_applied: { epoch, seq: 0 } })
    expect(isLive(loop.store.streams()[0] as StreamRecord, Date.now() / 1000, 30, epoch)).toBe(false)
    expect(errorOf(await loop.transmitter.snapshot(caller, id))).toEqual([403, 'not_a_guard_stream'])
  })
})
