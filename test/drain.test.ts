import { connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { freePort, holdNextMint, type Loop, SECRET, startLoop, storeOf } from './loop.ts'
import { killPrograms, startProgram, temporaryFolder } from './process.ts'
import { createReceiver, openSse, SIGNALS_TENANT } from './signals-tenant.ts'

let loop: Loop | undefined
afterEach(async () => {
  await loop?.close()
  loop = undefined
})
const start = async (drain: number) => {
  loop = await startLoop({ tenant: SIGNALS_TENANT, settings: { drain } })
  return loop
}
const ready = async ({ origin }: Loop) => {
  const response = await fetch(`${origin}/readyz`)
  return { status: response.status, connection: response.headers.get('connection'), body: await response.json() }
}
const refuses = ({ origin }: Loop) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1', () => resolve(false))
    socket.once('error', () => resolve(true)).once('connect', () => socket.destroy())
  })

describe('a process that ends', () => {
  it('says that it is not ready before it stops listening, and serves whoever comes until then', async () => {
    const it_ = await start(299)
    // The moment lasts until the test has seen it.
    const { setTimeout: real } = globalThis
    const moment = Promise.withResolvers<() => void>()
    const later = vi.spyOn(globalThis, 'setTimeout')
    later.mockImplementation(((work: () => void, ms: number) => (ms === 299_000 ? moment.resolve(work) : real(work, ms))) as never)
    expect(await ready(it_)).toEqual({ status: 200, connection: 'keep-alive', body: { status: 'ready' } })
    const closed = it_.server.close()
    expect(await ready(it_)).toEqual({ status: 503, connection: 'close', body: { status: 'not_ready', code: 'draining' } })
    expect(await (await fetch(`${it_.origin}/healthz`)).json()).toEqual({ status: 'ok' })
    // Still as good as any: a token, and an edit with it.
    expect((await it_.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    const end = await moment.promise
    later.mockRestore()
    end()
    await closed
    expect(await refuses(it_)).toBe(true)
  })

  it('answers what is under way, held polls at once and with what there is, and ends event streams with a word', async () => {
    const it_ = await start(0)
    const receiver = createReceiver(it_)
    const id = await receiver.create()
    const sse = await openSse(`${it_.origin}/v1.0/caegis/events`, await it_.daemonToken('nightly', `${it_.origin}/.default`))
    const { store } = it_.server
    const waiting = Promise.withResolvers<void>()
    const { wait } = store
    store.wait = (...given) => {
      // The server's own guards wait, too.
      if (new Error().stack?.includes('transmitter/poll.ts')) waiting.resolve()
      return wait(...given)
    }
    // Its time is not what ends it.
    const { setTimeout: real } = globalThis
    const later = vi.spyOn(globalThis, 'setTimeout')
    later.mockImplementation(((work: () => void, ms: number) =>
      new Error().stack?.includes('transmitter/poll.ts') ? real(work, 3_600_000).unref() : real(work, ms)) as never)
    const poll = receiver.call('POST', `/poll/${id}`, { maxEvents: 10 })
    await waiting.promise
    const mint = holdNextMint(it_)
    const token = it_.token({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' })
    await mint.held

    const closed = it_.server.close()
    later.mockRestore()
    const { status, body } = await poll
    expect([status, body]).toMatchObject([200, { sets: {}, caegis_head: { status: 'enabled' } }])
    await sse.ended
    expect(await refuses(it_)).toBe(true)
    // Nothing is taken away from under it.
    mint.release()
    expect(await token).toMatchObject({ status: 200, body: { token_type: 'Bearer' } })
    await closed
  })

  it('ends as a process by a signal with zero, and at once by a second one', async () => {
    const folder = temporaryFolder()
    const serve = async (drain: number) => {
      const port = String(await freePort())
      await storeOf(folder.path)
      const program = startProgram(['serve', '--port', port, '--data', folder.path, '--drain', String(drain), '--log', 'info'])
      await program.says('stderr', /Certificates are signed/)
      return program
    }
    try {
      const patient = await serve(1)
      patient.signal('SIGTERM')
      await patient.says('stderr', /draining: no longer ready/)
      expect(await patient.ended).toMatchObject({ code: 0 })
      const hasty = await serve(300)
      hasty.signal('SIGTERM')
      await hasty.says('stderr', /draining: no longer ready/)
      hasty.signal('SIGTERM')
      expect(await hasty.ended).toMatchObject({ code: 1 })
    } finally {
      await killPrograms()
      folder.remove()
    }
  })
})
