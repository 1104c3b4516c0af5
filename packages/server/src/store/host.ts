import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import type { DatabaseSettings } from '../database-url.ts'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import { createStore, type Store } from './store.ts'

export interface HostOptions {
  /** The server's data folder. */
  data: string
  /** Its PostgreSQL, where it has one. */
  database?: DatabaseSettings | undefined
  log: Log
}

/**
 * The store of a server, whether or not it runs, for who has its host.
 * @throws CaegisError `no_data`, `data_moved`
 */
export async function openStoreOnHost({ data, database, log }: HostOptions): Promise<Store> {
  const file = join(data, 'caegis.db')
  // Opening would make one: a wrong folder must not look like an empty server.
  if (!database && !existsSync(file)) throw new CaegisError('no_data', SERVER_ERRORS.no_data)
  return createStore({ file, database, now: Date.now, log })
}
