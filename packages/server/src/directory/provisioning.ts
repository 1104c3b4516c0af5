import { sql } from 'kysely'
import type { Store } from '../store/store.ts'
import { timeOf } from '../store/time-id.ts'

/** An application that writes people and groups by SCIM, or has done so. */
export interface ScimClient {
  appId: string
  displayName: string
  enabled: boolean
  /** It may still write. */
  permitted: boolean
  /** Who came from it, and is here. */
  users: number
  groups: number
  /** Millisecond of its last change, whatever that was; `null` = none that the log knows. */
  lastWriteAt: number | null
}

const SCIM = 'scim:'
const PERMISSION = 'graph/SCIM.ReadWrite.All'

/** Where people come from who are not made here. */
export function createProvisioning({ db }: Store, tenant: string) {
  return {
    /** Those that were given the permission by its name, and those from which somebody is here; by name. */
    async scimClients(): Promise<ScimClient[]> {
      const users = await sources('users')
      const groups = await sources('groups')
      const known = new Set([...users.keys(), ...groups.keys()])
      const apps = await db
        .selectFrom('applications')
        .select(['app_id', 'display_name', 'enabled', 'permissions'])
        .where('tenant', '=', tenant)
        .where('deleted_at', 'is', null)
        .where((eb) => eb.or([eb('permissions', 'like', `%"${PERMISSION}"%`), eb('app_id', 'in', [...known])]))
        .orderBy('display_name')
        .execute()
      const clients = apps.map(async ({ app_id: appId, display_name, enabled, permissions }) => {
        const held: string[] = JSON.parse(permissions)
        const last = db.selectFrom('audits').select('id').where('tenant', '=', tenant).where('by_app', '=', appId).where('result', '=', 'success')
        const { id } = (await last.orderBy('id', 'desc').limit(1).executeTakeFirst()) ?? {}
        return {
          ...{ appId, displayName: display_name, enabled: enabled === 1 },
          permitted: held.includes(PERMISSION) || held.includes('graph/.default'),
          ...{ users: users.get(appId) ?? 0, groups: groups.get(appId) ?? 0 },
          lastWriteAt: id === undefined ? null : timeOf(id),
        }
      })
      return Promise.all(clients)
    },
    /** So many of an LDAP directory's people are here. */
    async ldapUsers(source: string): Promise<number> {
      const query = db.selectFrom('ldap_entries').select((eb) => eb.fn.countAll<number>().as('count'))
      return (await query.where('tenant', '=', tenant).where('source', '=', source).executeTakeFirstOrThrow()).count
    },
  }

  /** How many are of which SCIM client. */
  async function sources(table: 'users' | 'groups'): Promise<Map<string, number>> {
    const counted = db
      .selectFrom(table)
      .select(['source', (eb) => eb.fn.countAll<number>().as('count')])
      .where('tenant', '=', tenant)
      .where('source', '>=', SCIM)
      // The sign after the colon.
      .where('source', '<', 'scim;')
      // For the index, which holds nobody else.
      .where('source', '<>', '')
    const living = table === 'users' ? counted.where(sql<boolean>`deleted_at is null`) : counted
    return new Map((await living.groupBy('source').execute()).map(({ source, count }) => [source.slice(SCIM.length), count]))
  }
}

export type Provisioning = ReturnType<typeof createProvisioning>
