import type { FastifyPluginCallback, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Checker } from '../guard.ts'
import type { Allowed, Verdict } from '../verdict.ts'
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
  // Without this Fastify would give the plugin a scope of its own, and guard nothing but that.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: '@caegis/guard' })
}

/** For one route: `scope.get('/files', { onRequest: protectRoute(guard) }, handler)`. */
export function protectRoute(guard: Checker): onRequestHookHandler {
  return (request, reply, done) => {
    const verdict = guard.check(request.raw)
    if (verdict instanceof Promise) verdict.then((settled) => settle(settled, request, reply, done), done)
    else settle(verdict, request, reply, done)
  }
}

function settle(verdict: Verdict, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  if (!verdict.allowed) {
    // Without the last one a page from another origin cannot read the challenge.
    const exposed = [reply.getHeader('Access-Control-Expose-Headers') ?? [], 'WWW-Authenticate'].flat().join(', ')
    reply.code(verdict.status).headers(verdict.headers).header('Access-Control-Expose-Headers', exposed).send(verdict.body)
    return
  }
  request.auth = verdict
  releaseAtClose(reply.raw, verdict)
  done()
}
