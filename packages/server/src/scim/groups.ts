import { CaegisError } from '@caegis/protocol'
import { z } from 'zod'
import type { Group, Members } from '../directory/group-commands.ts'
import { type Answered, answerList, answerOne, type Caller, type Scim, searchOf, versionCheck } from './api.ts'
import { invalidValue, notFound, ScimError } from './errors.ts'
import { type Filters, invalid, parsed } from './filter.ts'
import { type Operation, readPatch } from './patch.ts'
import { GROUP_SCHEMA, type Represented, readBody, readSelection, type Shape, withVersion } from './resource.ts'

const GROUP: Shape = {
  schema: GROUP_SCHEMA,
  attributes: { displayName: [], externalId: [], members: ['value', 'type', 'display', '$ref'] },
}

const groupFilters = (source: string): Filters => ({
  id: { column: { name: 'id', type: 'id' } },
  displayname: { column: { name: 'display_name', type: 'text' } },
  externalid: {
    column: { name: 'external_id', type: 'id', nullable: true },
    within: { is: 'eq', column: { name: 'source', type: 'id' }, value: source },
  },
})

const name = z.string().min(1).max(256)
const externalId = z.string().max(256).nullish()
const members = z.array(z.object({ value: z.string().min(1).max(64) })).nullish()
const written = z.object({ displayName: name, externalId, members })

/** What a PATCH makes of a group; members are named one by one, so that nobody else's are undone. */
interface Change {
  displayName?: string
  externalId?: string | null
  members?: string[]
  add: Set<string>
  remove: Set<string>
}

/** `Groups` (RFC 7644 section 3). Of a change of members only those notice it whose tokens would say something else. */
export function registerGroups({ route }: Scim): void {
  route('GET', '/Groups', async (caller, request) => {
    const { groups } = caller.tenant
    const { only, without } = readSelection(GROUP_SCHEMA, searchOf(request))
    // Clients leave out the members of many groups, because there are many.
    const withMembers = only ? only.some((one) => one.startsWith('members')) : !without?.includes('members')
    return answerList(GROUP_SCHEMA, groupFilters(caller.source), request, groups.listing, async (group) =>
      withMembers ? toScimGroup(group, await groups.memberIds(group.id), caller) : represent(group, caller),
    )
  })

  route('GET', '/Groups/:id', async (caller, request, reply) => answerOne(GROUP_SCHEMA, request, reply, await existing(caller, request.params.id)))

  route('POST', '/Groups', async (caller, request, reply) => {
    const { displayName, externalId, members } = readGroup(request.body)
    const create = caller.tenant.groups.createGroup(caller.actor, {
      ...{ displayName, externalId: externalId ?? null, source: caller.source },
      members: (members ?? []).map(({ value }) => value),
    })
    const done = await withKnown(create)
    const group = await existing(caller, done.result)
    return answerOne(GROUP_SCHEMA, request, reply.code(201).headers({ location: group.meta.location, 'caegis-txn': done.txn }), group)
  })

  const save = async (caller: Caller, request: Answered, { add, remove, externalId, ...change }: Change) => {
    const { groups } = caller.tenant
    const group = await groups.find(request.params.id)
    if (!group) throw notFound()
    // As with users: what another system keeps is known here by that system's id.
    const known = externalId === undefined || !['', caller.source].includes(group.source) ? {} : { externalId, source: caller.source }
    const update = { ...change, ...known, add: [...add], remove: [...remove] }
    return withKnown(groups.updateGroup(caller.actor, group.id, update, checkOf(caller, request)))
  }

  route('PUT', '/Groups/:id', async (caller, request, reply) => {
    const { displayName, externalId, members } = readGroup(request.body)
    const all = (members ?? []).map(({ value }) => value)
    const id = externalId === undefined ? {} : { externalId }
    const { txn } = await save(caller, request, { displayName, ...id, members: all, add: new Set(), remove: new Set() })
    return answerOne(GROUP_SCHEMA, request, reply.header('caegis-txn', txn), await existing(caller, request.params.id))
  })

  route('PATCH', '/Groups/:id', async (caller, request, reply) => {
    const { txn } = await save(caller, request, readChange(readPatch(GROUP, request.body)))
    return answerOne(GROUP_SCHEMA, request, reply.header('caegis-txn', txn), await existing(caller, request.params.id))
  })

  route('DELETE', '/Groups/:id', async (caller, request, reply) => {
    const { txn } = await caller.tenant.groups.removeGroup(caller.actor, request.params.id, checkOf(caller, request))
    return reply.code(204).header('caegis-txn', txn).send()
  })
}

