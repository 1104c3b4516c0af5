import { Readable } from 'node:stream'
import { whileAllowed } from '@caegis/guard/live'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admitted } from './caller.ts'
import { GraphError } from './errors.ts'

/** One message of an event stream; without data it only says how far the client is. */
export interface Message {
  /** What the client sends back as `Last-Event-ID`. */
  id?: string
  event?: string
  data?: object
}

/**
 * What there is to say, in batches; an empty one says that the connection lives.
 * @param signal aborts when nobody may or wants to hear more
 * @param beat a signal of its own for each wait: it ends that too when something should be said again
 */
export type Source = (signal: AbortSignal, beat: () => AbortSignal) => AsyncIterable<Message[]>

/** Event streams (HTML Living Standard, "server-sent events"), a bounded number for each tenant. */
export interface Sse {
  wanted(request: FastifyRequest): boolean
  /**
   * Answers with what the source says, until it ends, the client goes or the access of its token ends. A client that does not read holds up its own source only.
   * @param allowed throws when the caller may not hear this any more
   * @throws GraphError 403, 429
   */
  send(caller: Admitted, reply: FastifyReply, allowed: () => Promise<unknown>, source: Source): Promise<FastifyReply>
}

export interface SseOptions {
  /** Open at once in one tenant. */
  limit?: number
  /** Milliseconds of silence: proxies cut off what says nothing, and a client that has gone is noticed by it. */
  heartbeat?: number
  /** Tells when this process goes: the client is told to come back, and finds another one. */
  onEnd?(end: () => void): () => void
}

/** Milliseconds after which a client asks again. */
const RETRY = 1000
/** What an abort says when the process goes. */
const LEAVING = 'leaving'

/** The bound is one of this process, whose memory and sockets they take; it protects no account, so nobody else needs to know how many there are. */
export function createSse({ limit = 32, heartbeat = 10_000, onEnd = () => () => {} }: SseOptions = {}): Sse {
  const open = new Map<string, number>()

  return {
    wanted: ({ headers }) => /\btext\/event-stream\b/i.test(headers.accept ?? ''),

    async send(caller, reply, allowed, source) {
      const { id: tenant } = caller.tenant
      const others = open.get(tenant) ?? 0
      if (others >= limit) {
        reply.header('retry-after', '5')
        throw new GraphError(429, 'TooManyRequests', 'Too many event streams are open.')
      }
      const allowing = whileAllowed({ signal: caller.signal() }, reply.raw)
      const leaving = new AbortController()
      const signal = AbortSignal.any([allowing, leaving.signal])
      if (!reply.raw.destroyed) {
        // Who waits for its end is known (admission, load, drain, Fastify, Node's pipe and this), and more than Node takes for a leak.
        reply.raw.setMaxListeners(20)
        const forget = onEnd(() => leaving.abort(LEAVING))
        open.set(tenant, others + 1)
        reply.raw.once('close', () => {
          forget()
          open.set(tenant, (open.get(tenant) as number) - 1)
        })
      }
      const beat = () => AbortSignal.any([signal, AbortSignal.timeout(heartbeat)])
      reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
      return reply.send(Readable.from(frames(source(signal, beat), signal, allowed)))
    },
  }
}

/** A text for each batch. What the caller may is asked again each time: a role or a permission may have been taken away without the token. */
async function* frames(batches: AsyncIterable<Message[]>, signal: AbortSignal, allowed: () => Promise<unknown>): AsyncGenerator<string> {
  try {
    yield `retry: ${RETRY}\n\n`
    for await (const batch of batches) {
      if (signal.aborted) break
      await allowed()
      yield batch.length > 0 ? batch.map(frame).join('') : ':\n\n'
    }
    // Not all at once: whoever takes over gets all of them.
    if (signal.reason === LEAVING) yield `: this server goes, another one goes on\nretry: ${Math.ceil(Math.random() * 2 * RETRY)}\n\n`
  } catch (error) {
    // Past its first line, an answer can only end.
    if (!signal.aborted && !(error instanceof GraphError)) throw error
  }
}

function frame({ id, event, data }: Message): string {
  return `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}${data === undefined ? '' : `data: ${JSON.stringify(data)}\n`}\n`
}
