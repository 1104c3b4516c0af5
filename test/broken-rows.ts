import { sql } from 'kysely'
import type { Loop } from './loop.ts'

/**
 * From here on the database fails at what is named, as a full disk would: in the words of either engine.
 * @param when `before insert on events`
 * @returns mends it
 */
export async function breakRows({ server: { store } }: Pick<Loop, 'server'>, when: string): Promise<() => Promise<void>> {
  const table = when.slice(when.lastIndexOf(' ') + 1)
  if (store.engine === 'postgres') {
    await sql.raw("create function broken() returns trigger language plpgsql as $$ begin raise exception 'no room'; end $$").execute(store.db)
    await sql.raw(`create trigger broken ${when} for each row execute function broken()`).execute(store.db)
  } else await sql.raw(`create trigger broken ${when} begin select raise(abort, 'no room'); end`).execute(store.db)
  return async () => {
    await sql.raw(store.engine === 'postgres' ? `drop trigger broken on ${table}` : 'drop trigger broken').execute(store.db)
    if (store.engine === 'postgres') await sql.raw('drop function broken()').execute(store.db)
  }
}
