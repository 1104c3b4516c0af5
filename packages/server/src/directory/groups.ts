import { CaegisError } from '@caegis/protocol'
import { type RawBuilder, type Selectable, type SqlBool, sql } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext } from '../store/change.ts'
import type { GroupRow, UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { auditAssignment, auditMember } from './audit-words.ts'
import { toUser, type User } from './directory.ts'
import { createGroupCommands, type Group, type Members, membersIn, toGroup } from './group-commands.ts'
import { type Condition, createListing, type Listed, type Page } from './listing.ts'
import { changeRights, rightsOf } from './rights.ts'

export type { Group }

/** Memberships, of users and of groups in groups, and the roles of applications that users and groups hold. */
export function createGroups(store: Store, tenant: string) {
  const edit = (actor: Actor, principal: string, work: (context: ChangeContext, isGroup: boolean) => Promise<unknown>) =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const isGroup = await existsGroup(context, principal)
        if (!isGroup && !(await existsUser(context, principal))) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
        await changeRights(context, [principal], async () => void (await work(context, isGroup)))
      },
    })
  const row = (group: string, member: string, isGroup: boolean) =>
    isGroup
      ? ({ table: 'nested', values: { tenant, group_id: group, member_id: member } } as const)
      : ({ table: 'members', values: { tenant, group_id: group, user_id: member } } as const)

  const groups = createListing<Selectable<GroupRow>, Group>(store.db, tenant, 'groups', false, toGroup)
  const users = createListing<UserRow, User>(store.db, tenant, 'users', true, toUser)

  return {
    ...createGroupCommands(store, tenant),
    listing: groups,

    /** The members of a group; `deep`: also those of groups in it. */
    membersOf(group: string, deep: boolean) {
      // The first row is read from the table, so that it is sorted as those behind it are, which PostgreSQL insists on.
      const own = sql`select id from groups where tenant = ${tenant} and id = ${group}`
      const within = deep
        ? sql`with recursive down(id) as (${own} union select member_id from down join nested on nested.tenant = ${tenant} and nested.group_id = down.id)
            select id from down`
        : own
      const among = {
        users: sql<SqlBool>`id in (select user_id from members where tenant = ${tenant} and group_id in (${within}))`,
        groups: sql<SqlBool>`id in (select member_id from nested where tenant = ${tenant} and group_id in (${within}))`,
      }
      return { users: bounded(users, among.users), groups: bounded(groups, among.groups) }
    },

    /** The groups that a user or a group is in; `deep`: also those that hold one of them. */
    groupsOf(principal: string, deep: boolean) {
      const direct = sql`select group_id from members where tenant = ${tenant} and user_id = ${principal}
        union select group_id from nested where tenant = ${tenant} and member_id = ${principal}`
      const within = deep
        ? sql`with recursive up(group_id) as (${direct} union select nested.group_id from up join nested on nested.tenant = ${tenant} and nested.member_id = up.group_id)
            select group_id from up`
        : direct
      return bounded(groups, sql<SqlBool>`id in (${within})`)
    },

    /** Ids of all groups that a user is in, however deep. */
    idsOf: async (user: string) => (await rightsOf(store.db, tenant, [user])).get(user)?.groups ?? [],

    /** Ids of the direct members. */
    memberIds: (id: string): Promise<Members> => membersIn(store.db, tenant, id),

    async find(id: string): Promise<Group | undefined> {
      const found = await store.db.selectFrom('groups').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
      return found && toGroup(found)
    },

    /** @param member id of a user or a group */
    addMember: (actor: Actor, group: string, member: string) =>
      edit(actor, member, async (context, isGroup) => {
        if (!(await existsGroup(context, group))) throw new CaegisError('group_not_found', SERVER_ERRORS.group_not_found)
        const { table, values } = row(group, member, isGroup)
        const { numInsertedOrUpdatedRows } = await context.db
          .insertInto(table)
          .values(values as never)
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst()
        if (numInsertedOrUpdatedRows) auditMember(context, group, { id: member, isGroup }, true)
      }),

    removeMember: (actor: Actor, group: string, member: string) =>
      edit(actor, member, async (context, isGroup) => {
        const { db } = context
        const { numDeletedRows } = isGroup
          ? await db
              .deleteFrom('nested')
              .where('tenant', '=', tenant)
              .where('group_id', '=', group)
              .where('member_id', '=', member)
              .executeTakeFirst()
          : await db.deleteFrom('members').where('tenant', '=', tenant).where('group_id', '=', group).where('user_id', '=', member).executeTakeFirst()
        if (numDeletedRows > 0n) auditMember(context, group, { id: member, isGroup }, false)
      }),

    /** Who holds the roles of an application. */
    async assignments(appId: string): Promise<Assignment[]> {
      const rows = await store.db
        .selectFrom('assignments as a')
        .leftJoin('users as u', (join) => join.onRef('u.tenant', '=', 'a.tenant').onRef('u.id', '=', 'a.principal_id'))
        .leftJoin('groups as g', (join) => join.onRef('g.tenant', '=', 'a.tenant').onRef('g.id', '=', 'a.principal_id'))
        .select(['a.role', 'a.principal_id', 'u.display_name as user', 'g.display_name as group'])
        .where('a.tenant', '=', tenant)
        .where('a.app_id', '=', appId)
        .orderBy('a.role')
        .orderBy('a.principal_id')
        .limit(MOST_LISTED)
        .execute()
      return rows.map(({ role, principal_id, user, group }) => ({ role, principal: principal_id, name: user ?? group, isGroup: group !== null }))
    },

    assignRole: (actor: Actor, appId: string, role: string, principal: string) =>
      edit(actor, principal, async (context, isGroup) => {
        const { db } = context
        const app = db.selectFrom('applications').select('id').where('tenant', '=', tenant).where('app_id', '=', appId)
        if (!(await app.where('deleted_at', 'is', null).executeTakeFirst()))
          throw new CaegisError('application_not_found', SERVER_ERRORS.application_not_found)
        const { numInsertedOrUpdatedRows } = await db
          .insertInto('assignments')
          .values({ tenant, app_id: appId, role, principal_id: principal })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst()
        if (numInsertedOrUpdatedRows) auditAssignment(context, appId, role, { id: principal, isGroup }, true)
      }),

    withdrawRole: (actor: Actor, appId: string, role: string, principal: string) =>
      edit(actor, principal, async (context, isGroup) => {
        const { numDeletedRows } = await context.db
          .deleteFrom('assignments')
          .where('tenant', '=', tenant)
          .where('app_id', '=', appId)
          .where('role', '=', role)
          .where('principal_id', '=', principal)
          .executeTakeFirst()
        if (numDeletedRows === 0n) throw new CaegisError('assignment_not_found', SERVER_ERRORS.assignment_not_found)
        auditAssignment(context, appId, role, { id: principal, isGroup }, false)
      }),
  }
}

const MOST_LISTED = 999

/** Who holds a role of an application. */
export interface Assignment {
  role: string
  principal: string
  name: string | null
  isGroup: boolean
}

export type Groups = ReturnType<typeof createGroups>

type Lists<T> = {
  page(page: Page, within?: RawBuilder<SqlBool>): Promise<Listed<T>>
  count(where?: Condition, within?: RawBuilder<SqlBool>): Promise<number>
}

function bounded<T>(list: Lists<T>, within: RawBuilder<SqlBool>) {
  return { page: (page: Page) => list.page(page, within), count: (where?: Condition) => list.count(where, within) }
}

export async function existsGroup({ db, tenant }: ChangeContext, id: string): Promise<boolean> {
  return (await db.selectFrom('groups').select('id').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()) !== undefined
}

async function existsUser({ db, tenant }: ChangeContext, id: string): Promise<boolean> {
  const found = db.selectFrom('users').select('id').where('tenant', '=', tenant).where('id', '=', id).where('deleted_at', 'is', null)
  return (await found.executeTakeFirst()) !== undefined
}
