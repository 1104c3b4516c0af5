import {
  type CompiledLocation,
  compileLocation,
  compilePolicies,
  type Location,
  type Policy,
  type PolicySet,
  parseLocation,
  parsePolicy,
} from '@caegis/policy'
import type { Kysely, Transaction } from 'kysely'
import type { LocationRow, Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

/** The policies of a tenant as they stood at a version. */
export interface Page {
  /** `policies_version` of the tenant. */
  version: number
  policies: readonly Policy[]
  locations: readonly Location[]
  /** The same, ready for look-ups. */
  compiled: readonly CompiledLocation[]
  set: PolicySet
}

/** The Conditional Access policies of one tenant, compiled once a version. */
export interface Book {
  /** What holds now. The version is read at each call: whoever decides by it notes it. */
  current(db?: Kysely<Schema> | Transaction<Schema>): Promise<Page>
}

export function createBook(store: Store, tenant: string): Book {
  let known: Page | undefined
  /** By id: a million ranges are compiled when they are edited, and not when something else is. */
  let compiled = new Map<string, { version: number; location: Location; table: CompiledLocation }>()

  async function load(db: Kysely<Schema> | Transaction<Schema>, version: number): Promise<Page> {
    const rows = await db.selectFrom('policies').select('body').where('tenant', '=', tenant).where('deleted_at', 'is', null).orderBy('id').execute()
    const next: typeof compiled = new Map()
    const headers = await db
      .selectFrom('locations')
      .select(['id', 'version'])
      .where('tenant', '=', tenant)
      .where('deleted_at', 'is', null)
      .orderBy('id')
      .execute()
    for (const { id, version: changed } of headers) {
      const before = compiled.get(id)
      next.set(id, before?.version === changed ? before : { version: changed, ...(await readLocation(db, tenant, id)) })
    }
    compiled = next
    const policies = rows.map(({ body }) => parsePolicy(JSON.parse(body)))
    const all = [...next.values()]
    const tables = all.map(({ table }) => table)
    return { version, policies, locations: all.map(({ location }) => location), compiled: tables, set: compilePolicies(policies, tables) }
  }

  return {
    async current(db = store.db) {
      const { policies_version: version } = await db
        .selectFrom('tenants')
        .select('policies_version')
        .where('id', '=', tenant)
        .executeTakeFirstOrThrow()
      if (known?.version === version) return known
      const page = await load(db, version)
      // An edit may have come between both reads: then the page is newer than its number, which only makes the fence decide once more.
      if ((known?.version ?? -1) < version) known = page
      return page
    },
  }
}

async function readLocation(
  db: Kysely<Schema> | Transaction<Schema>,
  tenant: string,
  id: string,
): Promise<{ location: Location; table: CompiledLocation }> {
  const row = await db.selectFrom('locations').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirstOrThrow()
  const location = toLocation(row)
  return { location, table: compileLocation(location) }
}

/** A named location as its row holds it; it was checked when it was written. */
export function toLocation({
  id,
  name,
  kind,
  trusted,
  body,
  ranges,
}: Pick<LocationRow, 'id' | 'name' | 'kind' | 'trusted' | 'body'> & { ranges: string }): Location {
  if (kind === 'country') return parseLocation(JSON.parse(body))
  return { id, displayName: name, kind, isTrusted: trusted === 1, ranges: ranges === '' ? [] : ranges.split('\n') }
}
