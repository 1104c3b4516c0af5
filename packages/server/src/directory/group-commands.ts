import { randomUUID } from 'node:crypto'
import { CaegisError } from '@caegis/protocol'
import type { Selectable } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import type { GroupRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { auditGroup, auditMember } from './audit-words.ts'
import { changeRights } from './rights.ts'

/** A group as the admin API sees one. */
export interface Group {
  id: string
  displayName: string
  description: string | null
  /** The system that keeps the group; empty for this directory itself. */
  source: string
  externalId: string | null
  createdAt: number
}

/** Ids of direct members. */
export interface Members {
  users: string[]
  groups: string[]
}

export interface NewGroup {
  displayName: string
  description?: string | null
  /** The system that keeps the group, and what that calls it. */
  source?: string
  externalId?: string | null
  /** Ids of users and groups. */
  members?: readonly string[]
}

export interface GroupUpdate extends Partial<Pick<NewGroup, 'displayName' | 'description' | 'externalId' | 'source'>> {
  /** All that are members from now on; before the others. */
  members?: readonly string[]
  /** Ids of users and groups that are members no more, if they are. */
  remove?: readonly string[]
  /** Ids of users and groups that become members beside those who are. */
  add?: readonly string[]
}

/** Ids in one query: SQLite bounds the parameters. */
const BATCH = 500

/** Groups as objects: made, renamed, deleted, and given members. Whoever gains or loses a right by it is cut off as in `changeRights`, and nobody else. */
export function createGroupCommands(store: Store, tenant: string) {
  const edit = <T>(actor: Actor, id: string, work: (context: ChangeContext, group: Selectable<GroupRow>) => Promise<T>): Promise<Committed<T>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const found = await context.db.selectFrom('groups').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
        if (!found) throw new CaegisError('group_not_found', SERVER_ERRORS.group_not_found)
        return work(context, found)
      },
    })

  return {
    createGroup: (actor: Actor, { displayName, description = null, source = '', externalId = null, members = [] }: NewGroup) =>
      store.commit({
        tenant,
        actor,
        async edit(context) {
          const id = randomUUID()
          await refuseTaken(context, displayName)
          await context.db
            .insertInto('groups')
            .values({ tenant, id, display_name: displayName, description, source, external_id: externalId, created_at: context.now })
            .execute()
          auditGroup(context, 'Add', { id, display_name: displayName })
          await add(context, id, members)
          return id
        },
      }),

    /** @param check throws when the group, as it is then, is not to be edited */
    updateGroup: (actor: Actor, id: string, given: GroupUpdate, check?: (group: Group, members: Members) => void) =>
      edit(actor, id, async (context, group) => {
        check?.(toGroup(group), await membersIn(context.db, tenant, id))
        const { displayName: display_name, description, externalId: external_id, source } = given
        if (display_name !== undefined) await refuseTaken(context, display_name, id)
        const wanted = Object.entries({ display_name, description, external_id, source })
        const columns = Object.fromEntries(wanted.filter(([name, value]) => value !== undefined && value !== group[name as keyof GroupRow]))
        if (Object.keys(columns).length > 0)
          await context.db.updateTable('groups').set(columns).where('tenant', '=', tenant).where('id', '=', id).execute()
        auditGroup(context, 'Update', group, columns)
        if (given.members) await setAll(context, id, given.members)
        if (given.remove) await take(context, id, new Set(given.remove))
        await add(context, id, given.add ?? [])
      }),

    /** Its members stay; what they were by it, they are no more. */
    removeGroup: (actor: Actor, id: string, check?: (group: Group, members: Members) => void) =>
      edit(actor, id, async (context, group) => {
        check?.(toGroup(group), await membersIn(context.db, tenant, id))
        return changeRights(context, [id], async () => {
          const { db } = context
          auditGroup(context, 'Delete', group)
          await db.deleteFrom('members').where('tenant', '=', tenant).where('group_id', '=', id).execute()
          await db
            .deleteFrom('nested')
            .where('tenant', '=', tenant)
            .where((eb) => eb.or([eb('group_id', '=', id), eb('member_id', '=', id)]))
            .execute()
          await db.deleteFrom('assignments').where('tenant', '=', tenant).where('principal_id', '=', id).execute()
          await db.deleteFrom('groups').where('tenant', '=', tenant).where('id', '=', id).execute()
        })
      }),

    /** Makes the direct members those that are named, and no others. */
    setMembers: (actor: Actor, id: string, members: readonly string[]) => edit(actor, id, (context) => setAll(context, id, members)),
  }
}

