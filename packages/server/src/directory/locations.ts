import { randomUUID } from 'node:crypto'
import { type Location, locationToGraph, parseLocation } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import type { Selectable } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import type { LocationRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { auditLocation } from './audit-words.ts'
import { createListing } from './listing.ts'
import { livingPolicies } from './policies.ts'
import { commitEdits, type PolicyContext } from './policy-edits.ts'

/** A named location in Graph's JSON. */
export type LocationJson = Readonly<Record<string, unknown>>

export interface StoredLocation {
  id: string
  kind: LocationRow['kind']
  trusted: boolean
  /** Without ranges. */
  json: LocationJson
  /** Ranges in CIDR notation; absent where they were not asked for. */
  ranges?: string[]
  createdAt: number
  changedAt: number | null
  /** What `@odata.etag` says: the version of its last edit. */
  position: number
}

const MOST_LOCATIONS = 1000
/** Characters of all ranges of a tenant. */
const MOST_TEXT = 128 * 1024 * 1024

const WITHOUT_RANGES = ['tenant', 'id', 'name', 'kind', 'trusted', 'body', 'version', 'created_at', 'changed_at', 'deleted_at'] as const
/** Stands for ranges that were read before: reading a million takes a second. */
const ANY_RANGE = '0.0.0.0/32'

type Row = Selectable<LocationRow>
type Listed = Pick<Row, (typeof WITHOUT_RANGES)[number]> & { ranges?: string }

/** A tenant's named locations. */
export function createLocations(store: Store, tenant: string) {
  const existing = async ({ db }: Pick<ChangeContext, 'db'>, id: string) => {
    const row = await rowsOf(db, tenant).where('id', '=', id).executeTakeFirst()
    if (!row) throw new CaegisError('location_not_found', SERVER_ERRORS.location_not_found)
    return row
  }

  return {
    /** A location may hold a million ranges, so a list shows them only when they are asked for. */
    list: createListing<Listed, StoredLocation>(store.db, tenant, 'locations', true, toStored, WITHOUT_RANGES),
    listWithRanges: createListing<Row, StoredLocation>(store.db, tenant, 'locations', true, toStored),

    async find(id: string): Promise<StoredLocation | undefined> {
      const row = await rowsOf(store.db, tenant).where('id', '=', id).executeTakeFirst()
      return row && toStored(row)
    },

    /** @throws CaegisError `invalid_location` with all mistakes, `location_exists`, `too_many_locations` */
    create: (actor: Actor, given: LocationJson): Promise<Committed<string>> =>
      commitEdits(store, tenant, actor, (context) => insertLocation(context, given)),

    /** Members that are given take the place of those before; the kind stays. The result says whether anything changed. */
    update: (actor: Actor, id: string, given: LocationJson): Promise<Committed<boolean>> =>
      commitEdits(store, tenant, actor, async (context) => {
        const row = await existing(context, id)
        return changeLocation(context, row, { ...JSON.parse(row.body), ...given }, given.ipRanges === undefined ? row.ranges : undefined)
      }),

    /** Nobody is to be let in, or kept out, by a location that goes: it is taken out of policies, and trusted no more, first. */
    remove: (actor: Actor, id: string): Promise<Committed<void>> =>
      commitEdits(store, tenant, actor, async (context) => {
        const { db, now, edits } = context
        const row = await existing(context, id)
        if (row.trusted === 1) throw new CaegisError('location_trusted', SERVER_ERRORS.location_trusted)
        if ((await livingPolicies(context)).some((policy) => namesOf(policy).includes(id)))
          throw new CaegisError('location_in_use', SERVER_ERRORS.location_in_use)
        await db
          .updateTable('locations')
          .set({ deleted_at: now, ranges: '', version: await edits.version() })
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .execute()
        auditLocation(context, 'Delete', { id, name: row.name })
        edits.changedRules('A named location was deleted')
      }),
  }
}

export type Locations = ReturnType<typeof createLocations>

export function rowsOf(db: Pick<ChangeContext['db'], 'selectFrom'>, tenant: string) {
  return db.selectFrom('locations').selectAll().where('tenant', '=', tenant).where('deleted_at', 'is', null)
}

export async function insertLocation(context: PolicyContext, given: LocationJson): Promise<string> {
  const { db, tenant, now, edits } = context
  const id = randomUUID()
  const { location, body, ranges } = read(given, id)
  await refuseTaken(context, location)
  await refuseTooMany(context, ranges.length, 1)
  await db
    .insertInto('locations')
    .values({
      ...{ tenant, id, ...columnsOf(location), body, ranges },
      ...{ version: await edits.version(), created_at: now, changed_at: null, deleted_at: null },
    })
    .execute()
  auditLocation(context, 'Add', { id, name: location.displayName })
  edits.changedRules('A named location was added')
  // No policy names it yet, but by its trust.
  if (await isUsed(context, id, isTrusted(location))) edits.changedDecisions('A named location was added')
  return id
}

/**
 * Makes a location what the JSON says, whatever it was.
 * @param kept ranges that stay as they are
 * @returns whether anything changed
 */
export async function changeLocation(context: PolicyContext, row: Row, given: LocationJson, kept?: string): Promise<boolean> {
  const { db, tenant, now, edits } = context
  const { location, body, ranges } = read(given, row.id, kept)
  if (location.kind !== row.kind) {
    const detail = [{ path: '/@odata.type', message: 'a location does not become one of another kind' }]
    throw new CaegisError('invalid_location', SERVER_ERRORS.invalid_location, { detail })
  }
  if (body === row.body && ranges === row.ranges) return false
  if (location.displayName !== row.name) await refuseTaken(context, location)
  await refuseTooMany(context, ranges.length - row.ranges.length, 0)
  await db
    .updateTable('locations')
    .set({ ...columnsOf(location), body, ranges, version: await edits.version(), changed_at: now })
    .where('tenant', '=', tenant)
    .where('id', '=', row.id)
    .execute()
  const told = { id: row.id, name: location.displayName }
  auditLocation(context, 'Update', told, shown(JSON.parse(row.body), row.ranges), shown(JSON.parse(body), ranges))
  const meant = (text: string, of: string) => JSON.stringify([{ ...JSON.parse(text), displayName: '' }, of])
  if (meant(row.body, row.ranges) === meant(body, ranges)) return true
  edits.changedRules('A named location was changed')
  if (await isUsed(context, row.id, row.trusted === 1 || isTrusted(location))) edits.changedDecisions('A named location was changed')
  return true
}

/** Whether an enforced policy looks at it. */
async function isUsed(context: ChangeContext, id: string, trusted: boolean): Promise<boolean> {
  const wanted = trusted ? [id, 'AllTrusted'] : [id]
  return (await livingPolicies(context)).some((policy) => policy.state === 'enabled' && namesOf(policy).some((name) => wanted.includes(name)))
}

function namesOf({ conditions: { locations } }: Awaited<ReturnType<typeof livingPolicies>>[number]): string[] {
  return locations ? [...locations.includeLocations, ...locations.excludeLocations] : []
}

function isTrusted(location: Location): boolean {
  return location.kind === 'ip' && location.isTrusted
}

function columnsOf(location: Location) {
  return { name: location.displayName, kind: location.kind, trusted: isTrusted(location) ? 1 : 0 }
}

/** @throws CaegisError `invalid_location` */
function read(given: LocationJson, id: string, kept?: string): { location: Location; body: string; ranges: string } {
  const isKept = kept !== undefined && kept !== ''
  const location = parseLocation({ ...given, id, ...(isKept ? { ipRanges: [ANY_RANGE] } : {}) })
  const { ipRanges: _, ...json } = locationToGraph(location.kind === 'ip' ? { ...location, ranges: [] } : location)
  return { location, body: JSON.stringify(json), ranges: isKept ? kept : location.kind === 'ip' ? location.ranges.join('\n') : '' }
}

/** What is stored of a location that says this, apart from whether it may be. */
export function storedLocation(given: LocationJson, id: string): { json: LocationJson; ranges: string } {
  const { body, ranges } = read(given, id)
  return { json: JSON.parse(body), ranges }
}

/** For the audit log: of ranges only how many there are. */
function shown(json: LocationJson, ranges: string): object {
  return { ...json, ...(ranges === '' ? {} : { ipRanges: countOf(ranges) }) }
}

function countOf(ranges: string): number {
  let count = 1
  for (let at = ranges.indexOf('\n'); at >= 0; at = ranges.indexOf('\n', at + 1)) count++
  return count
}

/** @throws CaegisError `location_exists` */
async function refuseTaken({ db, tenant }: ChangeContext, { id, displayName }: Location): Promise<void> {
  const same = db.selectFrom('locations').select('id').where('tenant', '=', tenant).where('name', '=', displayName).where('id', '!=', id)
  if (await same.where('deleted_at', 'is', null).executeTakeFirst()) throw new CaegisError('location_exists', SERVER_ERRORS.location_exists)
}

/** @throws CaegisError `too_many_locations` */
async function refuseTooMany({ db, tenant }: ChangeContext, text: number, rows: number): Promise<void> {
  const { count, length } = await db
    .selectFrom('locations')
    .select((eb) => [eb.fn.countAll<number>().as('count'), eb.fn.sum<number | null>(eb.fn('length', ['ranges'])).as('length')])
    .where('tenant', '=', tenant)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  if (count + rows > MOST_LOCATIONS || (length ?? 0) + text > MOST_TEXT) throw new CaegisError('too_many_locations', SERVER_ERRORS.too_many_locations)
}

function toStored({ id, kind, trusted, body, ranges, version, created_at, changed_at }: Listed): StoredLocation {
  return {
    ...{ id, kind, trusted: trusted === 1, json: JSON.parse(body), createdAt: created_at, changedAt: changed_at, position: version },
    ...(ranges === undefined ? {} : { ranges: ranges === '' ? [] : ranges.split('\n') }),
  }
}
