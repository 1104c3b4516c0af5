import type { Kysely, Transaction } from 'kysely'
import type { ApplicationRow, Schema } from '../store/schema.ts'

/** A client, an API, or both. */
export interface Application {
  /** Object id. */
  id: string
  appId: string
  displayName: string
  type: ApplicationRow['type']
  enabled: boolean
  /** The API is registered for continuous access evaluation. */
  cae: boolean
  /** Keyed digest of the secret; `null` for public clients. */
  secret: string | null
  redirectUris: string[]
  identifierUris: string[]
  /** Names of the scopes that it offers as an API. */
  scopes: string[]
  /** What it may ask for as a client: `api://files/Files.Read`, `graph/User.Read.All`. */
  permissions: string[]
  /** Where a client hears of sign-outs, and whether it wants them to name the session. */
  backchannelLogout: { uri: string; sessionRequired: boolean } | null
  /** Users are asked before it gets anything. */
  consentRequired: boolean
  version: number
  validFrom: number
  accessFrom: number
}

type Db = Kysely<Schema> | Transaction<Schema>

export async function findApplication(db: Db, tenant: string, appId: string): Promise<Application | undefined> {
  const row = await db.selectFrom('applications').selectAll().where('tenant', '=', tenant).where('app_id', '=', appId).executeTakeFirst()
  return row && toApplication(row)
}

/** All applications of a tenant that offer something as an API. */
export async function listApis(db: Db, tenant: string): Promise<Application[]> {
  const rows = await db.selectFrom('applications').selectAll().where('tenant', '=', tenant).where('identifier_uris', '!=', '[]').execute()
  return rows.map(toApplication)
}

function toApplication(row: ApplicationRow): Application {
  return {
    id: row.id,
    appId: row.app_id,
    displayName: row.display_name,
    type: row.type,
    enabled: row.enabled === 1,
    cae: row.cae === 1,
    secret: row.secret,
    redirectUris: JSON.parse(row.redirect_uris),
    identifierUris: JSON.parse(row.identifier_uris),
    scopes: JSON.parse(row.scopes),
    permissions: JSON.parse(row.permissions),
    backchannelLogout: row.logout_uri === null ? null : { uri: row.logout_uri, sessionRequired: row.logout_session === 1 },
    consentRequired: row.consent === 1,
    version: row.version,
    validFrom: row.valid_from,
    accessFrom: row.access_from,
  }
}
