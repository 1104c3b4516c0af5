import { EVENT } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { AUDIENCE, createLoop, revoke } from './loop.ts'
import { caller, claimsOf, GUARD, make, PUSH, poll, record, userOf, users } from './streams.ts'

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
