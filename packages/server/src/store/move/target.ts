import { CaegisError } from '@caegis/protocol'
import type { DatabaseSettings } from '../../database-url.ts'
import { SERVER_ERRORS } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { codeOf, connect } from '../postgres/connect.ts'
import { migratePostgres } from '../postgres/migrate.ts'
import { OF_PROCESSES, quoted } from './source.ts'

/** As PostgreSQL has them. */
export type ColumnType = 'text' | 'bigint' | 'double precision' | 'bytea'

/** A PostgreSQL with this version's tables, in one transaction that nobody else writes beside. */
export interface Target {
  /** Tables, and of each the types of its columns. */
  tables: Map<string, Map<string, ColumnType>>
  count(table: string): Promise<number>
  /** The database's clock, in seconds. */
  clock(): Promise<number>
  /** Writes many rows by one statement. @param values of each column, in the order of `columns` */
  write(table: string, columns: readonly string[], values: readonly unknown[][]): Promise<void>
  /** Until then, nobody sees any of it. @throws CaegisError `move_failed`; `move_unsure` when nobody answered */
  commit(): Promise<void>
  /** Without {@link commit}, nothing was done. */
  close(): Promise<void>
}

/** @throws CaegisError `database_unreachable`, `database_not_empty` */
export async function openTarget(settings: DatabaseSettings, log: Log): Promise<Target> {
  const { db, listenOn } = connect(settings, log)
  // Without the bounds that requests have: a large table takes its time.
  const client = listenOn()
  let broken = false
  client.on('error', () => {
    broken = true
  })
  const close = async () => {
    await client.end().catch(() => {})
    await db.destroy()
  }
  const rows = async (text: string, values: unknown[] = []) => (await client.query(text, values)).rows as Record<string, unknown>[]
  try {
    try {
      await client.connect()
      await client.query('set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = 0')
    } catch (error) {
      throw new CaegisError('database_unreachable', `${SERVER_ERRORS.database_unreachable} (${codeOf(error)})`)
    }
    await migratePostgres(db)
    const columns = await rows(`select c.relname as tab, a.attname as name, format_type(a.atttypid, null) as type
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and c.relname not like 'kysely\\_%' order by c.relname, a.attnum`)
    const tables: Target['tables'] = new Map()
    for (const { tab, name, type } of columns) tables.set(String(tab), (tables.get(String(tab)) ?? new Map()).set(String(name), type as ColumnType))
    for (const own of OF_PROCESSES) tables.delete(own)
    const names = [...tables.keys()].map(quoted)
    await client.query('begin')
    await client.query(`lock table ${names.join(', ')} in exclusive mode`)
    for (const name of names)
      if ((await rows(`select 1 from ${name} limit 1`)).length > 0) throw new CaegisError('database_not_empty', SERVER_ERRORS.database_not_empty)
    // What they would write is in the rows already. They belong to whoever made the tables, so no rights are needed that a server has not.
    for (const name of names) await client.query(`alter table ${name} disable trigger user`)

    return {
      tables,
      count: async (table) => Number((await rows(`select count(*) as n from ${quoted(table)}`))[0]?.n),
      clock: async () => Number((await rows('select caegis_clock() as at'))[0]?.at),
      async write(table, written, values) {
        const types = tables.get(table)
        const arrays = written.map((column, at) => `$${at + 1}::${types?.get(column)}[]`)
        await client.query(`insert into ${quoted(table)} (${written.map(quoted).join(', ')}) select * from unnest(${arrays.join(', ')})`, [...values])
      },
      async commit() {
        for (const name of names) await client.query(`alter table ${name} enable trigger user`)
        // Plans that were made for empty tables would read all of them.
        for (const name of names) await client.query(`analyze ${name}`)
        if (broken) throw new CaegisError('move_failed', SERVER_ERRORS.move_failed)
        const { command } = await client.query('commit').catch((error) => {
          throw new CaegisError('move_unsure', `${SERVER_ERRORS.move_unsure} (${codeOf(error)})`)
        })
        // What PostgreSQL says to the commit of a transaction that has failed.
        if (command !== 'COMMIT') throw new CaegisError('move_failed', SERVER_ERRORS.move_failed)
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
