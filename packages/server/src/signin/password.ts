import { verifyPassword } from '../directory/password.ts'
import { currentAttempt, note } from '../issuer/attempt.ts'
import { readInstants, readUser } from '../issuer/facts.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { INSTANTS, lastInstant } from '../store/change.ts'
import type { Store } from '../store/store.ts'

/** `code`: for the log. */
export type FirstProof = { id: string; username: string; at: number } | { wrong: string; code: number; disabled?: true }

/** The application and the browser session that a sign-in is for. */
export interface SignInFor {
  appId?: string | undefined
  sid?: string | undefined
}

const DISABLED = { wrong: 'Your account is disabled. Ask your administrator.', code: 50057, disabled: true } as const

/**
 * Reads somebody who is about to prove a first factor. The instant of the proof lies before what it is checked against was read, and after every cutoff that was
 * known then, of the session and of the application that it is for, too: what is changed meanwhile leaves the proof behind, and the fence notices it besides.
 */
async function readProver(store: Store, issuer: Issuer, by: { column: 'upn_key' | 'id'; value: string }, where: SignInFor) {
  const attempt = currentAttempt()
  const read = async () => {
    const user = await store.db
      .selectFrom('users')
      .select(['id', 'upn', 'password', 'enabled', 'break_glass', 'version'])
      .select(INSTANTS)
      .where('tenant', '=', issuer.tenant.id)
      .where(by.column, '=', by.value)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
    if (user) {
      note(attempt, { table: 'user', id: user.id }, user.version)
      attempt.trace.user = { id: user.id, name: user.upn }
    }
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
      at = Math.max(lastInstant(user), ...others.map((one) => (one ? Math.max(one.validFrom, one.accessFrom, one.claimsFrom) : 0))) + 1
      const { device } = attempt
      attempt.mints.push({ iat: at, exp: 0, appId: '', user: user.id, ...(device === undefined ? {} : { device }) })
    }
  }
  return { user, at }
}

/** A guest is as disabled as the account that it comes from. */
async function settle(store: Store, issuer: Issuer, user: { id: string; upn: string; break_glass: number }, at: number): Promise<FirstProof> {
  if (!(await readUser(store, issuer.tenant, user.id))?.enabled) return DISABLED
  Object.assign(currentAttempt(), { account: { id: user.id, breakGlass: user.break_glass === 1 }, proved: true })
  return { id: user.id, username: user.upn, at }
}

/** Checks a user name and a password; unknown users cost as much and are told the same. */
export async function provePassword(store: Store, issuer: Issuer, username: string, password: string, where: SignInFor): Promise<FirstProof> {
  const { user, at } = await readProver(store, issuer, { column: 'upn_key', value: username.toLowerCase() }, where)
  const right = await verifyPassword(password, user?.password ?? null)
  if (!user || !right) return { wrong: 'The user name or the password is wrong.', code: user ? 50126 : 50034 }
  // Only somebody who knows the password learns that the account is disabled.
  return settle(store, issuer, user, at)
}

/** The same for who needs no password. @param check whether it is that user */
export async function proveWithout(store: Store, issuer: Issuer, id: string, check: () => Promise<boolean>, where: SignInFor): Promise<FirstProof> {
  const { user, at } = await readProver(store, issuer, { column: 'id', value: id }, where)
  if (!user || !(await check())) return { wrong: 'That passkey is not registered here, or the page was open for too long. Try again.', code: 500121 }
  return settle(store, issuer, user, at)
}
