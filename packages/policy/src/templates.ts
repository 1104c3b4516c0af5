/** A common policy as data: `policy` is what Microsoft Graph would be sent, to be changed at will before. */
export interface PolicyTemplate {
  readonly name: string
  readonly description: string
  readonly policy: Readonly<Record<string, unknown>>
}

const EVERYBODY = { includeUsers: ['All'] }
const ADMINISTRATORS = { includeRoles: ['admin'] }
const EVERYTHING = { includeApplications: ['All'] }
const OFF_TRUSTED = { includeLocations: ['All'], excludeLocations: ['AllTrusted'] }
const BLOCK = { operator: 'OR', builtInControls: ['block'] }
const MFA = { operator: 'OR', builtInControls: ['mfa'] }
const EVERY_TIME = { signInFrequency: { isEnabled: true, frequencyInterval: 'everyTime' } }

function template(name: string, displayName: string, description: string, conditions: object, controls: object): PolicyTemplate {
  return {
    name,
    description,
    policy: { displayName, state: 'enabled', conditions: { users: EVERYBODY, applications: EVERYTHING, ...conditions }, ...controls },
  }
}

/** What most tenants begin with. Emergency accounts are exempt from every policy, and need no exclusion. */
export const TEMPLATES: readonly PolicyTemplate[] = [
  template(
    'block-legacy-authentication',
    'Block legacy authentication',
    'Clients that cannot ask for a second factor are blocked.',
    { clientAppTypes: ['exchangeActiveSync', 'other'] },
    { grantControls: BLOCK },
  ),
  template(
    'require-mfa-for-admins',
    'Require multifactor authentication for administrators',
    'Administrators prove a second factor, wherever they are.',
    { users: ADMINISTRATORS },
    { grantControls: MFA },
  ),
  template(
    'require-mfa-for-all-users',
    'Require multifactor authentication for all users',
    'Everybody proves a second factor, wherever they are.',
    {},
    { grantControls: MFA },
  ),
  template(
    'require-mfa-for-guests',
    'Require multifactor authentication for guests',
    'Guests of every kind prove a second factor.',
    { users: { includeUsers: ['GuestsOrExternalUsers'] } },
    { grantControls: MFA },
  ),
  template(
    'require-mfa-outside-trusted-locations',
    'Require multifactor authentication outside trusted locations',
    'In trusted locations a password is enough.',
    { locations: OFF_TRUSTED },
    { grantControls: MFA },
  ),
  template(
    'require-phishing-resistant-mfa-for-admins',
    'Require phishing-resistant multifactor authentication for administrators',
    'Administrators sign in with a passkey or a certificate.',
    { users: ADMINISTRATORS },
    { grantControls: { operator: 'OR', builtInControls: [], authenticationStrength: { id: '00000000-0000-0000-0000-000000000004' } } },
  ),
  template(
    'require-mfa-for-risky-sign-ins',
    'Require multifactor authentication for risky sign-ins',
    'A sign-in of medium or high risk is proved anew, with a second factor.',
    { signInRiskLevels: ['medium', 'high'] },
    { grantControls: MFA, sessionControls: EVERY_TIME },
  ),
  template(
    'require-password-change-for-high-risk-users',
    'Require a new password of users at high risk',
    'A user at high risk proves a second factor and sets a new password.',
    { userRiskLevels: ['high'] },
    { grantControls: { operator: 'AND', builtInControls: ['mfa', 'passwordChange'] }, sessionControls: EVERY_TIME },
  ),
  template(
    'require-compliant-device-for-admins',
    'Require a compliant device for administrators',
    'Administrators use a device that is compliant or belongs to the domain.',
    { users: ADMINISTRATORS },
    { grantControls: { operator: 'OR', builtInControls: ['compliantDevice', 'domainJoinedDevice'] } },
  ),
  template(
    'require-compliant-device-or-mfa',
    'Require a compliant device or multifactor authentication for all users',
    'Everybody uses a compliant device, or proves a second factor.',
    {},
    { grantControls: { operator: 'OR', builtInControls: ['mfa', 'compliantDevice', 'domainJoinedDevice'] } },
  ),
  template(
    'block-unknown-platforms',
    'Block unknown or unsupported platforms',
    'Devices of a platform that is none of those named are blocked.',
    { platforms: { includePlatforms: ['all'], excludePlatforms: ['android', 'iOS', 'windows', 'macOS', 'linux'] } },
    { grantControls: BLOCK },
  ),
  template(
    'no-persistent-browser-on-unmanaged-devices',
    'No persistent browser sessions on unmanaged devices',
    'A browser on a device that is not compliant forgets its user, and asks again every hour.',
    { clientAppTypes: ['browser'], devices: { deviceFilter: { mode: 'include', rule: 'device.isCompliant -ne True' } } },
    {
      sessionControls: {
        persistentBrowser: { isEnabled: true, mode: 'never' },
        signInFrequency: { isEnabled: true, frequencyInterval: 'timeBased', type: 'hours', value: 1 },
      },
    },
  ),
  template(
    'secure-security-info-registration',
    'Register security information from trusted locations only',
    'Outside of them a second factor is proved first.',
    { applications: { includeUserActions: ['urn:user:registersecurityinfo'] }, locations: OFF_TRUSTED },
    { grantControls: MFA },
  ),
  template(
    'block-device-code-flow',
    'Block the device code flow',
    'Nobody can be talked into typing a code for somebody else.',
    { authenticationFlows: { transferMethods: 'deviceCodeFlow' } },
    { grantControls: BLOCK },
  ),
  template(
    'trusted-locations-only',
    'Trusted locations only',
    'Everybody is blocked outside trusted locations. A call of an API by another way than the sign-in is excused for an hour.',
    { locations: OFF_TRUSTED },
    { grantControls: BLOCK },
  ),
  template(
    'strict-location',
    'Strictly enforce trusted locations',
    'Everybody is blocked outside trusted locations, and by whatever address an API sees. Name every way out of the network first.',
    { locations: OFF_TRUSTED },
    { grantControls: BLOCK, sessionControls: { continuousAccessEvaluation: { mode: 'strictLocation' } } },
  ),
  template(
    'workload-trusted-locations-only',
    'Service principals from trusted locations only',
    'Applications that sign in as themselves are blocked outside trusted locations.',
    { users: { includeUsers: ['None'] }, clientApplications: { includeServicePrincipals: ['ServicePrincipalsInMyTenant'] }, locations: OFF_TRUSTED },
    { grantControls: BLOCK },
  ),
]
