import { z } from 'zod'
import type { Group } from '../directory/groups.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import { notFound } from './errors.ts'
import { answerCount, answerList, COUNT_OPTIONS } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import { parseSelect, type Resource, shape, toTime } from './resource.ts'

const reference = z.strictObject({ '@odata.id': z.string().max(1024) })

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

/** `groups`, and their members. */
export function registerGroups(api: Api): void {
  const { origin, route } = api
  const context = { '@odata.context': `${origin}/v1.0/$metadata#groups/$entity` }

  route('GET', '/groups', { does: 'Lists groups', needs: ['Group.Read.All'], options: LIST_OPTIONS }, ({ tenant }, request) =>
    answerList(api, tenant.id, request, GROUPS, tenant.groups.listing),
  )

  route(
    'GET',
    '/groups/$count',
    { does: 'Says how many groups there are', needs: ['Group.Read.All'], options: COUNT_OPTIONS },
    async ({ tenant }, request, reply) => reply.type('text/plain').send(await answerCount(tenant.id, request, GROUPS, tenant.groups.listing)),
  )

  route('GET', '/groups/:id', { does: 'Shows a group', needs: ['Group.Read.All'], options: ['$select'] }, async ({ tenant }, request) => {
    const select = parseSelect(GROUPS, searchOf(request).get('$select'))
    const group = await tenant.groups.find(pathOf(request))
    if (!group) throw notFound()
    return { ...context, ...shape(GROUPS, select, group) }
  })

  route(
    'POST',
    '/groups/:id/members/$ref',
    { does: 'Adds a member to a group', needs: ['GroupMember.ReadWrite.All'], body: reference },
    async ({ tenant, actor }, request, reply, body) => {
      // Graph names the member by the URL of its object.
      const member = String(body['@odata.id'].split('/').at(-1))
      return written(reply, await tenant.groups.addMember(actor, pathOf(request), member))
        .code(204)
        .send()
    },
  )

  route(
    'DELETE',
    '/groups/:id/members/:member/$ref',
    { does: 'Removes a member from a group', needs: ['GroupMember.ReadWrite.All'] },
    async ({ tenant, actor }, request, reply) =>
      written(reply, await tenant.groups.removeMember(actor, pathOf(request), pathOf(request, 'member')))
        .code(204)
        .send(),
  )
}
