/** What the admin API lets a caller do; Microsoft Graph's names. A permission includes those on its right. */
const INCLUDES = {
  'User.Read': [],
  'User.Read.All': ['User.Read'],
  'User.RevokeSessions.All': [],
  'User.EnableDisableAccount.All': [],
  /** The tenant itself: whether it is stopped. */
  'Organization.Read.All': [],
  'Organization.ReadWrite.All': ['Organization.Read.All'],
  /** The event log, the streams and what became of each event on them. */
  'SecurityEvents.Read.All': [],
  'SecurityEvents.ReadWrite.All': ['SecurityEvents.Read.All'],
  /** The sign-in log and the audit log. */
  'AuditLog.Read.All': [],
  'Device.Read.All': [],
  'Device.ReadWrite.All': ['Device.Read.All'],
  'GroupMember.Read.All': [],
  'GroupMember.ReadWrite.All': ['GroupMember.Read.All'],
  'Group.Read.All': ['GroupMember.Read.All'],
  'Group.ReadWrite.All': ['Group.Read.All', 'GroupMember.Read.All', 'GroupMember.ReadWrite.All'],
  /** Who is an administrator. */
  'RoleManagement.Read.Directory': [],
  'RoleManagement.ReadWrite.Directory': ['RoleManagement.Read.Directory'],
  'AppRoleAssignment.ReadWrite.All': [],
  /** What users prove at sign-in besides, or instead of, their password. */
  'UserAuthenticationMethod.Read.All': [],
  'UserAuthenticationMethod.ReadWrite.All': ['UserAuthenticationMethod.Read.All'],
  /** Applications, their secrets and certificates. */
  'Application.Read.All': [],
  'Application.ReadWrite.All': ['Application.Read.All'],
  /** Conditional Access: policies, named locations and authentication contexts. */
  'Policy.Read.All': [],
  'Policy.ReadWrite.ConditionalAccess': ['Policy.Read.All'],
  /** What was found about users and their sign-ins. */
  'IdentityRiskEvent.Read.All': [],
  /** Who is at risk. */
  'IdentityRiskyUser.Read.All': [],
  'IdentityRiskyUser.ReadWrite.All': ['IdentityRiskyUser.Read.All'],
  'IdentityRiskyServicePrincipal.Read.All': [],
  'IdentityRiskyServicePrincipal.ReadWrite.All': ['IdentityRiskyServicePrincipal.Read.All'],
  /** Other transmitters: whose facts are taken, and what they cause here. */
  'Upstream.Read.All': [],
  'Upstream.ReadWrite.All': ['Upstream.Read.All'],
  /** Users and groups by SCIM, and nothing else. */
  'SCIM.ReadWrite.All': [],
  /** Global Token Revocation, and nothing else. */
  global_token_revocation: [],
  'User.ReadWrite.All': ['User.Read.All', 'User.Read', 'User.RevokeSessions.All', 'User.EnableDisableAccount.All'],
} as const satisfies Record<string, readonly string[]>

export type Permission = keyof typeof INCLUDES

export const PERMISSIONS = Object.keys(INCLUDES) as Permission[]

export function isPermission(name: string): name is Permission {
  return Object.hasOwn(INCLUDES, name)
}

/** Whether any of the held names is the wanted permission or includes it. */
export function includesPermission(held: Iterable<string>, wanted: Permission): boolean {
  for (const name of held) {
    if (name === wanted) return true
    if (isPermission(name) && (INCLUDES[name] as readonly string[]).includes(wanted)) return true
  }
  return false
}
