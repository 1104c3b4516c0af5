import { CaegisError } from '@caegis/protocol'
import { createDirectory } from '../directory/directory.ts'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import { readDatabase, readLdapPassword, readSettings, type SettingsInput } from '../settings.ts'
import { openStoreOnHost } from '../store/host.ts'
import { createSecrets } from '../store/secrets.ts'
import type { LdapConfig } from './config.ts'
import { createSync, type Sync } from './sync.ts'

export interface HostSyncOptions {
  /** The settings of the server whose data folder it is. */
  input: SettingsInput
  config: LdapConfig
  log: Log
}

/**
 * The sync on the data themselves, whether or not the server runs, as whoever has the host may. What it changes holds at once for who signs in; guards that wait for the server
 * hear of it at their next question, ten seconds later at the most.
 * @throws CaegisError `no_data`, `data_moved`, `tenant_not_found`
 */
export async function openLdapSync({ input, config, log }: HostSyncOptions): Promise<{ sync: Sync; close(): Promise<void> }> {
  const store = await openStoreOnHost({ data: input.CAEGIS_DATA ?? '.caegis', database: readDatabase(input), log })
  try {
    const secrets = createSecrets(readSettings(input).keySecret.value)
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
