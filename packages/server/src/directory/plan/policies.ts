import { type Policy, parsePolicy, policyToGraph } from '@caegis/policy'
import { saveContext } from '../contexts.ts'
import { changeLocation, insertLocation, rowsOf, storedLocation } from '../locations.ts'
import { idOf, idsOf, nameIn } from '../names.ts'
import { changePolicy, insertPolicy, type PolicyJson, storedPolicy } from '../policies.ts'
import { renamed } from '../references.ts'
import type { TenantFile } from '../tenant-file.ts'
import { type Difference, differencesOf, given } from './differences.ts'
import { type Draft, definePart, type Place } from './part.ts'

type Json = Readonly<Record<string, unknown>>

/** Contexts, then locations, then the policies that name them, each by its name: one change, so that what follows of it for the living follows once. */
type Entry =
  | { kind: 'authenticationContext'; given: NonNullable<TenantFile['authenticationContexts']>[number] }
  | { kind: 'namedLocation'; given: Json }
  | { kind: 'conditionalAccessPolicy'; given: Json }

export const CONDITIONAL_ACCESS = definePart<Entry>({
  together: true,
  entries: (file) => [
    ...(file.authenticationContexts ?? []).map((one) => ({ kind: 'authenticationContext' as const, given: one })),
    ...(file.namedLocations ?? []).map((one) => ({ kind: 'namedLocation' as const, given: one })),
    ...(file.conditionalAccessPolicies ?? []).map((one) => ({ kind: 'conditionalAccessPolicy' as const, given: one })),
  ],
  kindOf: ({ kind }) => kind,
  nameOf: ({ kind, given: one }) => (kind === 'authenticationContext' ? one.id : String(one.displayName)),
  needs: () => ['Policy.ReadWrite.ConditionalAccess'],

  async compare(place, entries) {
    const ids = entries.some(({ kind }) => kind === 'conditionalAccessPolicy') ? await idsOf(place.db, place.tenant) : undefined
    const drafts: (Draft | undefined)[] = []
    for (const entry of entries) {
      if (entry.kind === 'authenticationContext') drafts.push(await compareContext(place, entry.given))
      else if (entry.kind === 'namedLocation') drafts.push(await compareLocation(place, entry.given))
      else drafts.push(await comparePolicy(place, entry.given, ids as Ids))
    }
    return drafts
  },

  async save(context, _place, entry, { draft }) {
    const { db, tenant } = context
    if (entry.kind === 'authenticationContext') {
      const { id, ...rest } = entry.given
      return saveContext(context, id, rest)
    }
    if (entry.kind === 'namedLocation') {
      const row = await rowsOf(db, tenant).where('name', '=', String(entry.given.displayName)).executeTakeFirst()
      return row ? changeLocation(context, row, entry.given) : insertLocation(context, entry.given)
    }
    const json: PolicyJson = policyToGraph(await withNewLocations({ db, tenant }, draft.policy as Policy))
    const row = await policyRow({ db, tenant }, String(entry.given.displayName))
    return row ? changePolicy(context, row, json) : insertPolicy(context, json)
  },
})

type Ids = Awaited<ReturnType<typeof idsOf>>

async function compareContext({ db, tenant }: Place, { id, ...wanted }: NonNullable<TenantFile['authenticationContexts']>[number]) {
  const row = await db.selectFrom('contexts').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
  if (!row) return { operation: 'add' as const, changes: given({ displayName: id, ...wanted }) }
  const before = { displayName: row.display_name, description: row.description, isAvailable: row.available === 1 }
  return changed(differencesOf(before, wanted))
}

async function compareLocation({ db, tenant }: Place, entry: Json): Promise<Draft | undefined> {
  const row = await rowsOf(db, tenant).where('name', '=', String(entry.displayName)).executeTakeFirst()
  const { json, ranges } = storedLocation(entry, row?.id ?? 'file')
  const list = ranges === '' ? [] : ranges.split('\n')
  const { id: _, ...after } = json
  if (!row) return { operation: 'add', changes: given({ ...after, ...(list.length > 0 ? { ipRanges: list } : {}) }) }
  const { id: __, ...before } = JSON.parse(row.body) as Json
  const changes = differencesOf(before, after)
  if (ranges !== row.ranges) changes.push(rangesChange(row.ranges === '' ? [] : row.ranges.split('\n'), list))
  return changed(changes)
}

/** Of a million ranges, those that come and go. */
function rangesChange(before: readonly string[], after: readonly string[]): Difference {
  const [old, fresh] = [new Set(before), new Set(after)]
  const only = (some: readonly string[], others: ReadonlySet<string>) => some.filter((one) => !others.has(one))
  return (
    differencesOf({ ipRanges: only(before, fresh) }, { ipRanges: only(after, old) })[0] ?? {
      property: 'ipRanges',
      old: 'in another order',
      new: 'as in the file',
    }
  )
}

async function comparePolicy(place: Place, entry: Json, ids: Ids): Promise<Draft | undefined> {
  const row = await policyRow(place, String(entry.displayName))
  const read = renamed(parsePolicy({ ...entry, id: 'file' }), (reference) => idOf(ids, reference) ?? reference.name)
  const { policy, json } = storedPolicy(policyToGraph(read), row?.id ?? 'file')
  if (row && JSON.stringify(json) === row.body) return undefined
  // By names, as people know them: an id that only comes to be would make another plan of the same one.
  const told = (one: PolicyJson) => {
    const { id: _, ...rest } = policyToGraph(renamed(parsePolicy({ ...one }), (reference) => nameIn(ids, reference) ?? reference.name)) as Json
    return rest
  }
  if (!row) return { operation: 'add', changes: given(told(json)), policy }
  const changes = differencesOf(told(JSON.parse(row.body)), told(json))
  return { operation: 'change', changes: changes.length > 0 ? changes : [{ property: 'form' }], policy }
}

/** Locations that only came to be in this change were compared by their names. */
async function withNewLocations({ db, tenant }: Pick<Place, 'db' | 'tenant'>, policy: Policy): Promise<Policy> {
  if (!policy.conditions.locations) return policy
  const rows = await db.selectFrom('locations').select(['id', 'name']).where('tenant', '=', tenant).where('deleted_at', 'is', null).execute()
  const ids = new Set(rows.map(({ id }) => id))
  const named = new Map(rows.map(({ id, name }) => [name, id]))
  return renamed(policy, ({ kind, name }) => (kind === 'location' && !ids.has(name) ? (named.get(name) ?? name) : name))
}

function policyRow({ db, tenant }: Pick<Place, 'db' | 'tenant'>, name: string) {
  const rows = db.selectFrom('policies').selectAll().where('tenant', '=', tenant).where('name', '=', name).where('deleted_at', 'is', null)
  return rows.executeTakeFirst()
}

function changed(changes: Difference[]): Draft | undefined {
  return changes.length === 0 ? undefined : { operation: 'change', changes }
}
