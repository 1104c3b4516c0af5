import { EVENT } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createReceiver } from '../src/receiver/index.ts'
import { createForeign, PUSH, QUICK, receive, THEM, US } from './foreign.ts'
import { createLoop, ISSUER, revoke, until } from './loop.ts'
import { endReceivers, open, started } from './receivers.ts'

endReceivers()

describe('with our own transmitter', () => {
  it('makes a stream, is handed typed events, acknowledges, verifies, finds its stream again, and deletes it', async () => {
    const loop = createLoop({ limits: { hold: 0.05 } })
    const seen: string[] = []
    const make = () => {
      const receiver = createReceiver({
        transmitter: ISSUER,
        credentials: { token: async () => 'good' },
        delivery: 'poll',
        description: 'files',
        on: {
          'session-revoked': ({ subject, payload, issuer, at, name }) => {
            expect({ issuer, name }).toEqual({ issuer: ISSUER, name: 'session-revoked' })
            expect(payload.initiating_entity).toBe('admin')
            expect(Number.isSafeInteger(at)).toBe(true)
            if ('sub' in subject) seen.push(String(subject.sub))
          },
        },
        fetch: loop.fetch,
        timing: QUICK,
      })
      open.push(receiver)
      return receiver
    }
    const first = make()
    expect(first.status().state).toBe('idle')
    await first.start()
    loop.store.commit(revoke('alice'), revoke('bob', { type: EVENT.accountEnabled }))
    await until(() => seen.length === 1)
    await first.verify()
    await until(() => loop.store.streams()[0]?.acked === 2)
    expect(first.status()).toMatchObject({ state: 'running', undelivered: [], gaps: 0, counts: { handled: 1, refused: 0 } })
    expect(first.stream()).toMatchObject({ audience: ['api://files'], eventsRequested: [EVENT.sessionRevoked], description: 'files' })
    await first.close()
    expect(first.status().state).toBe('closed')
    loop.store.commit(revoke('carol'))
    const second = make()
    await second.start()
    await until(() => seen.length === 2)
    expect(loop.store.streams()).toHaveLength(1)
    expect(seen).toEqual(['alice', 'carol'])
    await second.close({ delete: true })
    expect(loop.store.streams()).toEqual([])
  })
})

describe('construction', () => {
  it('refuses what cannot be right', () => {
    const foreign = createForeign()
    const bad = (options: object) => expect(() => receive(foreign, options)).toThrow(TypeError)
    bad({ transmitter: 'http://them.test' })
    bad({ credentials: {} })
    bad({ credentials: { clientId: 'x', clientSecret: 'y', tokenEndpoint: 'http://them.test/token' } })
    bad({ credentials: { clientId: 'x', clientSecret: 'y', authMethod: 'private_key_jwt' as never } })
    bad({ delivery: { push: { endpointUrl: 'http://us.test' } } })
    bad({ delivery: { push: { endpointUrl: 'https://us.test', authorizationHeader: 'a\r\nb' } } })
    bad({ on: {} })
    bad({ on: { 'sesion-revoked': () => {} } })
    bad({ on: { 'session-revoked': 'x' } })
    bad({ events: ['sesion-revoked'] })
    bad({ maxEvents: 0 })
  })

  it('needs no network until it is started', () => {
    const foreign = createForeign()
    started(foreign)
    expect(foreign.asked).toEqual([])
  })
})