export function toGroup({ id, display_name, description, source, external_id, created_at }: Selectable<GroupRow>): Group {
  return { id, displayName: display_name, description, source, externalId: external_id, createdAt: created_at }
}

export async function membersIn(db: Pick<ChangeContext['db'], 'selectFrom'>, tenant: string, id: string): Promise<Members> {
  const users = db.selectFrom('members').select('user_id as id').where('tenant', '=', tenant).where('group_id', '=', id).orderBy('user_id')
  const groups = db.selectFrom('nested').select('member_id as id').where('tenant', '=', tenant).where('group_id', '=', id).orderBy('member_id')
  return { users: (await users.execute()).map((one) => one.id), groups: (await groups.execute()).map((one) => one.id) }
}

async function setAll(context: ChangeContext, group: string, ids: readonly string[]): Promise<void> {
  const { users, groups } = await membersIn(context.db, context.tenant, group)
  const wanted = new Set(ids)
  await take(context, group, new Set([...users, ...groups].filter((one) => !wanted.has(one))))
  await add(context, group, ids)
}

/** Whoever of these is a member is none any more. */
async function take(context: ChangeContext, group: string, ids: ReadonlySet<string>): Promise<void> {
  const { db, tenant } = context
  const { users, groups } = await membersIn(db, tenant, group)
  const gone = [...users.map((id) => ({ id, isGroup: false })), ...groups.map((id) => ({ id, isGroup: true }))].filter(({ id }) => ids.has(id))
  if (gone.length === 0) return
  for (const one of gone) auditMember(context, group, one, false)
  const all = gone.map(({ id }) => id)
  await changeRights(context, all, async () => {
    for (let from = 0; from < all.length; from += BATCH) {
      const some = all.slice(from, from + BATCH)
      await db.deleteFrom('members').where('tenant', '=', tenant).where('group_id', '=', group).where('user_id', 'in', some).execute()
      await db.deleteFrom('nested').where('tenant', '=', tenant).where('group_id', '=', group).where('member_id', 'in', some).execute()
    }
  })
}

/** @throws CaegisError `group_exists` */
async function refuseTaken({ db, tenant }: ChangeContext, displayName: string, except = ''): Promise<void> {
  const same = db.selectFrom('groups').select('id').where('tenant', '=', tenant).where('display_name', '=', displayName).where('id', '!=', except)
  if (await same.executeTakeFirst()) throw new CaegisError('group_exists', SERVER_ERRORS.group_exists)
}

/** @param ids users and groups. @throws CaegisError `user_not_found` for an id that is neither */
async function add(context: ChangeContext, group: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const { db, tenant } = context
  const users = new Set<string>()
  const groups = new Set<string>()
  for (let from = 0; from < ids.length; from += BATCH) {
    const some = ids.slice(from, from + BATCH)
    const living = db.selectFrom('users').select('id').where('tenant', '=', tenant).where('deleted_at', 'is', null).where('id', 'in', some)
    for (const { id } of await living.execute()) users.add(id)
    for (const { id } of await db.selectFrom('groups').select('id').where('tenant', '=', tenant).where('id', 'in', some).execute()) groups.add(id)
  }
  if (!ids.every((id) => users.has(id) || groups.has(id))) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
  await changeRights(context, [...users, ...groups], async () => {
    for (const id of users) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('members')
        .values({ tenant, group_id: group, user_id: id })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (numInsertedOrUpdatedRows) auditMember(context, group, { id, isGroup: false }, true)
    }
    for (const id of groups) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('nested')
        .values({ tenant, group_id: group, member_id: id })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (numInsertedOrUpdatedRows) auditMember(context, group, { id, isGroup: true }, true)
    }
  })
}
