import { randomBytes } from 'node:crypto'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor } from '../store/change.ts'
import { type HostOptions, openStoreOnHost } from '../store/host.ts'
import { ensureTenant } from './apply.ts'
import { insertUser } from './lifecycle.ts'
import { hashPassword } from './password.ts'
import { readTenantFile } from './tenant-file.ts'

export interface CreateTenantOptions extends HostOptions {
  name: string
  displayName?: string
  /** User name of the first administrator; `admin@` and the tenant's name when absent. */
  admin?: string
}

export interface CreatedTenant {
  id: string
  tenant: string
  username: string
  /** Good for one sign-in, which leads to a new one; only its hash is kept. */
  password: string
}

const ON_THE_HOST: Actor = { kind: 'system', reason: 'caegis tenant create, on the host' }

/**
 * Makes a tenant and its first administrator. It works on the data themselves, whether or not the server runs: who can do that is the operator.
 * @throws CaegisError `no_data`, `data_moved`, `tenant_exists`, `invalid_tenant_file` for a name that no tenant may have
 */
export async function createTenant({ data, database, name, displayName, admin = `admin@${name}`, log }: CreateTenantOptions): Promise<CreatedTenant> {
  const given = { tenant: { name, ...(displayName === undefined ? {} : { displayName }) }, users: [{ userPrincipalName: admin }] }
  // By the rules of the file: reserved names, and those that look like ids, would take another's place.
  const file = readTenantFile(
    given,
    ({ path, message }) => `${path[0] === 'users' ? `the administrator "${admin}"` : `the tenant's ${String(path[1] ?? 'name')}`} ${message}`,
  )
  const store = await openStoreOnHost({ data, database, log })
  try {
    const known = await store.db.selectFrom('tenants').select('id').where('name', '=', name).executeTakeFirst()
    if (known) throw new CaegisError('tenant_exists', SERVER_ERRORS.tenant_exists)
    const password = randomBytes(18).toString('base64url')
    // Hashing takes tens of milliseconds: never inside the transaction.
    const hash = await hashPassword(password)
    const tenant = await ensureTenant(store, file)
    const user = { userPrincipalName: admin, displayName: 'Administrator', roles: ['admin'], passwordExpired: true }
    await store.commit({ tenant, actor: ON_THE_HOST, edit: (context) => insertUser(context, user, hash) })
    return { id: tenant, tenant: name, username: admin, password }
  } finally {
    await store.close()
  }
}
