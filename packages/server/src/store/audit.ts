import { type ComplexSubject, EVENT, type SimpleSubject } from '@caegis/protocol'
import type { Kysely, Transaction } from 'kysely'
import type { Actor, Draft } from './change.ts'
import type { Schema } from './schema.ts'
import { timeId } from './time-id.ts'

export type AuditCategory =
  | 'UserManagement'
  | 'GroupManagement'
  | 'ApplicationManagement'
  | 'RoleManagement'
  | 'Device'
  | 'Policy'
  | 'DirectoryManagement'

/** What an edit did, in an administrator's words. */
export interface AuditEntry {
  /** `Add user`, `Disable account`: Graph's words where it has some. */
  activity: string
  category: AuditCategory
  operation: 'Add' | 'Update' | 'Delete' | 'Assign' | 'Unassign'
  targets: AuditTarget[]
}

export interface AuditTarget {
  type: 'User' | 'Group' | 'Application' | 'Device' | 'Directory' | 'Session' | 'Token' | 'Key' | 'Role' | 'Policy' | 'Other'
  id: string
  name?: string
  modified?: Modified[]
}

/** Values are JSON; `null` for both where they are not for the eyes of others. */
export interface Modified {
  name: string
  old: string | null
  new: string | null
}

/** One record of the audit log. */
export interface Audit extends AuditEntry {
  /** Sorts by time. */
  id: string
  /** Milliseconds. */
  at: number
  txn: string
  result: 'success' | 'failure'
  reason: string
  by: AuditActor
  /** Targets that there was no room for. */
  leftOut: number
}

export interface AuditActor {
  user?: { id: string; name: string }
  app?: { id: string; name: string }
  /** Nobody from outside: the server itself, and why. */
  system?: string
  address: string
}

const MOST_TARGETS = 50
const MOST_MODIFIED = 32
const LONGEST = 512

type Columns = Record<string, unknown>

/**
 * What an edit makes of a row, under the names that administrators know. A column without a name is said to have changed, and nothing more: it may hold a secret.
 * @param names a name, and how its value is read where a row keeps it in another form; an empty one is left out
 */
export function modified(names: Record<string, string | [string, (value: never) => unknown]>, before: Columns, after: Columns): Modified[] {
  return Object.entries(after)
    .filter(([column, value]) => value !== undefined && value !== before[column] && names[column] !== '')
    .map(([column, value]) => {
      const known = names[column]
      if (known === undefined) return { name: column, old: null, new: null }
      const [name, read] = typeof known === 'string' ? [known, (one: unknown) => one] : known
      const show = (one: unknown) => (one === undefined ? null : JSON.stringify(one === null ? null : read(one as never)))
      return { name, old: show(before[column]), new: show(value) }
    })
}

/** Writes what a change did, in its own transaction. What published an event without saying more is told by the event's own words; what did neither changed nothing. */
export async function insertAudits(
  db: Transaction<Schema>,
  { tenant, txn, actor, now }: { tenant: string; txn: string; actor: Actor; now: number },
  said: readonly AuditEntry[],
  drafts: readonly Draft[],
): Promise<void> {
  const [first] = drafts
  const entries = said.length > 0 ? together(said) : first ? [entryOf(first, drafts)] : []
  if (entries.length === 0) return
  const by = await actorOf(db, tenant, actor)
  // An event does not say which of several edits it came of.
  const reason = entries.length === 1 ? (first?.reason ?? '') : ''
  for (const entry of entries) {
    const record = auditRecord(now, { ...entry, txn, by, result: 'success', reason })
    await insertAudit(db, tenant, { ...record, targets: await named(db, tenant, record.targets) })
  }
}

/** A record within its bounds. @param now seconds with a fraction */
export function auditRecord(now: number, given: Omit<Audit, 'id' | 'at' | 'leftOut'>): Audit {
  const at = Math.floor(now * 1000)
  const cut = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text)
  const targets = given.targets.slice(0, MOST_TARGETS).map((target) => ({
    ...target,
    ...(target.name === undefined ? {} : { name: cut(target.name) }),
    ...(target.modified
      ? {
          modified: target.modified
            .slice(0, MOST_MODIFIED)
            .map((one) => ({ name: one.name, old: one.old === null ? null : cut(one.old), new: one.new === null ? null : cut(one.new) })),
        }
      : {}),
  }))
  return { ...given, id: timeId(at), at, targets, leftOut: given.targets.length - targets.length }
}

export async function insertAudit(db: Kysely<Schema>, tenant: string, record: Audit): Promise<void> {
  const { id, txn, activity, category, result, by } = record
  const row = {
    tenant,
    id,
    txn,
    activity,
    category,
    result,
    by_user: by.user?.id ?? null,
    by_app: by.app?.id ?? null,
    record: JSON.stringify(record),
  }
  await db.insertInto('audits').values(row).execute()
  const targets = [...new Set(record.targets.map((target) => target.id))].map((target) => ({ tenant, target, id }))
  if (targets.length > 0) await db.insertInto('audit_targets').values(targets).execute()
}

