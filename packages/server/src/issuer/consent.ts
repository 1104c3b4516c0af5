import { pairId } from '@caegis/protocol'
import type { Application } from '../directory/application.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note } from './attempt.ts'
import { fullScope, type Resource } from './resources.ts'
import type { Tenant } from './tenant.ts'

/** Everything that a request asks for, by full names: `.default` stands for all that the application may have of the API. */
export function expandScopes(asked: readonly string[], target: { resource: Resource; permitted: string[] } | undefined): string[] {
  const all = target && fullScope(target.resource, '.default')
  const names = asked.flatMap((scope) => (target && scope === all ? target.permitted.map((name) => fullScope(target.resource, name)) : [scope]))
  return [...new Set(names)]
}

/** Whether the user still has to be asked for one of these. The row is noted: a consent that is withdrawn meanwhile is seen by the fence. */
export async function lacksConsent(store: Store, tenant: Tenant, app: Application, user: string, scopes: readonly string[]): Promise<boolean> {
  if (!app.consentRequired) return false
  const row = await store.db
    .selectFrom('grants')
    .select(['consented', 'version'])
    .where('tenant', '=', tenant.id)
    .where('user_id', '=', user)
    .where('app_id', '=', app.appId)
    .executeTakeFirst()
  note(currentAttempt(), { table: 'grant', id: pairId(user, app.appId), user, app: app.appId }, row?.version ?? 0)
  const consented = new Set(JSON.parse(row?.consented ?? '[]') as string[])
  return !scopes.every((scope) => consented.has(scope))
}
