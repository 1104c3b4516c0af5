/** Words of Microsoft Graph's conditionalAccessPolicy, in its spelling. */
export const STATES = ['enabled', 'disabled', 'enabledForReportingButNotEnforced'] as const
export const CLIENT_APP_TYPES = ['all', 'browser', 'mobileAppsAndDesktopClients', 'exchangeActiveSync', 'easSupported', 'other'] as const
export const PLATFORMS = ['all', 'android', 'iOS', 'windows', 'windowsPhone', 'macOS', 'linux'] as const
export const RISK_LEVELS = ['low', 'medium', 'high', 'hidden', 'none'] as const
export const INSIDER_RISK_LEVELS = ['minor', 'moderate', 'elevated'] as const
export const TRANSFER_METHODS = ['deviceCodeFlow', 'authenticationTransfer'] as const
export const USER_ACTIONS = ['urn:user:registersecurityinfo', 'urn:user:registerdevice'] as const
export const GUEST_TYPES = [
  'internalGuest',
  'b2bCollaborationGuest',
  'b2bCollaborationMember',
  'b2bDirectConnectUser',
  'otherExternalUser',
  'serviceProvider',
] as const
export const BUILT_IN_CONTROLS = [
  'block',
  'mfa',
  'compliantDevice',
  'domainJoinedDevice',
  'approvedApplication',
  'compliantApplication',
  'passwordChange',
] as const

export type PolicyState = (typeof STATES)[number]
export type ClientAppType = (typeof CLIENT_APP_TYPES)[number]
export type Platform = (typeof PLATFORMS)[number]
export type RiskLevel = (typeof RISK_LEVELS)[number]
export type InsiderRiskLevel = (typeof INSIDER_RISK_LEVELS)[number]
export type TransferMethod = (typeof TRANSFER_METHODS)[number]
export type UserAction = (typeof USER_ACTIONS)[number]
export type GuestType = (typeof GUEST_TYPES)[number]
export type BuiltInControl = (typeof BUILT_IN_CONTROLS)[number]

/**
 * A Conditional Access policy as Microsoft Graph writes it, made whole: every list is there, what was left out is `null`, what is not enabled too, flags are
 * lists. It can be read again as it is.
 */
export interface Policy {
  readonly id: string
  readonly templateId: string | null
  readonly displayName: string
  readonly description: string | null
  readonly createdDateTime: string | null
  readonly modifiedDateTime: string | null
  readonly state: PolicyState
  readonly conditions: PolicyConditions
  readonly grantControls: GrantControls | null
  readonly sessionControls: SessionControls | null
}

export interface PolicyConditions {
  readonly applications: ApplicationSelection
  readonly users: UserSelection
  /** Present: the policy is about service principals, and about no user. */
  readonly clientApplications: { readonly includeServicePrincipals: readonly string[]; readonly excludeServicePrincipals: readonly string[] } | null
  readonly clientAppTypes: readonly ClientAppType[]
  readonly locations: LocationSelection | null
  readonly platforms: { readonly includePlatforms: readonly Platform[]; readonly excludePlatforms: readonly Platform[] } | null
  readonly devices: { readonly deviceFilter: { readonly mode: 'include' | 'exclude'; readonly rule: string } } | null
  readonly signInRiskLevels: readonly RiskLevel[]
  readonly userRiskLevels: readonly RiskLevel[]
  readonly servicePrincipalRiskLevels: readonly RiskLevel[]
  readonly insiderRiskLevels: readonly InsiderRiskLevel[]
  readonly authenticationFlows: { readonly transferMethods: readonly TransferMethod[] } | null
}

/** Exactly one of the three include lists has entries. */
export interface ApplicationSelection {
  readonly includeApplications: readonly string[]
  readonly excludeApplications: readonly string[]
  readonly includeUserActions: readonly UserAction[]
  readonly includeAuthenticationContextClassReferences: readonly string[]
}

export interface UserSelection {
  readonly includeUsers: readonly string[]
  readonly excludeUsers: readonly string[]
  readonly includeGroups: readonly string[]
  readonly excludeGroups: readonly string[]
  readonly includeRoles: readonly string[]
  readonly excludeRoles: readonly string[]
  readonly includeGuestsOrExternalUsers: GuestSelection | null
  readonly excludeGuestsOrExternalUsers: GuestSelection | null
}

export interface GuestSelection {
  readonly guestOrExternalUserTypes: readonly GuestType[]
  /** `null`: guests of any tenant. */
  readonly externalTenants: { readonly membershipKind: 'all' | 'enumerated'; readonly members: readonly string[] } | null
}

/** Ids of locations, `All` or `AllTrusted`. */
export interface LocationSelection {
  readonly includeLocations: readonly string[]
  readonly excludeLocations: readonly string[]
}

export interface GrantControls {
  readonly operator: 'AND' | 'OR'
  readonly builtInControls: readonly BuiltInControl[]
  readonly authenticationStrength: AuthenticationStrength | null
}

/** Combinations are Graph's: `"fido2"`, `"password,softwareOath"`. One of them must have been used as a whole. */
export interface AuthenticationStrength {
  readonly id: string
  readonly displayName: string | null
  readonly allowedCombinations: readonly string[]
}

export interface SessionControls {
  readonly signInFrequency: SignInFrequency | null
  readonly persistentBrowser: { readonly isEnabled: true; readonly mode: 'always' | 'never' } | null
  readonly continuousAccessEvaluation: { readonly mode: 'strictEnforcement' | 'disabled' | 'strictLocation' } | null
  readonly disableResilienceDefaults: boolean | null
}

/** `everyTime` has no value, and five minutes of tolerance. */
export interface SignInFrequency {
  readonly isEnabled: true
  readonly frequencyInterval: 'timeBased' | 'everyTime'
  readonly value: number | null
  readonly type: 'hours' | 'days' | null
  readonly authenticationType: 'primaryAndSecondaryAuthentication' | 'secondaryAuthentication'
}
