import type { AuthorCheck } from '../access/author.ts'
import type { Book } from '../access/book.ts'
import type { Lifetimes } from '../access/lifetime.ts'
import type { WhatIf } from '../access/what-if.ts'
import type { Application } from '../directory/application.ts'
import type { Applications } from '../directory/applications.ts'
import type { CaeSwitches } from '../directory/cae-switch.ts'
import type { Contexts } from '../directory/contexts.ts'
import type { Deltas } from '../directory/deltas.ts'
import type { Devices } from '../directory/devices.ts'
import type { Actor, Directory } from '../directory/directory.ts'
import type { Factors } from '../directory/factors.ts'
import type { Groups } from '../directory/groups.ts'
import type { KeyRegistry } from '../directory/keys.ts'
import type { Locations } from '../directory/locations.ts'
import { includesPermission, type Permission } from '../directory/permissions.ts'
import type { Policies } from '../directory/policies.ts'
import type { Provisioning } from '../directory/provisioning.ts'
import type { Reevaluations } from '../directory/reevaluations.ts'
import type { RiskyPrincipals } from '../directory/risk.ts'
import type { RiskSettingsOf } from '../directory/risk-settings.ts'
import type { RevokedToken } from '../directory/sessions.ts'
import type { TenantFiles } from '../directory/tenant-files.ts'
import type { UpstreamRegistry } from '../directory/upstreams.ts'
import type { Audits } from '../logs/audits.ts'
import type { SignIns } from '../logs/sign-ins.ts'
import { badRequest, denied } from './errors.ts'
import type { LdapStatus } from './provisioning.ts'
import type { Signals } from './signals.ts'
import type { UpstreamState } from './upstreams.ts'

/** What whoever runs the server has set, in seconds. */
export interface Usual {
  lifetimes: Lifetimes
  logRetention: number
}

/** Who calls the admin API: what its token says, after the server's own guard has let it through. */
export interface Admitted {
  tenant: {
    id: string
    name: string
    issuer: string
    directory: Directory
    applications: Applications
    groups: Groups
    deltas: Deltas
    devices: Devices
    factors: Factors
    keys: KeyRegistry
    policies: Policies
    locations: Locations
    contexts: Contexts
    reevaluations: Reevaluations
    caeSwitch: CaeSwitches
    risk: RiskyPrincipals
    riskSettings: RiskSettingsOf
    upstreams: UpstreamRegistry
    tenantFiles: TenantFiles
    provisioning: Provisioning
    /** What holds where the tenant says nothing; `logRetention` is the most that it may say, too. */
    usual: Usual
    book: Book
    wouldBlock: AuthorCheck
    whatIf: WhatIf
    signIns: SignIns
    audits: Audits
    readToken(text: string): Promise<RevokedToken | undefined>
    application(appId: string): Promise<Application | undefined>
  }
  signals: Signals
  /** The receivers of upstreams. */
  upstreams: { changed(): Promise<void>; status(id: string): Promise<UpstreamState> }
  /** The directory of LDAP that this tenant's people come from. */
  ldap(): Promise<LdapStatus | undefined>
  /** To be told that the tenant has another name: pages show it. */
  renamed(): Promise<void>
  /** Aborts when the access of the token ends; to be read by what lasts longer than an answer. */
  signal(): AbortSignal
  /** Resolves when the guard that let this in has applied what was committed by now. */
  settled(): Promise<void>
  claims: Record<string, unknown>
  /** As far as trusted proxies tell; empty when unknown. */
  address: string
}

/** Who may do what they ask for. */
export interface Caller extends Admitted {
  actor: Actor
}

const ADMIN = 'admin'

const anyOf = (permissions: readonly Permission[]) => permissions.join(' or ')

/**
 * A daemon needs the application permission; a user needs the delegated permission and the directory role. The role is read from the directory at each call,
 * not from the token, and once more inside the change's own transaction.
 * @param permissions any one of them suffices
 * @throws GraphError 403
 */
export async function authorize({ tenant, claims, address }: Admitted, ...permissions: readonly [Permission, ...Permission[]]): Promise<Actor> {
  const { iat, sid, oid, azp } = claims as { iat: number; sid?: string; oid: string; azp: string }
  // A token lives for up to a day; what its application was permitted may have been withdrawn since.
  const app = await tenant.application(azp)
  const held = (app?.enabled ? app.permissions : []).filter((one) => one.startsWith('graph/')).map((one) => one.slice('graph/'.length))
  const among = (names: Iterable<string>) => (one: Permission) => includesPermission(names, one)
  const open = held.includes('.default') ? permissions : permissions.filter(among(held))
  if (claims.idtyp === 'app') {
    const roles = Array.isArray(claims.roles) ? (claims.roles as string[]) : []
    if (!open.some(among(roles))) throw denied(`The application ${azp} and its token need the permission ${anyOf(permissions)}.`)
    return { kind: 'app', appId: azp, iat: Math.floor(iat), address }
  }
  if (!open.some(among(String(claims.scp ?? '').split(' '))))
    throw denied(`The application ${azp} and its token need the scope ${anyOf(permissions)}.`)
  const user = await tenant.directory.user(oid)
  if (!user?.roles.includes(ADMIN)) throw denied(`The user needs the directory role ${ADMIN}.`)
  return { kind: 'user', id: oid, iat: Math.floor(iat), appId: azp, role: ADMIN, address, ...(sid === undefined ? {} : { sid }) }
}

/** What people may do with their own account needs their own token, and no role. @throws GraphError 400, 403 */
export function authorizeSelf(admitted: Admitted, permissions: readonly Permission[]): Actor {
  if (admitted.claims.idtyp === 'app') throw badRequest('/me request is only valid with delegated authentication flow.')
  if (!permissions.some((one) => mayThemselves(admitted, one))) throw denied(`The token needs the scope ${anyOf(permissions)}.`)
  return { kind: 'holder', user: String(admitted.claims.oid) }
}

/** Whether it is a person's token that holds the permission. */
export function mayThemselves({ claims }: Admitted, permission: Permission): boolean {
  return claims.idtyp !== 'app' && includesPermission(String(claims.scp ?? '').split(' '), permission)
}