describe('the stream', () => {
  it('waits for a transmitter that is down, and rejects for one that says no', async () => {
    const foreign = createForeign()
    let down = 3
    foreign.intercept = ({ path }) => (path.startsWith('/.well-known') && down-- > 0 ? new Response(null, { status: 503 }) : undefined)
    const { receiver } = started(foreign)
    const starting = receiver.start()
    expect(receiver.status().state).toBe('starting')
    await starting
    expect(receiver.status()).toMatchObject({ state: 'running' })
    expect(receiver.status()).not.toHaveProperty('error')

    const stern = createForeign()
    stern.intercept = ({ path, method }) => (path === '/streams' && method === 'POST' ? new Response(null, { status: 403 }) : undefined)
    const refused = started(stern)
    await expect(refused.receiver.start()).rejects.toMatchObject({ code: 'request_refused', detail: 'status 403' })
    stern.intercept = undefined
    await refused.receiver.start()
  })

  it('is used although its status may not be read', async () => {
    const foreign = createForeign()
    const earlier = started(foreign).receiver
    await earlier.start()
    await earlier.close()
    foreign.intercept = ({ path }) => (path === '/status' ? new Response(null, { status: 403 }) : undefined)
    const { receiver, events } = started(foreign)
    await receiver.start()
    await foreign.send()
    await until(() => events.length === 1)
  })

  it('closes while it still tries', async () => {
    const foreign = createForeign()
    foreign.intercept = () => new Promise(() => {})
    const { receiver } = started(foreign)
    const starting = receiver.start()
    await receiver.close()
    await expect(starting).rejects.toMatchObject({ code: 'not_started' })
    await expect(receiver.start()).rejects.toMatchObject({ code: 'not_started' })
  })

  it('is found by audience, description and delivery, and brought up to date', async () => {
    const foreign = createForeign()
    const make = (options: object) => started(foreign, { description: 'files', ...options })
    await make({}).receiver.start()
    await make({ description: 'mails' }).receiver.start()
    await make({ delivery: PUSH }).receiver.start()
    expect(foreign.streams.size).toBe(3)
    const [files, , pushed] = [...foreign.streams.keys()] as [string, string, string]

    const again = make({ on: { 'session-revoked': () => {}, 'account-disabled': () => {} } })
    await again.receiver.start()
    expect(again.receiver.status().stream).toBe(files)
    expect(foreign.streams.get(files)?.events_requested).toEqual([EVENT.sessionRevoked, EVENT.accountDisabled])
    expect(foreign.streams.get([...foreign.streams.keys()][1] as string)?.events_requested).toEqual([EVENT.sessionRevoked])

    const moved = make({ delivery: { push: { endpointUrl: 'https://us.test/elsewhere', authorizationHeader: 'Bearer other' } } })
    await moved.receiver.start()
    expect(moved.receiver.status().stream).toBe(pushed)
    expect(foreign.streams.get(pushed)?.delivery.endpoint_url).toBe('https://us.test/elsewhere')
    expect(foreign.asked.findLast(({ method }) => method === 'PATCH')?.body?.delivery.authorization_header).toBe('Bearer other')
    expect(foreign.streams.size).toBe(3)
    expect(JSON.stringify(moved.receiver.stream())).not.toContain('Bearer')
  })

  it('that moved, or has another header, is told so; either alone', async () => {
    const foreign = createForeign()
    const at = (endpointUrl: string, authorizationHeader?: string) =>
      started(foreign, { description: 'files', delivery: { push: { endpointUrl, ...(authorizationHeader && { authorizationHeader }) } } }).receiver
    const patches = () => foreign.asked.filter(({ method }) => method === 'PATCH').map(({ body }) => body?.delivery)
    await at('https://us.test/one').start()
    await at('https://us.test/one').start()
    expect(patches()).toEqual([])
    await at('https://us.test/two').start()
    expect(patches()).toEqual([{ method: 'urn:ietf:rfc:8935', endpoint_url: 'https://us.test/two' }])
    await at('https://us.test/two', 'Bearer new').start()
    expect(patches()[1]).toMatchObject({ endpoint_url: 'https://us.test/two', authorization_header: 'Bearer new' })
    // One that shows the header need not be told again, and stream() does not show it.
    for (const stream of foreign.streams.values()) stream.delivery.authorization_header = 'Bearer new'
    const last = at('https://us.test/two', 'Bearer new')
    await last.start()
    expect(patches()).toHaveLength(2)
    expect(last.stream()?.endpointUrl).toBe('https://us.test/two')
    expect(JSON.stringify(last.stream())).not.toContain('Bearer')
    expect(foreign.streams.size).toBe(1)
  })

  it('without a name of its own, a push stream of another endpoint is somebody else', async () => {
    const foreign = createForeign()
    await started(foreign, { delivery: PUSH }).receiver.start()
    await started(foreign, { delivery: { push: { endpointUrl: 'https://us.test/other' } } }).receiver.start()
    expect([...foreign.streams.values()].map(({ delivery }) => delivery.endpoint_url)).toEqual([PUSH.push.endpointUrl, 'https://us.test/other'])
  })

  it('where only one is allowed, the one that exists is taken over', async () => {
    const foreign = createForeign({ one: true })
    await started(foreign, { description: 'old' }).receiver.start()
    const { receiver } = started(foreign, { description: 'new' })
    await receiver.start()
    expect([...foreign.streams.values()]).toMatchObject([{ description: 'new' }])
  })

  it('one that differs and cannot be updated is not used, nor deleted', async () => {
    const foreign = createForeign()
    foreign.intercept = ({ method }) => (method === 'PATCH' ? new Response(null, { status: 405 }) : undefined)
    await started(foreign).receiver.start()
    const { receiver } = started(foreign, { on: { 'account-disabled': () => {} } })
    await expect(receiver.start()).rejects.toMatchObject({ code: 'stream_refused' })
    expect(foreign.streams.size).toBe(1)
  })

  it('A5: of another issuer or audience is refused and removed', async () => {
    for (const change of [{ iss: 'https://evil.test' }, { aud: 'https://somebody.test' }]) {
      const foreign = createForeign()
      foreign.intercept = ({ method, path }) => {
        if (path !== '/streams' || method !== 'POST') return undefined
        foreign.streams.set('x', {})
        return Response.json(
          { stream_id: 'x', iss: THEM, aud: US, delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'https://them.test/poll/x' }, ...change },
          { status: 201 },
        )
      }
      await expect(started(foreign).receiver.start()).rejects.toMatchObject({ code: 'stream_refused' })
      expect(foreign.streams.size).toBe(0)
    }
  })

  it('says which events will never come', async () => {
    const foreign = createForeign()
    foreign.intercept = async ({ method, path }) => {
      if (path !== '/streams' || method !== 'POST') return undefined
      foreign.streams.set('x', {
        stream_id: 'x',
        iss: THEM,
        aud: US,
        delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'https://them.test/poll/x' },
        events_delivered: [],
      })
      return Response.json(foreign.streams.get('x'), { status: 201 })
    }
    const { receiver } = started(foreign)
    await receiver.start()
    expect(receiver.status().undelivered).toEqual([EVENT.sessionRevoked])
  })

  it('that the transmitter has lost is made anew, and the gap is told', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    foreign.streams.clear()
    await until(() => foreign.streams.size === 1)
    await foreign.send()
    await until(() => events.length === 1)
    expect(receiver.status()).toMatchObject({ state: 'running', gaps: 1 })
  })

  it('a push stream is asked how it is, and made anew when it is gone', async () => {
    const foreign = createForeign()
    const { receiver } = started(foreign, { delivery: PUSH })
    await receiver.start()
    foreign.statuses.set(receiver.status().stream as string, 'paused')
    await until(() => receiver.status().state === 'paused')
    foreign.streams.clear()
    await until(() => receiver.status().gaps === 1 && receiver.status().state === 'running')
  })
})

