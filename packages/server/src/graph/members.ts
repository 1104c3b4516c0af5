import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { User } from '../directory/directory.ts'
import type { Group } from '../directory/groups.ts'
import type { Listed, Page } from '../directory/listing.ts'
import { type Api, pathOf, written } from './api.ts'
import type { Caller } from './caller.ts'
import { notFound } from './errors.ts'
import { GROUPS, readReference } from './groups.ts'
import { answerList, type Source } from './lists.ts'
import { LIST_OPTIONS } from './query.ts'
import type { Property, Resource } from './resource.ts'
import { USERS } from './users.ts'

const reference = z.strictObject({ '@odata.id': z.string().max(1024) })
const which = z.strictObject({ securityEnabledOnly: z.boolean() })

/** A user or a group: what members of groups are. */
type Member = { user: User } | { group: Group }

const properties: Record<string, Property<Member>> = {}
for (const name of new Set([...Object.keys(USERS.properties), ...Object.keys(GROUPS.properties)]))
  properties[name] = {
    read: (of) => ('user' in of ? USERS.properties[name]?.read(of.user) : GROUPS.properties[name]?.read(of.group)),
    ...(USERS.properties[name]?.usual || GROUPS.properties[name]?.usual ? { usual: true } : {}),
  }
const MEMBERS: Resource<Member> = {
  ...{ type: 'directoryObject', set: 'directoryObjects', properties },
  typeOf: (of) => ('user' in of ? 'user' : 'group'),
}
const AS_GROUPS: Resource<Group> = { ...GROUPS, set: 'directoryObjects', typeOf: () => 'group' }

/** Who is in a group, and which groups somebody is in. */
export function registerMembers(api: Api): void {
  const { origin, route } = api
  const reads = ['GroupMember.Read.All'] as const
  const list = ['$select', '$top', '$skiptoken', '$count']

  for (const [name, deep, does] of [
    ['members', false, 'Lists the members of a group'],
    ['transitiveMembers', true, 'Lists the members of a group and of those in it'],
  ] as const) {
    const members = async ({ tenant }: Caller, request: FastifyRequest) => tenant.groups.membersOf(await groupOf(tenant, request), deep)
    route('GET', `/groups/:id/${name}`, { does, needs: reads, options: list, gives: MEMBERS }, async (caller, request) => {
      const { users, groups } = await members(caller, request)
      return answerList(api, caller.tenant.id, request, MEMBERS, both(users, groups))
    })
    route(
      'GET',
      `/groups/:id/${name}/microsoft.graph.user`,
      { does: `${does}: users`, needs: reads, options: LIST_OPTIONS, gives: USERS },
      async (caller, request) => answerList(api, caller.tenant.id, request, USERS, (await members(caller, request)).users),
    )
    route(
      'GET',
      `/groups/:id/${name}/microsoft.graph.group`,
      { does: `${does}: groups`, needs: reads, options: LIST_OPTIONS, gives: GROUPS },
      async (caller, request) => answerList(api, caller.tenant.id, request, GROUPS, (await members(caller, request)).groups),
    )
  }

  for (const [name, deep, does] of [
    ['memberOf', false, 'Lists the groups that somebody is in'],
    ['transitiveMemberOf', true, 'Lists the groups that somebody is in, and those that hold these'],
  ] as const) {
    route('GET', `/users/:id/${name}`, { does, needs: reads, options: LIST_OPTIONS, gives: GROUPS }, async ({ tenant }, request) =>
      answerList(api, tenant.id, request, AS_GROUPS, tenant.groups.groupsOf(await userOf(tenant, pathOf(request)), deep)),
    )
    route('GET', `/groups/:id/${name}`, { does, needs: reads, options: LIST_OPTIONS, gives: GROUPS }, async ({ tenant }, request) =>
      answerList(api, tenant.id, request, AS_GROUPS, tenant.groups.groupsOf(await groupOf(tenant, request), deep)),
    )
    route(
      'GET',
      `/me/${name}`,
      { does, needs: ['User.Read'], own: true, options: LIST_OPTIONS, gives: GROUPS },
      async ({ tenant, claims }, request) =>
        answerList(api, tenant.id, request, AS_GROUPS, tenant.groups.groupsOf(await userOf(tenant, String(claims.oid)), deep)),
    )
  }

  route(
    'POST',
    '/users/:id/getMemberGroups',
    { does: 'Names all groups that a user is in', needs: reads, body: which },
    async ({ tenant }, request) => ({
      '@odata.context': `${origin}/v1.0/$metadata#Collection(Edm.String)`,
      value: await tenant.groups.idsOf(await userOf(tenant, pathOf(request))),
    }),
  )

  route(
    'POST',
    '/groups/:id/members/$ref',
    { does: 'Adds a member to a group', needs: ['GroupMember.ReadWrite.All'], body: reference },
    async ({ tenant, actor }, request, reply, body) =>
      written(reply, await tenant.groups.addMember(actor, pathOf(request), readReference(body['@odata.id'])))
        .code(204)
        .send(),
  )

  route(
    'DELETE',
    '/groups/:id/members/:member/$ref',
    { does: 'Removes a member from a group', needs: ['GroupMember.ReadWrite.All'] },
    async ({ tenant, actor }, request, reply) =>
      written(reply, await tenant.groups.removeMember(actor, await groupOf(tenant, request), pathOf(request, 'member')))
        .code(204)
        .send(),
  )
}

async function groupOf({ groups }: Caller['tenant'], request: FastifyRequest): Promise<string> {
  const group = await groups.find(pathOf(request))
  if (!group) throw notFound()
  return group.id
}

async function userOf({ directory }: Caller['tenant'], idOrName: string): Promise<string> {
  const user = await directory.user(idOrName)
  if (!user) throw notFound()
  return user.id
}

/** One list out of two: users first. A place in it begins with which of them it is in. */
function both(users: Source<User>, groups: Source<Group>): Source<Member> {
  const rest = async (limit: number, after?: Page['after']): Promise<Listed<Member>> => {
    // At the end of the users, one more look says whether another page follows.
    const found = await groups.page({ limit: Math.max(limit, 1), after })
    if (limit === 0) return { value: [], ...(found.value.length > 0 ? { next: ['groups'] } : {}) }
    return { value: found.value.map((group) => ({ group })), ...(found.next ? { next: ['groups', ...found.next] } : {}) }
  }
  return {
    async page({ limit, after }) {
      const [in_, ...place] = after ?? ['users']
      if (in_ === 'groups') return rest(limit, place.length > 0 ? place : undefined)
      const found = await users.page({ limit, after: place.length > 0 ? place : undefined })
      const value = found.value.map((user) => ({ user }))
      if (found.next) return { value, next: ['users', ...found.next] }
      const more = await rest(limit - value.length)
      return { value: [...value, ...more.value], ...(more.next ? { next: more.next } : {}) }
    },
    count: async () => (await users.count()) + (await groups.count()),
  }
}
