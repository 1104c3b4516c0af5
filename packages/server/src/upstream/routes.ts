import type { PushAnswer, PushRequest } from '@caegis/ssf/receiver'
import type { FastifyInstance } from 'fastify'

/** Bytes of a pushed SET. */
const MAX_PUSH = 65_536

export interface UpstreamRoutesOptions {
  /** By the tenant's name or id. */
  push(tenant: string, upstream: string, request: PushRequest): Promise<PushAnswer | undefined>
}

/** Where upstreams push (RFC 8935): known by the `Authorization` header that each was told. */
export function registerUpstream(app: FastifyInstance, { push }: UpstreamRoutesOptions): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: MAX_PUSH }, (_request, body, done) => done(null, body))
  app.post('/:tenant/upstream/:id', async (request, reply) => {
    const { tenant, id } = request.params as { tenant: string; id: string }
    const body = typeof request.body === 'string' ? request.body : ''
    const answer = await push(tenant, id, { method: 'POST', headers: request.headers, body })
    if (!answer) return reply.code(404).send({ error: 'not_found' })
    return reply
      .code(answer.status)
      .headers(answer.headers)
      .send(answer.body ?? '')
  })
}
