import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls, { type TLSSocket } from 'node:tls'
import { EVENT } from '@caegis/protocol'
import { createMemoryStore, createPusher, createTransmitter, PUSH_METHOD, type PushLimits } from '@caegis/ssf/transmitter'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createDialer, type DialerOptions } from '../src/dialer.ts'
import { localTls, type Tls } from '../src/tls.ts'

const ISSUER = 'https://host.test/acme/v2.0'
const caller = { receiver: 'files-api', audience: 'api://files', scopes: new Set(['ssf.read', 'ssf.manage']) }
/** Bytes that a receiver may make us take in for one push, buffers of both ends and of TLS included. */
const BOUND = 8_000_000

const folders: string[] = []
const cleanups: (() => unknown)[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'caegis-hostile-'))
  folders.push(made)
  return made
}

let data: string
let trusted: Tls
let stranger: Tls
beforeAll(async () => {
  data = folder()
  trusted = await localTls(data, Date.now())
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(trusted.caFile, 'utf8')])
  stranger = await localTls(folder(), Date.now())
  return () => {
    for (const one of folders) rmSync(one, { recursive: true })
  }
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Behaviour {
  /** An answer by HTTP. */
  answer?: (request: IncomingMessage, response: ServerResponse) => void
  /** Whatever the socket is to see. */
  raw?: (socket: TLSSocket) => void
}

/** A receiver's endpoint over TLS that does as it is told, and takes SETs like any other when it is told nothing. */
async function startEndpoint() {
  const endpoint = {
    url: '',
    port: 0,
    behaviour: {} as Behaviour,
    connections: 0,
    /** Ids of the events that it has taken. */
    taken: [] as string[],
    /** The most that one connection has written. */
    written: 0,
    changeCertificate({ cert, key }: Tls) {
      server.setSecureContext({ cert, key })
      endpoint.dropConnections()
    },
    dropConnections() {
      for (const socket of sockets) socket.destroy()
    },
  }
  const sockets = new Set<TLSSocket>()
  const http = createHttp((request, response) => {
    const { answer } = endpoint.behaviour
    if (answer) {
      answer(request, response)
      return
    }
    let body = ''
    request.on('data', (part) => {
      body += part
    })
    request.on('end', () => {
      const { jti } = JSON.parse(Buffer.from(body.split('.')[1] as string, 'base64url').toString()) as { jti: string }
      endpoint.taken.push(jti.slice(0, jti.indexOf('.')))
      response.writeHead(202).end()
    })
  })
  const server = tls.createServer({ cert: trusted.cert, key: trusted.key }, (socket) => {
    endpoint.connections++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      endpoint.written = Math.max(endpoint.written, socket.bytesWritten - socket.writableLength)
    })
    if (endpoint.behaviour.raw) {
      socket.on('data', () => {})
      endpoint.behaviour.raw(socket)
    } else http.emit('connection', socket)
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  endpoint.port = (server.address() as { port: number }).port
  endpoint.url = `https://localhost:${endpoint.port}/in`
  cleanups.push(() => {
    endpoint.dropConnections()
    server.close()
  })
  return endpoint
}

/** The real pusher behind the real dialer, with one receiver that behaves and one that need not. */
async function start(options: { dialer?: DialerOptions; limits?: Partial<PushLimits>; url?: (port: number) => string } = {}) {
  const [good, bad] = [await startEndpoint(), await startEndpoint()]
  const dialer = createDialer({ allow: ['localhost'], timeout: 1000, ...options.dialer })
  const store = createMemoryStore({ issuer: ISSUER })
  const settings = {
    issuer: ISSUER,
    base: 'https://host.test/acme/ssf',
    jwksUri: 'https://host.test/acme/keys',
    store,
    // Signatures are not the matter here.
    sign: async (payload: Record<string, unknown>) => `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.c2ln`,
  }
  const transmitter = createTransmitter({ ...settings, push: true })
  const open = async (url: string) =>
    ((await transmitter.create(caller, { delivery: { method: PUSH_METHOD, endpoint_url: url } })).body as { stream_id: string }).stream_id
  const goodStream = await open(good.url)
  const badStream = await open(options.url?.(bad.port) ?? bad.url)
  const pusher = createPusher({
    ...settings,
    send: (request) => dialer.send(request),
    pushLimits: { perStream: 2, total: 4, timeout: 1.5, backoff: [20, 200], giveUpAfter: 600, ...options.limits },
  })
  cleanups.push(async () => {
    await pusher.close()
    await dialer.close()
  })
  const stand = {
    good,
    bad,
    store,
    transmitter,
    goodStream,
    badStream,
    /** Everybody is cut off, and both receivers are to hear of it. */
    commit: (...users: string[]) =>
      store
        .commit(
          ...users.map((sub) => {
            const simple = { format: 'iss_sub' as const, iss: ISSUER, sub }
            return { type: EVENT.sessionRevoked, subject: { simple, complex: { format: 'complex' as const, user: simple } } }
          }),
        )
        .map(({ id }) => id),
    reasons: () => [...new Set(store.deliveries().flatMap(({ stream, reason }) => (stream === badStream && reason !== undefined ? [reason] : [])))],
    failures: () => store.deliveries().filter(({ stream, state }) => stream === badStream && state === 'failed').length,
    stream: (id = badStream) => store.streams().find((stream) => stream.id === id),
  }
  return stand
}

