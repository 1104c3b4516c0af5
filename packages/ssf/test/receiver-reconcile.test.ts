import { EVENT } from '@caegis/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { createReceiver, type Receiver, type ReceiverOptions } from '../src/receiver/index.ts'
import { QUICK } from './foreign.ts'
import { createLoop, ISSUER, type Request } from './loop.ts'

const open: Receiver[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})

describe('a stream that has drifted', () => {
  /** Starts a receiver over one transmitter, and tells what it wrote to its configuration. */
  function setup() {
    const loop = createLoop({ limits: { hold: 0.05 } })
    const writes: Request[] = []
    const refused = new Set<string>()
    loop.intercept = (request, next) => {
      if (!request.path.endsWith('/streams') || !['PATCH', 'PUT'].includes(request.method)) return next()
      writes.push(request)
      return refused.has(request.method) ? new Response(null, { status: 405 }) : next()
    }
    const start = async (more: Partial<ReceiverOptions>) => {
      const receiver = createReceiver({
        ...{ transmitter: ISSUER, credentials: { token: async () => 'good' }, delivery: 'poll', description: 'files' },
        ...{ on: { '*': () => {} }, fetch: loop.fetch, timing: QUICK },
        ...more,
      } as ReceiverOptions)
      open.push(receiver)
      await receiver.start()
      return receiver
    }
    return { loop, writes, refused, start }
  }

  it('is read by its id and brought up to date when asked to (SSF 1.0 sections 8.1.1.2, 8.1.1.3)', async () => {
    const { loop, writes, start } = setup()
    const receiver = await start({ events: ['session-revoked', 'account-disabled'] })
    await receiver.reconcile()
    expect(writes).toEqual([])
    const [stream] = loop.store.streams()
    await loop.store.updateStream(stream?.id as string, () => ({
      config: { eventsRequested: [EVENT.accountDisabled], eventsDelivered: [EVENT.accountDisabled] },
    }))
    await receiver.reconcile()
    expect(writes.map(({ method }) => method)).toEqual(['PATCH'])
    expect(loop.store.streams()[0]?.eventsDelivered).toEqual([EVENT.sessionRevoked, EVENT.accountDisabled])
    expect(receiver.stream()?.eventsDelivered).toEqual([EVENT.sessionRevoked, EVENT.accountDisabled])
  })

  it('is replaced where something that was asked for once is no longer (section 8.1.1.4)', async () => {
    const { loop, writes, start } = setup()
    await (await start({ events: ['session-revoked'] })).close()
    await start({})
    expect(writes.map(({ method }) => method)).toEqual(['PUT'])
    expect(loop.store.streams()).toMatchObject([{ description: 'files', delivery: { method: 'urn:ietf:rfc:8936' } }])
    expect(loop.store.streams()[0]?.eventsRequested).toBeUndefined()
    expect(loop.store.streams()[0]?.eventsDelivered.length).toBeGreaterThan(1)
  })

  it('is used as it is by a receiver of everything, where the transmitter replaces nothing', async () => {
    const { loop, writes, refused, start } = setup()
    await (await start({ events: ['session-revoked'] })).close()
    refused.add('PUT')
    const receiver = await start({})
    expect(writes).toHaveLength(1)
    expect(receiver.status().state).toBe('running')
    expect(loop.store.streams()).toHaveLength(1)
  })

  it('that is gone says so', async () => {
    const { loop, start } = setup()
    const receiver = await start({})
    await loop.store.deleteStream(loop.store.streams()[0]?.id as string)
    await expect(receiver.reconcile()).rejects.toMatchObject({ code: 'stream_gone' })
  })
})
