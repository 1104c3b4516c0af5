import { MAX_PUSH, type PushHandler } from '../push.ts'

/** What is needed of Fastify's request, reply and instance. */
export interface FastifyRequestLike {
  method: string
  headers: Record<string, string | string[] | undefined>
  body: unknown
}
export interface FastifyReplyLike {
  code(status: number): FastifyReplyLike
  headers(headers: Record<string, string>): FastifyReplyLike
  send(body?: string): unknown
}
type Parser = (request: unknown, body: Buffer, done: (error: Error | null, body?: unknown) => void) => void
export interface FastifyLike {
  removeAllContentTypeParsers(): unknown
  addContentTypeParser(type: string, options: { parseAs: 'buffer'; bodyLimit: number }, parser: Parser): unknown
  post(url: string, options: { bodyLimit: number }, handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => Promise<unknown>): unknown
}

/** `app.register(fastifyPlugin(receiver, { url: '/ssf' }))`; its body parser stays inside the plugin. */
export function fastifyPlugin(receiver: { handler: PushHandler }, { url }: { url: string }): (app: FastifyLike) => Promise<void> {
  return async (app) => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_PUSH }, (_, body, done) => done(null, body))
    app.post(url, { bodyLimit: MAX_PUSH }, async ({ method, headers, body }, reply) => {
      const bytes = body instanceof Uint8Array ? body : ''
      const answer = await receiver.handler({ method, headers, body: bytes })
      return reply.code(answer.status).headers(answer.headers).send(answer.body)
    })
  }
}
