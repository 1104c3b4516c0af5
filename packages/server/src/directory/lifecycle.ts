import { randomUUID } from 'node:crypto'
import { EVENT, event, type SimpleSubject } from '@caegis/protocol'
import type { ChangeContext, Draft } from '../store/change.ts'
import { scheduleReevaluation } from '../store/reevaluations.ts'
import type { UserRow } from '../store/schema.ts'
import { auditNewUser, auditUser } from './audit-words.ts'
import type { NewUser, UserUpdate } from './directory.ts'
import { homeText, publishWithGuests } from './guests.ts'
import { changeNaming, profileColumns, refuseTaken } from './profile.ts'
import { publishRoles } from './roles.ts'
import { releaseHolds } from './upstream-holds.ts'

/** Both forms of a whole user, as they stand in the log. */
export function aboutUser(issuer: string, id: string): Draft['subject'] {
  const user: SimpleSubject = { format: 'iss_sub', iss: issuer, sub: id }
  return { simple: user, complex: { format: 'complex', user } }
}

/**
 * @param password its hash
 * @returns the new user's id
 * @throws CaegisError `user_exists`, before anything is written
 */
export async function insertUser(context: ChangeContext, given: Omit<NewUser, 'password'>, password: string | null): Promise<string> {
  const { db, tenant, now } = context
  const id = randomUUID()
  await refuseTaken({ db, tenant }, given)
  auditNewUser(context, id, given.userPrincipalName)
  await db
    .insertInto('users')
    .values({
      tenant,
      id,
      upn: given.userPrincipalName,
      upn_key: given.userPrincipalName.toLowerCase(),
      display_name: given.displayName,
      enabled: given.enabled === false ? 0 : 1,
      password,
      password_at: password === null ? null : now,
      roles: JSON.stringify(given.roles ?? []),
      password_expired: given.passwordExpired ? 1 : 0,
      ...profileColumns(given),
      source: given.source ?? '',
      type: given.type ?? 'member',
      home: given.home === undefined ? null : homeText(given.home),
      created_at: now,
      deleted_at: null,
    })
    .execute()
  return id
}

/**
 * Makes of an existing user what is named; each property that matters to tokens publishes its event.
 * @param password hash of a new one
 */
export async function changeUser(
  context: ChangeContext,
  issuer: string,
  user: UserRow,
  given: Omit<UserUpdate, 'password'>,
  password?: string,
): Promise<void> {
  const subject = aboutUser(issuer, user.id)
  const columns = await changeNaming(context, user, given, subject)
  if (password !== undefined) {
    Object.assign(columns, { password, password_at: context.now, password_expired: 0 })
    publishPassword(context, user, subject, 'The password was set')
  }
  if (given.passwordExpired !== undefined) columns.password_expired = given.passwordExpired ? 1 : 0
  if (given.type !== undefined && given.type !== user.type) {
    columns.type = given.type
    const payload = { claims: { acct: given.type === 'guest' ? 1 : 0 } }
    context.publish({
      type: EVENT.tokenClaimsChange,
      subject,
      payload,
      reason: 'A member became a guest, or a guest a member',
      cut: { kind: 'user', id: user.id, depth: 'claims' },
    })
    await scheduleReevaluation(context, { reason: 'A member became a guest, or a guest a member', users: [user.id] })
  }
  const roles = given.roles && JSON.stringify(given.roles)
  if (roles !== undefined && roles !== user.roles) {
    columns.roles = roles
    await publishRoles(context, subject, user.id, given.roles ?? [])
  }
  if (given.enabled !== undefined) Object.assign(columns, await changeEnabled(context, issuer, user, given.enabled))
  if (Object.keys(columns).length > 0) await setColumns(context, user, columns)
}

/** Nobody is disabled or enabled twice: the columns that change, and the event, for their guests too. */
export async function changeEnabled(context: ChangeContext, issuer: string, user: UserRow, enabled: boolean): Promise<Partial<UserRow>> {
  // Whoever says it here takes over: no upstream lifts or keeps it any more.
  await releaseHolds(context, user.id)
  if (enabled === (user.enabled === 1)) return {}
  const about = (id: string) => aboutUser(issuer, id)
  if (enabled) {
    // No cutoff: what was good before the account was disabled stays dead, and what is issued from now on is new.
    await publishWithGuests(context, issuer, user.id, about, { type: EVENT.accountEnabled, reason: 'The account was enabled', ends: false })
    return { enabled: 1 }
  }
  await publishWithGuests(context, issuer, user.id, about, { type: EVENT.accountDisabled, reason: 'The account was disabled', ends: true })
  return { enabled: 0 }
}

/** Whoever knew the old password is out; `reason` says where the new one was set. */
export function publishPassword({ publish }: ChangeContext, user: UserRow, subject: Draft['subject'], reason: string): void {
  publish({
    ...event(EVENT.credentialChange, { credential_type: 'password', change_type: 'update' }),
    subject,
    reason,
    cut: { kind: 'user', id: user.id, depth: 'sign-in' },
  })
}

export async function setColumns(context: ChangeContext, user: UserRow, columns: Partial<UserRow>): Promise<void> {
  const { db, tenant } = context
  auditUser(context, user, columns)
  await db
    .updateTable('users')
    .set({ ...columns, version: user.version + 1 })
    .where('tenant', '=', tenant)
    .where('id', '=', user.id)
    .execute()
}

/** The row stays as a tombstone: its instants hold for ever, while the name is free for somebody else. */
export async function removeUser(context: ChangeContext, issuer: string, user: UserRow): Promise<void> {
  const { db, tenant, now } = context
  const about = (id: string) => aboutUser(issuer, id)
  await setColumns(context, user, { enabled: 0, deleted_at: now, password: null })
  await db.deleteFrom('members').where('tenant', '=', tenant).where('user_id', '=', user.id).execute()
  await db.deleteFrom('factors').where('tenant', '=', tenant).where('user_id', '=', user.id).execute()
  await publishWithGuests(context, issuer, user.id, about, { type: EVENT.accountPurged, reason: 'The account was deleted', ends: true })
}
