import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext } from '../store/change.ts'
import type { UserRow } from '../store/schema.ts'
import type { UserUpdate } from './directory.ts'
import { refuseLastAdmin } from './roles.ts'

/** Whoever edits a directory from outside may not do by a file what they may not do by a command; whoever runs the host may. */
export function isFromOutside({ kind }: Actor): boolean {
  return kind === 'user' || kind === 'app'
}

/**
 * What lets somebody in is not an application's to change where that is an administrator: it could make itself one.
 * @throws CaegisError `administrator`
 */
export function refuseApplication({ kind }: Actor, { roles }: Pick<UserRow, 'roles'>): void {
  if (kind === 'app' && roles !== '[]') throw new CaegisError('administrator', SERVER_ERRORS.administrator)
}

/**
 * Whoever sets a password can sign in with it, to whoever goes by a name or an address others give what is that one's, and who is enabled again comes back with
 * whatever they knew. What an application may do ends where its user would be an administrator, and what administrators may do at the account that no policy and
 * no stop reaches. Nobody ends the last administrator from outside: that is for the host.
 * @throws CaegisError `administrator`, `emergency_account`, `last_admin`
 */
export async function refuseTakeover(context: ChangeContext, actor: Actor, user: UserRow, given: UserUpdate): Promise<void> {
  const { password, userPrincipalName: upn = user.upn, mail = user.mail, enabled } = given
  const setsPassword = password !== undefined
  if (setsPassword && user.break_glass === 1 && isFromOutside(actor)) throw new CaegisError('emergency_account', SERVER_ERRORS.emergency_account)
  const comesBack = enabled === true && user.enabled === 0
  if (setsPassword || upn !== user.upn || mail !== user.mail || comesBack) refuseApplication(actor, user)
  const loses = enabled === false || (given.roles !== undefined && !given.roles.includes('admin'))
  if (loses && isFromOutside(actor)) await refuseLastAdmin(context, user)
}