function represent(group: Group, { base, source }: Caller): Represented {
  return {
    schemas: [GROUP_SCHEMA],
    id: group.id,
    ...(group.source !== source || group.externalId === null ? {} : { externalId: group.externalId }),
    displayName: group.displayName,
    meta: { resourceType: 'Group', created: new Date(group.createdAt * 1000).toISOString(), location: `${base}/Groups/${group.id}` },
  }
}

function toScimGroup(group: Group, { users, groups }: Members, caller: Caller) {
  const member = (type: 'User' | 'Group') => (value: string) => ({ value, type, $ref: `${caller.base}/${type}s/${value}` })
  const members = [...users.map(member('User')), ...groups.map(member('Group'))]
  return withVersion({ ...represent(group, caller), ...(members.length > 0 ? { members } : {}) })
}

async function existing(caller: Caller, id: string) {
  const group = await caller.tenant.groups.find(id)
  if (!group) throw notFound()
  return toScimGroup(group, await caller.tenant.groups.memberIds(id), caller)
}

function checkOf(caller: Caller, request: Answered): ((group: Group, members: Members) => void) | undefined {
  if (request.headers['if-match'] === undefined) return undefined
  return (group, members) => versionCheck(request)(() => toScimGroup(group, members, caller).meta.version)
}

function readGroup(body: unknown): z.infer<typeof written> {
  return read(written, readBody(GROUP, body))
}

function read<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (!result.success)
    throw invalidValue(
      result.error.issues
        .map(({ path, message }) => `${path.join('.')}: ${message}`)
        .slice(0, 5)
        .join('; '),
    )
  return result.data
}

function readChange(operations: readonly Operation[]): Change {
  const change: Change = { add: new Set(), remove: new Set() }
  for (const operation of operations) {
    const { op, attribute, value } = operation
    if (attribute === 'members') changeMembers(change, operation)
    else if (attribute === 'externalId') change.externalId = op === 'remove' ? null : (read(externalId, value) ?? null)
    else change.displayName = read(name, op === 'remove' ? null : value)
  }
  return change
}

function changeMembers(change: Change, { op, filter, sub, value }: Operation): void {
  if (sub !== undefined || (filter !== undefined && op !== 'remove'))
    throw new ScimError(400, 'Members are added, removed or replaced.', 'invalidPath')
  const named = filter === undefined ? undefined : idsOf(filter)
  const ids = named ?? (value === undefined ? undefined : (read(members, Array.isArray(value) ? value : [value]) ?? []).map((one) => one.value))
  if (op === 'replace' || ids === undefined) {
    change.members = ids ?? []
    change.add.clear()
    change.remove.clear()
    return
  }
  const [to, from] = op === 'add' ? [change.add, change.remove] : [change.remove, change.add]
  for (const id of ids) {
    to.add(id)
    from.delete(id)
  }
}

/** `members[value eq "..."]`, and several of them with or. */
function idsOf(filter: string): string[] {
  const ids = (one: ReturnType<typeof parsed>): string[] => {
    if (one.op === 'or' && 'filters' in one) return one.filters.flatMap(ids)
    if (one.op === 'eq' && 'compValue' in one && one.attrPath.toLowerCase() === 'value' && typeof one.compValue === 'string') return [one.compValue]
    throw invalid('Members are chosen by value eq "...".')
  }
  return ids(parsed(filter))
}

/** Who is to be a member and is nobody is a mistake of the body, not of the path. */
async function withKnown<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof CaegisError && error.code === 'user_not_found') throw invalidValue('A member is neither a user nor a group.')
    throw error
  }
}
