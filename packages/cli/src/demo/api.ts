import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { Socket } from 'node:net'
import { createGuard, type Guard } from '@caegis/guard'
import { type GuardedRequest, protect } from '@caegis/guard/node'

export interface ApiOptions {
  issuer: string
  audience: string
  clientId: string
  clientSecret: string
  tls: { cert: string; key: string }
  port: number
  /** The page that may call it from a browser. */
  pageOrigin: string
}

export interface SampleApi {
  origin: string
  guard: Guard
  close(): Promise<void>
}

const log = (text: string) => process.stderr.write(`${text}\n`)

/** The sample API: `GET /ping` is open, `GET /controlplane/manage` is behind the guard. */
export async function startApi({ issuer, audience, clientId, clientSecret, tls, port, pageOrigin }: ApiOptions): Promise<SampleApi> {
  const guard = createGuard({ issuer, audience, clientId, clientSecret })
  const protectedRoute = protect(guard)

  const server = createServer(tls, (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '/').split('?')[0]
    response.setHeader('access-control-allow-origin', pageOrigin)
    response.setHeader('vary', 'origin')
    if (request.method === 'OPTIONS') {
      response
        .writeHead(204, { 'access-control-allow-headers': 'authorization', 'access-control-allow-methods': 'GET', 'access-control-max-age': '600' })
        .end()
      return
    }
    if (path === '/ping') return json(response, 200, { pong: true })
    if (path !== '/controlplane/manage') return json(response, 404, { error: 'not_found' })
    protectedRoute(request, response, () => {
      const { claims } = (request as GuardedRequest).auth
      json(response, 200, { message: 'You may manage the control plane.', user: claims.oid, client: claims.azp, longLived: claims.xms_ssm === '1' })
    })
  })
  // Those too whose TLS handshake never ends: the server itself does not know them, and would wait for them at its end.
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => open.add(socket.once('close', () => open.delete(socket))))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, 'localhost', resolve)
  })
  // Requests that come before the guard knows every revocation are refused by it, not by us.
  const late = setTimeout(() => log(`the sample API has not heard the server yet: ${guard.status().reason ?? 'no keys'}`), 10_000)
  await guard.ready().finally(() => clearTimeout(late))
  const address = server.address()
  const actual = typeof address === 'object' && address ? address.port : port
  return {
    origin: `https://localhost:${actual}`,
    guard,
    async close() {
      await guard.close()
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body))
}
