import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import express, { type ErrorRequestHandler } from 'express'
import { type FastifyInstance, fastify } from 'fastify'
import { Hono } from 'hono'
import { expect, it } from 'vitest'
import { metadata as metadataExpress, protect as protectExpress } from '../src/adapters/express.ts'
import { metadata as metadataFastify, protect as protectFastify, protectRoute } from '../src/adapters/fastify.ts'
import { guarded, metadata as metadataFetch } from '../src/adapters/fetch.ts'
import { metadata as metadataHono, protect as protectHono } from '../src/adapters/hono.ts'
import { type GuardedRequest, metadata as metadataNode, protect as protectNode } from '../src/adapters/node.ts'
import type { Allowed } from '../src/verdict.ts'
import { type Answer, CORS, isPreflight, type Site, testAdapter } from './adapters.contract.ts'
import { listen, serveFetch, serveNode, serveNode2 } from './serving.ts'
import { cutoff, mint, START, startGuard } from './tokens.ts'

const messageOf = (error: unknown) => (error as Error).message

async function send(answer: Answer, response: ServerResponse): Promise<void> {
  if (typeof answer === 'string') response.end(answer)
  else await pipeline(Readable.fromWeb(answer as never), response).catch(() => {})
}

function nodeListener({ guard, writers, described, handler }: Site) {
  const files = protectNode(guard)
  const write = protectNode(writers)
  const about = metadataNode(described)
  return (request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(CORS)) response.setHeader(name, value)
    if (isPreflight(request.method, request.headers['access-control-request-method'])) {
      response.writeHead(204).end()
      return
    }
    const fail = (error: unknown) => {
      response.statusCode = 500
      response.end(messageOf(error))
    }
    const answer = async () => {
      try {
        await send(await handler((request as Partial<GuardedRequest>).auth), response)
      } catch (error) {
        fail(error)
      }
    }
    about(request, response, () => {
      if (request.url === '/open') void answer()
      else (request.url === '/write' ? write : files)(request, response, (error) => (error ? fail(error) : void answer()))
    })
  }
}

testAdapter({ name: 'node', serve: (site) => serveNode(nodeListener(site)) })
testAdapter({ name: 'node, HTTP/2', version: 2, serve: (site) => serveNode2(nodeListener(site) as never) })

testAdapter({
  name: 'express',
  serve({ guard, writers, described, handler }) {
    const app = express()
    app.use((request, response, next) => {
      response.set(CORS)
      if (isPreflight(request.method, request.get('access-control-request-method'))) response.sendStatus(204)
      else next()
    })
    app.use(metadataExpress(described))
    app.use('/files', protectExpress(guard))
    app.use('/write', protectExpress(writers))
    app.use(async (request, response) => send(await handler(request.auth), response))
    const failed: ErrorRequestHandler = (error, _request, response, _next) => {
      response.status(500).send(messageOf(error))
    }
    app.use(failed)
    return serveNode(app)
  },
})

function fastifySite(app: FastifyInstance, { guard, writers, described, handler }: Site): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(CORS)
    if (isPreflight(request.method, request.headers['access-control-request-method'])) await reply.code(204).send()
  })
  app.register(metadataFastify(described))
  app.setErrorHandler((error, _request, reply) => reply.code(500).send(messageOf(error)))
  app.all('/open', async (request) => handler(request.auth))
  app.register(async (scope) => {
    scope.register(protectFastify(guard))
    scope.all('/files', async (request) => handler(request.auth))
  })
  app.all('/write', { onRequest: protectRoute(writers) }, async (request) => handler(request.auth))
}

async function serveFastify(app: FastifyInstance, site: Site) {
  fastifySite(app, site)
  await app.ready()
  return listen(app.server, () => app.close())
}

testAdapter({ name: 'fastify', serve: (site) => serveFastify(fastify(), site) })
testAdapter({
  name: 'fastify, HTTP/2',
  version: 2,
  serve: (site) => serveFastify(fastify({ http2: true }) as unknown as FastifyInstance, site),
})

