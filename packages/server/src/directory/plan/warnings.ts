import { listApis } from '../application.ts'
import { GRAPH } from '../applications.ts'
import { isPermission } from '../permissions.ts'
import type { TenantFile } from '../tenant-file.ts'
import type { Place } from './part.ts'

/** Something that a file says and that has no effect: most likely a slip. What it names may come later, so it is none of the mistakes that a file is refused for. */
export interface Warning {
  kind: 'application'
  name: string
  reason: string
}

export async function warningsOf({ db, tenant }: Pick<Place, 'db' | 'tenant'>, { applications = [] }: TenantFile): Promise<Warning[]> {
  if (!applications.some(({ permissions = [], appRoles = [] }) => permissions.length + appRoles.length > 0)) return []
  const scopes = new Map<string, readonly string[]>()
  for (const { identifierUris, scopes: its } of await listApis(db, tenant)) for (const uri of identifierUris) scopes.set(uri, its)
  // What the file says of an API is the whole of it.
  for (const { identifierUris = [], scopes: its = [] } of applications) for (const uri of identifierUris) scopes.set(uri, its)
  return applications.flatMap(({ appId, permissions = [], appRoles = [] }) => [
    ...permissions.flatMap((one) => whyNot(one, scopes) ?? []).map((reason) => ({ kind: 'application' as const, name: appId, reason })),
    ...appRoles
      .filter(({ users = [], groups = [] }) => users.length + groups.length === 0)
      .map(({ value }) => ({
        kind: 'application' as const,
        name: appId,
        reason: `Nobody gets its role ${value}: name the users and groups that hold it.`,
      })),
  ])
}

function whyNot(permission: string, scopes: ReadonlyMap<string, readonly string[]>): string | undefined {
  const end = permission.lastIndexOf('/')
  const [uri, scope] = [permission.slice(0, Math.max(0, end)), permission.slice(end + 1)]
  if (permission.startsWith(GRAPH))
    return scope === '.default' || isPermission(scope) ? undefined : `Its permission ${permission} is none of the admin API.`
  const known = scopes.get(uri)
  if (known === undefined) return `Its permission ${permission} is of no API that the file or the directory has.`
  return scope === '.default' || known.includes(scope) ? undefined : `Its permission ${permission} is no scope of that API.`
}
