import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Permission } from '../directory/permissions.ts'
import { type Item, MOST_SHOWN, type Plan, permissionsFor } from '../directory/plan/plan.ts'
import { readTenantFile, type TenantFile } from '../directory/tenant-file.ts'
import { type Api, searchOf } from './api.ts'
import { authorOf } from './author.ts'
import { authorize, type Caller } from './caller.ts'
import { badRequest, GraphError } from './errors.ts'

/** Bytes of a file that is sent; a larger one is for `caegis serve --import`, on the host. */
const BODY_LIMIT = 32 * 1024 * 1024
/** Milliseconds after which an answer says how far it has come. */
const TURN = 1500

const file = z.record(z.string(), z.unknown()).describe('A tenant file as JSON, by the rules of the YAML file')
const planned = z.strictObject({ file })
const applied = z.strictObject({ file, digest: z.string().max(128).describe('Of the plan that was shown, or of what the last answer left') })

/** Any one of them opens the door; what a file says needs all of its own. */
const NEEDS: [Permission, ...Permission[]] = [
  ...(['User.ReadWrite.All', 'RoleManagement.ReadWrite.Directory', 'Group.ReadWrite.All', 'GroupMember.ReadWrite.All'] as const),
  ...(['Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All', 'Policy.ReadWrite.ConditionalAccess'] as const),
  ...(['Device.ReadWrite.All', 'Upstream.ReadWrite.All', 'Organization.ReadWrite.All'] as const),
]

/** What a tenant file would change, and changing it: what is done is what was shown, or nothing. */
export function registerTenantFile({ origin, route, tag }: Api): void {
  const more = {
    needs: 'User.ReadWrite.All',
    when: 'the file has users, and so on: every part needs the permission that its own routes need',
  } as const

  /** The plan for a file, as far as the caller may make it. @throws GraphError 400, 403 */
  const plan = async (caller: Caller, given: object): Promise<{ plan: Plan; actor: Caller['actor']; digest: string }> => {
    const read = readTenantFile(given)
    // Neither a slip nor a token of one tenant ever reaches another one.
    const { name } = read.tenant
    if (name !== caller.tenant.name) {
      const message = `The file is for the tenant "${name}", and you are signed in to "${caller.tenant.name}": sign in to that one (caegis login --tenant ${name}), or change the name.`
      throw new GraphError(400, 'Request_BadRequest', message, [{ code: 'invalidValue', target: '/tenant/name', message }])
    }
    const actor = await authorizeAll(caller, read)
    const found = await caller.tenant.tenantFiles.plan(read)
    return { plan: found, actor, digest: digestOf(given, found.items) }
  }
  const digestOf = (given: object, items: readonly Item[]) => tag('tenant file', JSON.stringify([given, items.map(shape)]))

  route(
    'POST',
    '/caegis/tenantFile/plan',
    { does: 'Says what applying a tenant file would change; changes nothing', needs: NEEDS, more, body: planned, bodyLimit: BODY_LIMIT },
    async (caller, _request, _reply, body) => {
      const { plan: found, actor, digest } = await plan(caller, body.file)
      const blocking = await blockedBy({ ...caller, actor }, found.items)
      const { items, same, left, warnings } = found
      return {
        '@odata.context': `${origin}/v1.0/$metadata#caegis/tenantFile/plan`,
        ...{ tenant: caller.tenant.name, digest, count: items.length, same, left, warnings },
        ...{ wouldBlockAuthor: blocking, steps: items.slice(0, MOST_SHOWN).map(shape) },
      }
    },
  )

  route(
    'POST',
    '/caegis/tenantFile/apply',
    {
      ...{ does: 'Does what the plan of a tenant file said, for a moment; says how much is left', needs: NEEDS, more },
      ...{ body: applied, bodyLimit: BODY_LIMIT, options: ['confirm'] },
    },
    async (caller, request, reply, body) => {
      const { plan: found, actor, digest } = await plan(caller, body.file)
      if (digest !== body.digest)
        throw new GraphError(412, 'PreconditionFailed', 'This is not what was shown: the directory, or the file, changed since. Plan again.')
      await refuseBlock({ ...caller, actor }, request, found.items)
      const end = performance.now() + TURN
      const { done, txns } = await caller.tenant.tenantFiles.apply(found, actor, () => performance.now() < end && !reply.raw.destroyed)
      if (found.items.slice(0, done).some(({ kind }) => kind === 'upstream')) await caller.upstreams.changed()
      const rest = found.items.slice(done)
      const last = txns.at(-1)
      if (last !== undefined) reply.header('caegis-txn', last)
      return {
        '@odata.context': `${origin}/v1.0/$metadata#caegis/tenantFile/applied`,
        ...{ done, left: rest.length, digest: rest.length === 0 ? null : digestOf(body.file, rest), txns },
      }
    },
  )
}

/** The same as whoever asks for each part by itself. @throws GraphError 403 */
async function authorizeAll(caller: Caller, read: TenantFile): Promise<Caller['actor']> {
  let actor = caller.actor
  for (const permission of permissionsFor(read)) actor = await authorize(caller, permission)
  return actor
}

/** Names of policies that would keep the caller out. */
async function blockedBy(caller: Caller, items: readonly Item[]): Promise<string[]> {
  const author = authorOf(caller)
  const names: string[] = []
  if (author) for (const { name, policy } of items) if (policy && (await caller.tenant.wouldBlock(author, policy))) names.push(name)
  return names
}

async function refuseBlock(caller: Caller, request: FastifyRequest, items: readonly Item[]): Promise<void> {
  const confirm = searchOf(request).get('confirm') ?? 'false'
  if (confirm !== 'true' && confirm !== 'false') throw badRequest('confirm is true or false.')
  if (confirm === 'true') return
  const [first, ...others] = await blockedBy(caller, items)
  if (first === undefined) return
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  throw new GraphError(
    409,
    'wouldBlockAuthor',
    `The policy "${first}"${more} would keep you out of the admin API. To save it all the same, repeat this with ?confirm=true.`,
  )
}

function shape({ kind, operation, name, changes }: Item): object {
  return { kind, operation, name, changes }
}
