import { randomUUID } from 'node:crypto'
import { type Policy, parsePolicy, policyToGraph } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { sql } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import type { PolicyRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { auditPolicy } from './audit-words.ts'
import { mistakesAboutGuests } from './guests.ts'
import { type Condition, createListing, type Page } from './listing.ts'
import { idOf, idsOf } from './names.ts'
import { commitEdits, type PolicyContext } from './policy-edits.ts'
import { missingAmong, pointerOf, type Reference, referencesOf, renamed } from './references.ts'

/** A policy in Graph's JSON, as it is stored and shown. */
export type PolicyJson = Readonly<Record<string, unknown>>

export interface StoredPolicy {
  id: string
  json: PolicyJson
  createdAt: number
  changedAt: number | null
  /** What `@odata.etag` says: the version of its last edit. */
  position: number
}

/** More would be looked at with every token. */
const MOST_POLICIES = 1000

/** The row of the legacy switch of continuous access evaluation, which is a policy to those who decide and none to those who list them. */
export const SWITCH_ID = '00000000-0000-0000-0000-0000000000ca'

/** A tenant's Conditional Access policies. */
export function createPolicies(store: Store, tenant: string) {
  const listing = createListing<PolicyRow, StoredPolicy>(store.db, tenant, 'policies', true, toStored)
  const listed = sql<boolean>`id <> ${SWITCH_ID}` as never
  const existing = async (context: Pick<Store, 'db'> | Pick<ChangeContext, 'db'>, id: string) => {
    const row = id === SWITCH_ID ? undefined : await findRow(context, tenant, id)
    if (!row) throw new CaegisError('policy_not_found', SERVER_ERRORS.policy_not_found)
    return row
  }

  /** Whoever is told what a policy would do has to be told of a name in it that means nobody: it would do nothing. */
  const named = async (policy: Policy, before: readonly Reference[]): Promise<Policy> => {
    const { db } = store
    const missing = await missingAmong(db, tenant, newIn(policy, before))
    if (missing.length === 0) return policy
    const ids = await idsOf(db, tenant)
    const unknown = new Set(missing.map(pointerOf))
    const found = renamed(policy, (one) => (unknown.has(pointerOf(one)) ? idOf(ids, one) : undefined) ?? one.name)
    await refuseMissing({ db, tenant }, newIn(found, before))
    return found
  }

  return {
    list: {
      page: (page: Page) => listing.page(page, listed),
      count: (where?: Condition) => listing.count(where, listed),
    },

    async find(id: string): Promise<StoredPolicy | undefined> {
      const row = id === SWITCH_ID ? undefined : await findRow(store, tenant, id)
      return row && toStored(row)
    },

    /**
     * What a policy would be after an edit that nobody has made yet. It may name things as a tenant file does.
     * @param id of the policy that it changes; a new one without
     * @throws CaegisError `invalid_policy`, `policy_not_found`
     */
    async draft(given: PolicyJson, id?: string): Promise<Policy> {
      if (id === undefined) return named(read(given, randomUUID()), [])
      const before = JSON.parse((await existing(store, id)).body)
      return named(read(merge(before, given), id), referencesOf(parsePolicy(before)))
    },

    /** @throws CaegisError `invalid_policy` with all mistakes, `policy_exists`, `too_many_policies` */
    create: (actor: Actor, given: PolicyJson): Promise<Committed<string>> =>
      commitEdits(store, tenant, actor, (context) => insertPolicy(context, given)),

    /** Members that are given take the place of those before; of `conditions`, each of its members. The result says whether anything changed. */
    update: (actor: Actor, id: string, given: PolicyJson): Promise<Committed<boolean>> =>
      commitEdits(store, tenant, actor, async (context) => {
        const row = await existing(context, id)
        return changePolicy(context, row, merge(JSON.parse(row.body), given))
      }),

    /** Its row stays: tokens that name it pass for as long as they live. */
    remove: (actor: Actor, id: string): Promise<Committed<void>> =>
      commitEdits(store, tenant, actor, async (context) => removePolicy(context, await existing(context, id))),
  }
}

export type Policies = ReturnType<typeof createPolicies>

export function findRow({ db }: Pick<Store, 'db'> | Pick<ChangeContext, 'db'>, tenant: string, id: string): Promise<PolicyRow | undefined> {
  return db
    .selectFrom('policies')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .executeTakeFirst() as Promise<PolicyRow | undefined>
}

/** Those that live, as somebody may name them. */
export async function livingPolicies({ db, tenant }: ChangeContext): Promise<Policy[]> {
  const rows = await db.selectFrom('policies').select('body').where('tenant', '=', tenant).where('deleted_at', 'is', null).execute()
  return rows.map(({ body }) => parsePolicy(JSON.parse(body)))
}

export async function insertPolicy(context: PolicyContext, given: PolicyJson, id: string = randomUUID()): Promise<string> {
  const { db, tenant, now, edits } = context
  const policy = read(given, id)
  await refuseTaken(context, policy)
  await refuseMissing(context, referencesOf(policy))
  const { count } = await db
    .selectFrom('policies')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('tenant', '=', tenant)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  if (count >= MOST_POLICIES) throw new CaegisError('too_many_policies', SERVER_ERRORS.too_many_policies)
  const json = jsonOf(policy)
  await db
    .insertInto('policies')
    .values({
      ...{ tenant, id, name: policy.displayName, state: policy.state, body: JSON.stringify(json) },
      ...{ version: await edits.version(), created_at: now, changed_at: null, deleted_at: null },
    })
    .execute()
  auditPolicy(context, 'Add', { id, name: policy.displayName })
  consider(context, undefined, policy, 'A Conditional Access policy was added')
  return id
}

/** Makes a policy what the JSON says, whatever it was. @returns whether anything changed */
export async function changePolicy(context: PolicyContext, row: PolicyRow, given: PolicyJson): Promise<boolean> {
  const { db, tenant, now, edits } = context
  const before = parsePolicy(JSON.parse(row.body))
  const after = read(given, row.id)
  const json = jsonOf(after)
  const body = JSON.stringify(json)
  if (body === row.body) return false
  if (after.displayName !== before.displayName) await refuseTaken(context, after)
  await refuseMissing(context, newIn(after, referencesOf(before)))
  await db
    .updateTable('policies')
    .set({ name: after.displayName, state: after.state, body, version: await edits.version(), changed_at: now })
    .where('tenant', '=', tenant)
    .where('id', '=', row.id)
    .execute()
  auditPolicy(context, 'Update', { id: row.id, name: after.displayName }, JSON.parse(row.body), json)
  consider(context, before, after, 'A Conditional Access policy was changed')
  return true
}

export async function removePolicy(context: PolicyContext, row: PolicyRow): Promise<void> {
  const { db, tenant, now, edits } = context
  await db
    .updateTable('policies')
    .set({ deleted_at: now, version: await edits.version() })
    .where('tenant', '=', tenant)
    .where('id', '=', row.id)
    .execute()
  auditPolicy(context, 'Delete', { id: row.id, name: row.name })
  consider(context, parsePolicy(JSON.parse(row.body)), undefined, 'A Conditional Access policy was deleted')
}

/** What follows of an edit: nothing for those who decide where the policy was not enforced and is not. */
function consider({ edits }: PolicyContext, before: Policy | undefined, after: Policy | undefined, reason: string): void {
  const enforced = (policy: Policy | undefined) => (policy?.state === 'enabled' ? policy : undefined)
  const [old, fresh] = [enforced(before), enforced(after)]
  const locationsOf = (policy: Policy | undefined) => JSON.stringify(policy?.conditions.locations ?? null)
  if (locationsOf(old) !== locationsOf(fresh)) edits.changedRules(reason)
  const decides = (policy: Policy | undefined) => JSON.stringify(policy && [policy.conditions, policy.grantControls, policy.sessionControls])
  if (decides(old) !== decides(fresh)) edits.changedDecisions(reason)
}

/** What is stored of a policy that says this, apart from whether it may be. */
export function storedPolicy(given: PolicyJson, id: string): { policy: Policy; json: PolicyJson } {
  const policy = read(given, id)
  return { policy, json: jsonOf(policy) }
}

/** @throws CaegisError `invalid_policy` */
function read(given: PolicyJson, id: string): Policy {
  const policy = { ...parsePolicy({ ...given, id }), id }
  const detail = mistakesAboutGuests(policy)
  if (detail.length > 0) throw new CaegisError('invalid_policy', SERVER_ERRORS.invalid_policy, { detail })
  return policy
}

/** As it is stored: instants stand in the row. */
function jsonOf(policy: Policy): PolicyJson {
  const { createdDateTime: _, modifiedDateTime: __, ...json } = policyToGraph(policy)
  return json
}

function merge(before: PolicyJson, given: PolicyJson): PolicyJson {
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)
  const conditions = isObject(before.conditions) && isObject(given.conditions) ? { conditions: { ...before.conditions, ...given.conditions } } : {}
  return { ...before, ...given, ...conditions }
}