type Stand = Awaited<ReturnType<typeof start>>

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1500; i++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`never came true: ${condition}`)
}

/** While one misbehaves, the other gets everything; then it behaves, and gets what it has missed. */
async function survive(stand: Stand, reason: RegExp, times = 2): Promise<void> {
  const first = stand.commit('alice', 'bob')
  await eventually(() => stand.failures() >= times)
  const second = stand.commit('carol')
  await eventually(() => [...first, ...second].every((id) => stand.good.taken.includes(id)))
  for (const one of stand.reasons()) expect(one).toMatch(reason)
  expect(stand.bad.taken).toEqual([])
  expect(stand.stream()).toMatchObject({ status: 'enabled', acked: 0 })
  await recover(stand, [...first, ...second])
}

async function recover(stand: Stand, ids: string[]): Promise<void> {
  stand.bad.behaviour = {}
  stand.bad.dropConnections()
  await eventually(() => ids.every((id) => stand.bad.taken.includes(id)))
  await eventually(() => stand.stream()?.acked === ids.length)
  expect(await stand.transmitter.deadLetters(stand.badStream)).toEqual([])
}

const endlessly = (socket: TLSSocket | ServerResponse, chunk: string | Buffer) => {
  const more = () => {
    while (!socket.destroyed && socket.write(chunk)) {}
    if (!socket.destroyed) socket.once('drain', more)
  }
  more()
}
const slowly = (socket: TLSSocket, text: string) => {
  const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(text)), 50)
  socket.on('close', () => clearInterval(timer))
}
const begun = (socket: TLSSocket, text: string) => {
  socket.write(text)
  return socket
}
const OK = 'HTTP/1.1 202 Accepted\r\n'