/** Who it is, by the names of now. */
export async function actorOf(db: Kysely<Schema>, tenant: string, actor: Actor): Promise<AuditActor> {
  if (actor.kind === 'system' || actor.kind === 'policy') return { system: actor.reason, address: '' }
  const user = actor.kind === 'user' ? actor.id : actor.kind === 'holder' ? actor.user : undefined
  const appId = actor.kind === 'holder' ? undefined : actor.appId
  const row =
    user === undefined ? undefined : await db.selectFrom('users').select('upn').where('tenant', '=', tenant).where('id', '=', user).executeTakeFirst()
  const app =
    appId === undefined
      ? undefined
      : await db.selectFrom('applications').select('display_name').where('tenant', '=', tenant).where('app_id', '=', appId).executeTakeFirst()
  return {
    ...(user === undefined ? {} : { user: { id: user, name: row?.upn ?? '' } }),
    ...(appId === undefined ? {} : { app: { id: appId, name: app?.display_name ?? '' } }),
    address: actor.address ?? '',
  }
}

/** With the names of now, where the edit gave none. */
async function named(db: Kysely<Schema>, tenant: string, targets: readonly AuditTarget[]): Promise<AuditTarget[]> {
  const lacking = (type: AuditTarget['type']) => targets.filter((one) => one.type === type && one.name === undefined).map(({ id }) => id)
  const [users, groups, apps, devices] = [lacking('User'), lacking('Group'), lacking('Application'), lacking('Device')]
  const of = <T extends 'users' | 'groups' | 'applications' | 'devices'>(table: T) => db.selectFrom(table as 'users').where('tenant', '=', tenant)
  const rows = [
    ...(users.length === 0 ? [] : await of('users').select(['id', 'upn as name']).where('id', 'in', users).execute()),
    ...(groups.length === 0 ? [] : await of('groups').select(['id', 'display_name as name']).where('id', 'in', groups).execute()),
    ...(apps.length === 0
      ? []
      : await db
          .selectFrom('applications')
          .select(['app_id as id', 'display_name as name'])
          .where('tenant', '=', tenant)
          .where('app_id', 'in', apps)
          .execute()),
    ...(devices.length === 0 ? [] : await of('devices').select(['id', 'display_name as name']).where('id', 'in', devices).execute()),
  ]
  const names = new Map(rows.map(({ id, name }) => [id, name]))
  return targets.map((target) => (target.name === undefined && names.has(target.id) ? { ...target, name: names.get(target.id) as string } : target))
}

/** One entry for each thing that was done, however many it was done to. */
function together(said: readonly AuditEntry[]): AuditEntry[] {
  const found = new Map<string, AuditEntry>()
  for (const entry of said) {
    const key = `${entry.activity}\n${entry.category}\n${entry.operation}`
    const known = found.get(key)
    if (known) known.targets.push(...entry.targets)
    else found.set(key, { ...entry, targets: [...entry.targets] })
  }
  for (const entry of found.values()) entry.targets = unique(entry.targets)
  return [...found.values()]
}

/** Each once, unless it says what became of it. */
function unique(targets: readonly AuditTarget[]): AuditTarget[] {
  const seen = new Set<string>()
  return targets.filter(({ type, id, modified }) => modified !== undefined || !(seen.has(`${type} ${id}`) || !seen.add(`${type} ${id}`)))
}

function entryOf(first: Draft, drafts: readonly Draft[]): AuditEntry {
  const targets = new Map(drafts.flatMap(({ subject }) => targetsOf(subject.complex)).map((one) => [`${one.type} ${one.id}`, one]))
  const [target] = targets.values()
  const category = first.type === EVENT.tokenClaimsChange ? 'RoleManagement' : CATEGORIES[target?.type ?? 'Other']
  return { activity: first.reason, category: category ?? 'DirectoryManagement', operation: 'Update', targets: [...targets.values()] }
}

const CATEGORIES: Partial<Record<AuditTarget['type'], AuditCategory>> = {
  User: 'UserManagement',
  Session: 'UserManagement',
  Token: 'UserManagement',
  Application: 'ApplicationManagement',
  Device: 'Device',
}

/** Whom and what an event is about. */
function targetsOf(subject: ComplexSubject | SimpleSubject): AuditTarget[] {
  const of = (type: AuditTarget['type'], one: unknown): AuditTarget[] => {
    const { sub, id } = (one ?? {}) as { sub?: string; id?: string }
    return one === undefined ? [] : [{ type, id: String(sub ?? id ?? '') }]
  }
  if (subject.format === 'jwt_id') return [{ type: 'Token', id: String((subject as { jti?: unknown }).jti) }]
  if (subject.format !== 'complex') return of('User', subject)
  const { user, session, application, device, tenant } = subject as ComplexSubject
  return [...of('User', user), ...of('Session', session), ...of('Application', application), ...of('Device', device), ...of('Directory', tenant)]
}
