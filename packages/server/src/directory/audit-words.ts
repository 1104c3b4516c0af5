import { type AuditEntry, type AuditTarget, type Modified, modified } from '../store/audit.ts'
import type { ChangeContext } from '../store/change.ts'
import type { DeviceRow, UserRow } from '../store/schema.ts'
import type { Application } from './application.ts'

const flag = (value: number | null) => (value === null ? null : value === 1)
const list = (value: string) => JSON.parse(value)
/** Moves with others, and says nothing of its own. */
const SILENT = ''

const OF_USER = {
  ...{ upn: 'userPrincipalName', display_name: 'displayName', mail: 'mail', given_name: 'givenName', surname: 'surname', external_id: 'externalId' },
  ...{ upn_key: SILENT, password_at: SILENT, deleted_at: SILENT, version: SILENT },
  enabled: ['accountEnabled', flag] as [string, (value: number | null) => unknown],
  password_expired: ['forceChangePasswordNextSignIn', flag] as [string, (value: number | null) => unknown],
  roles: ['directoryRoles', list] as [string, (value: string) => unknown],
}

const OF_DEVICE = {
  ...{ display_name: 'displayName', public: 'publicKey', deleted_at: SILENT, version: SILENT },
  enabled: ['accountEnabled', flag] as [string, (value: number | null) => unknown],
  compliant: ['isCompliant', flag] as [string, (value: number | null) => unknown],
}

/** An edit of a user, by the columns that become others. */
export function auditUser({ audit }: ChangeContext, user: UserRow, columns: Partial<UserRow>): void {
  const changed = columns.deleted_at == null ? modified(OF_USER, user as never, columns) : []
  if (columns.deleted_at == null && changed.length === 0) return
  const names = changed.map(({ name }) => name)
  const only = (...some: string[]) => names.length > 0 && names.every((name) => some.includes(name))
  const [activity, operation]: [string, AuditEntry['operation']] =
    columns.deleted_at != null
      ? ['Delete user', 'Delete']
      : only('accountEnabled')
        ? [columns.enabled === 1 ? 'Enable account' : 'Disable account', 'Update']
        : names.includes('password') && only('password', 'forceChangePasswordNextSignIn')
          ? ['Reset user password', 'Update']
          : ['Update user', 'Update']
  audit({ activity, operation, category: 'UserManagement', targets: [{ type: 'User', id: user.id, name: user.upn, modified: changed }] })
}

export function auditNewUser({ audit }: ChangeContext, id: string, name: string): void {
  audit({ activity: 'Add user', operation: 'Add', category: 'UserManagement', targets: [{ type: 'User', id, name }] })
}

/** An edit of a device, by the columns that become others. */
export function auditDevice({ audit }: ChangeContext, device: DeviceRow, columns: Partial<DeviceRow>): void {
  const gone = columns.deleted_at != null
  const target: AuditTarget = { type: 'Device', id: device.id, name: device.display_name }
  if (!gone) target.modified = modified(OF_DEVICE, device as never, columns)
  audit({ activity: gone ? 'Delete device' : 'Update device', operation: gone ? 'Delete' : 'Update', category: 'Device', targets: [target] })
}

export function auditGoneApplication({ audit }: ChangeContext, { appId: id, displayName: name }: Application): void {
  audit({ activity: 'Delete application', operation: 'Delete', category: 'ApplicationManagement', targets: [{ type: 'Application', id, name }] })
}

/** An application, before an edit and after it; both where it is not new. Of credentials only their names are told. */
export function auditApplication({ audit }: ChangeContext, before: Application | undefined, after: Application): void {
  const shown = before ? differences(shownOf(before), shownOf(after)) : []
  // Of the same name, and another: nothing of it is shown.
  const replaced = before?.credentials.some(({ id, value }) => after.credentials.some((one) => one.id === id && one.value !== value))
  if (replaced) shown.push({ name: 'credentials', old: null, new: null })
  const of: AuditTarget = { type: 'Application', id: after.appId, name: after.displayName, ...(before ? { modified: shown } : {}) }
  const activity = before ? 'Update application' : 'Add application'
  audit({ activity, operation: before ? 'Update' : 'Add', category: 'ApplicationManagement', targets: [of] })
}

/** What administrators may see of an application. */
export function shownOf({
  credentials,
  id: _id,
  appId: _appId,
  version: _version,
  validFrom: _from,
  accessFrom: _access,
  ...rest
}: Application): object {
  return {
    ...rest,
    credentials: credentials.map(({ id, kind, display_name, expires_at }) => ({ id, kind, displayName: display_name, expiresAt: expires_at })),
  }
}

