import type { ApplicationRow, CredentialRow } from '../../store/schema.ts'
import { type Application, toApplication } from '../application.ts'
import { plannedOf, refuseBeyond, refuseTaken, saveApplication } from '../applications.ts'
import { shownOf } from '../audit-words.ts'
import { isFromOutside } from '../from-outside.ts'
import type { ApplicationEntry } from '../tenant-file.ts'
import { differencesOf, given, secret } from './differences.ts'
import { type Db, definePart } from './part.ts'

/** Clients and APIs. One that was deleted stays so, whatever a file says: its id is nobody's any more. */
export const APPLICATIONS = definePart<ApplicationEntry>({
  entries: (file) => file.applications ?? [],
  kindOf: () => 'application',
  nameOf: ({ appId }) => appId,
  // What an application may do is granted by the same hand that gives roles.
  needs: ({ permissions = [] }) => ['Application.ReadWrite.All', ...(permissions.length > 0 ? (['AppRoleAssignment.ReadWrite.All'] as const) : [])],

  async compare({ db, tenant, secrets }, entries) {
    const { living, gone } = await known(db, tenant, entries)
    return entries.map((entry) => {
      if (gone.has(entry.appId)) return undefined
      const before = living.get(entry.appId)
      const after = plannedOf(before, entry, secrets, tenant)
      const holds = after.credentials.length > 0 ? [secret('credentials')] : []
      if (!before) return { operation: 'add', changes: [...given(told(after)), ...holds] }
      const changes = differencesOf(told(before), told(after))
      if (!sameCredentials(before.credentials, after.credentials)) changes.push(secret('credentials'))
      return changes.length === 0 ? undefined : { operation: 'change', changes }
    })
  },

  async save(context, { secrets }, entry, { actor }) {
    if (isFromOutside(actor)) {
      // Beside what it was: by a file, nobody comes to rights, or to the credential of an application with rights, that they do not have.
      const { living } = await known(context.db, context.tenant, [entry])
      for (const one of [living.get(entry.appId), { permissions: entry.permissions ?? [] }]) if (one) await refuseBeyond(context, actor, one)
      await refuseTaken(context, entry.appId, entry.identifierUris)
    }
    await saveApplication(context, secrets, entry)
  },
})

/** What is shown of one: nothing of its credentials but their names, and no word where the default stands. */
function told(application: Application): Record<string, unknown> {
  const shown = Object.entries(shownOf(application)).filter(([name]) => !['credentials', 'confidential'].includes(name))
  return Object.fromEntries(shown.filter(([, value]) => value !== null))
}

function sameCredentials(before: readonly CredentialRow[], after: readonly CredentialRow[]): boolean {
  const text = (all: readonly CredentialRow[]) =>
    JSON.stringify(
      all.map(({ id, kind, value, display_name, not_before, expires_at }) => [id, kind, value, display_name, not_before, expires_at]).sort(),
    )
  return text(before) === text(after)
}

async function known(db: Db, tenant: string, entries: readonly ApplicationEntry[]) {
  const ids = entries.map(({ appId }) => appId)
  const rows = await db.selectFrom('applications').selectAll().where('tenant', '=', tenant).where('app_id', 'in', ids).execute()
  const all = await db.selectFrom('credentials').selectAll().where('tenant', '=', tenant).where('app_id', 'in', ids).orderBy('id').execute()
  const credentials = Map.groupBy(all, (one) => one.app_id)
  const alive = rows.filter((row) => row.deleted_at === null)
  return {
    living: new Map(alive.map((row) => [row.app_id, toApplication(row as ApplicationRow, credentials.get(row.app_id) ?? [])])),
    gone: new Set(rows.filter((row) => row.deleted_at !== null).map((row) => row.app_id)),
  }
}

/** Ids of those in a file that an administrator has deleted. */
export async function deletedAmong(db: Db, tenant: string, entries: readonly ApplicationEntry[]): Promise<string[]> {
  return entries.length === 0 ? [] : [...(await known(db, tenant, entries)).gone]
}
