import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../../errors.ts'
import type { Source } from './source.ts'
import type { ColumnType, Target } from './target.ts'

/** What goes by one statement, at most: rows, and characters or bytes. */
const MOST_ROWS = 5000
const MOST_BYTES = 8 * 1024 * 1024

export interface Copied {
  /** Rows, table by table. */
  tables: Record<string, number>
  /** Texts whose NUL characters became U+FFFD, because PostgreSQL stores none. */
  replaced: number
}

export interface CopyOptions {
  source: Source
  target: Target
  /** What stands in a column instead, of every row. */
  renewed: { table: string; column: string; value: () => string }
  onProgress: (done: number, total: number) => void
}

/**
 * Both databases say themselves which tables and columns they have: one that only one of them knows would be lost without a word.
 * @returns the tables to copy
 * @throws CaegisError `move_failed`
 */
export function compareTables(source: Source['tables'], target: Target['tables']): string[] {
  const of = (tables: ReadonlyMap<string, Iterable<string>>) =>
    [...tables].flatMap(([table, columns]) => [...columns].map((name) => `${table}.${name}`))
  const [here, there] = [of(source), of(new Map([...target].map(([table, columns]) => [table, columns.keys()])))]
  const alone = [...here.filter((one) => !there.includes(one)), ...there.filter((one) => !here.includes(one))]
  if (alone.length > 0) throw failed(`only one of the databases has ${alone.slice(0, 5).join(', ')}`)
  return [...source.keys()]
}

/** @throws CaegisError `move_failed`, when a value does not fit, or when not every row arrived */
export async function copyRows({ source, target, renewed, onProgress }: CopyOptions): Promise<Copied> {
  const tables = compareTables(source.tables, target.tables)
  const counts = new Map(tables.map((table) => [table, source.count(table)]))
  const total = [...counts.values()].reduce((sum, one) => sum + one, 0)
  let done = 0
  let replaced = 0
  for (const table of tables) {
    const types = target.tables.get(table) as Map<string, ColumnType>
    const columns = [...types.keys()]
    const readers = columns.map((column) => {
      const read = readerOf(types.get(column) as ColumnType, `${table}.${column}`, () => replaced++)
      return table === renewed.table && column === renewed.column ? renewed.value : read
    })
    let batch: unknown[][] = columns.map(() => [])
    let rows = 0
    let bytes = 0
    const write = async () => {
      if (rows === 0) return
      await target.write(table, columns, batch)
      done += rows
      onProgress(done, total)
      batch = columns.map(() => [])
      rows = 0
      bytes = 0
    }
    for (const row of source.rows(table, columns)) {
      for (const [at, reader] of readers.entries()) {
        const value = reader(row[at])
        bytes += typeof value === 'string' || value instanceof Uint8Array ? value.length : 8
        batch[at]?.push(value)
      }
      if (++rows === MOST_ROWS || bytes > MOST_BYTES) await write()
    }
    await write()
    const arrived = await target.count(table)
    if (arrived !== counts.get(table)) throw failed(`${table} has ${counts.get(table)} rows, of which ${arrived} arrived`)
  }
  return { tables: Object.fromEntries(counts), replaced }
}

/** SQLite keeps any value in any column; PostgreSQL would round, or end the transaction with words that repeat the value. */
function readerOf(type: ColumnType, name: string, onNul: () => void): (value: unknown) => unknown {
  const fits: Record<ColumnType, (value: unknown) => boolean> = {
    text: (value) => typeof value === 'string',
    bigint: Number.isSafeInteger,
    'double precision': (value) => typeof value === 'number',
    bytea: (value) => value instanceof Uint8Array,
  }
  const isRight = fits[type]
  if (!isRight) throw failed(`${name} is of a type that only one of the databases has`)
  return (value) => {
    if (value === null) return null
    if (!isRight(value)) throw failed(`${name} holds something that is no ${type}`)
    if (typeof value !== 'string' || !value.includes('\0')) return value
    onNul()
    return value.replaceAll('\0', '\uFFFD')
  }
}

function failed(why: string): CaegisError {
  return new CaegisError('move_failed', `${SERVER_ERRORS.move_failed} Why: ${why}.`)
}