function differences(before: object, after: object): Modified[] {
  const old = new Map(Object.entries(before).map(([name, value]) => [name, JSON.stringify(value)]))
  return Object.entries(after)
    .map(([name, value]) => ({ name, old: old.get(name) ?? null, new: JSON.stringify(value) }))
    .filter((one) => one.old !== one.new)
}

const OF_GROUP = { display_name: 'displayName', description: 'description', external_id: 'externalId' }

export function auditGroup(
  { audit }: ChangeContext,
  operation: 'Add' | 'Update' | 'Delete',
  group: { id: string; display_name: string },
  columns: object = {},
): void {
  const changed = modified(OF_GROUP, group as never, columns as never)
  if (operation === 'Update' && changed.length === 0) return
  const target: AuditTarget = { type: 'Group', id: group.id, name: group.display_name, ...(operation === 'Update' ? { modified: changed } : {}) }
  audit({ activity: `${operation} group`, operation, category: 'GroupManagement', targets: [target] })
}

/** A transmitter that is listened to; of its credentials nothing. */
export function auditUpstream(
  { audit }: ChangeContext,
  operation: 'Add' | 'Update' | 'Delete',
  upstream: { id: string; issuer: string },
  changed: readonly string[] = [],
): void {
  const properties = changed.map((name) => ({ name, old: null, new: null }))
  const target: AuditTarget = { type: 'Other', id: upstream.id, name: upstream.issuer, ...(changed.length > 0 ? { modified: properties } : {}) }
  audit({ activity: `${operation} upstream`, operation, category: 'DirectoryManagement', targets: [target] })
}

/** Somebody, or a group, joined a group or left it. */
export function auditMember({ audit }: ChangeContext, group: string, member: { id: string; isGroup: boolean }, added: boolean): void {
  const targets: AuditTarget[] = [
    { type: member.isGroup ? 'Group' : 'User', id: member.id },
    { type: 'Group', id: group },
  ]
  const activity = added ? 'Add member to group' : 'Remove member from group'
  audit({ activity, operation: added ? 'Assign' : 'Unassign', category: 'GroupManagement', targets })
}

/** A role of an application was given or taken. */
export function auditAssignment(
  { audit }: ChangeContext,
  appId: string,
  role: string,
  principal: { id: string; isGroup: boolean },
  added: boolean,
): void {
  const targets: AuditTarget[] = [
    { type: principal.isGroup ? 'Group' : 'User', id: principal.id },
    {
      type: 'Application',
      id: appId,
      modified: [{ name: 'appRole', old: added ? null : JSON.stringify(role), new: added ? JSON.stringify(role) : null }],
    },
  ]
  const activity = added ? 'Add app role assignment' : 'Remove app role assignment'
  audit({ activity, operation: added ? 'Assign' : 'Unassign', category: 'RoleManagement', targets })
}

interface Told {
  id: string
  name: string
}

/** A Conditional Access policy, before an edit and after it, in Graph's JSON. */
export function auditPolicy(context: ChangeContext, operation: Operation, policy: Told, before?: object, after?: object): void {
  auditOfPolicies(context, `${operation} conditional access policy`, operation, policy, before, after)
}

export function auditLocation(context: ChangeContext, operation: Operation, location: Told, before?: object, after?: object): void {
  auditOfPolicies(context, `${operation} named location`, operation, location, before, after)
}

export function auditContext(context: ChangeContext, operation: Operation, after: { id: string; displayName: string }, before?: object): void {
  const told = { id: after.id, name: after.displayName }
  auditOfPolicies(context, `${operation} authentication context`, operation, told, before, operation === 'Update' ? after : undefined)
}

type Operation = 'Add' | 'Update' | 'Delete'

function auditOfPolicies(
  { audit }: ChangeContext,
  activity: string,
  operation: Operation,
  { id, name }: Told,
  before?: object,
  after?: object,
): void {
  const target: AuditTarget = { type: 'Policy', id, name, ...(before && after ? { modified: differences(before, after) } : {}) }
  audit({ activity, operation, category: 'Policy', targets: [target] })
}

/** What is thought of somebody, or of an application. */
export function auditRisk({ audit }: ChangeContext, target: AuditTarget, before: string, after: string, detail: string): void {
  const isUser = target.type === 'User'
  const what = detail.startsWith('adminConfirmed') ? 'Confirm compromised' : detail.startsWith('adminDismissed') ? 'Dismiss risk' : 'Change risk'
  audit({
    ...{ activity: `${what} of ${isUser ? 'user' : 'service principal'}`, operation: 'Update' },
    category: isUser ? 'UserManagement' : 'ApplicationManagement',
    targets: [
      {
        ...target,
        modified: [
          { name: 'riskLevel', old: JSON.stringify(before), new: JSON.stringify(after) },
          { name: 'riskDetail', old: null, new: JSON.stringify(detail) },
        ],
      },
    ],
  })
}
