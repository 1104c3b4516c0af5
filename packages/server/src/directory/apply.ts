import { randomBytes, randomUUID } from 'node:crypto'
import type { Actor } from '../store/change.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { CLI_APP_ID } from './application.ts'
import { saveApplication } from './applications.ts'
import { createDevices } from './devices.ts'
import { createDirectory } from './directory.ts'
import { saveRights } from './groups.ts'
import { saveOrganization } from './organization.ts'
import { withEdits } from './policy-edits.ts'
import { checkNames, savePolicies } from './policy-file.ts'
import { saveOff } from './risk-settings.ts'
import type { TenantFile } from './tenant-file.ts'
import { createUpstreamRegistry } from './upstreams.ts'

const IMPORT: Actor = { kind: 'system', reason: 'tenant file' }

/**
 * Makes the directory what a tenant file says, and leaves alone what it does not mention. A password in the file is the initial one: it is set when the
 * user is made and never afterwards, so that applying the file again neither undoes a reset nor re-enables anybody.
 * @param issuerOf the issuer of a tenant by name
 * @returns the tenant's id
 */
export async function applyTenantFile(store: Store, secrets: Secrets, given: TenantFile, issuerOf: (name: string) => string): Promise<string> {
  const known = await store.db.selectFrom('tenants').select('id').where('name', '=', given.tenant.name).executeTakeFirst()
  // Before anything is written; a tenant that is new has nothing else that could be named.
  await checkNames(store.db, known?.id ?? '', given)
  const tenant = await ensureTenant(store, given)
  const file = await withoutDeleted(store, tenant, given)
  await store.commit({
    tenant,
    actor: IMPORT,
    async edit(context) {
      const { db, audit } = context
      for (const { displayName } of file.groups ?? []) {
        const id = randomUUID()
        const { numInsertedOrUpdatedRows } = await db
          .insertInto('groups')
          .values({ tenant, id, display_name: displayName })
          .onConflict((conflict) => conflict.columns(['tenant', 'display_name']).doNothing())
          .executeTakeFirst()
        const targets = [{ type: 'Group' as const, id, name: displayName }]
        if (numInsertedOrUpdatedRows) audit({ activity: 'Add group', operation: 'Add', category: 'GroupManagement', targets })
      }
      for (const entry of file.applications ?? []) await saveApplication(context, secrets, entry)
      const { displayName, settings } = file.tenant
      if (displayName !== undefined || settings)
        await saveOrganization(context, { ...settings, ...(displayName === undefined ? {} : { displayName }) })
      if (file.risk) await saveOff(context, file.risk.off)
    },
  })

  const directory = createDirectory(store, tenant, issuerOf(file.tenant.name))
  for (const entry of file.users ?? []) {
    const known = await directory.user(entry.userPrincipalName)
    if (!known) {
      const { enabled, roles, type, home, password, forceChangePasswordNextSignIn: passwordExpired } = entry
      await directory.createUser(IMPORT, {
        userPrincipalName: entry.userPrincipalName,
        displayName: entry.displayName ?? entry.userPrincipalName,
        ...(password === undefined ? {} : { password }),
        ...(passwordExpired === undefined ? {} : { passwordExpired }),
        ...(enabled === undefined ? {} : { enabled }),
        ...(roles === undefined ? {} : { roles }),
        ...(type === undefined ? {} : { type }),
        ...(home === undefined ? {} : { home }),
      })
    } else {
      const { displayName, roles, enabled, type } = entry
      await directory.update(IMPORT, known.id, {
        ...(displayName === undefined ? {} : { displayName }),
        ...(roles === undefined ? {} : { roles }),
        ...(enabled === undefined ? {} : { enabled }),
        ...(type === undefined ? {} : { type }),
      })
    }
  }
  await store.commit({ tenant, actor: IMPORT, edit: (context) => saveRights(context, file) })
  await store.commit({ tenant, actor: IMPORT, edit: (context) => withEdits(context, (policies) => savePolicies(policies, file)) })
  const upstreams = createUpstreamRegistry(store, secrets, tenant, issuerOf(file.tenant.name))
  for (const entry of file.upstreams ?? []) {
    const known = await upstreams.findByIssuer(entry.issuer)
    const { issuer: _, ...rest } = entry
    await (known ? upstreams.update(IMPORT, known.id, rest) : upstreams.create(IMPORT, entry))
  }
  const devices = createDevices(store, tenant)
  for (const { deviceId, user, displayName, publicKey, trustType, ...given } of file.devices ?? []) {
    const standing = {
      ...(given.enabled === undefined ? {} : { enabled: given.enabled }),
      ...(given.compliant === undefined ? {} : { compliant: given.compliant }),
    }
    if (await devices.find(deviceId)) {
      await devices.update(IMPORT, deviceId, { publicKey, ...standing, ...(displayName === undefined ? {} : { displayName }) })
      continue
    }
    const more = { ...(user === undefined ? {} : { owner: user }), ...(trustType === undefined ? {} : { trustType }) }
    await devices.create(IMPORT, { id: deviceId, displayName: displayName ?? deviceId, publicKey, ...standing, ...more })
  }
  return tenant
}

/** An application that an administrator deleted stays so, whatever the file says: its id is nobody's any more. */
async function withoutDeleted(store: Store, tenant: string, file: TenantFile): Promise<TenantFile> {
  if (!file.applications) return file
  const rows = await store.db.selectFrom('applications').select('app_id').where('tenant', '=', tenant).where('deleted_at', 'is not', null).execute()
  const gone = new Set(rows.map((row) => row.app_id))
  return { ...file, applications: file.applications.filter(({ appId }) => !gone.has(appId)) }
}

async function ensureTenant(store: Store, { tenant }: TenantFile): Promise<string> {
  return store.transaction(async (db) => {
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
