import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { send, stopped } from './answer.ts'
import { createGuesses } from './guesses.ts'
import type { Issuer, IssuerRequest } from './issuer.ts'
import { DISCOVERY, ROUTES } from './provider.ts'
import { isStop } from './stop.ts'
import type { Throttle } from './throttle.ts'

export interface IssuerRoutesOptions {
  /** By name or id. */
  findIssuer(tenant: string): Promise<Issuer | undefined>
  addressOf(request: FastifyRequest): string
  throttle: Throttle
}

/** Mounts the OpenID providers of all tenants. */
export function registerIssuer(app: FastifyInstance, { findIssuer, addressOf, throttle }: IssuerRoutesOptions): void {
  // The provider reads its own bodies; here they are only bounded.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: 64 * 1024 }, (_request, body, done) => done(null, body))

  const answerUnlessGuessing = createGuesses(throttle)
  const mount = (url: string, path: (params: Record<string, string>) => string) => route(`/:tenant${url}`, path)
  const route = (url: string, path: (params: Record<string, string>) => string) =>
    app.route({
      method: ['GET', 'POST', 'OPTIONS'],
      url,
      handler: forTenant(findIssuer, async (issuer, request, reply) => {
        // Escaped separators and dots would lead to another endpoint than the one that is looked at here.
        const { uid } = request.params as { uid?: string }
        if (uid !== undefined && !/^[\w-]{1,64}$/.test(uid))
          return reply.code(404).send({ error: 'invalid_request', error_description: 'no such page' })
        const given: IssuerRequest = {
          method: request.method,
          path: path(request.params as Record<string, string>),
          query: request.url.includes('?') ? request.url.slice(request.url.indexOf('?')) : '',
          headers: request.headers,
          body: typeof request.body === 'string' ? request.body : '',
          address: addressOf(request),
        }
        return send(reply, await answerUnlessGuessing(issuer.tenant, given, () => issuer.answer(given)))
      }),
    })

  for (const path of Object.values(ROUTES)) mount(path, () => path)
  mount(`${ROUTES.authorization}/:uid`, ({ uid }) => `${ROUTES.authorization}/${uid}`)
  mount(`${ROUTES.code_verification}/:uid`, ({ uid }) => `${ROUTES.code_verification}/${uid}`)
  mount(`${ROUTES.end_session}/confirm`, () => `${ROUTES.end_session}/confirm`)
  mount(`${ROUTES.end_session}/success`, () => `${ROUTES.end_session}/success`)
  mount(DISCOVERY, () => DISCOVERY)
  mount(`/v2.0${DISCOVERY}`, () => DISCOVERY)
  // RFC 8414 section 3.1: the well-known name stands between host and path of the issuer.
  route('/.well-known/oauth-authorization-server/:tenant/v2.0', () => DISCOVERY)
}

/** Finds the tenant that a path names; where it is stopped, people are told so. */
export function forTenant(
  findIssuer: IssuerRoutesOptions['findIssuer'],
  handle: (issuer: Issuer, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>,
) {
  return async (request: FastifyRequest, reply: FastifyReply) => {
    const issuer = await findIssuer((request.params as { tenant: string }).tenant)
    if (!issuer) return reply.code(404).send({ error: 'invalid_request', error_description: 'no such tenant' })
    return handle(issuer, request, reply).catch((error: unknown) => {
      if (isStop(error)) return send(reply, stopped(issuer))
      throw error
    })
  }
}