function honoApp({ guard, writers, described, handler }: Site, options: Parameters<typeof protectHono>[1] = {}) {
  const app = new Hono<{ Variables: { auth?: Allowed } }>()
  app.use(async (c, next) => {
    for (const [name, value] of Object.entries(CORS)) c.header(name, value)
    return isPreflight(c.req.method, c.req.header('access-control-request-method')) ? c.body(null, 204) : next()
  })
  app.use(metadataHono(described))
  app.use('/files', protectHono(guard, options))
  app.use('/write', protectHono(writers, options))
  app.all('*', async (c) => c.body(await handler(c.get('auth'))))
  app.onError((error, c) => c.text(messageOf(error), 500))
  return app
}

testAdapter({ name: 'hono on node', serve: (site) => serveNode(getRequestListener(honoApp(site).fetch)) })
testAdapter({
  name: 'hono on node, HTTP/2',
  version: 2,
  serve: (site) => listen(createHttp2Server(getRequestListener(honoApp(site).fetch))),
})
testAdapter({
  name: 'hono elsewhere',
  serve(site) {
    const app = honoApp(site, { address: (c) => (c.env as { peer?: string }).peer })
    return serveFetch(async (request, peer) => app.fetch(request, { peer }))
  },
})

function fetchSite({ guard, writers, described, handler }: Site) {
  const options = { address: (_: Request, peer?: string) => peer }
  const answer = async (_: Request, auth?: Allowed) => new Response(await handler(auth))
  const files = guarded(guard, (request, auth, _peer?: string) => answer(request, auth), options)
  const write = guarded(writers, (request, auth, _peer?: string) => answer(request, auth), options)
  const about = metadataFetch(described)
  return async (request: Request, peer?: string): Promise<Response> => {
    const { pathname } = new URL(request.url)
    if (isPreflight(request.method, request.headers.get('access-control-request-method'))) return new Response(null, { status: 204, headers: CORS })
    let response: Response
    try {
      response = await (about(request) ??
        (pathname === '/open' ? answer(request) : pathname === '/write' ? write(request, peer) : files(request, peer)))
    } catch (error) {
      response = new Response(messageOf(error), { status: 500 })
    }
    for (const [name, value] of Object.entries(CORS)) {
      if (name === 'access-control-allow-origin') response.headers.set(name, value)
      else response.headers.set(name, [value, response.headers.get(name) ?? []].flat().join(', '))
    }
    return response
  }
}

testAdapter({ name: 'fetch', serve: (site) => serveFetch(fetchSite(site)) })
testAdapter({
  name: 'fetch on @hono/node-server',
  serve: (site) => serveNode(getRequestListener((request, env) => fetchSite(site)(request, (env as HttpBindings).incoming.socket.remoteAddress))),
})

it('E3: ten thousand requests over one connection leave nothing behind', async () => {
  const { guard } = startGuard()
  const protect = protectNode(guard)
  let read = 0
  const served = await serveNode((request, response) =>
    protect(request, response, () => {
      if (!(request as GuardedRequest).auth.signal.aborted) read++
      response.end()
    }),
  )
  const socket = connect(Number(new URL(served.origin).port), '127.0.0.1').resume()
  const asked = `GET /files HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer ${mint()}\r\n\r\n`
  for (let i = 1; i <= 100; i++) {
    socket.write(asked.repeat(100))
    await expect.poll(() => read, { interval: 1, timeout: 10_000 }).toBe(i * 100)
  }
  await expect.poll(() => guard.status().live).toBe(0)
  expect(served.connections).toBe(1)
  socket.destroy()
  await served.close()
})

it.each(['101', '200'])('E3: a socket outlives the answer %s that opened it, and any other answer does not', async (opened) => {
  const { guard, sink } = startGuard()
  const signals: AbortSignal[] = []
  const handle = guarded(guard, (_, auth) => {
    signals.push(auth.signal)
    // A Response cannot be made with 101 here; runtimes have their own.
    return opened === '101' ? ({ status: 101, body: null } as Response) : new Response(null)
  })
  const headers = { authorization: `Bearer ${mint()}` }
  await handle({
    method: 'GET',
    url: 'https://api.test/',
    headers: new Headers({ ...headers, upgrade: 'websocket' }),
    signal: new AbortController().signal,
  } as Request)
  expect(guard.status().live).toBe(1)
  await handle(new Request('https://api.test/', { headers }))
  expect(guard.status().live).toBe(1)
  sink.merge([cutoff('user', 'alice', START)])
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
})