describe('stream-updated', () => {
  it('is handled, shown, and the stream is enabled again only if that is wanted', async () => {
    for (const reenable of [false, true]) {
      const foreign = createForeign()
      const told: string[] = []
      const { receiver } = started(foreign, {
        reenable,
        on: {
          'session-revoked': () => {},
          'stream-updated': ({ payload }) => {
            told.push(`${payload.status}: ${payload.reason}`)
          },
        },
      })
      await receiver.start()
      const id = receiver.status().stream as string
      foreign.statuses.set(id, 'paused')
      await foreign.about(EVENT.streamUpdated, { status: 'paused', reason: 'tired' })
      await until(() => told.length === 1)
      expect(told).toEqual(['paused: tired'])
      if (reenable) await until(() => foreign.statuses.get(id) === 'enabled' && receiver.status().state === 'running')
      else {
        await until(() => receiver.status().state === 'paused')
        const before = foreign.asked.length
        await until(() => foreign.asked.length > before + 5)
        expect(foreign.statuses.get(id)).toBe('paused')
      }
    }
  })

  it('copes with a transmitter that lets nothing out of disabled', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign, { reenable: true })
    await receiver.start()
    const id = receiver.status().stream as string
    let tries = 0
    foreign.intercept = ({ path, method }) => {
      if (path !== '/status' || method !== 'POST') return undefined
      tries++
      return new Response(null, { status: 400 })
    }
    foreign.statuses.set(id, 'disabled')
    await foreign.about(EVENT.streamUpdated, { status: 'disabled' })
    await until(() => tries > 1)
    expect(receiver.status()).toMatchObject({ state: 'disabled', gaps: 0 })
    foreign.intercept = undefined
    await until(() => receiver.status().state === 'running')
    await foreign.send()
    await until(() => events.length === 1)
  })

  it('E7: about another stream is acknowledged and changes nothing', async () => {
    const foreign = createForeign()
    const { receiver } = started(foreign)
    await receiver.start()
    const jti = await foreign.about(EVENT.streamUpdated, { status: 'disabled' }, { sub_id: { format: 'opaque', id: 'st_other' } })
    await until(() => foreign.acked.includes(jti))
    expect(receiver.status()).toMatchObject({ state: 'running', counts: { ignored: 1 } })
  })
})

