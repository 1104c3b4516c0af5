import { randomBytes, randomUUID } from 'node:crypto'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor } from '../store/change.ts'
import { type HostOptions, openStoreOnHost } from '../store/host.ts'
import type { Store } from '../store/store.ts'
import { auditNewUser } from './audit-words.ts'
import { breakGlass } from './break-glass.ts'
import { createDirectory } from './directory.ts'
import { hashPassword } from './password.ts'

export interface RecoverOptions extends HostOptions {
  /** Name or id. */
  tenant: string
}

export interface Recovered {
  tenant: string
  username: string
  /** Shown once: only its hash is kept. */
  password: string
  /** The account was there: it has a new password, and what it had before is dead. */
  renewed: boolean
}

const ON_THE_HOST: Actor = { kind: 'system', reason: 'caegis recover, on the host' }

/**
 * Makes a tenant's emergency account, or renews it. It works on the data themselves, whether or not the server runs: who can do that is the operator, and
 * nothing that the network reaches leads here.
 * @throws CaegisError `no_data`, `data_moved`, `tenant_not_found`
 */
export async function recover({ data, database, tenant, log }: RecoverOptions): Promise<Recovered> {
  const store = await openStoreOnHost({ data, database, log })
  try {
    const key = tenant.toLowerCase()
    const home = await store.db
      .selectFrom('tenants')
      .select(['id', 'name', 'issuer'])
      .where((eb) => eb.or([eb('name', '=', key), eb('id', '=', key)]))
      .executeTakeFirst()
    if (!home) throw new CaegisError('tenant_not_found', SERVER_ERRORS.tenant_not_found)
    const password = randomBytes(18).toString('base64url')
    const known = await breakGlass(store.db, home.id).executeTakeFirst()
    if (known) {
      // Events name the issuer, which depends on how the server is reached.
      if (home.issuer === null) throw new CaegisError('no_data', 'The server has not served this tenant yet: start it once.')
      await createDirectory(store, home.id, home.issuer).update(ON_THE_HOST, known.id, { password, enabled: true, roles: ['admin'] })
    }
    const username = known?.upn ?? (await make(store, home, password))
    log.error(`the emergency account was ${known ? 'renewed' : 'made'}`, { alarm: true, tenant: home.name })
    return { tenant: home.name, username, password, renewed: known !== undefined }
  } finally {
    await store.close()
  }
}

/** The only place where the mark is set: no command of the directory knows it. */
async function make(store: Store, { id: tenant, name }: { id: string; name: string }, password: string): Promise<string> {
  const upn = `recover-${randomBytes(4).toString('hex')}@${name}`
  // Hashing takes tens of milliseconds: never inside the transaction.
  const hash = await hashPassword(password)
  await store.commit({
    tenant,
    actor: ON_THE_HOST,
    async edit(context) {
      const { db, now } = context
      const who = { id: randomUUID(), upn, upn_key: upn, display_name: 'Emergency account', roles: JSON.stringify(['admin']) }
      const secret = { password: hash, password_at: now, password_expired: 0 }
      await db
        .insertInto('users')
        .values({ tenant, ...who, ...secret, break_glass: 1, enabled: 1, created_at: now, deleted_at: null })
        .execute()
      auditNewUser(context, who.id, upn)
    },
  })
  return upn
}
