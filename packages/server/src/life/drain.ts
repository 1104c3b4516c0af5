import type { FastifyInstance } from 'fastify'
import type { Log } from '../log.ts'

/**
 * What waits, and can be told to end early: a held poll, an event stream. A process that goes would otherwise keep them until they are cut off, and a receiver that is
 * cut off does not know whether anything was on its way.
 */
export interface Waits {
  /** @param end called once, when everything that waits should end; at once when that is so already. @returns forgets it */
  onEnd(end: () => void): () => void
}

/** How a process leaves a fleet: nothing that it has begun is lost, and whoever asks next asks another one. */
export interface Drain extends Waits {
  /** It is going: whoever sends requests here should send them elsewhere. */
  readonly draining: boolean
  /** Requests under way. */
  readonly underWay: number
  /** Resolves when nobody waits for an answer any more, or has waited for too long. */
  run(): Promise<void>
}

export interface DrainOptions {
  /** Seconds between the word that it goes and the end of listening: a balancer asks about readiness every now and then. */
  notice: number
  /** Seconds for which requests under way may go on after that. */
  grace?: number
  log: Log
  /** Takes no new connection. */
  stopListening(): void
}

/** Counts requests from their first line to the end of their answer. To be registered before any route. */
export function createDrain(app: FastifyInstance, { notice, grace = 10, log, stopListening }: DrainOptions): Drain {
  const waits = new Set<() => void>()
  let draining = false
  let ending = false
  let underWay = 0
  let idle: (() => void) | undefined

  app.addHook('onRequest', (_request, reply, done) => {
    underWay++
    // It comes in any case, also when the client has gone.
    reply.raw.once('close', () => {
      underWay--
      if (underWay === 0) idle?.()
    })
    done()
  })
  // Not at the beginning: a poll that was held since before then has to be told, too.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (draining) reply.header('connection', 'close')
    done()
  })

  return {
    get draining() {
      return draining
    },
    get underWay() {
      return underWay
    },
    onEnd(end) {
      if (ending) end()
      else waits.add(end)
      return () => void waits.delete(end)
    },
    async run() {
      if (draining) return
      draining = true
      if (notice > 0) {
        log.info('draining: no longer ready', { notice, underWay })
        await new Promise((resolve) => setTimeout(resolve, notice * 1000))
      }
      stopListening()
      // Only now: a poll that is answered comes back at once, and as long as it comes back here, it may as well be held.
      ending = true
      for (const end of [...waits]) end()
      waits.clear()
      if (underWay === 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, grace * 1000)
        idle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      if (underWay > 0) log.warn('requests were cut off: they took too long to end', { underWay, grace })
    },
  }
}
