import { createHash, timingSafeEqual } from 'node:crypto'
import { figureLines, METRICS_TYPE } from '@caegis/guard/metrics'
import { compileRanges } from '@caegis/policy'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Figure } from './figures.ts'

const LOOPBACK = compileRanges(['127.0.0.0/8', '::1/128'])
/** What a proxy adds: who comes through one is not of this machine, even where the proxy is. */
const FORWARDED = ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip'] as const

/**
 * `/metrics` in the text format of Prometheus: figures of this process alone. They tell how much a server is used, which is nobody's business: only programs on the same
 * machine may read them, or, where there is a token, whoever has that.
 */
export function registerMetrics(app: FastifyInstance, figures: readonly Figure[], token: string | undefined): void {
  app.get('/metrics', async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    if (token !== undefined && !isToken(request.headers.authorization, token))
      return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'invalid_token' })
    if (token === undefined && !isLocal(request)) return reply.code(403).send({ error: 'forbidden' })
    const lines = figures.flatMap(({ name, kind, help, read }) => figureLines(name, kind, help, read()))
    return reply.type(METRICS_TYPE).send(`${lines.join('\n')}\n`)
  })
}

function isLocal({ socket, headers }: FastifyRequest): boolean {
  return socket.remoteAddress !== undefined && LOOPBACK.has(socket.remoteAddress) && FORWARDED.every((name) => headers[name] === undefined)
}

function isToken(authorization: string | undefined, token: string): boolean {
  const given = /^bearer (.+)$/i.exec(authorization ?? '')?.[1]
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}

const digest = (text: string) => createHash('sha256').update(text).digest()
