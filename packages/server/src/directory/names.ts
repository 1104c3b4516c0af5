import type { Kysely, Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Reference, ReferenceKind } from './references.ts'
import { isDirectoryRole } from './roles.ts'

type Db = Kysely<Schema> | Transaction<Schema>
export type Ids = Record<ReferenceKind, Map<string, string>>

export function idOf(ids: Ids, { kind, name }: Reference): string | undefined {
  if (kind === 'role') return isDirectoryRole(name) ? name : undefined
  return ids[kind].get(name) ?? (kind === 'user' ? ids.user.get(name.toLowerCase()) : undefined)
}

/** What people call something that a policy names by its id. */
export function nameIn(ids: Ids, { kind, name: id }: Reference): string | undefined {
  // Every map has the names first, and the ids themselves last.
  for (const [name, one] of ids[kind]) if (one === id) return name
  return undefined
}

/** What policies may name, by every name that it has. An id is nobody else's name. */
export async function idsOf(db: Db, tenant: string): Promise<Ids> {
  const users = await db.selectFrom('users').select(['id', 'upn_key']).where('tenant', '=', tenant).where('deleted_at', 'is', null).execute()
  const groups = await db.selectFrom('groups').select(['id', 'display_name']).where('tenant', '=', tenant).execute()
  const locations = await db.selectFrom('locations').select(['id', 'name']).where('tenant', '=', tenant).where('deleted_at', 'is', null).execute()
  const contexts = await db.selectFrom('contexts').select('id').where('tenant', '=', tenant).execute()
  const apps = await db
    .selectFrom('applications')
    .select(['id', 'app_id', 'display_name', 'identifier_uris'])
    .where('tenant', '=', tenant)
    .where('deleted_at', 'is', null)
    .execute()
  const namesOf = (app: (typeof apps)[number]) => [app.display_name, ...(JSON.parse(app.identifier_uris) as string[])]
  const byName = apps.flatMap((app) => namesOf(app).map((name) => [name, app.app_id] as const))
  return {
    user: new Map([...users.map((one) => [one.upn_key, one.id] as const), ...users.map((one) => [one.id, one.id] as const)]),
    group: new Map([...groups.map((one) => [one.display_name, one.id] as const), ...groups.map((one) => [one.id, one.id] as const)]),
    role: new Map(),
    application: new Map([...byName, ...apps.map((one) => [one.app_id, one.app_id] as const)]),
    servicePrincipal: new Map([...byName, ...apps.flatMap((one) => [[one.id, one.id] as const, [one.app_id, one.app_id] as const])]),
    location: new Map([...locations.map((one) => [one.name, one.id] as const), ...locations.map((one) => [one.id, one.id] as const)]),
    context: new Map(contexts.map((one) => [one.id, one.id] as const)),
  }
}
