import type { Kysely, Transaction } from 'kysely'
import type { ApplicationRow, CredentialRow, Schema } from '../store/schema.ts'

/** The public client of the `caegis` command, in every tenant: device code, or a code on a loopback address. */
export const CLI_APP_ID = 'caegis-cli'

/** What policies know the admin API by, which is no application of the directory. */
export const ADMIN_API = 'graph'

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
  /** It proves itself with a credential; without a good one it is refused. */
  confidential: boolean
  /** Secrets and certificates, expired ones among them. */
  credentials: CredentialRow[]
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
  /** It gets no token without a proof of the key that the token is bound to (RFC 9449 section 5.2). */
  dpopBound: boolean
  /** What its tokens hold beyond the usual, as an API. */
  optionalClaims: string[]
  version: number
  validFrom: number
  accessFrom: number
}

type Db = Kysely<Schema> | Transaction<Schema>

export async function findApplication(db: Db, tenant: string, appId: string): Promise<Application | undefined> {
  return (await findApplications(db, tenant, [appId])).get(appId)
}

/** By their ids; what was deleted, or never was, is not among them. */
export async function findApplications(db: Db, tenant: string, appIds: readonly string[]): Promise<Map<string, Application>> {
  const rows = await db
    .selectFrom('applications')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('app_id', 'in', appIds)
    .where('deleted_at', 'is', null)
    .execute()
  if (rows.length === 0) return new Map()
  const credentials = await db
    .selectFrom('credentials')
    .selectAll()
    .where('tenant', '=', tenant)
    .where(
      'app_id',
      'in',
      rows.map((row) => row.app_id),
    )
    .orderBy('id')
    .execute()
  const of = Map.groupBy(credentials, (one) => one.app_id)
  return new Map(rows.map((row) => [row.app_id, toApplication(row, of.get(row.app_id) ?? [])]))
}

/** All applications of a tenant that offer something as an API. */
export async function listApis(db: Db, tenant: string): Promise<Application[]> {
  const rows = await db
    .selectFrom('applications')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('identifier_uris', '!=', '[]')
    .where('deleted_at', 'is', null)
    .execute()
  return rows.map((row) => toApplication(row, []))
}

/** As lists read it. */
export function toApplication(row: ApplicationRow, credentials: CredentialRow[]): Application {
  return {
    id: row.id,
    appId: row.app_id,
    displayName: row.display_name,
    type: row.type,
    enabled: row.enabled === 1,
    cae: row.cae === 1,
    confidential: row.confidential === 1,
    credentials,
    redirectUris: JSON.parse(row.redirect_uris),
    identifierUris: JSON.parse(row.identifier_uris),
    scopes: JSON.parse(row.scopes),
    permissions: JSON.parse(row.permissions),
    backchannelLogout: row.logout_uri === null ? null : { uri: row.logout_uri, sessionRequired: row.logout_session === 1 },
    consentRequired: row.consent === 1,
    dpopBound: row.dpop_bound === 1,
    optionalClaims: JSON.parse(row.optional_claims),
    version: row.version,
    validFrom: row.valid_from,
    accessFrom: row.access_from,
  }
}
