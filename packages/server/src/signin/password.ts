import { verifyPassword } from '../directory/password.ts'
import { currentAttempt, note } from '../issuer/attempt.ts'
import { readInstants } from '../issuer/facts.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { Store } from '../store/store.ts'

export type PasswordProof = { id: string; at: number } | { wrong: string; disabled?: true }

/**
 * Checks a user name and a password; unknown users cost as much and are told the same. The instant of the proof lies before the stored hash was read and after
 * every cutoff that was known then, of the session and of the application that it is for, too: a password that is changed meanwhile leaves the proof behind, and the fence notices it besides.
 */
export async function provePassword(
  store: Store,
  issuer: Issuer,
  username: string,
  password: string,
  where: { appId?: string | undefined; sid?: string | undefined },
): Promise<PasswordProof> {
  const attempt = currentAttempt()
  const read = async () => {
    const user = await store.db
      .selectFrom('users')
      .select(['id', 'password', 'enabled', 'break_glass', 'valid_from', 'access_from', 'version'])
      .where('tenant', '=', issuer.tenant.id)
      .where('upn_key', '=', username.toLowerCase())
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
    if (user) note(attempt, { table: 'user', id: user.id }, user.version)
    return user
  }
  let at = Math.floor(store.clock())
  let user = await read()
  // The tenant, the session and the application, and the device that the sign-in began on.
  const others = await readInstants(store, issuer.tenant, { ...where, user: user?.id })
  const cutoff = Math.max(user?.valid_from ?? 0, ...others.map((one) => one?.validFrom ?? 0))
  if (user && at <= cutoff) {
    await issuer.waitPast(cutoff)
    at = Math.floor(store.clock())
    user = await read()
    if (user && at <= cutoff) {
      // The clock fell far behind: the next instant after the cutoff, as for a token, and noted like one, so that the next cutoff is placed no earlier.
      at = Math.max(cutoff, user.access_from, ...others.map((one) => one?.accessFrom ?? 0)) + 1
      const { device } = attempt
      attempt.mints.push({ iat: at, exp: 0, appId: '', user: user.id, ...(device === undefined ? {} : { device }) })
    }
  }
  const right = await verifyPassword(password, user?.password ?? null)
  if (!user || !right) return { wrong: 'The user name or the password is wrong.' }
  // Only somebody who knows the password learns that the account is disabled.
  if (user.enabled === 0) return { wrong: 'Your account is disabled. Ask your administrator.', disabled: true }
  attempt.account = { id: user.id, breakGlass: user.break_glass === 1 }
  attempt.proved = true
  return { id: user.id, at }
}
