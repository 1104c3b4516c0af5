import { CaegisError } from '@caegis/protocol'
import { type Kysely, sql, type Transaction } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor } from '../store/change.ts'
import type { Schema, UserRow } from '../store/schema.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/**
 * Whether a user is the emergency account. The one question by which anything that could lock every administrator out lets somebody through: the stop, and
 * policies, risk and other transmitters' facts. Its own state (disabled, revoked, its password) counts as anybody's.
 * @param user id or user name
 */
export async function isBreakGlass(db: Db, tenant: string, user: string): Promise<boolean> {
  const found = await breakGlass(db, tenant)
    .where((eb) => eb.or([eb('id', '=', user), eb('upn_key', '=', user.toLowerCase())]))
    .executeTakeFirst()
  return found !== undefined
}

/** Whether a tenant has an emergency account that could sign in. */
export async function hasBreakGlass(db: Db, tenant: string): Promise<boolean> {
  return (await breakGlass(db, tenant).where('enabled', '=', 1).executeTakeFirst()) !== undefined
}

export function breakGlass(db: Db, tenant: string) {
  // The number stands in the text, so that the partial index answers: every request to a stopped tenant asks this.
  const marked = sql.lit(1)
  return db.selectFrom('users').select(['id', 'upn']).where('tenant', '=', tenant).where('break_glass', '=', marked).where('deleted_at', 'is', null)
}

/** It is for the day on which applications are in the wrong hands. @throws CaegisError `emergency_account` */
export function refuseEmergency({ kind }: Actor, { break_glass }: Pick<UserRow, 'break_glass'>): void {
  if (break_glass === 1 && kind === 'app') throw new CaegisError('emergency_account', SERVER_ERRORS.emergency_account)
}