describe('verify', () => {
  it.each(['poll', PUSH] as const)('resolves when the event came back: %o', async (delivery) => {
    const foreign = createForeign()
    const { receiver } = started(foreign, { delivery, verifyAtStart: true })
    await receiver.start()
    await Promise.all([receiver.verify(), receiver.verify()])
    const states = foreign.asked.filter(({ path }) => path === '/verify').map(({ body }) => body?.state)
    expect(new Set(states).size).toBe(3)
  })

  it('rejects when it does not come back, or only about another stream, or cannot be asked for', async () => {
    const foreign = createForeign()
    const { receiver } = started(foreign, { timing: { verification: 30 } })
    await expect(receiver.verify()).rejects.toMatchObject({ code: 'not_started' })
    await receiver.start()
    foreign.intercept = async ({ path, body }) => {
      if (path !== '/verify') return undefined
      await foreign.about(EVENT.verification, { state: body?.state }, { sub_id: { format: 'opaque', id: 'st_other' } })
      return new Response(null, { status: 204 })
    }
    await expect(receiver.verify()).rejects.toMatchObject({ code: 'verification_failed' })
    foreign.intercept = ({ path }) => (path === '/verify' ? new Response(null, { status: 429 }) : undefined)
    await expect(receiver.verify()).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('at the start may fail, and the start be tried again, over the same stream and with one loop', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign, { verifyAtStart: true })
    foreign.intercept = ({ path }) => (path === '/verify' ? new Response(null, { status: 429 }) : undefined)
    await expect(receiver.start()).rejects.toMatchObject({ code: 'unavailable' })
    foreign.intercept = undefined
    await receiver.start()
    expect(foreign.asked.filter(({ path }) => path.startsWith('/.well-known'))).toHaveLength(1)
    await foreign.send()
    await until(() => events.length === 1)
    expect(foreign.streams.size).toBe(1)
  })

  it('a state that nobody asked for is invalid_state; none at all is fine; a repeated one is answered as the first time', async () => {
    const foreign = createForeign()
    const { receiver } = started(foreign)
    await receiver.start()
    const strange = await foreign.about(EVENT.verification, { state: 'strange' })
    const plain = await foreign.about(EVENT.verification, {})
    await receiver.verify()
    const state = foreign.asked.find(({ path }) => path === '/verify')?.body?.state
    const repeated = await foreign.about(EVENT.verification, { state })
    await until(() => foreign.acked.includes(repeated) && foreign.acked.includes(plain))
    expect(foreign.errors[strange]).toEqual({ err: 'invalid_state', description: expect.any(String) })
    expect(foreign.languages).toEqual(['en'])
  })
})
