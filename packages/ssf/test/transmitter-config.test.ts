import { EVENT, isObject } from '@caegis/protocol'
import { decodeJwt } from 'jose'
import { describe, expect, it } from 'vitest'
import { type Answer, createTransmitter, type StreamRecord } from '../src/transmitter/index.ts'
import { AUDIENCE, BASE, callerOf, createLoop, ISSUER, type Loop, revoke } from './loop.ts'

const caller = callerOf()
const never = () => new AbortController().signal
const GUARD = { caegis: { subjects: 'complex', alg: 'ES256', guard: true } }
const COMPLEX = { caegis: { subjects: 'complex' } }
const PUSH = { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://files.test/in', authorization_header: 'Bearer hush-hush' }
const POLL = 'urn:ietf:rfc:8936'

type Body = Record<string, unknown>

async function make(loop: Loop, body: Body = {}): Promise<Body & { stream_id: string }> {
  const answer = await loop.transmitter.create(caller, body)
  expect(answer.status).toBe(201)
  return answer.body as Body & { stream_id: string }
}

interface Polled {
  sets: Record<string, string>
  caegis_head: { seq: number; status: string }
}

async function poll(loop: Loop, id: string, body: Body = {}): Promise<Polled> {
  const answer = await loop.transmitter.poll(caller, id, { returnImmediately: true, ...body }, never())
  expect(answer.status).toBe(200)
  return answer.body as Polled
}

const errorOf = (answer: Answer) => [answer.status, isObject(answer.body) ? answer.body.error : undefined]
const claimsOf = (polled: Polled) => Object.values(polled.sets).map((jwt) => decodeJwt(jwt) as Body & { events: Record<string, Body> })
const users = (polled: Polled) => claimsOf(polled).map((claims) => (claims.sub_id as { sub?: string }).sub)
const userOf = (user: string) => ({ format: 'iss_sub', iss: ISSUER, sub: user })
const record = (loop: Loop, id: string) => loop.store.streams().find((stream) => stream.id === id) as StreamRecord

describe('update and replace', () => {
  it.each(['update', 'replace'] as const)('%s: body before permission before existence before meaning', async (verb) => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    const call = async (who: typeof caller, body: unknown) => errorOf(await loop.transmitter[verb](who, body))
    const nobody = callerOf('files-api', ['ssf.read'])
    expect(await call(nobody, undefined)).toEqual([400, 'invalid_request'])
    expect(await call(nobody, { description: 'x' })).toEqual([400, 'invalid_request'])
    expect(await call(nobody, { stream_id: 'gone' })).toEqual([403, 'insufficient_scope'])
    expect(await call(caller, { stream_id: 'gone', description: 7 })).toEqual([404, 'unknown_stream'])
    expect(await call(callerOf('other', undefined, 'api://other'), { stream_id })).toEqual([404, 'unknown_stream'])
    for (const wrong of [{ description: 7 }, { events_requested: 'all' }, { delivery: 'poll' }, { description: null }]) {
      expect(await call(caller, { stream_id, ...wrong })).toEqual([400, 'invalid_request'])
    }
    expect(await call(caller, { stream_id, delivery: PUSH })).toEqual([400, 'unsupported_delivery_method'])
  })

  it('PATCH leaves what is absent, PUT takes it away, both answer with the whole', async () => {
    const loop = createLoop({ transmitter: { push: true } })
    const { stream_id, ...made } = await make(loop, { events_requested: [EVENT.sessionRevoked, 'urn:unknown'], description: 'first' })
    const patched = await loop.transmitter.update(caller, {
      stream_id,
      description: 'x'.repeat(2000),
      events_requested: [EVENT.accountEnabled, 'urn:x'],
    })
    expect(patched).toMatchObject({
      status: 200,
      headers: { 'cache-control': 'no-store' },
      body: { ...made, description: 'x'.repeat(512), events_requested: [EVENT.accountEnabled, 'urn:x'], events_delivered: [EVENT.accountEnabled] },
    })
    const pushed = (await loop.transmitter.update(caller, { stream_id, delivery: PUSH })).body as Body
    expect(pushed).toMatchObject({ description: 'x'.repeat(512), delivery: { method: PUSH.method, endpoint_url: PUSH.endpoint_url } })
    const bare = (await loop.transmitter.replace(caller, { stream_id })).body as Body
    expect(bare.delivery).toEqual({ method: POLL, endpoint_url: `${BASE}/poll/${stream_id}` })
    expect(bare.events_delivered).toEqual(bare.events_supported)
    expect(bare).not.toHaveProperty('description')
    expect(bare).not.toHaveProperty('events_requested')
    expect((await loop.transmitter.read(caller, stream_id)).body).toEqual(bare)
  })

  it.each(['update', 'replace'] as const)('%s: what the transmitter sets may be repeated, not changed', async (verb) => {
    const loop = createLoop({ transmitter: { inactivityTimeout: 600 } })
    const made = await make(loop, { events_requested: [EVENT.sessionRevoked, EVENT.accountEnabled], description: 'd' })
    const { stream_id } = made
    expect(made.inactivity_timeout).toBe(600)
    expect((await loop.transmitter[verb](caller, made)).body).toEqual(made)
    const reversed = [...(made.events_delivered as string[])].reverse()
    expect((await loop.transmitter[verb](caller, { ...made, events_delivered: reversed })).status).toBe(200)
    for (const wrong of [
      { iss: 'https://evil.test' },
      { aud: 'api://victim' },
      { events_supported: [] },
      // The value before the update counts, not the one after it.
      { events_requested: [EVENT.accountEnabled], events_delivered: [EVENT.accountEnabled] },
      { min_verification_interval: 0 },
      { inactivity_timeout: 1e9 },
      { caegis: { guard: true } },
      { caegis: { unknown: 1 } },
      { delivery: { method: POLL, endpoint_url: 'https://elsewhere.test' } },
    ]) {
      expect(errorOf(await loop.transmitter[verb](caller, { stream_id, ...wrong })), JSON.stringify(wrong)).toEqual([400, 'fixed_property'])
    }
    expect((await loop.transmitter.read(caller, stream_id)).body).toEqual(made)
  })

  it('a guard polls and gets everything, whatever it asks for later', async () => {
    const loop = createLoop({ transmitter: { push: true } })
    expect(errorOf(await loop.transmitter.create(caller, { ...GUARD, delivery: PUSH }))).toEqual([400, 'invalid_extension'])
    const { stream_id } = await make(loop, GUARD)
    expect(errorOf(await loop.transmitter.update(caller, { stream_id, delivery: PUSH }))).toEqual([400, 'unsupported_delivery_method'])
    await loop.transmitter.update(caller, { stream_id, events_requested: [] })
    loop.store.commit(revoke('alice'))
    expect(claimsOf(await poll(loop, stream_id))).toHaveLength(1)
  })

  it('a poll that is held sees the change', async () => {
    const loop = createLoop({ transmitter: { push: true } })
    const { stream_id } = await make(loop, { events_requested: [EVENT.accountEnabled] })
    const wide = await make(loop)
    // One acknowledged out of order keeps the cursor before what is not wanted yet.
    const held = loop.transmitter.poll(caller, stream_id, {}, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    await loop.transmitter.update(caller, { stream_id, events_requested: [EVENT.sessionRevoked] })
    loop.store.commit(revoke('alice'))
    expect(users((await held).body as Polled)).toEqual(['alice'])
    const other = loop.transmitter.poll(caller, wide.stream_id, { ack: Object.keys((await poll(loop, wide.stream_id)).sets) }, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    await loop.transmitter.update(caller, { stream_id: wide.stream_id, delivery: PUSH })
    expect((await other).body).toMatchObject({ caegis_head: { status: 'enabled' } })
    expect(errorOf(await loop.transmitter.poll(caller, wide.stream_id, {}, never()))).toEqual([400, 'not_a_poll_stream'])
  })

  it('E5, I8: a push URL must be one that a dialer can judge, and the header value is never read back or logged', async () => {
    const loop = createLoop({ transmitter: { push: true } })
    for (const endpoint_url of [
      'http://files.test/in',
      'https://a:b@files.test',
      'https://files.test/#x',
      'files',
      undefined,
      `https://x.test/${'a'.repeat(3000)}`,
    ]) {
      expect(errorOf(await loop.transmitter.create(caller, { delivery: { ...PUSH, endpoint_url } }))).toEqual([400, 'invalid_request'])
    }
    for (const authorization_header of ['a\r\nx: y', '', ' ', 'x'.repeat(5000), 7]) {
      expect(errorOf(await loop.transmitter.create(caller, { delivery: { ...PUSH, authorization_header } }))).toEqual([400, 'invalid_request'])
    }
    const made = await make(loop, { delivery: PUSH })
    expect(made.delivery).toEqual({ method: PUSH.method, endpoint_url: PUSH.endpoint_url })
    expect(record(loop, made.stream_id).delivery.authorizationHeader).toBe('Bearer hush-hush')
    const { stream_id } = made
    const answers = [
      await loop.transmitter.read(caller, undefined),
      await loop.transmitter.update(caller, { stream_id, delivery: { ...PUSH, endpoint_url: 'https://files.test/b' } }),
      await loop.transmitter.status(caller, stream_id),
    ]
    expect(JSON.stringify([answers, loop.logged])).not.toContain('hush')
    // A new delivery is the whole of it: the secret does not follow to another address.
    await loop.transmitter.update(caller, { stream_id, delivery: { method: PUSH.method, endpoint_url: 'https://else.test' } })
    expect(record(loop, stream_id).delivery).not.toHaveProperty('authorizationHeader')
    expect(loop.transmitter.metadata()).toMatchObject({ delivery_methods_supported: [PUSH.method, POLL] })
  })
})

describe('status', () => {
  it('the receiver moves between all three, with a reason, without an event', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    for (const status of ['paused', 'disabled', 'paused', 'enabled', 'disabled', 'enabled']) {
      const answer = await loop.transmitter.updateStatus(caller, { stream_id, status, reason: `so ${status}` })
      expect(answer).toMatchObject({ status: 200, body: { stream_id, status, reason: `so ${status}` } })
      expect((await loop.transmitter.status(caller, stream_id)).body).toEqual(answer.body)
      expect((await poll(loop, stream_id)).sets).toEqual({})
    }
    expect((await loop.transmitter.updateStatus(caller, { stream_id, status: 'enabled' })).body).toEqual({ stream_id, status: 'enabled' })
    expect(errorOf(await loop.transmitter.updateStatus(caller, { stream_id, status: 'on' }))).toEqual([400, 'invalid_request'])
    expect(errorOf(await loop.transmitter.updateStatus(caller, { stream_id, status: 'paused', reason: 1 }))).toEqual([400, 'invalid_request'])
    expect(errorOf(await loop.transmitter.updateStatus(callerOf('files-api', ['ssf.read']), { stream_id: 'gone' }))).toEqual([
      403,
      'insufficient_scope',
    ])
    expect(errorOf(await loop.transmitter.updateStatus(caller, { stream_id: 'gone', status: 'on' }))).toEqual([404, 'unknown_stream'])
    expect(errorOf(await loop.transmitter.updateStatus(caller, undefined))).toEqual([400, 'invalid_request'])
  })

  it('I3: paused holds, disabled drops', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    const set = (status: string) => loop.transmitter.updateStatus(caller, { stream_id, status })
    await set('paused')
    loop.store.commit(revoke('alice'))
    await set('enabled')
    const held = await poll(loop, stream_id)
    expect(users(held)).toEqual(['alice'])
    await poll(loop, stream_id, { ack: Object.keys(held.sets) })
    await set('disabled')
    loop.store.commit(revoke('bob'))
    // From paused on it is held again.
    await set('paused')
    loop.store.commit(revoke('carol'))
    await set('enabled')
    expect(users(await poll(loop, stream_id))).toEqual(['carol'])
  })

  it('what the transmitter does is told on the stream itself, also while that is stopped', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    loop.store.commit(revoke('alice'))
    const held = loop.transmitter.poll(caller, stream_id, { ack: Object.keys((await poll(loop, stream_id)).sets) }, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    await loop.transmitter.setStatus(stream_id, 'paused', 'maintenance')
    loop.store.commit(revoke('bob'))
    const told = (await held).body as Polled
    expect(claimsOf(told)).toMatchObject([
      { sub_id: { format: 'opaque', id: stream_id }, events: { [EVENT.streamUpdated]: { status: 'paused', reason: 'maintenance' } } },
    ])
    expect(told.caegis_head.status).toBe('paused')
    expect(Object.keys((await poll(loop, stream_id)).sets)).toEqual(Object.keys(told.sets))
    expect((await poll(loop, stream_id, { ack: Object.keys(told.sets) })).sets).toEqual({})
    // Only the last word stands.
    await loop.transmitter.setStatus(stream_id, 'disabled')
    await loop.transmitter.setStatus(stream_id, 'paused')
    await loop.transmitter.setStatus(stream_id, 'enabled')
    await loop.transmitter.setStatus(stream_id, 'enabled', 'again')
    const [first, ...rest] = claimsOf(await poll(loop, stream_id))
    expect(first?.events).toEqual({ [EVENT.streamUpdated]: { status: 'enabled' } })
    expect(rest).toHaveLength(0)
    expect(await loop.transmitter.setStatus('gone', 'paused')).toBeUndefined()
    await expect(loop.transmitter.setStatus(stream_id, 'off' as 'paused')).rejects.toThrow(TypeError)
  })

  it('a receiver that acts itself is not told an older status', async () => {
    let clock = 1e12
    const loop = createLoop({ now: () => clock, transmitter: { inactivityTimeout: 60 } })
    const { stream_id } = await make(loop)
    clock += 61_000
    expect((await loop.transmitter.tidy()).silent).toEqual([stream_id])
    await loop.transmitter.updateStatus(caller, { stream_id, status: 'enabled' })
    expect((await poll(loop, stream_id)).sets).toEqual({})
  })

  it('what the host has stopped, its receiver cannot start, nor stop otherwise', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    const asked = async (status: string) => (await loop.transmitter.updateStatus(caller, { stream_id, status })).status
    for (const stopped of ['paused', 'disabled'] as const) {
      // What the receiver did before does not matter, even when it was the same.
      expect(await asked(stopped)).toBe(200)
      await loop.transmitter.setStatus(stream_id, stopped, 'investigation')
      for (const wanted of ['enabled', 'paused', 'disabled']) expect([stopped, wanted, await asked(wanted)]).toEqual([stopped, wanted, 403])
      expect((await loop.transmitter.status(caller, stream_id)).body).toEqual({ stream_id, status: stopped, reason: 'investigation' })
      // A new configuration is no way around it.
      for (const method of ['update', 'replace'] as const)
        expect((await loop.transmitter[method](caller, { stream_id, description: 'anew' })).status).toBe(200)
      expect(await asked('enabled')).toBe(403)
      await loop.transmitter.setStatus(stream_id, 'enabled')
      expect(await asked('paused')).toBe(200)
      expect(await asked('enabled')).toBe(200)
    }
  })

  it('the host sends a verification of its own, without a state, and not to a stream that is stopped or does not listen', async () => {
    const loop = createLoop({ limits: { controls: 2 } })
    const { stream_id } = await make(loop)
    const seen = () => loop.store.streams()[0]?.seenAt
    const before = seen()
    expect(await loop.transmitter.sendVerification(stream_id)).toBeUndefined()
    expect(await loop.transmitter.sendVerification(stream_id)).toBeUndefined()
    expect(await loop.transmitter.sendVerification(stream_id)).toBe('too_many_requests')
    // It says nothing about the receiver.
    expect(seen()).toBe(before)
    const told = await poll(loop, stream_id)
    expect(claimsOf(told).map(({ events }) => events)).toEqual([{ [EVENT.verification]: {} }, { [EVENT.verification]: {} }])
    await poll(loop, stream_id, { ack: Object.keys(told.sets) })
    expect((await loop.transmitter.verify(caller, { stream_id, state: 's' })).status).toBe(204)
    await loop.transmitter.setStatus(stream_id, 'paused')
    expect(await loop.transmitter.sendVerification(stream_id)).toBe('stream_not_enabled')
    expect(await loop.transmitter.sendVerification('gone')).toBe('unknown_stream')
  })

  it('B1(a): a guard whose stream its API stops learns it from the head', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop, GUARD)
    const { epoch, seq } = await loop.store.head()
    const held = loop.transmitter.poll(caller, stream_id, { caegis_applied: { epoch, seq } }, never())
    await new Promise((resolve) => setTimeout(resolve, 10))
    await loop.transmitter.updateStatus(caller, { stream_id, status: 'paused' })
    expect((await held).body).toMatchObject({ caegis_head: { status: 'paused' } })
    expect(loop.logged).toContainEqual(expect.objectContaining({ message: 'a guard stream was stopped by its receiver' }))
  })
})

