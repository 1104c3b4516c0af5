import type { FastifyPluginCallback, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { exposedOf } from '../denial.ts'
import type { Checker, Guard } from '../guard.ts'
import type { Allowed, Verdict } from '../verdict.ts'
import { createDescription } from './description.ts'
import { releaseAtClose } from './release.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The guard's verdict; present behind `protect(guard)`. */
    auth?: Allowed
  }
}

/** `scope.register(protect(guard))`: guards every route of the scope that registers it, and of the scopes below; those beside it stay open. */
export function protect(guard: Checker): FastifyPluginCallback {
  const plugin: FastifyPluginCallback = (scope, _options, done) => {
    if (!scope.hasRequestDecorator('auth')) scope.decorateRequest('auth')
    scope.addHook('onRequest', protectRoute(guard))
    done()
  }
  return inScope(plugin)
}

/** For one route: `scope.get('/files', { onRequest: protectRoute(guard) }, handler)`. */
export function protectRoute(guard: Checker): onRequestHookHandler {
  return (request, reply, done) => {
    const verdict = guard.check(request.raw)
    if (verdict instanceof Promise) verdict.then((settled) => settle(settled, request, reply, done), done)
    else settle(verdict, request, reply, done)
  }
}

/** `app.register(metadata(guard))`, before `protect`: serves what the API says of itself (RFC 9728). */
export function metadata(guard: Pick<Guard, 'metadata'>): FastifyPluginCallback {
  const { headers, bodyFor } = createDescription(guard)
  return inScope((scope, _options, done) => {
    scope.addHook('onRequest', (request, reply, next) => {
      const body = bodyFor(request.method, request.url)
      if (body === undefined) next()
      else reply.code(200).headers(headers).send(body)
    })
    done()
  })
}

/** Without this Fastify would give the plugin a scope of its own, and it would act on nothing but that. */
function inScope(plugin: FastifyPluginCallback): FastifyPluginCallback {
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: '@caegis/guard' })
}

function settle(verdict: Verdict, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  if (!verdict.allowed) {
    const exposed = [reply.getHeader('Access-Control-Expose-Headers') ?? [], exposedOf(verdict.headers)].flat().join(', ')
    reply.code(verdict.status).headers(verdict.headers).header('Access-Control-Expose-Headers', exposed).send(verdict.body)
    return
  }
  request.auth = verdict
  releaseAtClose(reply.raw, verdict)
  done()
}
