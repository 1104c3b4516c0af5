import { z } from 'zod'
import { type AuthenticationContext, CONTEXT_ID } from '../directory/contexts.ts'
import { type Api, pathOf, written } from './api.ts'
import { badRequest, notFound } from './errors.ts'
import type { Resource } from './resource.ts'

const context = z.strictObject({
  /** As the path says it. */
  id: z.string().max(3).optional(),
  displayName: z.string().min(1).max(256).optional(),
  description: z.string().max(4096).nullable().optional(),
  isAvailable: z.boolean().optional(),
})

export const CONTEXTS: Resource<AuthenticationContext> = {
  type: 'authenticationContextClassReference',
  set: 'identity/conditionalAccess/authenticationContextClassReferences',
  properties: {
    id: { read: ({ id }) => id, usual: true, schema: { type: 'string' } },
    displayName: { read: ({ displayName }) => displayName, usual: true, schema: { type: 'string' } },
    description: { read: ({ description }) => description, usual: true, schema: { type: ['string', 'null'] } },
    isAvailable: { read: ({ isAvailable }) => isAvailable, usual: true, schema: { type: 'boolean' } },
  },
}

/** `identity/conditionalAccess/authenticationContextClassReferences`: c1 to c99. */
export function registerContexts({ origin, route }: Api): void {
  const url = '/identity/conditionalAccess/authenticationContextClassReferences'
  const reads = { needs: ['Policy.Read.All'] } as const
  const writes = { needs: ['Policy.ReadWrite.ConditionalAccess'] } as const
  const of = (rest: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#${CONTEXTS.set}${rest}` })

  route('GET', url, { does: 'Lists authentication contexts', ...reads }, async ({ tenant }) => ({
    ...of(''),
    value: await tenant.contexts.list(),
  }))

  route('GET', `${url}/:id`, { does: 'Shows an authentication context', gives: CONTEXTS, ...reads }, async ({ tenant }, request) => {
    const found = await tenant.contexts.find(pathOf(request))
    if (!found) throw notFound()
    return { ...of('/$entity'), ...found }
  })

  route(
    'PATCH',
    `${url}/:id`,
    { does: 'Makes or changes an authentication context', body: context, ...writes },
    async ({ tenant, actor }, request, reply, { id: named, ...given }) => {
      const id = pathOf(request)
      if (!CONTEXT_ID.test(id)) throw notFound()
      if (named !== undefined && named !== id) throw badRequest('id: must be the one of the path')
      const done = await tenant.contexts.save(actor, id, given)
      if (done.result !== 'added') return written(reply, done).code(204).send()
      return written(reply, done)
        .code(201)
        .send({ ...of('/$entity'), ...(await tenant.contexts.find(id)) })
    },
  )

  route('DELETE', `${url}/:id`, { does: 'Deletes an authentication context', ...writes }, async ({ tenant, actor }, request, reply) =>
    written(reply, await tenant.contexts.remove(actor, pathOf(request)))
      .code(204)
      .send(),
  )
}