describe('subjects', () => {
  const session = { format: 'opaque', id: 's1' }
  const complex = (members: Body) => ({ format: 'complex', ...members })

  async function setup(mode: 'ALL' | 'NONE', body: Body = COMPLEX, limits = {}) {
    const loop = createLoop({ transmitter: { defaultSubjects: mode }, limits })
    const { stream_id } = await make(loop, body)
    const call = (verb: 'addSubject' | 'removeSubject', subject: unknown, more = {}) =>
      loop.transmitter[verb](caller, { stream_id, subject, ...more })
    return {
      loop,
      stream_id,
      add: (subject: unknown, more = {}) => call('addSubject', subject, more),
      remove: (subject: unknown) => call('removeSubject', subject),
      /** Who of these is heard of. */
      async heard() {
        loop.store.commit(revoke('alice'), revoke('alice', { session: 's1' }), revoke('bob'), {
          type: EVENT.sessionRevoked,
          subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: 'acme' } } },
        })
        const polled = await poll(loop, stream_id)
        await poll(loop, stream_id, { ack: Object.keys(polled.sets), maxEvents: 0 })
        return claimsOf(polled).map(({ sub_id }) => {
          const { user, session, tenant, sub } = sub_id as Record<string, any>
          return [user?.sub ?? sub, session?.id, tenant?.id].filter(Boolean).join('/')
        })
      },
    }
  }
  const EVERYTHING = ['alice', 'alice/s1', 'bob', 'acme']

  it('ALL: removal takes away what it names and nothing wider, re-adding brings it back', async () => {
    const { heard, add, remove, loop, stream_id } = await setup('ALL')
    expect(loop.transmitter.metadata().default_subjects).toBe('ALL')
    expect(await heard()).toEqual(EVERYTHING)
    expect(await remove(complex({ user: userOf('alice') }))).toMatchObject({ status: 204 })
    expect(await heard()).toEqual(['bob', 'acme'])
    const added = await add(complex({ user: userOf('alice') }), { verified: true })
    expect([added.status, added.body]).toEqual([200, undefined])
    expect(await heard()).toEqual(EVERYTHING)
    await remove(complex({ user: userOf('alice'), session }))
    expect(await heard()).toEqual(['alice', 'bob', 'acme'])
    // The simple name of the user is the user.
    await remove({ sub: 'bob', format: 'iss_sub', iss: ISSUER })
    expect(await heard()).toEqual(['alice', 'acme'])
    await remove(complex({ tenant: { format: 'opaque', id: 'other' } }))
    expect(await heard()).toEqual(['alice', 'acme'])
    expect(record(loop, stream_id).subjectRules).toHaveLength(3)
  })

  it('NONE: only what was added, a missing member being a wildcard in both directions', async () => {
    const { heard, add, remove, loop } = await setup('NONE')
    expect(loop.transmitter.metadata().default_subjects).toBe('NONE')
    expect(await heard()).toEqual([])
    await add(complex({ user: userOf('alice'), session }))
    // {user, session} matches {user} and, since it says nothing of the two, the event about the tenant.
    expect(await heard()).toEqual(['alice', 'alice/s1', 'acme'])
    await add(complex({ user: userOf('alice'), session: { format: 'opaque', id: 's2' } }))
    await remove(complex({ user: userOf('alice'), session }))
    expect(await heard()).toEqual(['alice', 'acme'])
    await add(userOf('bob'))
    expect(await heard()).toEqual(['alice', 'bob', 'acme'])
    await remove(userOf('alice'))
    expect(await heard()).toEqual(['bob', 'acme'])
  })

  it('NONE, simple against simple: identical or not at all', async () => {
    const { heard, add } = await setup('NONE', {})
    await add({ format: 'iss_sub', iss: `${ISSUER}/`, sub: 'alice' })
    await add({ format: 'email', email: 'nobody@example.test' })
    expect(await heard()).toEqual([])
    await add(userOf('alice'))
    expect(await heard()).toEqual(['alice'])
  })

  it('a name that the log does not use is translated, and an unknown one is not told apart', async () => {
    const loop = createLoop({
      transmitter: {
        defaultSubjects: 'NONE',
        subjectOf: async (subject) =>
          'email' in subject && subject.email === 'alice@acme.test' ? { format: 'iss_sub', iss: ISSUER, sub: 'alice' } : undefined,
      },
    })
    const { stream_id } = await make(loop)
    const add = (email: string) => loop.transmitter.addSubject(caller, { stream_id, subject: { format: 'email', email } })
    expect(await add('nobody@acme.test')).toEqual(await add('alice@acme.test'))
    loop.store.commit(revoke('alice'), revoke('bob'))
    expect(users(await poll(loop, stream_id))).toEqual(['alice'])
    expect(await loop.transmitter.removeSubject(caller, { stream_id, subject: { format: 'email', email: 'who@acme.test' } })).toMatchObject({
      status: 204,
    })
  })

  it('B9: nobody and nothing can be removed from a guard stream, nor a stream from itself', async () => {
    const { remove, add, stream_id } = await setup('NONE', GUARD)
    for (const subject of [userOf('alice'), complex({ tenant: { format: 'opaque', id: 'acme' } }), { format: 'opaque', id: stream_id }]) {
      expect(errorOf(await remove(subject))).toEqual([403, 'subject_fixed'])
      expect((await add(subject)).status).toBe(200)
    }
    const { heard } = await setup('NONE', GUARD)
    expect(await heard()).toEqual(EVERYTHING)
    const plain = await setup('NONE')
    expect(errorOf(await plain.remove({ format: 'opaque', id: plain.stream_id }))).toEqual([403, 'subject_fixed'])
    await plain.loop.transmitter.verify(caller, { stream_id: plain.stream_id, state: 'n' })
    expect(claimsOf(await poll(plain.loop, plain.stream_id))).toHaveLength(1)
  })

  it('keeps a quota, which repeating does not use up', async () => {
    const { add, remove } = await setup('NONE', {}, { subjects: 2 })
    for (const user of ['a', 'b', 'a', 'b', 'a']) expect((await add(userOf(user))).status).toBe(200)
    expect(errorOf(await add(userOf('c')))).toEqual([429, 'too_many_subjects'])
    expect((await remove(userOf('b'))).status).toBe(204)
  })

  it('refuses in the usual order', async () => {
    const { loop, stream_id } = await setup('ALL')
    for (const verb of ['addSubject', 'removeSubject'] as const) {
      const call = async (who: typeof caller, body: unknown) => errorOf(await loop.transmitter[verb](who, body))
      expect(await call(callerOf('files-api', []), undefined)).toEqual([400, 'invalid_request'])
      expect(await call(callerOf('files-api', ['ssf.read']), { stream_id: 'gone' })).toEqual([403, 'insufficient_scope'])
      expect(await call(caller, { stream_id: 'gone' })).toEqual([404, 'unknown_stream'])
      for (const subject of [undefined, 'alice', { format: 'email' }, { format: 'complex' }, { format: 'email', email: 'a@b.test', more: 1 }]) {
        expect(await call(caller, { stream_id, subject })).toEqual([400, 'invalid_request'])
      }
      expect(await call(caller, { stream_id, subject: userOf('a'), verified: 'yes' })).toEqual([400, 'invalid_request'])
    }
  })

  it('a stream keeps the default that it was made with', async () => {
    const { loop, stream_id } = await setup('NONE', {})
    loop.transmitter = createTransmitter({ issuer: ISSUER, base: BASE, jwksUri: `${BASE}/keys`, store: loop.store, sign: loop.sign })
    loop.store.commit(revoke('alice'))
    expect(users(await poll(loop, stream_id))).toEqual([])
  })
})