/** @throws CaegisError `policy_exists` */
async function refuseTaken({ db, tenant }: ChangeContext, { id, displayName }: Policy): Promise<void> {
  const same = db.selectFrom('policies').select('id').where('tenant', '=', tenant).where('name', '=', displayName).where('id', '!=', id)
  if (await same.where('deleted_at', 'is', null).executeTakeFirst()) throw new CaegisError('policy_exists', SERVER_ERRORS.policy_exists)
}

/** What was deleted since a policy named it may stay named: it names nobody. */
function newIn(policy: Policy, before: readonly Reference[]): Reference[] {
  const known = new Set(before.map(({ kind, name }) => `${kind} ${name}`))
  return referencesOf(policy).filter(({ kind, name }) => !known.has(`${kind} ${name}`))
}

/** @throws CaegisError `invalid_policy` */
async function refuseMissing(
  { db, tenant }: (Pick<Store, 'db'> & { tenant: string }) | ChangeContext,
  references: readonly Reference[],
): Promise<void> {
  const missing = await missingAmong(db, tenant, references)
  if (missing.length === 0) return
  const detail = missing.map((one) => ({ path: pointerOf(one), message: `there is no such ${WORDS[one.kind]}` }))
  throw new CaegisError('invalid_policy', SERVER_ERRORS.invalid_policy, { detail })
}

const WORDS: Record<Reference['kind'], string> = {
  ...{ user: 'user', group: 'group', role: 'directory role', application: 'application' },
  ...{ servicePrincipal: 'service principal', location: 'named location', context: 'authentication context' },
}

function toStored({ id, body, version, created_at, changed_at }: PolicyRow): StoredPolicy {
  return { id, json: JSON.parse(body), createdAt: created_at, changedAt: changed_at, position: version }
}
