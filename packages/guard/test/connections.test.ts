import { EventEmitter, getEventListeners, once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as immediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { protect } from '../src/adapters/node.ts'
import { ACCESS_ENDED, endStream, endWebSocket, whileAllowed } from '../src/connections.ts'
import type { Allowed } from '../src/verdict.ts'
import { cutoff, mint, START, startGuard } from './tokens.ts'

/** What nobody holds any more is gone. */
async function collected(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) {
    await immediate()
    collect()
  }
}

const ENDS = [cutoff('user', 'alice', START)]

describe('connections that last', () => {
  let started: ReturnType<typeof startGuard>
  const servers: { close(): unknown }[] = []
  beforeEach(() => {
    started = startGuard()
  })
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })
  const allowed = (more: Record<string, unknown> = {}) => started.check(mint(more)) as Allowed
  const bob = () => allowed({ sub: 'bob', oid: 'bob', sid: 's-2' })

  /** A socket with its peer, both sides of `ws`. */
  async function connected(): Promise<{ socket: WebSocket; peer: WebSocket }> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    servers.push({ close: () => [...server.clients, server].map((one) => ('terminate' in one ? one.terminate() : one.close())) })
    await once(server, 'listening')
    const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const [[socket]] = await Promise.all([once(server, 'connection'), once(peer, 'open')])
    return { socket, peer }
  }

  const closed = async (peer: WebSocket) => {
    const [code, reason] = await once(peer, 'close')
    return [code, String(reason)]
  }

  it('E3: a WebSocket is closed with 4401, why, and the txn; the one beside it stays', async () => {
    const one = await connected()
    const other = await connected()
    endWebSocket(one.socket, allowed())
    endWebSocket(other.socket, bob())
    started.sink.merge(ENDS, 7, 'txn-1')
    expect(await closed(one.peer)).toEqual([ACCESS_ENDED, 'revoked txn=txn-1'])
    expect(other.socket.readyState).toBe(WebSocket.OPEN)
    other.peer.close()
    await once(other.socket, 'close')
    expect(started.guard.status().live).toBe(0)
  })

  it('E3: who does not answer the close frame is not listened to any more, and cut off', async () => {
    const { socket, peer } = await connected()
    const heard: string[] = []
    socket.on('message', (data) => heard.push(String(data)))
    endWebSocket(socket, allowed())
    peer.send('before')
    await expect.poll(() => heard).toEqual(['before'])
    // The peer goes on sending, and reads nothing.
    peer.pause()
    started.sink.merge(ENDS)
    peer.send('after')
    await once(socket, 'close')
    expect(heard).toEqual(['before'])
  })

  it('what has ended before is closed at once; a reason that would not fit keeps its code', async () => {
    const late = await connected()
    const verdict = allowed()
    started.sink.merge(ENDS)
    endWebSocket(late.socket, verdict)
    expect(await closed(late.peer)).toEqual([ACCESS_ENDED, 'revoked'])
    const long = await connected()
    endWebSocket(long.socket, bob())
    started.sink.merge([cutoff('user', 'bob', START)], 8, 'x'.repeat(200))
    expect(await closed(long.peer)).toEqual([ACCESS_ENDED, 'revoked'])
  })

  it('E3: a socket that was closed while its token was looked at is not watched', async () => {
    const { socket, peer } = await connected()
    peer.terminate()
    await once(socket, 'close')
    endWebSocket(socket, allowed())
    expect(started.guard.status().live).toBe(0)
  })

  it('takes sockets of other runtimes, which have no more than close', () => {
    const calls: unknown[] = []
    endWebSocket({ close: (...given) => calls.push(given) }, allowed())
    started.sink.merge(ENDS, 7, 'txn-1')
    expect(calls).toEqual([[ACCESS_ENDED, 'revoked txn=txn-1']])
  })

  async function ask(handle: (auth: Allowed, response: Parameters<Parameters<typeof createServer>[1] & object>[1]) => void) {
    const secured = protect(started.guard)
    const server = createServer((request, response) =>
      secured(request, response, () => handle((request as never as { auth: Allowed }).auth, response)),
    )
    servers.push({ close: () => [server.closeAllConnections(), server.close()] })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const request = httpRequest({ port, host: '127.0.0.1', headers: { authorization: `Bearer ${mint()}` } }).end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { request, response }
  }

  it('E3: server-sent events end with a last one that says why, and who writes once more does no harm', async () => {
    const { response } = await ask((auth, answer) => {
      endStream(answer, auth)
      answer.write('data: 1\n\n')
      auth.signal.addEventListener('abort', () => answer.write('data: 2\n\n'))
    })
    const whole = text(response)
    await expect.poll(() => started.guard.status().live).toBe(1)
    started.sink.merge(ENDS, 7, 'txn-1')
    expect(await whole).toBe('data: 1\n\nevent: access-ended\ndata: {"code":"revoked","txn":"txn-1"}\n\n')
  })

  it('E3: so does the body of a Response', async () => {
    let cancelled = false
    const source = () =>
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('data: 1\n\n')),
        cancel() {
          cancelled = true
        },
      })
    const reader = new Response(endStream(source(), allowed())).body?.pipeThrough(new TextDecoderStream()).getReader()
    expect(await reader?.read()).toMatchObject({ value: 'data: 1\n\n' })
    const last = reader?.read()
    started.sink.merge(ENDS)
    expect(await last).toMatchObject({ value: 'event: access-ended\ndata: {"code":"revoked"}\n\n' })
    expect(await reader?.read()).toMatchObject({ done: true })
    expect(cancelled).toBe(true)
    // One that ends by itself is as it was.
    const whole = new Response(endStream(new Response('data: 1\n\n').body as ReadableStream<Uint8Array>, bob()))
    expect(await whole.text()).toBe('data: 1\n\n')
    started.sink.merge([cutoff('user', 'bob', START)])
  })

  it('E3: a body that has failed, is over or is not wanted any more hears nothing of the end', async () => {
    const auth = allowed()
    const before = getEventListeners(auth.signal, 'abort').length
    const failing = endStream(new ReadableStream({ pull: () => Promise.reject(new Error('source failed')) }), auth)
    await expect(failing.getReader().read()).rejects.toThrow('source failed')
    await new Response(endStream(new Response('data: 1\n\n').body as ReadableStream<Uint8Array>, auth)).text()
    await endStream(new ReadableStream<Uint8Array>(), auth).cancel()
    expect(getEventListeners(auth.signal, 'abort')).toHaveLength(before)
    // What a listener throws is an uncaught exception, which fails the run.
    started.sink.merge(ENDS)
    await immediate()
  })

  it('E3: long work ends with the access, and with the client', async () => {
    const left = new AbortController()
    const request = new Request('https://api.test/', { signal: left.signal })
    const [one, other] = [whileAllowed(allowed(), request), whileAllowed(bob(), request)]
    started.sink.merge(ENDS, 7, 'txn-1')
    expect([one.aborted, other.aborted]).toEqual([true, false])
    expect(one.reason).toMatchObject({ code: 'revoked', txn: 'txn-1' })
    left.abort()
    expect(other.aborted).toBe(true)

    started = startGuard()
    const signals: AbortSignal[] = []
    const { request: asked } = await ask((auth, answer) => {
      signals.push(whileAllowed(auth, answer))
      answer.write('begun')
    })
    expect(signals[0]?.aborted).toBe(false)
    asked.destroy()
    await expect.poll(() => signals[0]?.aborted).toBe(true)
    await expect.poll(() => started.guard.status().live).toBe(0)
  })

  it('E3: an end that nobody listened to is known to who asks later', async () => {
    const response = new EventEmitter() as ServerResponse
    const work = whileAllowed(bob(), response)
    response.emit('close')
    await collected()
    expect(work.aborted).toBe(true)
  })
})