describe('tidy and cut', () => {
  it('pauses who is silent and says so; a guard stream is deleted', async () => {
    let clock = 1e12
    const loop = createLoop({ now: () => clock, transmitter: { push: true, inactivityTimeout: 600, guardInactivityTimeout: 60 } })
    const poller = await make(loop)
    const pushed = await make(loop, { delivery: PUSH })
    const guard = await make(loop, GUARD)
    expect([poller.inactivity_timeout, guard.inactivity_timeout]).toEqual([600, 60])
    clock += 60_000
    expect(await loop.transmitter.tidy()).toEqual({ silent: [], lagging: [] })
    clock += 1
    expect(await loop.transmitter.tidy()).toEqual({ silent: [guard.stream_id], lagging: [] })
    expect((await loop.transmitter.read(caller, guard.stream_id)).status).toBe(404)
    // A poll and a management call start the time again.
    clock += 500_000
    await poll(loop, poller.stream_id)
    await loop.transmitter.status(caller, pushed.stream_id)
    clock += 600_000
    expect((await loop.transmitter.tidy()).silent).toEqual([])
    clock += 1000
    expect((await loop.transmitter.tidy()).silent.sort()).toEqual([poller.stream_id, pushed.stream_id].sort())
    expect((await loop.transmitter.tidy()).silent).toEqual([])
    expect((await loop.transmitter.status(caller, poller.stream_id)).body).toMatchObject({ status: 'paused', reason: 'inactive' })
    expect(claimsOf(await poll(loop, poller.stream_id))[0]?.events).toEqual({ [EVENT.streamUpdated]: { status: 'paused', reason: 'inactive' } })
  })

  it('refuses a timeout that a held poll would outlast', () => {
    expect(() => createLoop({ transmitter: { inactivityTimeout: 10 } })).toThrow(TypeError)
    expect(() => createLoop({ transmitter: { inactivityTimeout: 60.5 } })).toThrow(TypeError)
  })

  it('B9: before rows are cut, whoever still needs one is disabled as lagging, and nobody else', async () => {
    const loop = createLoop()
    const done = await make(loop)
    const behind = await make(loop)
    const paused = await make(loop)
    const uninterested = await make(loop, { events_requested: [] })
    const off = await make(loop)
    const guard = await make(loop, GUARD)
    loop.store.commit(revoke('alice'), revoke('bob'))
    loop.store.commit(revoke('carol'))
    await loop.transmitter.updateStatus(caller, { stream_id: paused.stream_id, status: 'paused' })
    await loop.transmitter.updateStatus(caller, { stream_id: off.stream_id, status: 'disabled' })
    const ack = Object.keys((await poll(loop, done.stream_id)).sets).slice(0, 2)
    await poll(loop, done.stream_id, { ack })
    expect((await loop.transmitter.cut(3)).sort()).toEqual([behind.stream_id, paused.stream_id, guard.stream_id].sort())
    loop.store.cut(3)
    expect(users(await poll(loop, done.stream_id))).toEqual(['carol'])
    expect(record(loop, uninterested.stream_id)).toMatchObject({ status: 'enabled', acked: 3 })
    expect(record(loop, guard.stream_id)).toBeUndefined()
    expect((await loop.transmitter.status(caller, behind.stream_id)).body).toMatchObject({ status: 'disabled', reason: 'lagging' })
    expect(claimsOf(await poll(loop, behind.stream_id))[0]?.events).toEqual({ [EVENT.streamUpdated]: { status: 'disabled', reason: 'lagging' } })
    expect(await loop.transmitter.cut(3)).toEqual([])
    // It may go on, from now.
    await loop.transmitter.updateStatus(caller, { stream_id: behind.stream_id, status: 'enabled' })
    loop.store.commit(revoke('dave'))
    expect(users(await poll(loop, behind.stream_id))).toEqual(['dave'])
  })

  it('a backlog has an end', async () => {
    const loop = createLoop({ limits: { backlog: 2 } })
    const { stream_id } = await make(loop)
    loop.store.commit(revoke('a'), revoke('b'))
    expect((await loop.transmitter.tidy()).lagging).toEqual([])
    loop.store.commit(revoke('c'))
    expect((await loop.transmitter.tidy()).lagging).toEqual([stream_id])
    expect(record(loop, stream_id)).toMatchObject({ status: 'disabled', statusReason: 'lagging' })
  })
})

