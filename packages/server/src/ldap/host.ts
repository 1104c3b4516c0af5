import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import { createDirectory } from '../directory/directory.ts'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import { readLdapPassword, readSettings, type SettingsInput } from '../settings.ts'
import { createSecrets } from '../store/secrets.ts'
import { createStore } from '../store/store.ts'
import type { LdapConfig } from './config.ts'
import { createSync, type Sync } from './sync.ts'

export interface HostSyncOptions {
  /** The settings of the server whose data folder it is. */
  input: SettingsInput
  config: LdapConfig
  log: Log
}

/**
 * The sync on the data folder itself, whether or not the server runs, as whoever has the host may. What it changes holds at once for who signs in; guards that wait for the server
 * hear of it at their next question, ten seconds later at the most.
 * @throws CaegisError `no_data`, `tenant_not_found`
 */
export async function openLdapSync({ input, config, log }: HostSyncOptions): Promise<{ sync: Sync; close(): Promise<void> }> {
  const file = join(input.CAEGIS_DATA ?? '.caegis', 'caegis.db')
  // Opening would make one: a wrong folder must not look like an empty server.
  if (!existsSync(file)) throw new CaegisError('no_data', SERVER_ERRORS.no_data)
  const secrets = createSecrets(readSettings(input).keySecret.value)
  const store = await createStore({ file, now: Date.now, log })
  try {
    const key = config.tenant.toLowerCase()
    const home = await store.db
      .selectFrom('tenants')
      .select(['id', 'issuer'])
      .where((eb) => eb.or([eb('name', '=', key), eb('id', '=', key)]))
      .executeTakeFirst()
    if (!home) throw new CaegisError('tenant_not_found', SERVER_ERRORS.tenant_not_found)
    // Events name the issuer, which depends on how the server is reached.
    if (home.issuer === null) throw new CaegisError('no_data', 'The server has not served this tenant yet: start it once.')
    const tenant = { id: home.id, issuer: home.issuer, directory: createDirectory(store, home.id, home.issuer) }
    const sync = createSync({ config, store, tenant, log, secrets, ...readLdapPassword(input) })
    return { sync, close: () => store.close() }
  } catch (error) {
    await store.close()
    throw error
  }
}
