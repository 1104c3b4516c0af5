import { isPermission, type Permission } from '../directory/permissions.ts'
import { fullScope, type Resource } from '../issuer/resources.ts'
import type { Tenant } from '../issuer/tenant.ts'

const OPENID: Record<string, string> = {
  openid: 'Sign you in and know who you are',
  profile: 'See your name and user name',
  email: 'See your e-mail address',
}

const ADMIN: Record<Permission, string> = {
  'User.Read': 'See your account in the directory',
  'User.Read.All': 'See all users of the directory',
  'User.ReadWrite.All': 'Change, disable and delete users, as far as you may',
  'User.RevokeSessions.All': 'End the sessions of users, as far as you may',
  'User.EnableDisableAccount.All': 'Disable and enable users, as far as you may',
  'UserAuthenticationMethod.Read.All': 'See how users sign in',
  'UserAuthenticationMethod.ReadWrite.All': 'Take away what users sign in with, as far as you may',
  'AuditLog.Read.All': 'Read who signed in, and who changed what',
  'Organization.Read.All': 'See the state of the organization',
  'Organization.ReadWrite.All': 'Stop and resume the whole organization, as far as you may',
  'SecurityEvents.Read.All': 'See security events and where they go',
  'SecurityEvents.ReadWrite.All': 'Change where security events go, as far as you may',
  'Device.Read.All': 'See all devices',
  'Device.ReadWrite.All': 'Register, disable and delete devices, as far as you may',
  'Group.Read.All': 'See all groups and who is in them',
  'Group.ReadWrite.All': 'Make, change and delete groups, as far as you may',
  'GroupMember.Read.All': 'See who is in which group',
  'GroupMember.ReadWrite.All': 'Change who is in which group, as far as you may',
  'RoleManagement.Read.Directory': 'See who is an administrator',
  'RoleManagement.ReadWrite.Directory': 'Change who is an administrator, as far as you may',
  'AppRoleAssignment.ReadWrite.All': 'Change who has which role, as far as you may',
  'Application.Read.All': 'See the applications of the directory',
  'Application.ReadWrite.All': 'Change applications and their credentials, as far as you may',
  'Policy.Read.All': 'See the rules by which people are let in',
  'Policy.ReadWrite.ConditionalAccess': 'Change the rules by which people are let in, as far as you may',
  'IdentityRiskEvent.Read.All': 'See what was found about users and their sign-ins',
  'IdentityRiskyUser.Read.All': 'See which users are at risk',
  'IdentityRiskyUser.ReadWrite.All': 'Say which users are at risk, as far as you may',
  'IdentityRiskyServicePrincipal.Read.All': 'See which applications are at risk',
  'IdentityRiskyServicePrincipal.ReadWrite.All': 'Say which applications are at risk, as far as you may',
  'Upstream.Read.All': 'See whose security events are taken',
  'Upstream.ReadWrite.All': 'Change whose security events are taken, as far as you may',
  'SCIM.ReadWrite.All': 'Write users and groups from another directory, as far as you may',
  global_token_revocation: 'End everything that a user holds, as far as you may',
}

export interface PermissionWords {
  text: string
  /** As the application asks for it, where the words say less. */
  name?: string
}

/** What a user is asked to agree to. An API's own scopes have no words but their names, so it says whose API it is. */
export async function permissionWords(tenant: Tenant, scopes: readonly string[]): Promise<PermissionWords[]> {
  const resources = await tenant.resources()
  const found: PermissionWords[] = []
  for (const scope of scopes) {
    const short = scope.slice(scope.lastIndexOf('/') + 1)
    const resource = resources.find((one) => fullScope(one, short) === scope)
    if (OPENID[scope] !== undefined) found.push({ text: OPENID[scope] })
    else if (resource?.kind === 'graph' && isPermission(short)) found.push({ text: ADMIN[short], name: short })
    else found.push({ text: `Use ${await nameOf(tenant, resource)} in your name: ${short}`, name: scope })
  }
  return found
}

async function nameOf(tenant: Tenant, resource: Resource | undefined): Promise<string> {
  const app = resource?.appId === undefined ? undefined : await tenant.application(resource.appId)
  return app?.displayName ?? 'an API'
}
