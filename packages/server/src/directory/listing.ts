import { type Expression, type Kysely, type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Schema } from '../store/schema.ts'

/** A column as queries see it. Letters of text are compared without their case; `key` is stored so, everything else folds when it is asked. */
export interface Column {
  name: string
  type: 'id' | 'key' | 'text' | 'boolean' | 'time'
  nullable?: true
}

export type Value = string | number | null

/** What rows must be like. Nothing is equal to nothing, and is no part of any order. */
export type Condition =
  | { is: 'and' | 'or'; terms: readonly Condition[] }
  | { is: 'not'; term: Condition }
  | { is: 'eq' | 'ne' | 'ge' | 'gt' | 'le' | 'lt'; column: Column; value: Value }
  | { is: 'in'; column: Column; values: readonly Value[] }
  /** `word`: the text or one of its words begins so. */
  | { is: 'starts' | 'ends' | 'contains' | 'word'; column: Column; value: string }

export interface Order {
  column: Column
  descending: boolean
}

export interface Page {
  where?: Condition | undefined
  order?: readonly Order[]
  limit: number
  /** Where the page begins: what the page before named as `next`. */
  after?: readonly Value[] | undefined
  /** How many rows are left out before it: for clients that count. */
  offset?: number
}

export interface Listed<T> {
  value: T[]
  /** Where the page after this one begins. */
  next?: readonly Value[]
}

/** The position of the last change of an object, for those that have one. */
export interface Positioned {
  position?: number
}

/** What their changes are called. */
const KINDS: Partial<Record<Table, string>> = { users: 'user', groups: 'group' }

type Table = 'users' | 'groups' | 'applications' | 'devices' | 'policies' | 'locations' | 'risk_detections'

const ID: Order = { column: { name: 'id', type: 'id' }, descending: false }

/**
 * Lists of one table of a tenant, page by page: a page begins behind the last row of the one before, so that rows which come or go meanwhile neither hide nor
 * repeat others.
 * @param alive whether rows of the table stay when they are deleted
 * @param within a further bound, of the whole list
 * @param columns those that are read, where it is not all
 */
export function createListing<Row, T>(
  db: Kysely<Schema>,
  tenant: string,
  table: Table,
  alive: boolean,
  toItem: (row: Row) => T,
  columns?: readonly string[],
) {
  const read = columns ? sql.join(columns.map((name) => sql.ref(`${table}.${name}`))) : sql`${sql.table(table)}.*`
  const own = sql`from ${sql.table(table)} where tenant = ${tenant}${alive ? sql` and deleted_at is null` : sql``}`
  const rows = (where: Condition | undefined, within: RawBuilder<SqlBool> | undefined) =>
    sql`${own}${where ? sql` and ${compile(where, own)}` : sql``}${within ? sql` and ${within}` : sql``}`

  return {
    async page({ where, order = [], limit, after, offset = 0 }: Page, within?: RawBuilder<SqlBool>): Promise<Listed<T & Positioned>> {
      const by = [...order.filter(({ column }) => column.name !== 'id'), order.find(({ column }) => column.name === 'id') ?? ID]
      const keys = by.map(({ column }) => sortKey(column))
      const names = by.map((_, index) => `key_${index}`)
      const select = sql.join(keys.map((key, index) => sql`${key} as ${sql.ref(names[index] as string)}`))
      const position = KINDS[table]
        ? sql`(select position from changes as c where c.tenant = ${sql.table(table)}.tenant and c.kind = ${KINDS[table]} and c.id = ${sql.table(table)}.id and c.member = '') as position, `
        : sql``
      const begin = after ? sql` and ${behind(by, keys, after)}` : sql``
      const sorted = sql.join(by.map(({ descending }, index) => sql`${keys[index]} ${sql.raw(descending ? 'desc' : 'asc')}`))
      const found = await sql<
        Row & Record<string, Value>
      >`select ${read}, ${position}${select} ${rows(where, within)}${begin} order by ${sorted} limit ${limit + 1}${offset === 0 ? sql`` : sql` offset ${offset}`}`.execute(
        db,
      )
      const shown = found.rows.slice(0, limit)
      const last = shown.at(-1)
      return {
        value: shown.map((row) => ({ ...toItem(row), ...(row.position === undefined ? {} : { position: Number(row.position) }) })),
        ...(found.rows.length > limit && last ? { next: names.map((name) => last[name] as Value) } : {}),
      }
    },

    async count(where?: Condition, within?: RawBuilder<SqlBool>): Promise<number> {
      const { rows: found } = await sql<{ count: number }>`select count(*) as count ${rows(where, within)}`.execute(db)
      return (found[0] as { count: number }).count
    },
  }
}

