import { EVENT } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createTransmitter } from '../src/transmitter/index.ts'
import { BASE, callerOf, createLoop, ISSUER, revoke } from './loop.ts'
import { type Body, COMPLEX, caller, claimsOf, errorOf, GUARD, make, never, POLL, type Polled, PUSH, poll, record, userOf, users } from './streams.ts'

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

describe('a stream that is asked for twice', () => {
  it('is one stream by its Idempotency-Key, at the same moment too; of another receiver, or without a key, it is another', async () => {
    const loop = createLoop({ limits: { streams: 1 } })
    const ask = async (who: typeof caller, key?: string) => ((await loop.transmitter.create(who, GUARD, key)).body as Body).stream_id
    const [first, again] = await Promise.all([ask(caller, '"a"'), ask(caller, '"a"')])
    expect(again).toBe(first)
    // Though there may be no further one.
    expect(await ask(caller, '"a"')).toBe(first)
    expect(errorOf(await loop.transmitter.create(caller, GUARD, '"b"'))[1]).toBe('too_many_streams')
    const other = await ask(callerOf('mail-api'), '"a"')
    expect(other).not.toBe(first)
    expect(loop.store.streams().map(({ id }) => id)).toEqual([first, other])
    const free = createLoop()
    const bare = [await free.transmitter.create(caller, GUARD), await free.transmitter.create(caller, GUARD)]
    expect(new Set(bare.map(({ body }) => (body as Body).stream_id)).size).toBe(2)
  })

  it('is one stream when the store finds at its end that it is there already', async () => {
    const loop = createLoop({
      wrap: (store) => ({
        ...store,
        async createStream(record) {
          if (await store.getStream(record.id)) throw new Error('unique')
          await store.createStream(record)
        },
      }),
    })
    const all = await Promise.all(['"a"', '"a"', '"a"'].map((key) => loop.transmitter.create(caller, GUARD, key)))
    expect(new Set(all.map(({ status, body }) => `${status} ${(body as Body).stream_id}`)).size).toBe(1)
    expect(loop.store.streams().length).toBe(1)
  })
})
