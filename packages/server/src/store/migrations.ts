import { type Kysely, sql } from 'kysely'
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration'
import { ACCESS } from './migrations/access.ts'
import { BEGINNINGS } from './migrations/beginnings.ts'
import { DIRECTORY } from './migrations/directory.ts'
import { OVERVIEW } from './migrations/overview.ts'
import { SCALE } from './migrations/scale.ts'
import type { Schema } from './schema.ts'

const provider: MigrationProvider = {
  getMigrations: async () => ({ ...BEGINNINGS, ...DIRECTORY, ...ACCESS, ...OVERVIEW, ...migrationsOf(SCALE, (statement) => statement) }),
}

/** Brings the embedded database to this version's tables. */
export async function migrate(db: Kysely<Schema>): Promise<void> {
  // Versions in between have known later ones without the earlier: they do not depend on each other.
  const { error } = await new Migrator({ db, provider, allowUnorderedMigrations: true }).migrateToLatest()
  if (error) throw error
}

/** All that an embedded database of this version has gone through. */
export async function migrationNames(): Promise<string[]> {
  return Object.keys(await provider.getMigrations())
}

/** Lists of statements as an engine runs them. */
export function migrationsOf(lists: Record<string, readonly string[]>, toEngine: (statement: string) => string): Record<string, Migration> {
  const entries = Object.entries(lists).map(([name, statements]): [string, Migration] => [
    name,
    {
      async up(db: Kysely<unknown>): Promise<void> {
        for (const statement of statements) await sql.raw(toEngine(statement)).execute(db)
      },
    },
  ])
  return Object.fromEntries(entries)
}
