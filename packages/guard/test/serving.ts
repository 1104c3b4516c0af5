import { once } from 'node:events'
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestListener,
  type Server,
} from 'node:http'
import { connect, createServer as createHttp2Server, type Http2Server } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

export interface Served {
  origin: string
  /** Requests that are not over. */
  readonly open: number
  readonly connections: number
  close(): Promise<void>
}

/** Listens on a free port, and counts what is going on. */
export async function listen(server: Server | Http2Server, close: () => unknown = () => server.close()): Promise<Served> {
  let open = 0
  const sockets = new Set<Socket>()
  server.prependListener('request', (_: IncomingMessage, response: NodeJS.EventEmitter) => {
    open++
    response.once('close', () => open--)
  })
  server.on('connection', (socket: Socket) => sockets.add(socket.once('close', () => sockets.delete(socket))))
  if (!server.listening) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get open() {
      return open
    },
    get connections() {
      return sockets.size
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await close()
    },
  }
}

export const serveNode = (listener: RequestListener) => listen(createServer(listener))
export const serveNode2 = (listener: (request: never, response: never) => void) => listen(createHttp2Server(listener as never))

/** As a runtime serves a handler of Fetch requests: header lines are joined, `signal` tells that the client has gone, a body that nobody wants is cancelled. */
export function serveFetch(handle: (request: Request, peer: string | undefined) => Promise<Response>): Promise<Served> {
  return serveNode(async (incoming, outgoing) => {
    const headers = new Headers()
    const raw = incoming.rawHeaders
    for (let i = 0; i + 1 < raw.length; i += 2) headers.append(raw[i] as string, raw[i + 1] as string)
    const gone = new AbortController()
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) gone.abort()
    })
    const request = new Request(`http://${incoming.headers.host}${incoming.url}`, { method: incoming.method ?? 'GET', headers, signal: gone.signal })
    const response = await handle(request, incoming.socket.remoteAddress)
    outgoing.writeHead(response.status, [...response.headers].flat())
    if (response.body === null || incoming.method === 'HEAD') outgoing.end()
    else await pipeline(Readable.fromWeb(response.body as never), outgoing).catch(() => {})
  })
}

export interface Call {
  path: string
  headers: OutgoingHttpHeaders
  method: string
  /** The client leaves. */
  signal: AbortSignal | undefined
}

export interface Answered {
  status: number
  headers: Record<string, string | undefined>
  text: string
}

export interface Caller {
  /** Who leaves gets status 0. */
  call(call: Call): Promise<Answered>
  close(): void
}

const LEFT: Answered = { status: 0, headers: {}, text: '' }

/** A client that keeps its connections. */
export function createCaller(origin: string, version = 1): Caller {
  if (version === 2) return createHttp2Caller(origin)
  const agent = new Agent({ keepAlive: true })
  return {
    async call({ path, headers, method, signal }) {
      const request = httpRequest(origin + path, { method, headers: { host: 'api.test', ...headers }, agent })
      signal?.addEventListener('abort', () => request.destroy())
      request.end()
      try {
        const [response] = (await once(request, 'response')) as [IncomingMessage]
        return { status: response.statusCode ?? 0, headers: response.headers as Answered['headers'], text: await text(response) }
      } catch (error) {
        if (signal?.aborted) return LEFT
        throw error
      }
    },
    close: () => agent.destroy(),
  }
}

function createHttp2Caller(origin: string): Caller {
  const session = connect(origin)
  return {
    async call({ path, headers, method, signal }) {
      const stream = session.request({ ':path': path, ':method': method, ...headers })
      signal?.addEventListener('abort', () => stream.close(8))
      stream.end()
      const [answered] = await Promise.race([once(stream, 'response'), once(stream, 'close')])
      if (!answered) return LEFT
      const { ':status': status, ...rest } = answered
      return { status, headers: rest, text: await text(stream).catch(() => '') }
    },
    close: () => session.destroy(),
  }
}
