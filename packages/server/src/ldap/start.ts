import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Settings } from '../settings.ts'
import type { Leases } from '../store/leases.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { type Followed, followLdap } from './follow.ts'
import { createSync, type SyncOptions } from './sync.ts'

export interface LdapStart {
  ldap: Settings['ldap']
  store: Store
  leases: Leases
  secrets: Secrets
  log: Log
  now: () => number
  find(tenant: string): Promise<{ tenant: SyncOptions['tenant'] } | undefined>
}

/** The LDAP directory that one process of all follows. */
export interface LdapRoom {
  /** Of the tenant whose people it holds. */
  statusOf(tenant: string): Promise<(Followed & { name: string; kind: string; url: string; interval: number }) | undefined>
  close(): Promise<void>
}

/**
 * People of an LDAP directory, in whichever process has the lease: what it takes back is on its way to the guards with the commit. Without configuration there is none.
 * @throws CaegisError `tenant_not_found`
 */
export async function startLdap({ ldap, store, leases, secrets, log, now, find }: LdapStart): Promise<LdapRoom | undefined> {
  if (!ldap) return undefined
  const { config, password } = ldap
  const home = await find(config.tenant)
  if (!home) throw new CaegisError('tenant_not_found', `${SERVER_ERRORS.tenant_not_found} (${config.tenant}, in the LDAP configuration)`)
  const sync = createSync({ config, store, secrets, log, tenant: home.tenant, ...(password === undefined ? {} : { password }) })
  const { name, kind, url, interval } = config
  const following = leases.hold(`ldap ${home.tenant.id} ${name}`, () => {
    const { status, close } = followLdap({ sync, log, interval, now })
    return { report: status, close }
  })
  const waiting: Followed = { state: 'waiting', lastPassAt: null, lastError: null, report: null }
  return {
    async statusOf(tenant) {
      if (tenant !== home.tenant.id) return undefined
      return { name, kind, url, interval, ...(((await following.report()) as Followed | undefined) ?? waiting) }
    },
    close: following.close,
  }
}
