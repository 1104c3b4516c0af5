import { CUTOFF_KINDS } from '@caegis/protocol'
import { sql } from 'kysely'
import { EXPIRY_LEEWAY } from '../store/change.ts'
import type { Store } from '../store/store.ts'

/** Rows of one line: a reader bounds its lines at 1000 and 1 MiB. */
const PAGE = 1000

/**
 * The live cutoffs as a snapshot holds them, written by the database itself (SQLite's JSON functions): a million of them would become objects here only to be written
 * as text, which takes three times as long.
 */
export async function* snapshotRows(store: Store, tenant: string): AsyncGenerator<string> {
  const now = Math.floor(store.clock())
  const places = CUTOFF_KINDS.flatMap((kind) => [0, 1].map((spares) => ({ kind, spares: spares as 0 | 1 })))
  for (const { kind, spares } of places) {
    for (let after = ''; ; ) {
      const page = store.db
        .selectFrom('cutoffs')
        .select(['kind', 'id', 't', 'depth', 'until'])
        .where('tenant', '=', tenant)
        .where('kind', '=', kind)
        .where('spares', '=', spares)
        .where('id', '>', after)
        .where('until', '>', now - EXPIRY_LEEWAY)
        .orderBy('id')
        .limit(PAGE)
      const { rows, count, last } = await store.db
        .selectFrom(page.as('page'))
        .select((eb) => [
          sql<string>`json_group_array(json_array(kind, id, t, depth, until))`.as('rows'),
          eb.fn.countAll<number>().as('count'),
          eb.fn.max('id').as('last'),
        ])
        .executeTakeFirstOrThrow()
      if (count > 0) yield rows.slice(1, -1)
      if (count < PAGE) break
      after = last
    }
  }
}
