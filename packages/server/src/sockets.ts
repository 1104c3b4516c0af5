import type { Server, Socket } from 'node:net'

/**
 * Knows every connection of a server, so that the end of it can end them. The HTTP server itself only knows those that have finished their TLS handshake: one
 * that never does (a browser that does not like the certificate leaves such behind) would hold up `close` for ever.
 * @returns ends all connections, those too that still come
 */
export function trackSockets(server: Server): () => void {
  const open = new Set<Socket>()
  let ending = false
  server.on('connection', (socket: Socket) => {
    if (ending) socket.destroy()
    else open.add(socket.once('close', () => open.delete(socket)))
  })
  return () => {
    ending = true
    for (const socket of open) socket.destroy()
  }
}
