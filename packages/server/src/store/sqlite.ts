import { closeSync, openSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely'
import { patient } from './busy.ts'
import type { Outage } from './outage.ts'
import type { Schema } from './schema.ts'
import { refuseNul } from './texts.ts'

const MAX_STATEMENTS = 500

/** Milliseconds for which somebody else may have the file: another server, or a command. */
const PATIENCE = 5000

/** Opens (or makes) the embedded database: one file, written through to the disk at every commit. */
export function openSqlite(file: string, outage: Outage, patience = PATIENCE): Kysely<Schema> {
  // Made for its owner alone; SQLite gives the files beside it the same mode.
  if (file !== ':memory:') closeSync(openSync(file, 'a', 0o600))
  const db = new DatabaseSync(file)
  // FULL: an acknowledged change survives a power cut; WAL: a reader in another process does not wait for a writer.
  db.exec(`pragma busy_timeout = ${PATIENCE}; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on`)
  // From here on whoever waits for the file waits without keeping everybody else in this process.
  db.exec('pragma busy_timeout = 0')
  // PostgreSQL's word; SQLite's own is `max`, which means something else there.
  db.function('greatest', { deterministic: true }, (a, b) => ((a as number) > (b as number) ? a : b))
  const dialect = new SqliteDialect({ database: adapt(db, outage) })
  return new Kysely<Schema>({
    dialect: {
      createDriver: () => patient(dialect.createDriver(), db, outage, patience),
      createAdapter: () => dialect.createAdapter(),
      createQueryCompiler: () => dialect.createQueryCompiler(),
      createIntrospector: (from) => dialect.createIntrospector(from),
    },
  })
}

/** Makes node:sqlite fit kysely's driver, which was written for better-sqlite3. Prepared statements are kept, least recently used first out. */
function adapt(db: DatabaseSync, outage: Outage): SqliteDatabase {
  const cache = new Map<string, SqliteStatement>()
  return {
    close: () => db.close(),
    prepare(text) {
      // A transaction that reads first and writes later could lose its turn to another process in between: take the write lock at once.
      const source = text === 'begin' ? 'begin immediate' : text
      const known = cache.get(source)
      if (known) {
        cache.delete(source)
        cache.set(source, known)
        return known
      }
      const made = guarded(wrap(db.prepare(source)), source, db, outage)
      cache.set(source, made)
      if (cache.size > MAX_STATEMENTS) cache.delete(cache.keys().next().value as string)
      return made
    },
  }
}

/** Result codes (sqlite.org/rescode.html): no memory, read-only, the disk fails, is full, or its file is not to be had. */
const AWAY = new Map([
  [7, 'NOMEM'],
  [8, 'READONLY'],
  [10, 'IOERR'],
  [13, 'FULL'],
  [14, 'CANTOPEN'],
])

function guarded(statement: SqliteStatement, source: string, db: DatabaseSync, outage: Outage): SqliteStatement {
  const guard = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      const code = AWAY.get(((error as { errcode?: number }).errcode ?? 0) & 0xff)
      if (code !== undefined) return outage.refuse(error, `SQLITE_${code}`)
      throw error
    }
  }
  return {
    reader: statement.reader,
    all: (parameters) => guard(() => statement.all(parameters)),
    // A disk that is full may have ended the transaction already: then there is nothing to take back, and what ended it is what counts.
    run: (parameters) => (source === 'rollback' && !db.isTransaction ? { changes: 0, lastInsertRowid: 0 } : guard(() => statement.run(parameters))),
    iterate: (parameters) => statement.iterate(parameters),
  }
}

function wrap(statement: StatementSync): SqliteStatement {
  const names = () => statement.columns().map((column) => column.name)
  let known = names()
  const reader = known.length > 0
  // Rows come as arrays: the objects that node:sqlite makes itself are slow to make and slow to read.
  if (reader) statement.setReturnArrays(true)
  const toRow = (values: unknown): Record<string, unknown> => {
    const list = values as unknown[]
    // `select *` has other columns when a migration has added one.
    if (list.length !== known.length) known = names()
    const row: Record<string, unknown> = {}
    for (let i = 0; i < list.length; i++) row[known[i] as string] = list[i]
    return row
  }
  return {
    reader,
    all: (parameters) => statement.all(...bind(parameters)).map(toRow),
    run: (parameters) => statement.run(...bind(parameters)) as { changes: number | bigint; lastInsertRowid: number | bigint },
    *iterate(parameters) {
      for (const values of statement.iterate(...bind(parameters))) yield toRow(values)
    },
  }
}

/** node:sqlite takes an object in first place for a bag of named parameters and stores NULL without a word: refuse what it would misread. */
function bind(parameters: readonly unknown[]): SQLInputValue[] {
  refuseNul(parameters)
  return parameters.map((value) => {
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') return value
    if (value instanceof Uint8Array) return value
    if (typeof value === 'boolean') return value ? 1 : 0
    throw new TypeError(`a ${value === undefined ? 'missing value' : typeof value} cannot be stored`)
  })
}
