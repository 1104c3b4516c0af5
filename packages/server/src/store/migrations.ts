import type { Kysely } from 'kysely'
import { type MigrationProvider, Migrator } from 'kysely/migration'
import { ACCESS } from './migrations/access.ts'
import { BEGINNINGS } from './migrations/beginnings.ts'
import { DIRECTORY } from './migrations/directory.ts'
import { OVERVIEW } from './migrations/overview.ts'
import { SCALE } from './migrations/scale.ts'
import type { Schema } from './schema.ts'

const provider: MigrationProvider = { getMigrations: async () => ({ ...BEGINNINGS, ...DIRECTORY, ...ACCESS, ...OVERVIEW, ...SCALE }) }

export async function migrate(db: Kysely<Schema>): Promise<void> {
  // Versions in between have known later ones without the earlier: they do not depend on each other.
  const { error } = await new Migrator({ db, provider, allowUnorderedMigrations: true }).migrateToLatest()
  if (error) throw error
}
