import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readDatabaseUrl } from '../packages/server/src/database-url.ts'
import { createLog } from '../packages/server/src/log.ts'
import { SCALE } from '../packages/server/src/store/migrations/scale.ts'
import { migratePostgres, toPostgres } from '../packages/server/src/store/postgres/migrate.ts'
import { createStore, type Store } from '../packages/server/src/store/store.ts'
import { type Postgres, startPostgres } from './postgres.ts'

let postgres: Postgres
let url: string
const stores: Store[] = []
const log = createLog('silent')
const open = async (database?: string) => {
  const store = await createStore({ file: ':memory:', now: Date.now, log, ...(database && { database: readDatabaseUrl(database, 4) }) })
  stores.push(store)
  return store
}

beforeAll(async () => {
  postgres = await startPostgres()
  url = await postgres.database()
})
afterAll(async () => {
  for (const store of stores) await store.close()
  await postgres?.close()
})

const TYPES: Record<string, string> = { bigint: 'integer', 'double precision': 'real', bytea: 'blob', text: 'text' }

/** `table column type notnull default`, and which columns are the key. */
async function columnsOfEmbedded({ db }: Store): Promise<string[]> {
  const { rows } = await sql<{ tab: string; name: string; type: string; needed: number; preset: string | null; pk: number }>`
    select m.name as tab, c.name, c.type, c."notnull" or c.pk > 0 as needed, c.dflt_value as preset, c.pk from sqlite_master m, pragma_table_info(m.name) c
      where m.type = 'table' and m.name not like 'sqlite_%' and m.name not like 'kysely_%'`.execute(db)
  return rows
    .map(({ tab, name, type, needed, preset, pk }) =>
      [tab, name, type.toLowerCase().replace('bigint', 'integer'), needed, preset ?? '-', pk].join(' '),
    )
    .sort()
}

async function columnsOfPostgres({ db }: Store): Promise<string[]> {
  const { rows } = await sql<{ tab: string; name: string; type: string; needed: string; preset: string | null; pk: number; binary: boolean }>`
    select c.table_name as tab, c.column_name as name, c.data_type as type, c.is_nullable as needed, c.column_default as preset,
      coalesce((select k.ordinal_position from information_schema.key_column_usage k join information_schema.table_constraints t using (constraint_name, table_name)
        where t.constraint_type = 'PRIMARY KEY' and k.table_name = c.table_name and k.column_name = c.column_name), 0) as pk,
      c.data_type <> 'text' or c.collation_name = 'C' as binary
      from information_schema.columns c where c.table_schema = 'public' and c.table_name not like 'kysely_%'`.execute(db)
  expect(rows.filter(({ binary }) => !binary)).toEqual([])
  return rows
    .map(({ tab, name, type, needed, preset, pk }) =>
      [tab, name, TYPES[type], needed === 'NO' ? 1 : 0, (preset ?? '-').replace(/::[a-z ]+$/, ''), pk].join(' '),
    )
    .sort()
}

it('both engines have the same tables, columns, keys and indexes', async () => {
  const [embedded, server] = [await open(), await open(url)]
  expect(await columnsOfPostgres(server)).toEqual(await columnsOfEmbedded(embedded))
  const named = await sql<{ name: string }>`select name from sqlite_master where type = 'index' and sql is not null order by name`.execute(
    embedded.db,
  )
  const there = await sql<{ name: string }>`select indexname as name from pg_indexes where schemaname = 'public' and indexname not like '%_pkey'
    and indexname not like '%_key' order by indexname collate "C"`.execute(server.db)
  expect(there.rows).toEqual(named.rows)
})

it('two processes that start at once on an empty database both come up, and a third finds nothing to do', async () => {
  const empty = await postgres.database()
  const [one, other] = await Promise.all([open(empty), open(empty)])
  const third = await open(empty)
  for (const store of [one, other, third]) expect(await store.db.selectFrom('tenants').select('id').execute()).toEqual([])
})

it('a migration waits for nobody who works, and nobody who works fails because of it', async () => {
  const database = await postgres.database()
  const [old, young] = [await open(database), await open(database)]
  const { db } = old
  await db.insertInto('tenants').values({ id: 't', name: 't', display_name: 'T', epoch: 'e', created_at: 0 }).execute()
  const name = (index: number) => ({
    tenant: 't',
    id: `${index}`,
    upn: `${index}`,
    upn_key: `${index}`,
    display_name: 'U',
    enabled: 1,
    roles: '[]',
    created_at: 0,
  })
  let over = false
  let works = 0
  const worker = async (lane: number) => {
    for (let turn = 0; !over; turn++) {
      await db.selectFrom('users').selectAll().where('tenant', '=', 't').where('id', '=', '1').execute()
      await old.transaction({ tenant: 't', shared: true }, async (tx) => {
        await tx.selectFrom('users').selectAll().where('tenant', '=', 't').where('id', '=', '2').execute()
        await tx
          .insertInto('users')
          .values(name(1000 * lane + turn))
          .execute()
      })
      works++
    }
  }
  const working = Promise.all([1, 2, 3].map(worker))
  // Somebody who reads the table for long, as a backup does: the migration gives way to those behind it, again and again.
  const reading = Promise.withResolvers<void>()
  const reader = db.transaction().execute(async (tx) => {
    await tx.selectFrom('users').select('id').limit(1).execute()
    await reading.promise
  })
  const migrating = migratePostgres(
    young.db,
    { ...SCALE, '9000-more': ['alter table users add column more text', 'create index users_more on users (more)'] },
    100,
  )
  let moved = false
  void migrating.then(() => {
    moved = true
  })
  await new Promise((resolve) => setTimeout(resolve, 500))
  const before = works
  await expect.poll(() => works, { timeout: 15_000 }).toBeGreaterThan(before + 10)
  expect(moved).toBe(false)
  reading.resolve()
  await Promise.all([migrating, reader])
  const after = works
  await expect.poll(() => works, { timeout: 15_000 }).toBeGreaterThan(after + 10)
  over = true
  await working
  expect(await db.selectFrom('users').selectAll().limit(1).executeTakeFirst()).toHaveProperty('more')
})

it('translates types, and leaves texts alone', () => {
  expect(toPostgres("create table x (a text not null default 'a text, integer', b integer, c real, d blob)")).toBe(
    `create table x (a text collate "C" not null default 'a text, integer', b bigint, c double precision, d bytea)`,
  )
})
