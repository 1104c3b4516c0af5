import { CaegisError, EVENT, event } from '@caegis/protocol'
import { sql } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Draft } from '../store/change.ts'
import { scheduleReevaluation } from '../store/reevaluations.ts'
import type { UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { User } from './directory.ts'

/** Directory roles: what a user may do in the admin API. */
export const DIRECTORY_ROLES = ['admin'] as const
export type DirectoryRole = (typeof DIRECTORY_ROLES)[number]

export function isDirectoryRole(name: string): name is DirectoryRole {
  return (DIRECTORY_ROLES as readonly string[]).includes(name)
}

/** Stands in the text of a query, so that the index over those who hold any role answers it. */
const NONE = sql.lit('[]')

/** Tells who says so that the user's tokens say something else from now on; policies look at roles too. */
export async function publishRoles(context: ChangeContext, subject: Draft['subject'], id: string, roles: readonly string[]): Promise<void> {
  context.publish({
    ...event(EVENT.tokenClaimsChange, { claims: { wids: roles } }),
    ...{ subject, reason: 'Directory roles were changed', cut: { kind: 'user', id, depth: 'claims' } as const },
  })
  await scheduleReevaluation(context, { reason: 'Directory roles were changed', users: [id] })
}

/** Without anybody left to undo it, a withdrawal would be for ever; the emergency account is none whom a tenant lives by. */
export async function refuseLastAdmin({ db, tenant }: ChangeContext, user: UserRow): Promise<void> {
  if (user.break_glass === 1 || user.enabled === 0 || !(JSON.parse(user.roles) as string[]).includes('admin')) return
  const other = await db
    .selectFrom('users')
    .select('id')
    .where('tenant', '=', tenant)
    .where('deleted_at', 'is', null)
    .where('enabled', '=', 1)
    .where('break_glass', '=', 0)
    .where('roles', '<>', NONE)
    .where('roles', 'like', '%"admin"%')
    .where('id', '!=', user.id)
    .limit(1)
    .executeTakeFirst()
  if (!other) throw new CaegisError('last_admin', SERVER_ERRORS.last_admin)
}

type Edit = <T>(actor: Actor, idOrName: string, work: (context: ChangeContext, user: UserRow) => Promise<T>) => ReturnType<Store['commit']>

/** Gives directory roles to users and takes them away. */
export function createRoles(store: Store, tenant: string, edit: Edit, about: (id: string) => Draft['subject'], toUser: (row: UserRow) => User) {
  const turn = (actor: Actor, role: DirectoryRole, idOrName: string, hold: boolean) =>
    edit(actor, idOrName, async (context, user) => {
      const held = JSON.parse(user.roles) as string[]
      if (held.includes(role) === hold) return
      if (!hold && role === 'admin') await refuseLastAdmin(context, user)
      const roles = hold ? [...held, role] : held.filter((one) => one !== role)
      await context.db
        .updateTable('users')
        .set({ roles: JSON.stringify(roles), version: user.version + 1 })
        .where('tenant', '=', tenant)
        .where('id', '=', user.id)
        .execute()
      await publishRoles(context, about(user.id), user.id, roles)
      context.audit({
        ...{ activity: hold ? 'Add member to role' : 'Remove member from role', operation: hold ? 'Assign' : 'Unassign' },
        ...{
          category: 'RoleManagement',
          targets: [
            { type: 'User', id: user.id, name: user.upn },
            { type: 'Role', id: role },
          ],
        },
      })
    })

  return {
    assignDirectoryRole: (actor: Actor, role: DirectoryRole, user: string) => turn(actor, role, user, true),
    /** @throws CaegisError `last_admin` */
    withdrawDirectoryRole: (actor: Actor, role: DirectoryRole, user: string) => turn(actor, role, user, false),
    async directoryRoleMembers(role: DirectoryRole, { limit, after }: { limit: number; after?: string }): Promise<User[]> {
      let select = store.db
        .selectFrom('users')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('deleted_at', 'is', null)
        .where('roles', '<>', NONE)
        .where('roles', 'like', `%"${role}"%`)
      if (after !== undefined) select = select.where('id', '>', after)
      return (await select.orderBy('id').limit(limit).execute()).map(toUser)
    },
  }
}
