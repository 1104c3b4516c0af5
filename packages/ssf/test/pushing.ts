import { decodeJwt } from 'jose'
import {
  createPusher,
  type Pusher,
  type PusherOptions,
  type PushRequest,
  type PushResponse,
  type TransmitterStore,
} from '../src/transmitter/index.ts'
import { BASE, callerOf, createLoop, ISSUER } from './loop.ts'

export const PUSH = 'urn:ietf:rfc:8935'

export interface Arrival {
  url: string
  headers: Record<string, string>
  jti: string
  claims: Record<string, any>
  /** Milliseconds of the fake clock, whatever the wall clock was set to. */
  at: number
}

export type Respond = (arrival: Arrival, request: PushRequest) => Promise<PushResponse> | PushResponse

export const accepted = { status: 202, headers: {}, body: '' }
export const failing = { status: 503, headers: {}, body: '' }
export const refusing = (err: string) => ({ status: 400, headers: {}, body: JSON.stringify({ err, description: '' }) })

/** Lets everything happen that does not wait for time. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** A transmitter, a pusher and receivers over one store, with a clock that stands still. */
export function createPushing(options: Partial<PusherOptions> = {}) {
  let clock = 1e12
  let ahead = 0
  const now = () => clock + ahead
  const sleepers = new Set<{ at: number; wake: () => void }>()
  const loop = createLoop({ now, transmitter: { push: true } })
  // Signatures are not the matter here.
  loop.sign = async (payload) => `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.x`
  let generation = 0
  const pushing = {
    loop,
    arrivals: [] as Arrival[],
    respond: (() => accepted) as Respond,
    pusher: undefined as unknown as Pusher,
    start() {
      generation++
      const mine = generation
      const store = new Proxy(loop.store, {
        // What crashed neither reads nor writes any more.
        get: (target, name: keyof TransmitterStore) => (mine === generation ? target[name] : () => Promise.reject(new Error('crashed'))),
      })
      pushing.pusher = createPusher({
        issuer: ISSUER,
        base: BASE,
        jwksUri: `${BASE}/keys`,
        store,
        sign: (payload, header) => loop.sign(payload, header),
        now,
        monotonic: () => clock,
        random: () => 0.5,
        sleep: (milliseconds, signal) =>
          new Promise((resolve) => {
            const one = {
              at: clock + milliseconds,
              wake() {
                sleepers.delete(one)
                resolve()
              },
            }
            sleepers.add(one)
            signal.addEventListener('abort', one.wake, { once: true })
            if (signal.aborted) one.wake()
          }),
        log: { debug: note, info: note, warn: note, error: note },
        async send(request) {
          if (mine !== generation) throw new Error('crashed')
          const claims = decodeJwt(request.body) as Record<string, any>
          const arrival = { url: request.url, headers: request.headers, jti: claims.jti, claims, at: clock }
          pushing.arrivals.push(arrival)
          return pushing.respond(arrival, request)
        },
        ...options,
      })
    },
    /** A new pusher over the same store; the old one gets no chance to say anything. */
    async crash() {
      const old = pushing.pusher
      pushing.start()
      await old.close()
    },
    async advance(milliseconds: number) {
      const end = clock + milliseconds
      await quiet()
      for (;;) {
        const next = [...sleepers].sort((a, b) => a.at - b.at)[0]
        if (!next || next.at > end) break
        clock = Math.max(clock, next.at)
        next.wake()
        await quiet()
      }
      clock = end
      await quiet()
    },
    /** Sets the wall clock so much ahead of the time that has passed. */
    setClock(milliseconds: number) {
      ahead = milliseconds
    },
    async open(url: string, body: Record<string, unknown> = {}): Promise<string> {
      const answer = await loop.transmitter.create(callerOf(), { delivery: { method: PUSH, endpoint_url: url }, ...body })
      return (answer.body as { stream_id: string }).stream_id
    },
    now,
  }
  const note = (message: string, fields?: Record<string, unknown>) => void loop.logged.push({ message, fields })
  pushing.start()
  return pushing
}

export type Pushing = ReturnType<typeof createPushing>
