import { sql } from 'kysely'
import type { Store } from './store.ts'

/** Counts that all processes share, for what protects an account or a tenant; what only protects a process is counted in it. */
export interface Limits {
  /**
   * Counts one more, and says how many there are since the window began. One statement: two processes that count at once both count.
   * @param window seconds; the first after it begins another one
   */
  spend(tenant: string, key: string, window: number): Promise<number>
}

export function createLimits({ db, clock }: Pick<Store, 'db' | 'clock'>): Limits {
  return {
    async spend(tenant, key, window) {
      const since = Math.floor(clock())
      // A clock that was set back begins anew, too: nobody waits for it to come again.
      const runs = sql<boolean>`excluded.since >= limits.since and excluded.since < limits.since + ${sql.lit(window)}`
      const { count } = await db
        .insertInto('limits')
        .values({ tenant, key, since, count: 1 })
        .onConflict((known) =>
          known.columns(['tenant', 'key']).doUpdateSet({
            count: sql`case when ${runs} then limits.count + 1 else 1 end`,
            since: sql`case when ${runs} then limits.since else excluded.since end`,
          }),
        )
        .returning('count')
        .executeTakeFirstOrThrow()
      return count
    },
  }
}
