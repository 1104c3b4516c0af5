import { pairId } from '@caegis/protocol'
import type { Instants } from '../access/account.ts'
import type { Home } from '../directory/guests.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note } from './attempt.ts'
import type { Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

export interface UserFacts extends Instants {
  enabled: boolean
  displayName: string
  userPrincipalName: string
  mail: string | null
  breakGlass: boolean
  roles: string[]
  guest: boolean
}

/** A user as the current attempt sees one; the version is noted, so that the fence notices an edit in between. */
export async function readUser(store: Store, tenant: Tenant, id: string): Promise<UserFacts | undefined> {
  const row = await store.db
    .selectFrom('users')
    .select(['enabled', 'display_name', 'mail', 'upn', 'deleted_at', 'break_glass', 'roles', 'type', 'home', 'version', 'valid_from', 'access_from'])
    .where('tenant', '=', tenant.id)
    .where('id', '=', id)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'user', id }, row?.version ?? 0)
  const { trace } = currentAttempt()
  if (row && (trace.user?.id ?? id) === id) trace.user = { id, name: row.upn }
  if (!row || row.deleted_at !== null) return undefined
  return {
    enabled: row.enabled === 1 && (await isWelcome(store, row.home)),
    displayName: row.display_name,
    userPrincipalName: row.upn,
    mail: row.mail,
    breakGlass: row.break_glass === 1,
    roles: JSON.parse(row.roles),
    guest: row.type === 'guest',
    validFrom: row.valid_from,
    accessFrom: row.access_from,
  }
}

/** A guest whose own account, at another tenant of this server, is disabled or gone is nobody's guest; it is noted like the guest's row. */
async function isWelcome(store: Store, text: string | null): Promise<boolean> {
  if (text === null) return true
  const home = JSON.parse(text) as Home
  const tenant = await store.db.selectFrom('tenants').select('id').where('issuer', '=', home.issuer).executeTakeFirst()
  // Somebody else's server tells of its people by itself.
  if (!tenant) return true
  const row = await store.db
    .selectFrom('users')
    .select(['enabled', 'version'])
    .where('tenant', '=', tenant.id)
    .where('id', '=', home.id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'home', id: home.id, tenant: tenant.id }, row?.version ?? 0)
  return row?.enabled === 1
}

/** Whether a token was revoked alone: it has no row of its own, so its cutoff is its version. */
export async function tokenVersion(db: Pick<Store['db'], 'selectFrom'>, tenant: Tenant, jti: string): Promise<number> {
  const cutoff = await db
    .selectFrom('cutoffs')
    .select('t')
    .where('tenant', '=', tenant.id)
    .where('kind', '=', 'token')
    .where('id', '=', jti)
    .executeTakeFirst()
  return cutoff ? 1 : 0
}

/** The instants of the tenant and, where there is one, of the session, the client, what the client holds of the user, and the device; all noted. */
export async function readInstants(
  store: Store,
  tenant: Tenant,
  { sid, appId, user }: { sid?: string | undefined; appId?: string | undefined; user?: string | undefined },
): Promise<(Instants | undefined)[]> {
  const attempt = currentAttempt()
  const fields = ['version', 'valid_from', 'access_from'] as const
  const toInstants = (row: { valid_from: number; access_from: number }): Instants => ({ validFrom: row.valid_from, accessFrom: row.access_from })

  const home = await store.db.selectFrom('tenants').select(fields).where('id', '=', tenant.id).executeTakeFirstOrThrow()
  note(attempt, { table: 'tenant', id: tenant.id }, home.version)
  const found: (Instants | undefined)[] = [toInstants(home)]
  if (sid !== undefined) {
    const session = await store.db.selectFrom('sessions').select(fields).where('tenant', '=', tenant.id).where('id', '=', sid).executeTakeFirst()
    note(attempt, { table: 'session', id: sid }, session?.version ?? 0)
    found.push(session && toInstants(session))
  }
  if (appId !== undefined) {
    const app = await store.db
      .selectFrom('applications')
      .select(fields)
      .where('tenant', '=', tenant.id)
      .where('app_id', '=', appId)
      .executeTakeFirst()
    note(attempt, { table: 'app', id: appId }, app?.version ?? 0)
    found.push(app && toInstants(app))
  }
  if (appId !== undefined && user !== undefined) {
    const grant = await store.db
      .selectFrom('grants')
      .select(fields)
      .where('tenant', '=', tenant.id)
      .where('user_id', '=', user)
      .where('app_id', '=', appId)
      .executeTakeFirst()
    note(attempt, { table: 'grant', id: pairId(user, appId), user, app: appId }, grant?.version ?? 0)
    found.push(grant && toInstants(grant))
  }
  if (attempt.device !== undefined) {
    found.push(await readDevice(store, tenant, attempt.device))
    if (user !== undefined) found.push(await readPair(store, tenant, user, attempt.device))
  }
  return found
}

/** What an API offers, and what its tokens hold, decides with: its row is noted like any other. */
export function noteResource({ appId, version }: Resource): void {
  if (appId !== undefined && version !== undefined) note(currentAttempt(), { table: 'app', id: appId }, version)
}

/** A device as the current attempt sees it, noted; one that is gone or disabled ends whatever was given to it. */
export async function readDevice(store: Store, tenant: Tenant, id: string): Promise<Instants & { key?: object }> {
  const row = await store.db
    .selectFrom('devices')
    .select(['version', 'valid_from', 'access_from', 'enabled', 'deleted_at', 'public'])
    .where('tenant', '=', tenant.id)
    .where('id', '=', id)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'device', id }, row?.version ?? 0)
  if (!row || row.deleted_at !== null) return { validFrom: 0, accessFrom: 0, ended: 'device-missing' }
  return {
    ...{ validFrom: row.valid_from, accessFrom: row.access_from, key: JSON.parse(row.public) },
    ...(row.enabled === 1 ? {} : { ended: 'device-disabled' as const }),
  }
}

async function readPair(store: Store, tenant: Tenant, user: string, device: string): Promise<Instants | undefined> {
  const row = await store.db
    .selectFrom('device_users')
    .select(['version', 'valid_from', 'access_from'])
    .where('tenant', '=', tenant.id)
    .where('user_id', '=', user)
    .where('device_id', '=', device)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'user-device', id: pairId(user, device), user, device }, row?.version ?? 0)
  return row && { validFrom: row.valid_from, accessFrom: row.access_from }
}
