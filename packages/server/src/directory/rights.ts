import { EVENT } from '@caegis/protocol'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { ChangeContext } from '../store/change.ts'
import { scheduleReevaluation } from '../store/reevaluations.ts'
import type { Schema } from '../store/schema.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/** What a user is by membership: everything that their tokens say of it comes from here. */
export interface Rights {
  /** Ids of groups, also those that hold one of them. */
  groups: string[]
  /** Roles by application, their own and those of their groups. */
  roles: Record<string, string[]>
}

/** Users in one query: SQLite bounds the parameters. */
const BATCH = 500

export async function rightsOf(db: Db, tenant: string, users: readonly string[]): Promise<Map<string, Rights>> {
  const found = new Map<string, Rights>(users.map((id) => [id, { groups: [], roles: {} }]))
  for (let from = 0; from < users.length; from += BATCH) {
    const some = sql.join(users.slice(from, from + BATCH))
    // `union` drops what was seen, so that groups in a circle end. `cross join` looks things up in the order in which they stand, by their indexes: SQLite, which
    // keeps no statistics here, would go through all memberships of the tenant instead.
    const up = sql`with recursive up(user_id, group_id) as (
      select user_id, group_id from members where tenant = ${tenant} and user_id in (${some})
      union select up.user_id, nested.group_id from up cross join nested where nested.tenant = ${tenant} and nested.member_id = up.group_id)`
    const groups = await sql<{ user_id: string; group_id: string }>`${up} select user_id, group_id from up order by group_id`.execute(db)
    for (const { user_id, group_id } of groups.rows) found.get(user_id)?.groups.push(group_id)
    const roles = await sql<{ user_id: string; app_id: string; role: string }>`${up}
      select up.user_id, a.app_id, a.role from up cross join assignments a where a.tenant = ${tenant} and a.principal_id = up.group_id
      union select principal_id, app_id, role from assignments where tenant = ${tenant} and principal_id in (${some})
      order by 2, 3`.execute(db)
    for (const { user_id, app_id, role } of roles.rows) {
      const held = found.get(user_id)
      if (held) held.roles[app_id] = [...(held.roles[app_id] ?? []), role]
    }
  }
  return found
}

/** The users in a group, however deep, or the user that is meant. */
async function usersBelow(db: Db, tenant: string, principals: readonly string[]): Promise<string[]> {
  const users = new Set<string>()
  for (let from = 0; from < principals.length; from += BATCH) {
    const some = sql.join(principals.slice(from, from + BATCH))
    const { rows } = await sql<{ id: string }>`with recursive down(group_id) as (
      select id from groups where tenant = ${tenant} and id in (${some})
      union select nested.member_id from down cross join nested where nested.tenant = ${tenant} and nested.group_id = down.group_id)
      select m.user_id as id from down cross join members m where m.tenant = ${tenant} and m.group_id = down.group_id
      union select id from users where tenant = ${tenant} and id in (${some}) and deleted_at is null`.execute(db)
    for (const { id } of rows) users.add(id)
  }
  return [...users]
}

/**
 * Runs an edit of memberships or roles. Only users whose tokens would say something else afterwards are cut off, at depth `claims`: their next token, which
 * a silent refresh brings, holds the new values.
 * @param principals users and groups that something is given to or taken from
 */
export async function changeRights(context: ChangeContext, principals: readonly string[], work: () => Promise<void>): Promise<void> {
  const { db, tenant, publish } = context
  const users = await usersBelow(db, tenant, principals)
  const before = await rightsOf(db, tenant, users)
  await work()
  const after = await rightsOf(db, tenant, users)
  const asks = await db
    .selectFrom('applications')
    .select('app_id')
    .where('tenant', '=', tenant)
    .where('optional_claims', 'like', '%"groups"%')
    .limit(1)
    .executeTakeFirst()
  const moved: string[] = []
  const told: { id: string; groups: boolean; roles: boolean; fresh: Rights }[] = []
  const others: string[] = []
  for (const id of users) {
    const [old, fresh] = [before.get(id) as Rights, after.get(id) as Rights]
    const groups = JSON.stringify(old.groups) !== JSON.stringify(fresh.groups)
    const roles = JSON.stringify(old.roles) !== JSON.stringify(fresh.roles)
    if (groups) moved.push(id)
    if ((groups && asks) || roles) told.push({ id, groups: groups && asks !== undefined, roles, fresh })
    else if (groups) others.push(id)
  }
  const issued = new Set<string>()
  for (let from = 0; from < told.length; from += BATCH) {
    const ids = told.slice(from, from + BATCH).map(({ id }) => id)
    const rows = db.selectFrom('users').select('id').where('tenant', '=', tenant).where('id', 'in', ids).where('last_iat', '>', 0)
    for (const { id } of await rows.execute()) issued.add(id)
  }
  for (const { id } of told) if (!issued.has(id)) others.push(id)
  // Nobody holds a token of a user who never had one, or that says anything else; a decision that is under way must still notice.
  for (let from = 0; from < others.length; from += BATCH)
    await db
      .updateTable('users')
      .set((eb) => ({ version: eb('version', '+', 1) }))
      .where('tenant', '=', tenant)
      .where('id', 'in', others.slice(from, from + BATCH))
      .execute()
  const iss = issued.size > 0 ? await issuerOf(db, tenant) : ''
  for (const { id, groups, roles, fresh } of told) {
    if (!issued.has(id)) continue
    const who = { format: 'iss_sub', iss, sub: id } as const
    publish({
      type: EVENT.tokenClaimsChange,
      subject: { simple: who, complex: { format: 'complex', user: who } },
      payload: {
        claims: { ...(groups ? { groups: fresh.groups } : {}), ...(roles ? { roles: [...new Set(Object.values(fresh.roles).flat())] } : {}) },
      },
      reason: 'Groups or application roles were changed',
      cut: { kind: 'user', id, depth: 'claims' },
    })
  }
  // Policies look at memberships, whether tokens tell of them or not.
  if (moved.length > 0) await scheduleReevaluation(context, { reason: 'Memberships were changed', users: moved })
}

/** Kept since the tenant was first opened: without it there is no token to cut off. */
export async function issuerOf(db: Db, tenant: string): Promise<string> {
  const { issuer } = await db.selectFrom('tenants').select('issuer').where('id', '=', tenant).executeTakeFirstOrThrow()
  if (issuer == null) throw new Error('the tenant has no issuer yet')
  return issuer
}