describe('deliveries and dead letters of a poll', () => {
  it('records hand-out, acknowledgement and application, in at most one call a poll', async () => {
    let calls = 0
    const loop = createLoop({
      wrap: (store) => ({ ...store, recordDeliveries: (records) => store.recordDeliveries(records).then(() => void calls++) }),
    })
    const { stream_id } = await make(loop)
    const guard = await make(loop, GUARD)
    const rows = loop.store.commit(revoke('alice'), revoke('bob'))
    const first = await poll(loop, stream_id)
    expect(calls).toBe(1)
    await poll(loop, stream_id)
    loop.store.commit(revoke('carol'))
    const jtis = Object.keys(first.sets)
    await poll(loop, stream_id, { ack: jtis })
    expect(calls).toBe(3)
    await poll(loop, stream_id, { ack: jtis, maxEvents: 0 })
    expect(calls).toBe(3)
    const short = () =>
      loop.store.deliveries().map(({ stream, seq, state, attempt }) => [stream === guard.stream_id ? 'guard' : 'plain', seq, state, attempt])
    expect(short()).toEqual([
      ['plain', 1, 'sent', 1],
      ['plain', 2, 'sent', 1],
      ['plain', 1, 'sent', 2],
      ['plain', 2, 'sent', 2],
      ['plain', 1, 'acked', 2],
      ['plain', 2, 'acked', 2],
      ['plain', 3, 'sent', 1],
    ])
    expect(loop.store.deliveries()[0]).toMatchObject({ stream: stream_id, jti: jtis[0], txn: rows[0]?.txn })
    const { epoch } = await loop.store.head()
    await poll(loop, guard.stream_id, { caegis_applied: { epoch, seq: 0 }, maxEvents: 2 })
    await poll(loop, guard.stream_id, { caegis_applied: { epoch, seq: 2 }, ack: ['x'] })
    await poll(loop, guard.stream_id, { caegis_applied: { epoch, seq: 2 } })
    expect(short().filter(([stream, , state]) => stream === 'guard' && state === 'applied')).toEqual([
      ['guard', 1, 'applied', 1],
      ['guard', 2, 'applied', 1],
    ])
    expect(calls).toBe(6)
  })

  it('a poll does not fail because its proof cannot be kept', async () => {
    const loop = createLoop({ wrap: (store) => ({ ...store, recordDeliveries: () => Promise.reject(new Error('full')) }) })
    const { stream_id } = await make(loop)
    loop.store.commit(revoke('alice'))
    expect(users(await poll(loop, stream_id))).toEqual(['alice'])
    expect(loop.logged).toContainEqual(expect.objectContaining({ message: 'deliveries could not be recorded' }))
  })

  it('what was refused is a dead letter with its reason, and can be sent once more', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    const [alice, bob] = loop.store.commit(revoke('alice'), revoke('bob'))
    const [first, second] = Object.keys((await poll(loop, stream_id)).sets) as [string, string]
    await poll(loop, stream_id, {
      setErrs: { [first]: { err: 'invalid_request', description: 'no' }, 'x.y': { err: 'e', description: '' } },
      ack: [second],
    })
    expect(await loop.transmitter.deadLetters(stream_id)).toMatchObject([{ id: alice?.id, seq: 1, reason: 'invalid_request', attempts: 1 }])
    expect((await poll(loop, stream_id)).sets).toEqual({})
    expect(await loop.transmitter.redeliver(stream_id, [alice?.id as string, bob?.id as string])).toEqual({
      queued: [alice?.id],
      refused: [{ id: bob?.id, reason: 'unknown' }],
    })
    expect(await loop.transmitter.deadLetters(stream_id)).toEqual([])
    // The same SET, not one about the stream.
    const again = await poll(loop, stream_id)
    expect(Object.keys(again.sets)).toEqual([first])
    expect(users(again)).toEqual(['alice'])
    await poll(loop, stream_id, { setErrs: { [first]: { err: 'invalid_request', description: '' } } })
    expect(await loop.transmitter.deadLetters(stream_id)).toHaveLength(1)
    loop.store.cut(2)
    expect(await loop.transmitter.redeliver(stream_id)).toEqual({ queued: [], refused: [{ id: alice?.id, reason: 'cut' }] })
  })

  it('B7: a dead letter is not sent after a later event about the same user', async () => {
    const loop = createLoop()
    const { stream_id } = await make(loop)
    const [disable] = loop.store.commit(
      revoke('alice', { type: EVENT.accountDisabled }),
      revoke('alice', { type: EVENT.accountEnabled }),
      revoke('bob'),
    )
    const [first, ...others] = Object.keys((await poll(loop, stream_id)).sets) as [string, ...string[]]
    await poll(loop, stream_id, { setErrs: { [first]: { err: 'invalid_request', description: '' } }, ack: others })
    expect(await loop.transmitter.redeliver(stream_id)).toEqual({ queued: [], refused: [{ id: disable?.id, reason: 'superseded' }] })
    expect((await loop.transmitter.redeliver(stream_id, undefined, { force: true })).queued).toEqual([disable?.id])
    expect(Object.keys((await poll(loop, stream_id)).sets)).toEqual([first])
  })
})

describe('the implementer’s draft', () => {
  it('has the subject inside the event too, and says which version it is', async () => {
    const loop = createLoop({ transmitter: { legacyDraft: true } })
    expect(loop.transmitter.metadata().spec_version).toBe('1_0-ID2')
    const { stream_id } = await make(loop)
    loop.store.commit(revoke('alice', { t: 5 }))
    await loop.transmitter.verify(caller, { stream_id, state: 'n' })
    const [verification, event] = claimsOf(await poll(loop, stream_id))
    expect(event).toMatchObject({
      aud: AUDIENCE,
      sub_id: userOf('alice'),
      events: { [EVENT.sessionRevoked]: { subject: userOf('alice'), event_timestamp: 5 } },
    })
    expect(verification?.events[EVENT.verification]).toEqual({ subject: { format: 'opaque', id: stream_id }, state: 'n' })
    expect(createLoop().transmitter.metadata().spec_version).toBe('1_0')
  })
})
