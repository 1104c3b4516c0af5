import { type RawBuilder, sql } from 'kysely'
import type { Store } from './store.ts'

/** Types of PostgreSQL that a field may have; SQLite keeps what it was given. */
export type FieldType = 'text' | 'bigint' | 'double precision'

/**
 * A list of rows as a table of the query, in one parameter however many they are: to put together a text with a mark for each value takes longer than to write the rows.
 * The columns are named as the fields are, with `place` beside them, the row's place in the list from 1.
 */
export function listedRows(
  { engine }: Pick<Store, 'engine'>,
  fields: Record<string, FieldType>,
  rows: readonly (readonly unknown[])[],
): RawBuilder<unknown> {
  const postgres = engine === 'postgres'
  const columns = Object.entries(fields).map(([name, type], index) =>
    postgres ? sql`(value ->> ${sql.lit(index)})::${sql.raw(type)} as ${sql.ref(name)}` : sql`value ->> ${sql.lit(index)} as ${sql.ref(name)}`,
  )
  const json = JSON.stringify(rows)
  const source = postgres ? sql`json_array_elements(${json}::json) with ordinality as listed(value, place)` : sql`json_each(${json})`
  return sql`(select ${sql.join(columns)}, ${postgres ? sql`place` : sql`key + 1 as place`} from ${source})`
}
