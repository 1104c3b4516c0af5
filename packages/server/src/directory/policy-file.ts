import { parsePolicy } from '@caegis/policy'
import type { Kysely, Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import { idOf, idsOf } from './names.ts'
import { referencesOf } from './references.ts'
import { mistakesIn, type TenantFile } from './tenant-file.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/**
 * Looks at all names in the policies of a file before anything of it is applied: each must be in the file, or in the directory already.
 * @throws CaegisError `invalid_tenant_file`
 */
export async function checkNames(db: Db, tenant: string, file: TenantFile): Promise<void> {
  if (!file.conditionalAccessPolicies?.length) return
  const ids = await idsOf(db, tenant)
  for (const { userPrincipalName } of file.users ?? []) ids.user.set(userPrincipalName.toLowerCase(), '')
  for (const { displayName } of file.groups ?? []) ids.group.set(displayName, '')
  for (const { appId, displayName, identifierUris = [] } of file.applications ?? [])
    for (const name of [appId, ...(displayName === undefined ? [] : [displayName]), ...identifierUris])
      for (const kind of ['application', 'servicePrincipal'] as const) ids[kind].set(name, '')
  for (const { displayName } of file.namedLocations ?? []) ids.location.set(String(displayName), '')
  for (const { id } of file.authenticationContexts ?? []) ids.context.set(id, '')
  const wrong = file.conditionalAccessPolicies.flatMap((entry, index) =>
    referencesOf(parsePolicy({ ...entry, id: 'file' }))
      .filter((reference) => idOf(ids, reference) === undefined)
      .map((reference) => ({
        path: ['conditionalAccessPolicies', index, ...reference.list.slice(1).split('/'), reference.at],
        message: `there is no such ${reference.kind}, neither in the file nor in the directory`,
      })),
  )
  mistakesIn(file, wrong)
}
