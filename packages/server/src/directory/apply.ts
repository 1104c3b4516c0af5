import { randomBytes, randomUUID } from 'node:crypto'
import type { Actor } from '../store/change.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { CLI_APP_ID } from './application.ts'
import { createDirectory } from './directory.ts'
import { doPlan, type Plan, planFor } from './plan/plan.ts'
import { checkNames } from './policy-file.ts'
import { refuseOwnNames, type TenantFile } from './tenant-file.ts'

const IMPORT: Actor = { kind: 'system', reason: 'tenant file' }

export interface ApplyOptions {
  /** Told how much is done, of how much. */
  onStep?: (done: number, total: number) => void
  /** Told what the file says in vain. */
  onWarning?: (warning: Plan['warnings'][number]) => void
}

/**
 * Makes the directory what a tenant file says, and leaves alone what it does not mention; the tenant too, where there is none. For whoever runs the host: others
 * show a plan first.
 * @param issuerOf the issuer of a tenant by name
 * @returns the tenant's id
 * @throws CaegisError `invalid_tenant_file`
 */
export async function applyTenantFile(
  store: Store,
  secrets: Secrets,
  file: TenantFile,
  issuerOf: (name: string) => string,
  { onStep = () => {}, onWarning = () => {} }: ApplyOptions = {},
): Promise<string> {
  const known = await store.db.selectFrom('tenants').select('id').where('name', '=', file.tenant.name).executeTakeFirst()
  const issuer = issuerOf(file.tenant.name)
  // Before anything is written; a tenant that is new has nothing else that could be named.
  refuseOwnNames(file, issuer)
  await checkNames(store.db, known?.id ?? '', file)
  const tenant = await ensureTenant(store, file)
  const plan = await planFor({ db: store.db, tenant, issuer, secrets }, file)
  plan.warnings.forEach(onWarning)
  const directory = createDirectory(store, tenant, issuer)
  await doPlan({ store, tenant, issuer, secrets, directory }, plan, {
    actor: IMPORT,
    strict: false,
    onStep: (done) => onStep(done, plan.items.length),
  })
  return tenant
}

/** The tenant that a file names: made, where there is none, with the command line as its first client. @returns its id */
export async function ensureTenant(store: Store, { tenant }: TenantFile): Promise<string> {
  return store.transaction({ name: `tenant named ${tenant.name}` }, async (db) => {
    const known = await db.selectFrom('tenants').select('id').where('name', '=', tenant.name).executeTakeFirst()
    const cli = { permissions: JSON.stringify(['graph/.default']) }
    if (known) {
      // Data of an earlier version may hold a list of names, which knows nothing of later permissions.
      await db
        .updateTable('applications')
        .set((eb) => ({ ...cli, version: eb('version', '+', 1) }))
        .where('tenant', '=', known.id)
        .where('app_id', '=', CLI_APP_ID)
        .where('permissions', '!=', cli.permissions)
        .execute()
      return known.id
    }
    const id = randomUUID()
    const now = Math.floor(store.clock())
    await db
      .insertInto('tenants')
      .values({
        id,
        name: tenant.name,
        display_name: tenant.displayName ?? tenant.name,
        epoch: randomBytes(9).toString('base64url'),
        created_at: now,
      })
      .execute()
    await db
      .insertInto('applications')
      .values({
        tenant: id,
        id: randomUUID(),
        app_id: CLI_APP_ID,
        display_name: 'CAEgis command line',
        type: 'native',
        enabled: 1,
        cae: 0,
        redirect_uris: JSON.stringify(['http://localhost']),
        identifier_uris: '[]',
        scopes: '[]',
        ...cli,
      })
      .execute()
    return id
  })
}
