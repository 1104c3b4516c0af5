import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Schema } from './schema.ts'

/** Rows of one statement: whoever works with others of the table waits no longer than for these. */
const BATCH = 500

/** What has had its time: the key of its table, and when that is. */
export interface Expiry {
  table: keyof Schema
  key: readonly string[]
  old: RawBuilder<unknown>
}

/** Removes what is old, a batch at a time: a single statement for a million rows would hold everybody up, or be given up each time and never end. */
export async function expire(db: Kysely<Schema>, { table, key, old }: Expiry, isClosed: () => boolean): Promise<void> {
  const columns = sql.join(key.map((name) => sql.ref(name)))
  while (!isClosed()) {
    // Said twice: a row that was renewed since it was found stays.
    const { numAffectedRows } = await sql`delete from ${sql.table(table)} where (${columns}) in
      (select ${columns} from ${sql.table(table)} where ${old} limit ${sql.lit(BATCH)}) and ${old}`.execute(db)
    if (Number(numAffectedRows ?? 0) < BATCH) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}
