import { type CutoffKey, pairId } from '@caegis/protocol'
import type { Instants } from '../access/account.ts'
import type { Application } from '../directory/application.ts'
import type { Home } from '../directory/guests.ts'
import type { TokenLifetimes } from '../directory/organization.ts'
import { INSTANTS } from '../store/change.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note, once } from './attempt.ts'
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

/** An application as the current attempt sees it. Who decides by it notes it. */
export const readApplication = (tenant: Tenant, appId: string): Promise<Application | undefined> =>
  once(`application ${appId}`, () => tenant.application(appId))

/** What tokens are issued for, as the current attempt sees it. */
export const readResources = (tenant: Tenant): Promise<Resource[]> => once('resources', () => tenant.resources())

/** A user as the current attempt sees one; the version is noted, so that the fence notices an edit in between. */
export const readUser = (store: Store, tenant: Tenant, id: string): Promise<UserFacts | undefined> =>
  once(`user ${id}`, () => lookUpUser(store, tenant, id))

async function lookUpUser(store: Store, tenant: Tenant, id: string): Promise<UserFacts | undefined> {
  const row = await store.db
    .selectFrom('users')
    .select(['enabled', 'display_name', 'mail', 'upn', 'deleted_at', 'break_glass', 'roles', 'type', 'home', 'version'])
    .select(INSTANTS)
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
    ...toInstants(row),
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
    .where('spares', '=', 0)
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
  const found: (Instants | undefined)[] = [await readTenant(store, tenant)]
  if (sid !== undefined) found.push(await once(`instants of session ${sid}`, () => instantsOfSession(store, tenant, sid)))
  if (appId !== undefined) found.push(await once(`instants of app ${appId}`, () => instantsOfApp(store, tenant, appId)))
  if (appId !== undefined && user !== undefined) {
    found.push(await once(`instants of grant ${pairId(user, appId)}`, () => instantsOfGrant(store, tenant, user, appId)))
  }
  if (attempt.device !== undefined) {
    found.push(await readDevice(store, tenant, attempt.device))
    if (user !== undefined) found.push(await readPair(store, tenant, user, attempt.device))
  }
  return found
}

/** Notes the row under which a token that is shown to us may be cut off: what moves it before something is given out for that token is seen by the fence. */
export async function noteKey(store: Store, tenant: Tenant, { kind, id }: CutoffKey): Promise<void> {
  const [user = '', other = ''] = id.split('\n')
  switch (kind) {
    case 'tenant':
      await readTenant(store, tenant)
      return
    case 'user':
      await readUser(store, tenant, id)
      return
    case 'session':
      await once(`instants of session ${id}`, () => instantsOfSession(store, tenant, id))
      return
    case 'app':
      await once(`instants of app ${id}`, () => instantsOfApp(store, tenant, id))
      return
    case 'grant':
      await once(`instants of grant ${id}`, () => instantsOfGrant(store, tenant, user, other))
      return
    case 'device':
      await readDevice(store, tenant, id)
      return
    case 'user-device':
      await readPair(store, tenant, user, other)
      return
    case 'token':
      note(currentAttempt(), { table: 'token', id }, await tokenVersion(store.db, tenant, id))
  }
}

interface InstantColumns {
  valid_from: number
  access_from: number
  claims_from: number
}
const toInstants = (row: InstantColumns): Instants => ({ validFrom: row.valid_from, accessFrom: row.access_from, claimsFrom: row.claims_from })

/** The tenant as the current attempt sees it, noted: how long its tokens live is an edit of this row, so that none leaves with a lifetime of before. */
export const readTenant = (store: Store, tenant: Tenant): Promise<Instants & { lifetimes: TokenLifetimes }> =>
  once('tenant', () => lookUpTenant(store, tenant))

async function lookUpTenant({ db }: Store, { id }: Tenant): Promise<Instants & { lifetimes: TokenLifetimes }> {
  const row = await db
    .selectFrom('tenants')
    .select(['version', 'token_lifetimes', ...INSTANTS])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  note(currentAttempt(), { table: 'tenant', id }, row.version)
  return { ...toInstants(row), lifetimes: JSON.parse(row.token_lifetimes) }
}

async function instantsOfSession({ db }: Store, tenant: Tenant, id: string): Promise<Instants | undefined> {
  const row = await db
    .selectFrom('sessions')
    .select(['version', ...INSTANTS])
    .where('tenant', '=', tenant.id)
    .where('id', '=', id)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'session', id }, row?.version ?? 0)
  return row && toInstants(row)
}

async function instantsOfApp({ db }: Store, tenant: Tenant, id: string): Promise<Instants | undefined> {
  const select = db.selectFrom('applications').select(['version', ...INSTANTS, 'deleted_at'])
  const row = await select.where('tenant', '=', tenant.id).where('app_id', '=', id).executeTakeFirst()
  // One that was deleted is none any more; its instants hold for ever.
  note(currentAttempt(), { table: 'app', id }, row?.deleted_at === null ? row.version : 0)
  return row && toInstants(row)
}

async function instantsOfGrant({ db }: Store, tenant: Tenant, user: string, app: string): Promise<Instants | undefined> {
  const row = await db
    .selectFrom('grants')
    .select(['version', ...INSTANTS])
    .where('tenant', '=', tenant.id)
    .where('user_id', '=', user)
    .where('app_id', '=', app)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'grant', id: pairId(user, app), user, app }, row?.version ?? 0)
  return row && toInstants(row)
}

/** What an API offers, and what its tokens hold, decides with: its row is noted like any other. */
export function noteResource({ appId, version }: Resource): void {
  if (appId !== undefined && version !== undefined) note(currentAttempt(), { table: 'app', id: appId }, version)
}

/** A device as the current attempt sees it, noted; one that is gone or disabled ends whatever was given to it. */
export async function readDevice(store: Store, tenant: Tenant, id: string): Promise<Instants & { key?: object }> {
  const row = await store.db
    .selectFrom('devices')
    .select(['version', ...INSTANTS, 'enabled', 'deleted_at', 'public'])
    .where('tenant', '=', tenant.id)
    .where('id', '=', id)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'device', id }, row?.version ?? 0)
  if (!row || row.deleted_at !== null) return { validFrom: 0, accessFrom: 0, claimsFrom: 0, ended: 'device-missing' }
  return {
    ...{ ...toInstants(row), key: JSON.parse(row.public) },
    ...(row.enabled === 1 ? {} : { ended: 'device-disabled' as const }),
  }
}

async function readPair(store: Store, tenant: Tenant, user: string, device: string): Promise<Instants | undefined> {
  const row = await store.db
    .selectFrom('device_users')
    .select(['version', ...INSTANTS])
    .where('tenant', '=', tenant.id)
    .where('user_id', '=', user)
    .where('device_id', '=', device)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'user-device', id: pairId(user, device), user, device }, row?.version ?? 0)
  return row && toInstants(row)
}
