import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Where the server is reached, and every connection to it. */
export interface Listener {
  listen(): Promise<void>
  /** Takes no new connection, and closes those on which nobody waits. */
  stop(): void
  /** Ends all connections, those too that still come. */
  end(): void
}

/** Both addresses of this machine's own name, whatever it resolves to first. */
const LOCAL = ['127.0.0.1', '::1']

/**
 * Knows every connection, so that the end of the server can end them. The HTTP server itself only knows those that have finished their TLS handshake: one that never
 * does (a browser that does not like the certificate leaves such behind) would hold up the end for ever. There is one HTTP server, with one certificate, whatever it listens on.
 */
export function createListener(app: FastifyInstance, { host, port }: { host: string; port: number }): Listener {
  const server: Server = app.server
  const others: Server[] = []
  const open = new Set<Socket>()
  let ending = false
  server.on('connection', (socket: Socket) => {
    if (ending) socket.destroy()
    else open.add(socket.once('close', () => open.delete(socket)))
  })
  return {
    async listen() {
      const [first, ...more] = host === 'localhost' ? LOCAL : [host]
      await app.listen({ port, host: first as string })
      for (const address of more) {
        const other = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => server.emit('connection', socket)).listen(port, address)
        // A machine without IPv6 has one address less.
        await once(other, 'listening').then(
          () => others.push(other),
          () => {},
        )
      }
    },
    stop() {
      server.close()
      for (const other of others) other.close()
    },
    end() {
      ending = true
      for (const socket of open) socket.destroy()
    },
  }
}
