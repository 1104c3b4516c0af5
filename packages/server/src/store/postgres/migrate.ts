import { type Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { SCALE } from '../migrations/scale.ts'
import { migrationsOf } from '../migrations.ts'
import type { Schema } from '../schema.ts'
import { DATABASE_CLOCK } from './clock.ts'
import { INDEXES } from './indexes.ts'
import { positionTriggers } from './positions.ts'
import { TABLES } from './tables.ts'
import { WAKES } from './wakes.ts'

/**
 * The first version that knew PostgreSQL begins with what the embedded database had become by then; from there on both go through the same migrations.
 * Forward only: a migration that has been released is never edited.
 */
const BEGINNING: Record<string, Migration> = {
  '0069-beginning': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [...TABLES.map(toPostgres), ...INDEXES, ...positionTriggers(), DATABASE_CLOCK, ...WAKES])
        await sql.raw(statement).execute(db)
    },
  },
}

const TYPES: Record<string, string> = { text: 'text collate "C"', integer: 'bigint', real: 'double precision', blob: 'bytea' }

/** A statement of the embedded database in PostgreSQL's words: texts are compared byte by byte, numbers have 64 bits. */
export function toPostgres(statement: string): string {
  return statement.replace(/(?<=^[^']*(?:'[^']*'[^']*)*)\b(text|integer|real|blob)\b/g, (word) => TYPES[word] as string)
}

/** Milliseconds: who changes a table waits for those who use it, and everybody else behind. It gives up soon, and tries again. */
const LOCK_WAIT = 2000
const TRIES = 30

/**
 * Brings the database to this version's tables. Of several processes one does it, and the others wait (kysely's migrator takes an advisory lock).
 * @param lists what follows the beginning; this version's, but for tests
 */
export async function migratePostgres(db: Kysely<Schema>, lists: Record<string, readonly string[]> = SCALE, lockWait = LOCK_WAIT): Promise<void> {
  const provider = { getMigrations: async () => ({ ...BEGINNING, ...migrationsOf(lists, toPostgres) }) }
  for (let tries = 1; ; tries++) {
    const { error } = await db.connection().execute(async (one) => {
      await sql.raw(`set lock_timeout = ${lockWait}`).execute(one)
      try {
        return await new Migrator({ db: one, provider, allowUnorderedMigrations: true }).migrateToLatest()
      } finally {
        await sql.raw('set lock_timeout = 0').execute(one)
      }
    })
    if (error === undefined) return
    // 55P03: the lock was not to be had.
    if ((error as { code?: string }).code !== '55P03' || tries === TRIES) throw error
  }
}
