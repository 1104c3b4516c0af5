import type { ServerResponse } from 'node:http'
import type { Allowed } from './verdict.ts'

/** Close code of a WebSocket whose access has ended: 4000 to 4999 are free for applications (RFC 6455 section 7.4.2), and 401 is what the next request would get. */
export const ACCESS_ENDED = 4401

/** The server's side of a WebSocket: one of `ws`, or of a runtime. */
export interface LiveSocket {
  close(code?: number, reason?: string): void
  readonly readyState?: number
  addEventListener?(type: 'close', listener: () => void): void
  /** `ws` only. */
  removeAllListeners?(type: 'message'): unknown
  terminate?(): void
}

/** What `verdict.signal.reason` says. */
interface Ended {
  code: string
  /** Of the change that ended it, where there was one and it is known. */
  txn?: string
}

/** `readyState` of a WebSocket. */
const CLOSED = 3
/** Milliseconds for which a peer may take its time with the end. */
const GRACE = 1000
/** Bytes, RFC 6455 section 5.5.1 without the code. */
const LONGEST_REASON = 123

/**
 * Closes a WebSocket with code 4401 when the access behind it ends; the reason holds why, and the `txn` of the change: `revoked txn=...`. Lets the verdict go when
 * the socket is closed; a socket without events (Bun, Hono's `WSContext`) has a close handler of its own, which then calls `verdict.release()`.
 */
export function endWebSocket(socket: LiveSocket, verdict: Allowed): void {
  // Closed while the verdict was waited for: there is no event any more.
  if (socket.readyState === CLOSED) {
    verdict.release()
    return
  }
  let timer: NodeJS.Timeout | undefined
  socket.addEventListener?.('close', () => {
    clearTimeout(timer)
    verdict.release()
  })
  onEnd(verdict, (why) => {
    // Until the peer answers the close frame, `ws` would go on handing over what it sends.
    socket.removeAllListeners?.('message')
    socket.close(ACCESS_ENDED, reasonText(why))
    if (socket.terminate) timer = setTimeout(() => socket.terminate?.(), GRACE).unref()
  })
}

/**
 * Ends server-sent events when the access behind them ends, with a last event: `event: access-ended`, `data: {"code":"revoked","txn":"..."}`. Takes node's
 * response, or the body of one to be: `new Response(endStream(events, auth))`.
 */
export function endStream(response: ServerResponse, verdict: Allowed): void
export function endStream(body: ReadableStream<Uint8Array>, verdict: Allowed): ReadableStream<Uint8Array>
export function endStream(stream: ServerResponse | ReadableStream<Uint8Array>, verdict: Allowed): ReadableStream<Uint8Array> | undefined {
  if (stream instanceof ReadableStream) return endBody(stream, verdict)
  onEnd(verdict, (why) => {
    // Who writes once more before hearing of the end does no harm.
    stream.on('error', () => {})
    stream.end(lastEvent(why))
    const timer = setTimeout(() => stream.destroy(), GRACE).unref()
    stream.once('close', () => clearTimeout(timer))
  })
}

/** For work that takes long: aborted when the access ends, and when the client goes away. Takes a `Request`, or node's response. */
export function whileAllowed({ signal }: Pick<Allowed, 'signal'>, from: Request | ServerResponse): AbortSignal {
  const over = new AbortController()
  // Listens to each: a signal of `AbortSignal.any` that nobody listens to forgets an end whose source is collected before somebody asks (Node 24.16 to 26, nodejs/node#65995).
  const until = (one: AbortSignal) => {
    if (one.aborted) over.abort(one.reason)
    else one.addEventListener('abort', () => over.abort(one.reason), { once: true })
  }
  until(signal)
  if (from instanceof Request) until(from.signal)
  else if (from.destroyed) over.abort()
  else from.once('close', () => over.abort())
  return over.signal
}

/** @returns lets go of the verdict's signal */
function onEnd({ signal }: Allowed, ended: (why: Ended) => void): () => void {
  const listener = () => ended(signal.reason)
  if (signal.aborted) listener()
  else signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

function reasonText({ code, txn }: Ended): string {
  const whole = txn === undefined ? code : `${code} txn=${txn}`
  // Cut off it would name nothing.
  return Buffer.byteLength(whole) <= LONGEST_REASON ? whole : code
}

function lastEvent({ code, txn }: Ended): string {
  return `event: access-ended\ndata: ${JSON.stringify({ code, txn })}\n\n`
}

function endBody(body: ReadableStream<Uint8Array>, verdict: Allowed): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  let letGo = () => {}
  let over = false
  // Nothing may be written any more, and what a listener throws would end the process.
  const end = () => {
    over = true
    letGo()
  }
  return new ReadableStream(
    {
      start(controller) {
        letGo = onEnd(verdict, (why) => {
          if (over) return
          end()
          controller.enqueue(new TextEncoder().encode(lastEvent(why)))
          controller.close()
          reader.cancel().catch(() => {})
        })
      },
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (over) return
          if (!done) return controller.enqueue(value)
          end()
          controller.close()
        } catch (error) {
          end()
          throw error
        }
      },
      cancel(reason) {
        end()
        return reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
