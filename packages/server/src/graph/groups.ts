import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Group } from '../directory/groups.ts'
import type { Column } from '../directory/listing.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import { type Admitted, authorize } from './caller.ts'
import { badRequest, notFound } from './errors.ts'
import { answerCount, answerList, COUNT_OPTIONS } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

/** As many as Graph takes at once. */
const references = z.array(z.string().max(1024)).max(20).optional()
const name = z.string().min(1).max(256)
const description = z.string().min(1).max(1024).nullable().optional()
const created = z.strictObject({
  displayName: name,
  description,
  // Clients must say what every group here is.
  mailEnabled: z.literal(false).optional(),
  securityEnabled: z.literal(true).optional(),
  mailNickname: z.string().max(64).optional(),
  groupTypes: z.array(z.never()).optional(),
  'members@odata.bind': references,
})
const changed = z
  .strictObject({ displayName: name.optional(), description, 'members@odata.bind': references })
  .refine((patch) => Object.keys(patch).length > 0, 'an empty change')

const text = { type: ['string', 'null'] }

export const GROUPS: Resource<Group> = {
  type: 'group',
  set: 'groups',
  properties: {
    id: { read: ({ id }) => id, column: { name: 'id', type: 'id' }, usual: true, schema: { type: 'string' } },
    displayName: {
      ...{ read: (group) => group.displayName, column: { name: 'display_name', type: 'text' }, schema: { type: 'string' } },
      ...{ sort: true, search: 'words', usual: true },
    },
    description: {
      ...{ read: (group) => group.description, column: { name: 'description', type: 'text', nullable: true }, schema: text },
      ...{ search: 'words', usual: true },
    },
    createdDateTime: {
      ...{ read: (group) => toTime(group.createdAt), column: { name: 'created_at', type: 'time' }, sort: true, usual: true },
      schema: { type: 'string', format: 'date-time' },
    },
    // Every group here says what people may do, and none has a mailbox.
    securityEnabled: { read: () => true, usual: true, schema: { const: true } },
    mailEnabled: { read: () => false, usual: true, schema: { const: false } },
    groupTypes: { read: () => [], usual: true, schema: { type: 'array', items: { type: 'string' } } },
  },
}

/** Graph names an object by its URL; the last segment is its id. @throws GraphError 400 */
export function readReference(url: string): string {
  const id = url.match(/\/(?:directoryObjects|users|groups)\/([\w-]{1,64})$/i)?.[1]
  if (id === undefined) throw badRequest('A reference must be the URL of a user or a group, by its id.')
  return id
}

/** `groups`; what is in them stands in members.ts. */
export function registerGroups(api: Api): void {
  const { origin, route } = api
  const context = { '@odata.context': `${origin}/v1.0/$metadata#groups/$entity` }
  const edits = { kind: 'group' as const, id: async ({ tenant }: Admitted, request: FastifyRequest) => (await existing(tenant, pathOf(request))).id }

  route('GET', '/groups', { does: 'Lists groups', needs: ['Group.Read.All'], options: LIST_OPTIONS, gives: GROUPS }, ({ tenant }, request) =>
    answerList(api, tenant.id, request, GROUPS, tenant.groups.listing),
  )

  route(
    'GET',
    '/groups/$count',
    { does: 'Says how many groups there are', needs: ['Group.Read.All'], options: COUNT_OPTIONS },
    async ({ tenant }, request, reply) => reply.type('text/plain').send(await answerCount(tenant.id, request, GROUPS, tenant.groups.listing)),
  )

  route(
    'GET',
    '/groups/:id',
    { does: 'Shows a group', needs: ['Group.Read.All'], options: ['$select'], gives: GROUPS },
    async ({ tenant }, request) => {
      const select = parseSelect(GROUPS, searchOf(request).get('$select'))
      return { ...context, ...shape(GROUPS, select, await existing(tenant, pathOf(request))) }
    },
  )

  route(
    'POST',
    '/groups',
    { does: 'Makes a group', needs: ['Group.ReadWrite.All'], body: created, gives: GROUPS },
    async ({ tenant, actor }, _request, reply, { displayName, description = null, ...rest }) => {
      const members = (rest['members@odata.bind'] ?? []).map(readReference)
      const done = await tenant.groups.createGroup(actor, { displayName, description, members })
      return written(reply, done)
        .code(201)
        .send({ ...context, ...shape(GROUPS, parseSelect(GROUPS, null), await existing(tenant, done.result)) })
    },
  )

  route(
    'PATCH',
    '/groups/:id',
    {
      ...{ does: 'Changes a group, or adds up to 20 members', needs: ['GroupMember.ReadWrite.All'], body: changed, edits },
      more: { needs: 'Group.ReadWrite.All', when: 'anything but members is changed' },
    },
    async (caller, request, reply, { displayName, description, ...rest }) => {
      if (displayName !== undefined || description !== undefined) await authorize(caller, 'Group.ReadWrite.All')
      const done = await caller.tenant.groups.updateGroup(caller.actor, pathOf(request), {
        ...(displayName === undefined ? {} : { displayName }),
        ...(description === undefined ? {} : { description }),
        add: (rest['members@odata.bind'] ?? []).map(readReference),
      })
      return written(reply, done).code(204).send()
    },
  )

  route('DELETE', '/groups/:id', { does: 'Deletes a group', needs: ['Group.ReadWrite.All'], edits }, async ({ tenant, actor }, request, reply) =>
    written(reply, await tenant.groups.removeGroup(actor, pathOf(request)))
      .code(204)
      .send(),
  )
}

/** @throws GraphError 404 */
async function existing({ groups }: Admitted['tenant'], id: string): Promise<Group> {
  const column = GROUPS.properties.id?.column as Column
  const group = (await groups.listing.page({ where: { is: 'eq', column, value: id }, limit: 1 })).value[0]
  if (!group) throw notFound()
  return group
}
