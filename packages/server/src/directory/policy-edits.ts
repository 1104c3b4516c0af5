import { EVENT } from '@caegis/protocol'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import { scheduleReevaluation } from '../store/reevaluations.ts'
import type { Store } from '../store/store.ts'

/** What follows of one change's edits of policies and of what they name: gathered, so that however many there are, it follows once. */
export interface PolicyEdits {
  /** The tenant's `policies_version` after this change. Asking for it moves it. */
  version(): Promise<number>
  /** Guards fetch what they hold of it again. */
  changedRules(reason: string): void
  /** The living are decided again: they may have been decided otherwise. */
  changedDecisions(reason: string): void
}

export type PolicyContext = ChangeContext & { edits: PolicyEdits }

/** Runs edits of policies inside a change that is under way. What changes nothing moves no version, and nobody hears of it. */
export async function withEdits<T>(context: ChangeContext, work: (context: PolicyContext) => Promise<T>): Promise<T> {
  const { db, tenant, publish } = context
  let version: number | undefined
  let rules: string | undefined
  let decisions: string | undefined
  const edits: PolicyEdits = {
    async version() {
      if (version !== undefined) return version
      const row = await db.selectFrom('tenants').select('policies_version').where('id', '=', tenant).executeTakeFirstOrThrow()
      version = row.policies_version + 1
      await db.updateTable('tenants').set({ policies_version: version }).where('id', '=', tenant).execute()
      return version
    },
    changedRules(reason) {
      rules ??= reason
    },
    changedDecisions(reason) {
      decisions ??= reason
    },
  }
  const result = await work({ ...context, edits })
  if (rules !== undefined) {
    const subject = { complex: { format: 'complex', tenant: { format: 'opaque', id: tenant } } } as const
    publish({ type: EVENT.locationRulesChanged, subject, reason: rules })
  }
  if (decisions !== undefined) await scheduleReevaluation(context, { reason: decisions })
  return result
}

/** The same as a change of its own. */
export function commitEdits<T>(store: Store, tenant: string, actor: Actor, work: (context: PolicyContext) => Promise<T>): Promise<Committed<T>> {
  return store.commit({ tenant, actor, edit: (context) => withEdits(context, work) })
}
