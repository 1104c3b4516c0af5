import type { FastifyReply } from 'fastify'

/**
 * Runs when nobody waits for an answer any more: it was sent, or its client has gone. Whoever left while something was waited for has closed it already, and there is no
 * event any more.
 */
export function whenOver({ raw }: Pick<FastifyReply, 'raw'>, then: () => void): void {
  if (raw.destroyed) then()
  else raw.once('close', then)
}
