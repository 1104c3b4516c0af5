import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, Committed } from '../store/change.ts'
import type { PolicyRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { changePolicy, findRow, insertPolicy, type PolicyJson, removePolicy, SWITCH_ID } from './policies.ts'
import { commitEdits, type PolicyContext } from './policy-edits.ts'

/** Graph's tenant-wide switch of continuous access evaluation, from before there was a session control for it. */
export interface CaeSwitch {
  /** `false`: nobody gets a token that lives long. */
  isEnabled: boolean
  /** Ids: who gets one. Without any, everybody. */
  users: readonly string[]
  groups: readonly string[]
  /** A policy has taken its place. */
  migrate: boolean
}

/** While it means anybody less than everybody, it is a policy that nobody lists: whoever is not meant has the session control `disabled`. */
export function createCaeSwitch(store: Store, tenant: string) {
  const find = async (db: Pick<Store['db'], 'selectFrom'>): Promise<CaeSwitch> => {
    const row = await db.selectFrom('policies').selectAll().where('tenant', '=', tenant).where('id', '=', SWITCH_ID).executeTakeFirst()
    const everybody = { isEnabled: true, users: [], groups: [] }
    if (!row || row.deleted_at !== null) return { ...everybody, migrate: row !== undefined }
    return row.state === 'disabled' ? { ...everybody, migrate: false } : { ...scopeOf(row), migrate: false }
  }

  return {
    read: () => find(store.db),

    /** @throws CaegisError `switch_migrated`, `switch_scope`, `invalid_policy` where users or groups are not there */
    update: (actor: Actor, given: Partial<CaeSwitch>): Promise<Committed<void>> =>
      commitEdits(store, tenant, actor, async (context) => {
        const before = await find(context.db)
        if (before.migrate) throw new CaegisError('switch_migrated', SERVER_ERRORS.switch_migrated)
        const after = { ...before, ...given }
        if (!after.isEnabled && after.users.length + after.groups.length > 0) throw new CaegisError('switch_scope', SERVER_ERRORS.switch_scope)
        await turn(context, after).catch(inItsOwnWords)
      }),
  }
}

export type CaeSwitches = ReturnType<typeof createCaeSwitch>

async function turn(context: PolicyContext, wanted: CaeSwitch): Promise<void> {
  const isNeeded = !wanted.isEnabled || wanted.users.length + wanted.groups.length > 0
  const row = await findRow(context, context.tenant, SWITCH_ID)
  if (row) await changePolicy(context, row, policyOf('Continuous access evaluation: the legacy switch', wanted, isNeeded))
  else if (isNeeded || wanted.migrate)
    await insertPolicy(context, policyOf('Continuous access evaluation: the legacy switch', wanted, isNeeded), SWITCH_ID)
  if (!wanted.migrate) return
  await removePolicy(context, (await findRow(context, context.tenant, SWITCH_ID)) as PolicyRow)
  if (isNeeded) await insertPolicy(context, policyOf('Continuous access evaluation', wanted, true))
}

function policyOf(displayName: string, { users, groups }: CaeSwitch, isNeeded: boolean): PolicyJson {
  return {
    ...{ displayName, state: isNeeded ? 'enabled' : 'disabled' },
    conditions: { users: { includeUsers: ['All'], excludeUsers: users, excludeGroups: groups }, applications: { includeApplications: ['All'] } },
    sessionControls: { continuousAccessEvaluation: { mode: 'disabled' } },
  }
}

function scopeOf({ body }: PolicyRow): Pick<CaeSwitch, 'isEnabled' | 'users' | 'groups'> {
  const { users } = (JSON.parse(body) as { conditions: { users: { excludeUsers: string[]; excludeGroups: string[] } } }).conditions
  return { isEnabled: users.excludeUsers.length + users.excludeGroups.length > 0, users: users.excludeUsers, groups: users.excludeGroups }
}

/** Its mistakes by the paths that it was written with. */
function inItsOwnWords(error: unknown): never {
  if (!(error instanceof CaegisError) || error.code !== 'invalid_policy') throw error
  const detail = (error.detail as { path: string; message: string }[]).map(({ path, message }) => ({
    path: path.replace(/^\/conditions\/users\/exclude(Users|Groups)/, (_, name: string) => `/${name.toLowerCase()}`),
    message,
  }))
  throw new CaegisError('invalid_policy', error.message, { detail })
}
