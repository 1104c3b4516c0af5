import { createHash } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { Lock } from '../engine.ts'
import type { Schema } from '../schema.ts'

/**
 * Takes a lock until the end of the transaction, and then, in the same statement, reads the database's clock: what waited for its turn must not carry an instant from
 * before it (threat A4). Advisory locks queue in order, whereas shared locks of rows can starve who wants one alone (threat B13). READ COMMITTED: each statement
 * after this one sees all that was committed before the lock was given.
 */
export async function takeLock(db: Transaction<Schema>, lock: Lock): Promise<number> {
  const [text, shared, also] = 'name' in lock ? [`name ${lock.name}`, false, []] : [`tenant ${lock.tenant}`, lock.shared === true, lock.also ?? []]
  const take = sql.raw(shared ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock')
  // In one order for everybody, so that no two wait for each other.
  const more = [...new Set(also.map((one) => keyOf(`${text} ${one}`)))].sort()
  // Materialized: the clock is read behind the rows, and a row is there behind its lock.
  const taken = sql`taken as materialized (select ${take}(${keyOf(text)}::bigint))`
  const others = sql`others as materialized (select pg_advisory_xact_lock(listed.key::bigint) from taken, unnest(${more}::text[]) as listed(key))`
  const query =
    more.length === 0
      ? sql<{ at: number }>`with ${taken} select caegis_clock() as at from taken`
      : sql<{ at: number }>`with ${taken}, ${others} select caegis_clock() as at from (select count(*) from others) as counted`
  const { rows } = await query.execute(db)
  return (rows[0] as { at: number }).at
}

/** Two texts that meet in 64 bits only wait for each other. */
function keyOf(text: string): string {
  return createHash('sha256').update(`caegis ${text}`).digest().readBigInt64BE().toString()
}
