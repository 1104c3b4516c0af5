import type { FastifyInstance } from 'fastify'
import { send } from '../issuer/answer.ts'
import { forTenant } from '../issuer/routes.ts'
import { isStop } from '../issuer/stop.ts'
import type { SignInOptions } from './options.ts'
import { SCRIPT, SCRIPT_PATH } from './script.ts'
import { createSteps } from './steps.ts'
import { createVisits } from './visit.ts'

/** The pages that the OpenID providers send people to. The scope reads bodies as text, as the providers' own does. */
export function registerSignIn(app: FastifyInstance, options: SignInOptions): void {
  const visits = createVisits(options)
  const steps = createSteps(options, visits)

  app.get(SCRIPT_PATH, (_request, reply) =>
    reply
      .headers({ 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' })
      .send(SCRIPT),
  )
  app.get(
    '/:tenant/signin/:uid',
    forTenant(options.findIssuer, async (issuer, request, reply) => send(reply, await steps.show(visits.open(issuer, request, reply)))),
  )
  app.post(
    '/:tenant/signin/:uid',
    forTenant(options.findIssuer, async (issuer, request, reply) => {
      const visit = visits.open(issuer, request, reply)
      const { form } = visit
      // Whoever does not want to go on with a page begins anew.
      if (form.has('restart') || form.get('action') === 'show') return send(reply, await steps.restart(visit))
      if (form.has('leave')) return send(reply, await steps.leave(visit))
      if (form.has('setup')) return send(reply, await steps.register(visit))
      const step = form.has('pick')
        ? steps.pick
        : form.get('passkey')
          ? steps.passkey
          : form.has('code')
            ? steps.code
            : form.has('new')
              ? steps.newPassword
              : steps.password
      try {
        return send(reply, await step(visit))
      } catch (error) {
        if (isStop(error)) await steps.stopped(visit)
        throw error
      }
    }),
  )
}
