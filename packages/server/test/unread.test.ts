import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { createLoad } from '../src/life/load.ts'
import { endUnread } from '../src/life/unread.ts'
import { localTls } from '../src/tls.ts'

/** More than any socket takes for somebody who does not read. */
const MUCH = Buffer.alloc(32 * 1024 * 1024)
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const one of cleanups.splice(0).reverse()) await one()
})

/** A server with a long answer, one that comes in pieces, and one that says a word now and then; time goes on when the test says so. */
async function serve(tls: boolean) {
  let cert = {}
  if (tls) {
    const data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
    cleanups.push(() => rmSync(data, { recursive: true, force: true }))
    const made = await localTls(data, Date.now())
    cert = { https: { cert: made.cert, key: made.key } }
  }
  const app = Fastify({ forceCloseConnections: true, ...cert } as object) as unknown as FastifyInstance
  cleanups.push(() => app.close())
  let seconds = 0
  const load = createLoad(app)
  const unread = endUnread(app.server as Server, () => seconds)
  cleanups.push(() => unread.close())
  const sockets: Socket[] = []
  app.server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => sockets.push(socket))
  app.get('/v1.0/users', async () => MUCH)
  app.get('/v1.0/pieces', async (_request, reply) => reply.send(Readable.from(pieces())))
  app.get('/v1.0/words', async (_request, reply) => {
    const words = new Readable({ read() {} })
    words.push('a word')
    return reply.send(words)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  /** Asks, and reads nothing. */
  const ask = async (path: string) => {
    const client = tls ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connect(port, '127.0.0.1')
    cleanups.push(() => client.destroy())
    client.pause()
    client.on('error', () => {})
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await until(() => load.underWay('admin') === 1 && sockets.length === 1 && (sockets[0] as Socket).bytesWritten > 0)
    return { client, socket: sockets[0] as Socket }
  }
  const pass = (more: number) => {
    seconds += more
    unread.sweep()
  }
  return { load, ask, pass }
}
function* pieces() {
  for (;;) yield MUCH.subarray(0, 1024 * 1024)
}
const until = (true_: () => boolean) => expect.poll(true_, { timeout: 20_000 }).toBe(true)

describe.each([
  ['http', false],
  ['https', true],
])('E11: an answer by %s', (_, tls) => {
  it('that nobody takes ends with its connection, and gives its place back', async () => {
    const { load, ask, pass } = await serve(tls)
    const { socket } = await ask('/v1.0/users')
    pass(0)
    // As long as a slow line would take.
    pass(MUCH.length / (16 * 1024))
    expect([socket.destroyed, load.underWay('admin')]).toEqual([false, 1])
    pass(31)
    expect(socket.destroyed).toBe(true)
    await until(() => load.underWay('admin') === 0)
  })

  it('that is taken piece by piece goes on, however long it takes; the piece that is not taken is the last', async () => {
    const { load, ask, pass } = await serve(tls)
    const { client, socket } = await ask('/v1.0/pieces')
    const taken = () => socket.bytesWritten - socket.writableLength
    for (let round = 0; round < 5; round++) {
      await until(() => socket.writableLength > 0)
      pass(0)
      const before = taken()
      client.resume()
      await until(() => taken() > before)
      client.pause()
      pass(1000)
      expect(socket.destroyed).toBe(false)
    }
    await until(() => socket.writableLength > 0)
    pass(0)
    pass(1000)
    expect(socket.destroyed).toBe(true)
    await until(() => load.underWay('admin') === 0)
  })

  it('that has nothing to say for hours is left alone', async () => {
    const { load, ask, pass } = await serve(tls)
    const { client, socket } = await ask('/v1.0/words')
    for (let hour = 0; hour < 5; hour++) pass(3600)
    expect([socket.destroyed, load.underWay('admin')]).toEqual([false, 1])
    client.destroy()
    await until(() => load.underWay('admin') === 0)
  })
})
