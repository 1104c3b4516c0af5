import type { Application } from '../directory/application.ts'
import type { Actor, Directory } from '../directory/directory.ts'
import { includesPermission, type Permission } from '../directory/permissions.ts'
import { denied } from './errors.ts'

/** Who calls the admin API: what its token says, after the server's own guard has let it through. */
export interface Caller {
  tenant: { id: string; directory: Directory; application(appId: string): Promise<Application | undefined> }
  /** How far a change has come, by its txn; `undefined` when nothing of it was published. */
  proof(txn: string): Promise<object | undefined>
  claims: Record<string, unknown>
}

const ADMIN = 'admin'

/**
 * A daemon needs the application permission; a user needs the delegated permission and the directory role. The role is read from the directory at each call,
 * not from the token, and once more inside the change's own transaction.
 * @throws GraphError 403
 */
export async function authorize({ tenant, claims }: Caller, permission: Permission): Promise<Actor> {
  const { iat, sid, oid, azp } = claims as { iat: number; sid?: string; oid: string; azp: string }
  // A token lives for up to a day; what its application was permitted may have been withdrawn since.
  const app = await tenant.application(azp)
  const held = (app?.enabled ? app.permissions : []).filter((one) => one.startsWith('graph/')).map((one) => one.slice('graph/'.length))
  if (!held.includes('.default') && !includesPermission(held, permission)) throw denied()
  if (claims.idtyp === 'app') {
    const roles = Array.isArray(claims.roles) ? (claims.roles as string[]) : []
    if (!includesPermission(roles, permission)) throw denied()
    return { kind: 'app', appId: azp, iat: Math.floor(iat) }
  }
  if (!includesPermission(String(claims.scp ?? '').split(' '), permission)) throw denied()
  const user = await tenant.directory.user(oid)
  if (!user?.roles.includes(ADMIN)) throw denied()
  return { kind: 'user', id: oid, iat: Math.floor(iat), appId: azp, role: ADMIN, ...(sid === undefined ? {} : { sid }) }
}