describe('E5: a receiver that is hostile', () => {
  it.each<[string, Behaviour, RegExp]>([
    ['never answers', { answer: () => {} }, /^timeout$|^network UND_ERR_HEADERS_TIMEOUT$/],
    ['never reads', { raw: (socket) => void socket.pause() }, /^timeout$|^network UND_ERR_HEADERS_TIMEOUT$/],
    ['closes the connection before it answers', { answer: (request) => request.socket.destroy() }, /^network (ECONNRESET|UND_ERR_SOCKET)$/],
    ['closes it within its answer', { raw: (socket) => socket.end(`${OK}content-length: 100\r\n\r\nhalf`) }, /^network (UND_ERR_SOCKET|ECONNRESET)$/],
    ['sends a head that is none', { raw: (socket) => slowly(socket, 'H') }, /^network HTTP_PARSER$/],
    ['sends header after header', { raw: (socket) => slowly(begun(socket, OK), 'x-a: b\r\n') }, /^timeout$|^network UND_ERR_HEADERS_TIMEOUT$/],
    ['sends its answer byte by byte', { raw: (socket) => slowly(begun(socket, `${OK}content-length: 1000000\r\n\r\n`), 'x') }, /^timeout$/],
    ['answers what is no HTTP', { raw: (socket) => void socket.end('220 smtp.evil.test ESMTP\r\n') }, /^network HTTP_PARSER$/],
    [
      'answers with headers without end',
      { raw: (socket) => endlessly(begun(socket, OK), `x-a: ${'b'.repeat(1000)}\r\n`) },
      /^network UND_ERR_HEADERS_OVERFLOW$|^network HTTP_PARSER$/,
    ],
    [
      'answers with one endless header',
      { raw: (socket) => endlessly(begun(socket, `${OK}x-a: `), 'b'.repeat(65_536)) },
      /^network UND_ERR_HEADERS_OVERFLOW$|^network HTTP_PARSER$/,
    ],
    [
      'sends 100 Continue without end',
      { raw: (socket) => endlessly(socket, 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)) },
      /^network UND_ERR_SOCKET$|^timeout$/,
    ],
    [
      'says two lengths',
      { raw: (socket) => void socket.end(`${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nxx`) },
      /^network UND_ERR_RES_CONTENT_LENGTH_MISMATCH$/,
    ],
    ['answers 503 with a page without end', { answer: (_, response) => endlessly(response.writeHead(503), Buffer.alloc(65_536, 'a')) }, /^http 503$/],
    [
      'answers 503 with a gigabyte',
      { answer: (_, response) => endlessly(response.writeHead(503, { 'content-length': 2 ** 30 }), Buffer.alloc(65_536, 'a')) },
      /^http 503$/,
    ],
    [
      'answers 500 with a content type of its own',
      { answer: (_, response) => void response.writeHead(500, { 'content-type': 'text/html' }).end('<html>') },
      /^http 500$/,
    ],
    ['asks to come back in a year', { answer: (_, response) => void response.writeHead(503, { 'retry-after': 'next year' }).end() }, /^http 503$/],
  ])('%s: the others do not notice, and nothing is lost', async (_name, behaviour, reason) => {
    const stand = await start()
    stand.bad.behaviour = behaviour
    await survive(stand, reason)
    expect(stand.bad.written).toBeLessThan(BOUND)
  })

  it('accepts and then talks without end: it is heard out no further than the bound, and has accepted', async () => {
    const stand = await start()
    let answered = 0
    stand.bad.behaviour = {
      answer(_, response) {
        answered++
        endlessly(response.writeHead(202), Buffer.alloc(65_536, 'a'))
      },
    }
    const ids = stand.commit('alice', 'bob')
    await eventually(() => stand.stream()?.acked === 2)
    await eventually(() => ids.every((id) => stand.good.taken.includes(id)))
    expect(answered).toBe(2)
    stand.bad.dropConnections()
    await eventually(() => stand.bad.written > 0)
    expect(stand.bad.written).toBeLessThan(BOUND)
  })

  it.each([301, 302, 303, 307, 308])('redirects by %i, also to this machine: nobody goes there', async (status) => {
    const stand = await start()
    const elsewhere = await startEndpoint()
    let hop = 0
    const targets = [
      elsewhere.url,
      `https://127.0.0.1:${elsewhere.port}/`,
      'https://169.254.169.254/latest/meta-data',
      'http://10.0.0.1/',
      '//evil.test',
    ]
    stand.bad.behaviour = { answer: (_, response) => void response.writeHead(status, { location: targets[hop++ % targets.length] }).end() }
    await survive(stand, new RegExp(`^http ${status}$`), targets.length)
    expect(elsewhere.connections).toBe(0)
  })

  it('answers 400 with anything: a dead letter with a plain reason, which can be sent again', async () => {
    const stand = await start()
    const bodies = [
      '<html>',
      '{"err":"line\\nbreak"}',
      '{"err":"',
      `{"err":"${'x'.repeat(100)}"}`,
      '{"__proto__":{"err":"invalid_key"}}',
      '\ud800',
      'x'.repeat(100_000),
    ]
    stand.bad.behaviour = { answer: (_, response) => void response.writeHead(400, { 'content-type': 'image/png' }).end(bodies.pop() ?? '') }
    const ids = stand.commit(...bodies.map((_, i) => `user-${i}`))
    await eventually(async () => (await stand.transmitter.deadLetters(stand.badStream)).length === ids.length)
    expect(new Set((await stand.transmitter.deadLetters(stand.badStream)).map(({ reason }) => reason))).toEqual(new Set(['http 400']))
    await eventually(() => ids.every((id) => stand.good.taken.includes(id)))
    stand.bad.behaviour = {}
    expect((await stand.transmitter.redeliver(stand.badStream)).queued).toHaveLength(ids.length)
    await recover(stand, ids)
  })

  it('fails for so long that its stream is paused, with the reason; enabled again, it has lost nothing', async () => {
    const stand = await start({ limits: { giveUpAfter: 0.3 } })
    stand.bad.behaviour = { raw: (socket) => void socket.end('nonsense\r\n\r\n') }
    const ids = stand.commit('alice', 'bob')
    await eventually(() => stand.stream()?.status === 'paused')
    expect(stand.stream()?.statusReason).toMatch(/^delivery fails: network HTTP_PARSER$/)
    ids.push(...stand.commit('carol'))
    await eventually(() => ids.every((id) => stand.good.taken.includes(id)))
    stand.bad.behaviour = {}
    await stand.transmitter.setStatus(stand.badStream, 'enabled')
    await eventually(() => ids.every((id) => stand.bad.taken.includes(id)))
    expect(await stand.transmitter.deadLetters(stand.badStream)).toEqual([])
  })

  it('changes its certificate: an untrusted one gets nothing, a new trusted one goes on', async () => {
    const stand = await start()
    const ids = stand.commit('alice')
    await eventually(() => stand.bad.taken.length === 1)
    stand.bad.changeCertificate(stranger)
    ids.push(...stand.commit('bob'))
    await eventually(() => stand.failures() >= 2)
    expect(stand.reasons()).toEqual([
      expect.stringMatching(
        /^network (UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|ECONNRESET|UND_ERR_SOCKET)$/,
      ),
    ])
    expect(stand.bad.taken).toEqual(ids.slice(0, 1))
    rmSync(join(data, 'tls', 'cert.pem'))
    const renewed = await localTls(data, Date.now())
    expect(renewed.cert).not.toBe(trusted.cert)
    stand.bad.changeCertificate(renewed)
    await recover(stand, ids)
  })

  it.each(['10.0.0.5', '127.0.0.1', '169.254.169.254', '::1', 'fd00::1', '::ffff:192.168.1.1'])(
    'resolves to %s: refused before a connection',
    async (address) => {
      const lookup = async () => [{ address, family: address.includes(':') ? 6 : 4 }]
      const stand = await start({ dialer: { allow: [], lookup } })
      stand.commit('alice')
      await eventually(() => stand.failures() >= 2)
      expect(stand.reasons()).toEqual(['network dial_refused'])
      expect([stand.bad.connections, stand.good.connections]).toEqual([0, 0])
      expect(stand.stream()).toMatchObject({ acked: 0 })
    },
  )

  it('resolves to this machine, but is named by the operator: reached', async () => {
    const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
    const stand = await start({ dialer: { lookup } })
    const ids = stand.commit('alice')
    await eventually(() => ids.every((id) => stand.bad.taken.includes(id) && stand.good.taken.includes(id)))
  })

  it('is rebound: what was public at first and is private now is refused at each connection', async () => {
    const answers: string[] = []
    const lookup = async (host: string) => {
      if (host === 'localhost') return [{ address: '127.0.0.1', family: 4 }]
      // Public by its number, and nobody's (ORCHIDv2, RFC 7343): a connection there fails.
      const address = answers.length === 0 ? '2001:20::1' : '127.0.0.1'
      answers.push(address)
      return [{ address, family: address.includes(':') ? 6 : 4 }]
    }
    const stand = await start({ dialer: { lookup }, url: (port) => `https://rebind.test:${port}/in` })
    const ids = stand.commit('alice')
    await eventually(() => stand.failures() >= 3)
    expect(answers.length).toBeGreaterThan(2)
    expect(stand.reasons()).toContain('network dial_refused')
    expect(stand.bad.connections).toBe(0)
    await eventually(() => ids.every((id) => stand.good.taken.includes(id)))
  })

  it('thirty of them at once leave room for who behaves', async () => {
    const stand = await start({ dialer: { timeout: 200 }, limits: { total: 8, timeout: 0.2 } })
    stand.bad.behaviour = { answer: () => {} }
    for (let i = 0; i < 30; i++) await stand.transmitter.create(caller, { delivery: { method: PUSH_METHOD, endpoint_url: `${stand.bad.url}?${i}` } })
    for (const user of ['alice', 'bob', 'carol']) {
      const ids = stand.commit(user)
      await eventually(() => ids.every((id) => stand.good.taken.includes(id)))
    }
  })
})
