import type { DeviceSignal, RiskLevel } from '@caegis/policy'
import type { Kysely, Transaction } from 'kysely'
import { guestSignal, type Home, homesHere } from '../directory/guests.ts'
import { rightsOf } from '../directory/rights.ts'
import type { DeviceRow, Schema } from '../store/schema.ts'
import type { Standing } from './signals.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/** Rows in one query: SQLite bounds the parameters. */
const BATCH = 500

/** What policies look at of these users. Who is not in the answer does not exist. */
export async function readUsers(db: Db, tenant: string, ids: readonly string[]): Promise<Map<string, NonNullable<Standing['user']>>> {
  const found = new Map<string, NonNullable<Standing['user']>>()
  const rights = await rightsOf(db, tenant, ids)
  for (let from = 0; from < ids.length; from += BATCH) {
    const rows = await db
      .selectFrom('users')
      .select(['id', 'roles', 'type', 'home', 'risk_level', 'risk_at', 'password_at', 'password_expired'])
      .where('tenant', '=', tenant)
      .where('id', 'in', ids.slice(from, from + BATCH))
      .where('deleted_at', 'is', null)
      .execute()
    const homes = new Map(rows.flatMap(({ id, home }) => (home === null ? [] : [[id, JSON.parse(home) as Home] as const])))
    const ours = await homesHere(db, [...homes.values()])
    for (const row of rows) {
      found.set(row.id, {
        id: row.id,
        groups: rights.get(row.id)?.groups ?? [],
        roles: JSON.parse(row.roles),
        risk: row.risk_level as RiskLevel,
        passwordChanged: row.password_expired === 0 && row.password_at !== null && row.password_at > (row.risk_at ?? 0),
        ...(row.type === 'guest' ? { guest: guestSignal(homes.get(row.id), ours) } : {}),
      })
    }
  }
  return found
}

/** Of applications that ask in their own name. */
export async function readServicePrincipals(
  db: Db,
  tenant: string,
  appIds: readonly string[],
): Promise<Map<string, NonNullable<Standing['servicePrincipal']>>> {
  const found = new Map<string, NonNullable<Standing['servicePrincipal']>>()
  for (let from = 0; from < appIds.length; from += BATCH) {
    const rows = await db
      .selectFrom('applications')
      .select(['id', 'app_id', 'risk_level'])
      .where('tenant', '=', tenant)
      .where('app_id', 'in', appIds.slice(from, from + BATCH))
      .where('deleted_at', 'is', null)
      .execute()
    for (const { id, app_id, risk_level } of rows) found.set(app_id, { id, appId: app_id, ours: true, risk: risk_level as RiskLevel })
  }
  return found
}

/** Of registered devices. One that is disabled is none. */
export async function readDevices(db: Db, tenant: string, ids: readonly string[]): Promise<Map<string, DeviceSignal>> {
  const found = new Map<string, DeviceSignal>()
  for (let from = 0; from < ids.length; from += BATCH) {
    const rows = await db
      .selectFrom('devices')
      .select(['id', 'display_name', 'compliant', 'trust_type', 'registered_from'])
      .where('tenant', '=', tenant)
      .where('id', 'in', ids.slice(from, from + BATCH))
      .where('enabled', '=', 1)
      .where('deleted_at', 'is', null)
      .execute()
    for (const row of rows) found.set(row.id, deviceSignal(row))
  }
  return found
}

type Seen = Pick<DeviceRow, 'id' | 'display_name' | 'compliant' | 'trust_type' | 'registered_from'>

function deviceSignal({ id, display_name, compliant, trust_type, registered_from }: Seen): DeviceSignal {
  // Rules write these names in their own way.
  const trustType = trust_type === 'AzureAd' ? 'AzureAD' : trust_type === 'ServerAd' ? 'ServerAD' : trust_type
  const isCompliant = compliant === null ? null : compliant === 1
  // Who registered a device names it, too, and could give it any name that a policy lets in: to policies it has none that is known.
  return { id, isCompliant, trustType, ...(registered_from === null ? { displayName: display_name } : {}) }
}
