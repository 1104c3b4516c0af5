import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Seconds in which whoever asked takes the next piece of an answer, beside those that it takes at `SLOWEST`. */
const GRACE = 30
/** Bytes in a second: the slowest line that is still served. */
const SLOWEST = 16 * 1024
/** Milliseconds. */
const EVERY = 5000

export interface Unread {
  /** Ends the connections on which an answer has waited too long; happens by itself. */
  sweep(): void
  close(): void
}

/**
 * Ends connections whose other end does not take what it asked for: an answer keeps its place (load.ts) and its memory until it is read. Only what waits to be read is
 * looked at, so that a poll that is held, or an event stream that has nothing to say, lives on; a long answer does as long as the next piece of it is taken in time.
 * @param now seconds, of a clock that never goes back
 */
export function endUnread(server: Server, now = () => performance.now() / 1000): Unread {
  /** What each connection had taken when it last took something, and when that was. */
  const open = new Map<Socket, { taken: number; at: number }>()
  const follow = (socket: Socket) => {
    open.set(socket, { taken: 0, at: now() })
    socket.once('close', () => open.delete(socket))
  }
  // With TLS, what is answered is written to the socket that is made of the one that was connected.
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', follow)

  function sweep(): void {
    const at = now()
    for (const [socket, known] of open) {
      const waiting = socket.writableLength
      const taken = socket.bytesWritten - waiting
      if (waiting === 0 || taken !== known.taken) Object.assign(known, { taken, at })
      else if (at - known.at > GRACE + waiting / SLOWEST) socket.destroy()
    }
  }

  const timer = setInterval(sweep, EVERY)
  timer.unref()
  return { sweep, close: () => clearInterval(timer) }
}
