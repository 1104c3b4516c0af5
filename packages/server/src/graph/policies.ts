import type { Policy } from '@caegis/policy'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { PolicyJson, StoredPolicy } from '../directory/policies.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import { authorOf } from './author.ts'
import type { Admitted, Caller } from './caller.ts'
import { badRequest, GraphError, notFound } from './errors.ts'
import { answerList } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'
import { withTemplate } from './templates.ts'

/** What is in it is read as a whole, by the rules of policies: each mistake is named by its path. */
const policy = z
  .record(z.string(), z.unknown())
  .describe('A conditionalAccessPolicy as Microsoft Graph has it; what a change does not name stays, and of `conditions` each of its members')

const object = { type: ['object', 'null'] }
const text = { type: ['string', 'null'] }
const time = { type: ['string', 'null'], format: 'date-time' }
const member = (name: string, schema: object) => ({ read: ({ json }: StoredPolicy) => json[name] ?? null, usual: true as const, schema })

export const POLICIES: Resource<StoredPolicy> = {
  type: 'conditionalAccessPolicy',
  set: 'identity/conditionalAccess/policies',
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: { type: 'string' } },
    templateId: member('templateId', text),
    displayName: {
      ...member('displayName', { type: 'string' }),
      ...{ column: { name: 'name', type: 'text' }, sort: true, search: 'words' },
    },
    description: member('description', text),
    createdDateTime: {
      read: ({ createdAt }) => toTime(createdAt),
      column: { name: 'created_at', type: 'time' },
      sort: true,
      usual: true,
      schema: time,
    },
    modifiedDateTime: { read: ({ changedAt }) => (changedAt === null ? null : toTime(changedAt)), usual: true, schema: time },
    state: {
      ...member('state', { enum: ['enabled', 'disabled', 'enabledForReportingButNotEnforced'] }),
      column: { name: 'state', type: 'text' },
    },
    conditions: member('conditions', { type: 'object' }),
    grantControls: member('grantControls', object),
    sessionControls: member('sessionControls', object),
  },
}

/** `identity/conditionalAccess/policies`. */
export function registerPolicies(api: Api): void {
  const { origin, route } = api
  const url = '/identity/conditionalAccess/policies'
  const reads = { needs: ['Policy.Read.All'], gives: POLICIES } as const
  const writes = { needs: ['Policy.ReadWrite.ConditionalAccess'] } as const
  const entity = (found: StoredPolicy, select: string[] = parseSelect(POLICIES, null)) => ({
    '@odata.context': `${origin}/v1.0/$metadata#${POLICIES.set}/$entity`,
    ...shape(POLICIES, select, found),
  })
  const edits = { kind: 'policy' as const, id: async (_: Admitted, request: FastifyRequest) => pathOf(request) }

  route('GET', url, { does: 'Lists Conditional Access policies', options: LIST_OPTIONS, ...reads }, ({ tenant }, request) =>
    answerList(api, tenant.id, request, POLICIES, tenant.policies.list),
  )

  route('GET', `${url}/:id`, { does: 'Shows a Conditional Access policy', options: ['$select'], ...reads }, async ({ tenant }, request) => {
    const select = parseSelect(POLICIES, searchOf(request).get('$select'))
    const found = await tenant.policies.find(pathOf(request))
    if (!found) throw notFound()
    return entity(found, select)
  })

  route(
    'POST',
    url,
    { does: 'Makes a Conditional Access policy', body: policy, options: ['confirm'], gives: POLICIES, ...writes },
    async (caller, request, reply, body) => {
      const { policies } = caller.tenant
      const given = withTemplate(withoutId(body))
      await refuseOwnBlock(caller, request, () => policies.draft(given))
      const done = await policies.create(caller.actor, given)
      return written(reply, done)
        .code(201)
        .send(entity((await policies.find(done.result)) as StoredPolicy))
    },
  )

  route(
    'PATCH',
    `${url}/:id`,
    { does: 'Changes a Conditional Access policy', body: policy, edits, options: ['confirm'], ...writes },
    async (caller, request, reply, body) => {
      const { policies } = caller.tenant
      const [id, given] = [pathOf(request), withoutId(body)]
      await refuseOwnBlock(caller, request, () => policies.draft(given, id))
      return written(reply, await policies.update(caller.actor, id, given))
        .code(204)
        .send()
    },
  )

  route('DELETE', `${url}/:id`, { does: 'Deletes a Conditional Access policy', edits, ...writes }, async ({ tenant, actor }, request, reply) =>
    written(reply, await tenant.policies.remove(actor, pathOf(request)))
      .code(204)
      .send(),
  )
}

/** Whoever would keep themselves out of the admin API says so twice (threat C3). @throws GraphError 409 `wouldBlockAuthor` */
async function refuseOwnBlock(caller: Caller, request: FastifyRequest, draft: () => Promise<Policy>): Promise<void> {
  const confirm = searchOf(request).get('confirm') ?? 'false'
  if (confirm !== 'true' && confirm !== 'false') throw badRequest('confirm is true or false.')
  const author = authorOf(caller)
  if (confirm === 'true' || !author) return
  if (await caller.tenant.wouldBlock(author, await draft()))
    throw new GraphError(
      409,
      'wouldBlockAuthor',
      'This policy would keep you out of the admin API. To save it all the same, repeat this with ?confirm=true.',
    )
}

/** What people have read elsewhere, and send back: the id is the server's, and so are the instants. */
export function withoutId({ id: _, createdDateTime: __, modifiedDateTime: ___, ...rest }: PolicyJson): PolicyJson {
  return rest
}
