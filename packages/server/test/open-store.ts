import { createDatabase } from '../../../test/postgres.ts'
import { readDatabaseUrl } from '../src/database-url.ts'
import { createStore, type Store, type StoreOptions } from '../src/store/store.ts'

/** By file: who opens it again means the same data. */
const urls = new Map<string, Promise<string>>()

/** The embedded store; on the server that `npm run test:postgres` names, a database of its own for each file, by the clock of the test. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const server = process.env.CAEGIS_TEST_POSTGRES
  if (!server) return createStore(options)
  const { file, now } = options
  const url = (file === ':memory:' ? undefined : urls.get(file)) ?? createDatabase(server)
  if (file !== ':memory:') urls.set(file, url)
  return createStore({ ...options, database: readDatabaseUrl(await url, 8), clock: now })
}
