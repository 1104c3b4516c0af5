import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, Committed } from '../store/change.ts'
import type { ContextRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { auditContext } from './audit-words.ts'
import { livingPolicies } from './policies.ts'
import { commitEdits, type PolicyContext } from './policy-edits.ts'

/** An authentication context: what an API asks for before an operation that needs more. */
export interface AuthenticationContext {
  /** `c1` to `c99`, as `acrs` names it. */
  id: string
  displayName: string
  description: string | null
  /** Applications may offer it. */
  isAvailable: boolean
}

/** What is absent stays. */
export type ContextUpdate = { [Name in keyof Omit<AuthenticationContext, 'id'>]?: AuthenticationContext[Name] | undefined }

export const CONTEXT_ID = /^c[1-9]\d?$/

/** A tenant's authentication contexts. */
export function createContexts(store: Store, tenant: string) {
  const rows = store.db.selectFrom('contexts').selectAll().where('tenant', '=', tenant)
  return {
    /** In the order of their numbers. */
    async list(): Promise<AuthenticationContext[]> {
      return (await rows.execute()).map(toContext).sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
    },
    async find(id: string): Promise<AuthenticationContext | undefined> {
      const row = await rows.where('id', '=', id).executeTakeFirst()
      return row && toContext(row)
    },
    /** Makes it, or changes what is named of it. The result says which. */
    save: (actor: Actor, id: string, given: ContextUpdate): Promise<Committed<'added' | 'changed' | 'same'>> =>
      commitEdits(store, tenant, actor, (context) => saveContext(context, id, given)),
    /** @throws CaegisError `context_not_found`, `context_in_use` */
    remove: (actor: Actor, id: string): Promise<Committed<void>> =>
      commitEdits(store, tenant, actor, async (context) => {
        const { db, edits } = context
        const row = await db.selectFrom('contexts').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
        if (!row) throw new CaegisError('context_not_found', SERVER_ERRORS.context_not_found)
        const named = (await livingPolicies(context)).flatMap(({ conditions }) => conditions.applications.includeAuthenticationContextClassReferences)
        if (named.includes(id)) throw new CaegisError('context_in_use', SERVER_ERRORS.context_in_use)
        await db.deleteFrom('contexts').where('tenant', '=', tenant).where('id', '=', id).execute()
        await edits.version()
        auditContext(context, 'Delete', toContext(row))
      }),
  }
}

export type Contexts = ReturnType<typeof createContexts>

export async function saveContext(context: PolicyContext, id: string, given: ContextUpdate): Promise<'added' | 'changed' | 'same'> {
  const { db, tenant, edits } = context
  const row = await db.selectFrom('contexts').selectAll().where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
  const before = row && toContext(row)
  const base = before ?? { id, displayName: id, description: null, isAvailable: false }
  const after = {
    id,
    displayName: given.displayName ?? base.displayName,
    description: given.description === undefined ? base.description : given.description,
    isAvailable: given.isAvailable ?? base.isAvailable,
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return 'same'
  const columns = { display_name: after.displayName, description: after.description, available: after.isAvailable ? 1 : 0 }
  if (before) await db.updateTable('contexts').set(columns).where('tenant', '=', tenant).where('id', '=', id).execute()
  else
    await db
      .insertInto('contexts')
      .values({ tenant, id, ...columns })
      .execute()
  await edits.version()
  auditContext(context, before ? 'Update' : 'Add', after, before)
  return before ? 'changed' : 'added'
}

function toContext({ id, display_name, description, available }: ContextRow): AuthenticationContext {
  return { id, displayName: display_name, description, isAvailable: available === 1 }
}
