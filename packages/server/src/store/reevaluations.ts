import { type ExpressionBuilder, type ExpressionWrapper, type SqlBool, sql } from 'kysely'
import { type ChangeContext, EXPIRY_LEEWAY } from './change.ts'
import type { Schema } from './schema.ts'

/** Whom an edit can concern. Without any list: everybody whose decision is older than the tenant's `policies_version`, which the edit has moved by then. */
export interface Scope {
  /** For people: what was edited. */
  reason: string
  users?: readonly string[]
  /** What was decided for who came from these, and nothing else of the same people. */
  devices?: readonly string[]
  /** Client ids of applications that ask in their own name. */
  apps?: readonly string[]
}

/** Ids in one statement: SQLite bounds the parameters. */
const BATCH = 500
/** Ids that a job shows. */
const MOST_SHOWN = 100

/**
 * Asks, in the edit's own transaction, for another look at the decisions that it may change (rule I2): access/reevaluate.ts takes it from there, after a crash too. Asked
 * again within a change, its scope widens. Nothing is asked for where nobody lives by such a decision.
 */
export async function scheduleReevaluation(context: ChangeContext, { reason, users, devices, apps }: Scope): Promise<void> {
  const { db, tenant, txn, now, at } = context
  const alone = !users && !devices && !apps
  const total = alone
    ? 0
    : (await mark(context, users ?? [], (eb, ids) => eb('user_id', 'in', ids))) +
      (await mark(context, devices ?? [], (eb, ids) => eb('device_id', 'in', ids))) +
      (await mark(context, apps ?? [], (eb, ids) => eb.and([eb('app_id', 'in', ids), eb('user_id', 'is', null)])))
  if (alone ? !(await isAnyAlive(context)) : total === 0) return

  const home = await db.selectFrom('tenants').select(['last_iat', 'policies_version']).where('id', '=', tenant).executeTakeFirstOrThrow()
  const scope = alone ? null : JSON.stringify([...(users ?? []), ...(devices ?? []), ...(apps ?? [])].slice(0, MOST_SHOWN))
  await db
    .insertInto('reevaluations')
    .values({
      ...{ tenant, id: txn, reason, version: home.policies_version, scope, state: 'running', total, created_at: now, ended_at: null, asked: at },
      // Whatever was given out before the edit has an `iat` at or before it, even where the clock was set back.
      t: Math.max(now, home.last_iat),
    })
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'id']).doUpdateSet((eb) => ({
        ...{ version: eb.ref('excluded.version'), t: eb.fn<number>('greatest', ['reevaluations.t', 'excluded.t']), state: 'running', ended_at: null },
        total: eb('reevaluations.total', '+', eb.ref('excluded.total')),
        scope: sql<string | null>`case when reevaluations.scope is null or excluded.scope is null then null else reevaluations.scope end`,
      })),
    )
    .execute()
}

/** The first edit since a decision counts: whatever was given out by it is from before that. */
async function mark(
  { db, tenant, txn, now }: ChangeContext,
  ids: readonly string[],
  among: (eb: ExpressionBuilder<Schema, 'decisions'>, ids: readonly string[]) => ExpressionWrapper<Schema, 'decisions', SqlBool>,
): Promise<number> {
  let marked = 0
  for (let from = 0; from < ids.length; from += BATCH) {
    const some = ids.slice(from, from + BATCH)
    const { numUpdatedRows } = await db
      .updateTable('decisions')
      .set((eb) => ({ job: eb.fn.coalesce('job', eb.val(txn)), marks: eb('marks', '+', 1) }))
      .where('tenant', '=', tenant)
      .where((eb) => among(eb, some))
      .where('tokens_until', '>', now - EXPIRY_LEEWAY)
      .executeTakeFirst()
    marked += Number(numUpdatedRows)
  }
  return marked
}

async function isAnyAlive({ db, tenant, now }: ChangeContext): Promise<boolean> {
  const living = db
    .selectFrom('decisions')
    .select('id')
    .where('tenant', '=', tenant)
    .where('tokens_until', '>', now - EXPIRY_LEEWAY)
  return (await living.limit(1).executeTakeFirst()) !== undefined
}
