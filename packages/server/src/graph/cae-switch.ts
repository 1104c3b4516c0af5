import { z } from 'zod'
import { type Api, written } from './api.ts'
import type { Caller } from './caller.ts'

const ids = z.array(z.string().min(1).max(128)).max(1000).optional()
const patch = z
  .strictObject({ isEnabled: z.boolean().optional(), users: ids, groups: ids, migrate: z.boolean().optional() })
  .refine((given) => Object.keys(given).length > 0, 'an empty change')

/** `identity/continuousAccessEvaluationPolicy`: the switch from before there was a session control. */
export function registerCaeSwitch({ origin, route }: Api): void {
  const url = '/identity/continuousAccessEvaluationPolicy'
  const show = async ({ tenant }: Caller) => ({
    '@odata.context': `${origin}/v1.0/$metadata#identity/continuousAccessEvaluationPolicy/$entity`,
    ...{ id: 'continuousAccessEvaluationPolicy', displayName: 'Continuous Access Evaluation' },
    description: 'Who gets long-lived tokens that can be taken back: the users and groups that are named, or everybody.',
    ...(await tenant.caeSwitch.read()),
  })

  route('GET', url, { does: 'Shows the legacy switch of continuous access evaluation', needs: ['Policy.Read.All'] }, show)

  route(
    'PATCH',
    url,
    { does: 'Turns the legacy switch, or makes a policy of it', needs: ['Policy.ReadWrite.ConditionalAccess'], body: patch },
    async ({ tenant, actor }, _request, reply, { isEnabled, users, groups, migrate }) => {
      const done = await tenant.caeSwitch.update(actor, {
        ...(isEnabled === undefined ? {} : { isEnabled }),
        ...(users === undefined ? {} : { users }),
        ...(groups === undefined ? {} : { groups }),
        ...(migrate === undefined ? {} : { migrate }),
      })
      return written(reply, done).code(204).send()
    },
  )
}
