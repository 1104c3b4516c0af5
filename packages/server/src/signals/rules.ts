import { compilePolicies, locationRules, parsePolicy } from '@caegis/policy'
import type { JsonObject } from '@caegis/protocol'
import { EXPIRY_LEEWAY } from '../store/change.ts'
import { evidenceKey, type Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

export interface RulesAsked {
  tenant: string
  /** Client id of the API; of the admin API, its audience. */
  api: string
  /** The version that the guard has; 0 = none. */
  since: number
  /** Seconds for which a token may name a policy that is gone. */
  horizon: number
}

/** Characters of one part: a reader bounds its lines at 1 MiB. */
const LONGEST = 262_144

/**
 * What guards need to evaluate the location conditions that are left to them, in the parts that a guard reads (see read-rules.ts there). The version is read first: an edit
 * meanwhile is in the content, or in what the next look brings, or in both.
 */
export async function* ruleParts({ db, clock }: Store, secrets: Secrets, { tenant, api, since, horizon }: RulesAsked): AsyncGenerator<JsonObject> {
  const { policies_version: version } = await db.selectFrom('tenants').select('policies_version').where('id', '=', tenant).executeTakeFirstOrThrow()
  // A database that was restored from an older copy counts again.
  const from = since <= version ? since : 0
  yield { version, since: from, evidence: evidenceKey(secrets, tenant, api).toString('base64url') }

  const rows = await db.selectFrom('policies').select(['id', 'body', 'deleted_at']).where('tenant', '=', tenant).orderBy('id').execute()
  const living = rows.filter((row) => row.deleted_at === null)
  const rules = new Map(locationRules(compilePolicies(living.map(({ body }) => parsePolicy(JSON.parse(body))))).map((rule) => [rule.id, rule]))
  // Living tokens may name what is not enforced any more.
  const named = rows.filter((row) => row.deleted_at === null || row.deleted_at > clock() - horizon - EXPIRY_LEEWAY)
  for (const policies of portions(named.map(({ id }) => rules.get(id) ?? { id, pass: true }))) yield { policies }

  const locations = await db
    .selectFrom('locations')
    .select(['id', 'kind', 'trusted', 'body', 'version'])
    .where('tenant', '=', tenant)
    .where('deleted_at', 'is', null)
    .orderBy('id')
    .execute()
  for (const kept of portions(locations.filter((row) => from > 0 && row.version <= from).map(({ id }) => id))) yield { kept }
  for (const { id, kind, trusted, body, version: changed } of locations) {
    if (from > 0 && changed <= from) continue
    if (kind === 'country') {
      const { countriesAndRegions: countries = [], includeUnknownCountriesAndRegions: includeUnknown = false } = JSON.parse(body)
      yield { location: { id, kind, trusted: false, countries, includeUnknown } }
      continue
    }
    yield { location: { id, kind, trusted: trusted === 1 } }
    // One location at a time: there may be a million ranges in each.
    const { ranges } = await db.selectFrom('locations').select('ranges').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirstOrThrow()
    if (ranges !== '') for (const some of portions(ranges.split('\n'))) yield { ranges: some }
  }
}

/** Lists that are short enough for one line each. */
function* portions<T>(all: readonly T[]): Generator<T[]> {
  let some: T[] = []
  let length = 0
  for (const one of all) {
    const more = typeof one === 'string' ? one.length + 3 : JSON.stringify(one).length + 1
    if (length + more > LONGEST && some.length > 0) {
      yield some
      some = []
      length = 0
    }
    some.push(one)
    length += more
  }
  if (some.length > 0) yield some
}
