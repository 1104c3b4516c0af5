import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expressHandler, fastifyPlugin, honoHandler, nodeHandler, type Receiver } from '../src/receiver/index.ts'
import { createForeign, HEADER, PUSH, receive } from './foreign.ts'
import { until } from './loop.ts'

interface Sent {
  method?: string
  headers?: Record<string, string>
  body?: string
}
interface Got {
  status: number
  headers: Headers
  text: string
}
interface Host {
  send(sent: Sent): Promise<Got>
  close(): Promise<unknown>
}

async function overHttp(server: Server): Promise<Host> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    send: ({ method = 'POST', headers = {}, body = '' }) =>
      new Promise((resolve, reject) => {
        const sending = httpRequest({ port, host: '127.0.0.1', path: '/ssf', method, headers }, (response: IncomingMessage) => {
          let text = ''
          response.on('data', (chunk) => {
            text += chunk
          })
          response.on('end', () => resolve({ status: response.statusCode as number, headers: new Headers(response.headers as never), text }))
        })
        sending.on('error', reject)
        sending.end(body)
      }),
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

const hosts: Record<string, (receiver: Receiver) => Promise<Host>> = {
  node: (receiver) => overHttp(createServer(nodeHandler(receiver))),
  express: async (receiver) => {
    const app = express()
    app.use(express.json())
    app.all('/ssf', expressHandler(receiver))
    return overHttp(createServer(app))
  },
  'express behind a text parser': async (receiver) => {
    const app = express()
    app.use(express.text({ type: '*/*', limit: '1mb' }))
    app.all('/ssf', expressHandler(receiver))
    return overHttp(createServer(app))
  },
  fastify: async (receiver) => {
    const app = fastify()
    await app.register(fastifyPlugin(receiver, { url: '/ssf' }))
    app.post('/json', async (request) => request.body)
    await app.ready()
    const host = await overHttp(app.server)
    return { ...host, close: () => Promise.all([host.close(), app.close()]) }
  },
  // Hono is not installed: its context is stood in for.
  hono: async (receiver) => {
    const handle = honoHandler(receiver)
    return {
      async send({ method = 'POST', headers = {}, body = '' }) {
        const raw = new Request('https://us.test/ssf', { method, headers, ...(body && { body }) })
        const response = await handle({ req: { raw } })
        return { status: response.status, headers: response.headers, text: await response.text() }
      },
      close: async () => {},
    }
  },
}

describe.each(Object.keys(hosts))('the push handler in %s', (name) => {
  const foreign = createForeign()
  const { receiver, events } = receive(foreign, { delivery: PUSH })
  let host: Host
  beforeAll(async () => {
    await receiver.start()
    host = await (hosts[name] as (one: Receiver) => Promise<Host>)(receiver)
  })
  afterAll(async () => {
    await host.close()
    await receiver.close()
  })
  const good = { 'content-type': 'application/secevent+jwt', authorization: HEADER }

  it('accepts a SET: 202, nothing in it', async () => {
    const answer = await host.send({ headers: good, body: await foreign.sign(foreign.claims()) })
    expect(answer).toMatchObject({ status: 202, text: '' })
    await until(() => events.length === 1)
  })

  it('refuses one: 400, JSON in a named language', async () => {
    const answer = await host.send({ headers: good, body: await foreign.sign(foreign.claims({ aud: 'x' })) })
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    expect(answer.headers.get('content-language')).toBe('en')
    expect(JSON.parse(answer.text)).toEqual({ err: 'invalid_audience', description: expect.any(String) })
    expect((await host.send({ headers: good, body: 'nonsense' })).status).toBe(400)
    expect((await host.send({ headers: good })).status).toBe(400)
  })

  it('401, 413, 415', async () => {
    const body = await foreign.sign(foreign.claims())
    const denied = await host.send({ headers: { ...good, authorization: 'Bearer guess' }, body })
    expect(denied.status).toBe(401)
    expect(denied.headers.get('www-authenticate')).toBe('Bearer')
    expect((await host.send({ headers: { ...good, 'content-type': 'text/plain' }, body })).status).toBe(415)
    expect((await host.send({ headers: { ...good, 'content-type': 'application/json' }, body: '{"a":1}' })).status).toBe(415)
    expect((await host.send({ headers: good, body: 'x'.repeat(100_000) })).status).toBe(413)
    expect((await host.send({ headers: { ...good, 'transfer-encoding': 'chunked' }, body: 'x'.repeat(100_000) })).status).toBe(413)
    expect(events).toHaveLength(1)
  })

  it('anything but POST is not a push', async () => {
    const { status } = await host.send({ method: 'PUT', headers: good, body: await foreign.sign(foreign.claims()) })
    // Fastify routes by method itself.
    expect([404, 405]).toContain(status)
    expect(events).toHaveLength(1)
  })
})

it('an error of the handler goes to the host', async () => {
  const broken = { handler: () => Promise.reject(new Error('no')) }
  const app = express()
  const told: unknown[] = []
  app.post('/ssf', expressHandler(broken))
  app.use((error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
    told.push(error)
    response.status(500).end()
  })
  const host = await overHttp(createServer(app))
  expect((await host.send({ body: 'x' })).status).toBe(500)
  expect(told).toHaveLength(1)
  await host.close()
})
