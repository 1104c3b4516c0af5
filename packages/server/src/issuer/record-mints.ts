import { type CutoffKind, pairId } from '@caegis/protocol'
import { sql, type Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Attempt, Mint } from './attempt.ts'
import type { Tenant } from './tenant.ts'

type Db = Transaction<Schema>

/**
 * Remembers the greatest `iat` and `exp` under each key of the tokens: where the next cutoff must not be placed below, and until when it can hit something. The tokens
 * of one answer share most of their keys, and each row is written once.
 */
export async function recordMints(db: Db, { id: tenant }: Tenant, mints: readonly Mint[], now: number): Promise<void> {
  if (mints.length === 0) return
  const each = async <K extends string>(keyOf: (mint: Mint) => readonly K[], write: (key: K, some: [Mint, ...Mint[]]) => Promise<unknown>) => {
    const keyed = mints.flatMap((mint) => keyOf(mint).map((key) => ({ key, mint })))
    for (const [key, some] of Map.groupBy(keyed, (one) => one.key)) await write(key, some.map(({ mint }) => mint) as [Mint, ...Mint[]])
  }
  const some = <T>(value: T | undefined): T[] => (value === undefined ? [] : [value])

  await each(
    ({ user, appId }) => (user === undefined || appId === '' ? [] : [pairId(user, appId)]),
    (_, its) => recordGrant(db, tenant, its, now),
  )
  await each(
    ({ device, user }) => (device === undefined || user === undefined ? [] : [pairId(user, device)]),
    (_, its) => recordPair(db, tenant, its, now),
  )
  await each(
    ({ sid, user }) => (user === undefined ? [] : some(sid)),
    (_, its) => recordSession(db, tenant, its, now),
  )
  await each(
    (mint) => [...some(mint.user), ...ids(mint, 'user')],
    (id, its) => raise(db, 'users', { tenant, id }, its),
  )
  await each(
    (mint) => [mint.appId, ...ids(mint, 'app')],
    (id, its) => raise(db, 'applications', { tenant, app_id: id }, its),
  )
  await each(
    (mint) => [...some(mint.device), ...ids(mint, 'device')],
    (id, its) => raise(db, 'devices', { tenant, id }, its),
  )
  // What the token was given out for has rows already.
  await each(
    (mint) => ids(mint, 'session'),
    (id, its) => raise(db, 'sessions', { tenant, id }, its),
  )
  await each(
    (mint) => ids(mint, 'grant'),
    (pair, its) => {
      const [user_id = '', app_id = ''] = pair.split('\n')
      return raise(db, 'grants', { tenant, user_id, app_id }, its)
    },
  )
  await each(
    (mint) => ids(mint, 'user-device'),
    (pair, its) => {
      const [user_id = '', device_id = ''] = pair.split('\n')
      return raise(db, 'device_users', { tenant, user_id, device_id }, its)
    },
  )
  await raise(db, 'tenants', { id: tenant }, mints)
}

/** Of what the token was given out for. */
const ids = ({ keys = [] }: Mint, kind: CutoffKind): string[] => keys.filter((key) => key.kind === kind).map(({ id }) => id)

const lastOf = (mints: readonly Mint[]) => ({
  last_iat: Math.max(...mints.map(({ iat }) => iat)),
  tokens_until: Math.max(...mints.map(({ exp }) => exp)),
})

/** Both columns of the rows of a table, raised and never lowered. */
function raised(table: keyof Schema, mints: readonly Mint[]) {
  const { last_iat, tokens_until } = lastOf(mints)
  return {
    last_iat: sql<number>`greatest(${sql.ref(`${table}.last_iat`)}, ${last_iat})`,
    tokens_until: sql<number>`greatest(${sql.ref(`${table}.tokens_until`)}, ${tokens_until})`,
  }
}

/** Leaves a row alone that stands as high: those of a tenant and of an application would be written by every mint, and each would wait for the one before. */
async function raise(db: Db, table: keyof Schema, row: Record<string, string>, mints: readonly Mint[]): Promise<void> {
  const { last_iat, tokens_until } = lastOf(mints)
  const columns = Object.entries(raised(table, mints)).map(([name, value]) => sql`${sql.ref(name)} = ${value}`)
  const where = Object.entries(row).map(([name, value]) => sql`${sql.ref(name)} = ${value}`)
  await sql`update ${sql.table(table)} set ${sql.join(columns)} where ${sql.join(where, sql` and `)}
    and (last_iat < ${last_iat} or tokens_until < ${tokens_until})`.execute(db)
}

/** What an application holds of a user. The version stays: more of the same makes no decision old. */
async function recordGrant(db: Db, tenant: string, mints: [Mint, ...Mint[]], now: number): Promise<void> {
  const { user = '', appId } = mints[0]
  const known = await grantOf(db, tenant, user, appId)
  const scopes = union(
    known?.scopes,
    mints.flatMap((mint) => mint.scopes ?? []),
  )
  await db
    .insertInto('grants')
    .values({ tenant, user_id: user, app_id: appId, scopes, created_at: now, ...lastOf(mints) })
    .onConflict((conflict) => conflict.columns(['tenant', 'user_id', 'app_id']).doUpdateSet({ scopes, ...raised('grants', mints) }))
    .execute()
}

async function recordPair(db: Db, tenant: string, mints: [Mint, ...Mint[]], now: number): Promise<void> {
  const { user = '', device = '' } = mints[0]
  await db
    .insertInto('device_users')
    .values({ tenant, user_id: user, device_id: device, created_at: now, ...lastOf(mints) })
    .onConflict((conflict) => conflict.columns(['tenant', 'user_id', 'device_id']).doUpdateSet(raised('device_users', mints)))
    .execute()
}

async function recordSession(db: Db, tenant: string, mints: [Mint, ...Mint[]], now: number): Promise<void> {
  const { sid = '', user = '', iat } = mints[0]
  const authTime = mints.findLast((mint) => mint.authTime !== undefined)?.authTime ?? iat
  await db
    .insertInto('sessions')
    .values({ tenant, id: sid, user_id: user, auth_time: authTime, created_at: now, ...lastOf(mints) })
    .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet({ auth_time: authTime, ...raised('sessions', mints) }))
    .execute()
}

/** What the user agreed to, now and before. */
export async function recordConsent(
  db: Db,
  { id: tenant }: Tenant,
  { user, appId, scopes }: Attempt['consents'][number],
  now: number,
): Promise<void> {
  const consented = union((await grantOf(db, tenant, user, appId))?.consented, scopes)
  await db
    .insertInto('grants')
    .values({ tenant, user_id: user, app_id: appId, scopes: '[]', consented, created_at: now })
    .onConflict((conflict) => conflict.columns(['tenant', 'user_id', 'app_id']).doUpdateSet({ consented }))
    .execute()
}

function grantOf(db: Db, tenant: string, user: string, app: string) {
  const held = db.selectFrom('grants').select(['scopes', 'consented']).where('tenant', '=', tenant)
  return held.where('user_id', '=', user).where('app_id', '=', app).executeTakeFirst()
}

/** A JSON array, longer by what is new. */
function union(known: string | undefined, more: readonly string[]): string {
  return JSON.stringify([...new Set([...(JSON.parse(known ?? '[]') as string[]), ...more])].sort())
}