/** How a column is compared; an index on the same expression serves it. */
function folded({ name, type }: Column): RawBuilder<unknown> {
  return type === 'text' ? sql`lower(${sql.ref(name)})` : (sql.ref(name) as unknown as RawBuilder<unknown>)
}

/** Folded as both engines fold a column: the letters of ASCII, and nothing else. */
function operand({ type }: Column, value: Value): Expression<unknown> {
  // An instant between two seconds: PostgreSQL takes no fraction beside a column of whole ones.
  if (type === 'time' && !Number.isInteger(value)) return sql`cast(${value} as double precision)`
  if (typeof value !== 'string') return sql`${value}`
  return sql`${type === 'text' ? value.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : type === 'key' ? value.toLowerCase() : value}`
}

function sortKey(column: Column): RawBuilder<unknown> {
  return column.nullable ? sql`coalesce(${folded(column)}, '')` : folded(column)
}

/** Rows behind the given one. The first bound alone says where to begin, which is what an index needs. */
function behind(by: readonly Order[], keys: readonly RawBuilder<unknown>[], after: readonly Value[]): RawBuilder<SqlBool> {
  const past = (index: number) => sql<SqlBool>`${keys[index]} ${sql.raw(by[index]?.descending ? '<' : '>')} ${after[index]}`
  const from = (index: number): RawBuilder<SqlBool> =>
    index === keys.length - 1 ? past(index) : sql<SqlBool>`(${past(index)} or (${keys[index]} = ${after[index]} and ${from(index + 1)}))`
  if (keys.length === 1) return past(0)
  return sql<SqlBool>`${keys[0]} ${sql.raw(by[0]?.descending ? '<=' : '>=')} ${after[0]} and ${from(0)}`
}

const OPERATORS = { eq: '=', ne: '<>', ge: '>=', gt: '>', le: '<=', lt: '<' } as const

/** @param own what all rows of the list come from */
function compile(condition: Condition, own: RawBuilder<unknown>): RawBuilder<SqlBool> {
  switch (condition.is) {
    case 'or':
      // Each beginning has an index of its own; asked for at once, they would be looked for row by row.
      if (condition.terms.every(({ is }) => is === 'starts'))
        return sql<SqlBool>`id in (${sql.join(
          condition.terms.map((term) => sql`select id ${own} and ${compile(term, own)}`),
          sql.raw(' union all '),
        )})`
      return sql<SqlBool>`(${sql.join(
        condition.terms.map((term) => compile(term, own)),
        sql.raw(' or '),
      )})`
    case 'and':
      return sql<SqlBool>`(${sql.join(
        condition.terms.map((term) => compile(term, own)),
        sql.raw(' and '),
      )})`
    case 'not':
      // What cannot be said of nothing is false; only here does that differ from what the database makes of it.
      return sql<SqlBool>`not coalesce(${compile(condition.term, own)}, false)`
    case 'in':
      return sql<SqlBool>`${folded(condition.column)} in (${sql.join(condition.values.map((value) => operand(condition.column, value)))})`
    case 'starts':
      return prefix(condition.column, condition.value)
    case 'ends':
      return sql<SqlBool>`${folded(condition.column)} like ${pattern(condition, '%', '')} escape '\\'`
    case 'contains':
      return sql<SqlBool>`${folded(condition.column)} like ${pattern(condition, '%', '%')} escape '\\'`
    case 'word':
      return sql<SqlBool>`(${prefix(condition.column, condition.value)} or ${folded(condition.column)} like ${pattern(condition, '% ', '%')} escape '\\')`
    default: {
      const { column, value, is } = condition
      if (value === null) return sql<SqlBool>`${sql.ref(column.name)} is ${sql.raw(is === 'eq' ? '' : 'not ')}null`
      const compared = sql<SqlBool>`${folded(column)} ${sql.raw(OPERATORS[is])} ${operand(column, value)}`
      return is === 'ne' && column.nullable ? sql<SqlBool>`(${compared} or ${sql.ref(column.name)} is null)` : compared
    }
  }
}

/** A range, not LIKE: what is asked for is taken literally, and an index serves it. */
function prefix(column: Column, value: string): RawBuilder<SqlBool> {
  const [key, low] = [folded(column), operand(column, value)]
  return sql<SqlBool>`(${key} >= ${low} and ${key} < ${operand(column, `${value}\u{10ffff}`)})`
}

function pattern({ column, value }: { column: Column; value: string }, before: string, after: string): Expression<unknown> {
  return operand(column, `${before}${value.replace(/[\\%_]/g, '\\$&')}${after}`)
}
