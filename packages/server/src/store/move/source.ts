import { DatabaseSync } from 'node:sqlite'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../../errors.ts'
import { isBusy } from '../busy.ts'
import { migrationNames } from '../migrations.ts'
import type { KeyRow } from '../tables/issued.ts'

/** An embedded database that nobody else has open, and that is only read. */
export interface Source {
  /** Tables and their columns, in the order of the database. */
  tables: Map<string, string[]>
  count(table: string): number
  /** One after the other: a table may be larger than the memory. */
  rows(table: string, columns: readonly string[]): Iterable<readonly unknown[]>
  /** Of each tenant, one signing key; a tenant that was never served has none. */
  keys(): { tenant: string; key: Pick<KeyRow, 'kid' | 'sealed'> | undefined }[]
  /** Second of the last that was written down or issued. */
  newest(): number
  close(): void
}

/** Tables of processes, not of what they serve. */
export const OF_PROCESSES = ['nodes', 'leases']

/** In words of SQL. */
export const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

/** @throws CaegisError `data_in_use`, `data_outdated` */
export async function openSource(file: string): Promise<Source> {
  const db = new DatabaseSync(file)
  try {
    // Fails where anybody else has it open, a server above all, and keeps everybody out from then on, until it is closed.
    db.exec('pragma locking_mode = exclusive; pragma query_only = on; begin; select count(*) from sqlite_master')
    await checkVersion(db)
  } catch (error) {
    db.close()
    if (isBusy(error)) throw new CaegisError('data_in_use', SERVER_ERRORS.data_in_use)
    throw error
  }
  const all = (text: string) => db.prepare(text).all() as Record<string, unknown>[]
  const columns = all(`select m.name as tab, c.name from sqlite_master m, pragma_table_info(m.name) c
    where m.type = 'table' and m.name not like 'sqlite\\_%' escape '\\' and m.name not like 'kysely\\_%' escape '\\' order by m.name, c.cid`)
  const tables = new Map<string, string[]>()
  for (const { tab, name } of columns) tables.set(String(tab), [...(tables.get(String(tab)) ?? []), String(name)])
  for (const own of OF_PROCESSES) tables.delete(own)
  return {
    tables,
    count: (table) => Number(all(`select count(*) as n from ${quoted(table)}`)[0]?.n),
    rows(table, names) {
      const statement = db.prepare(`select ${names.map(quoted).join(', ')} from ${quoted(table)}`)
      statement.setReturnArrays(true)
      return statement.iterate() as unknown as Iterable<unknown[]>
    },
    keys() {
      const rows = all('select t.id, k.kid, k.sealed from tenants t left join keys k on k.tenant = t.id group by t.id')
      return rows.map(({ id, kid, sealed }) => ({
        tenant: String(id),
        key: kid === null ? undefined : { kid: String(kid), sealed: sealed as Uint8Array },
      }))
    },
    newest() {
      const latest = (column: string, table: string) => `coalesce((select max(${column}) from ${table}), 0)`
      const all = [latest('at', 'events'), ...['users', 'sessions', 'applications'].map((table) => latest('last_iat', table))]
      return Number(db.prepare(`select max(${all.join(', ')}) as newest`).get()?.newest)
    },
    close: () => db.close(),
  }
}

/** Migrations change more than tables, so it is not enough that the tables look right. */
async function checkVersion(db: DatabaseSync): Promise<void> {
  const known = db.prepare("select count(*) as n from sqlite_master where type = 'table' and name = 'kysely_migration'").get()
  const done =
    known?.n === 1
      ? db
          .prepare('select name from kysely_migration')
          .all()
          .map(({ name }) => String(name))
      : []
  const wanted = await migrationNames()
  if (done.length !== wanted.length || !done.every((name) => wanted.includes(name)))
    throw new CaegisError('data_outdated', SERVER_ERRORS.data_outdated)
}
