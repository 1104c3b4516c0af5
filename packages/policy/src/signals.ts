import type { InsiderRiskLevel, RiskLevel } from './policy.ts'

/**
 * The facts that policies look at. A member that is absent is unknown, and what depends on it is enforced; but of application, action and contexts one is
 * enough for the others to be known, and an absent address is outside of every range.
 */
export interface Signals {
  /** Seconds. */
  now: number
  /** Absent when a service principal signs in. */
  user?: UserSignal
  servicePrincipal?: ServicePrincipalSignal
  /** The API that is asked for by its client id; the client itself, where only an id token is. */
  application?: string
  /** URN of a user action, such as registering security info; then there is no application. */
  action?: string
  /** Authentication contexts that are asked for by name. */
  contexts?: readonly string[]
  clientAppType?: 'browser' | 'mobileAppsAndDesktopClients' | 'exchangeActiveSync' | 'easSupported' | 'other'
  /** `other`: known to be none of them. */
  platform?: 'android' | 'iOS' | 'windows' | 'windowsPhone' | 'macOS' | 'linux' | 'other'
  address?: string
  /** ISO 3166 code; `null`: looked up, and of no country; absent: nobody can look it up. */
  country?: string | null
  /** `null`: no registered device. */
  device?: DeviceSignal | null
  userRisk?: RiskLevel
  signInRisk?: RiskLevel
  insiderRisk?: 'none' | InsiderRiskLevel
  flow?: 'none' | 'deviceCodeFlow' | 'authenticationTransfer'
  proof?: ProofSignal
  client?: { approved?: boolean; compliant?: boolean }
}

export interface UserSignal {
  id: string
  /** All groups, those by way of other groups among them. */
  groups: readonly string[]
  roles: readonly string[]
  guest?: GuestSignal
}

export interface GuestSignal {
  /** As Graph's guestOrExternalUserTypes name them; several, where nobody can tell which of them it is. */
  types: readonly string[]
  /** Every name that policies may have for the tenant of the guest's own account: its issuer, its id. Absent where nobody knows it. */
  tenants?: readonly string[]
}

export interface ServicePrincipalSignal {
  id: string
  appId?: string
  /** Registered in this tenant: what `ServicePrincipalsInMyTenant` means. */
  ours: boolean
  risk?: RiskLevel
}

/** What was proved about who signs in, and when. */
export interface ProofSignal {
  /** Seconds: the first factor. */
  at: number
  /** Seconds: the second factor, where it was another act. */
  secondAt?: number
  mfa: boolean
  /** As Graph's combinations name them: `password`, `softwareOath`, `fido2` ... */
  methods: readonly string[]
  passwordChanged?: boolean
}

/** What the directory knows of a device; a member that is absent is unknown, `null` is known to be nothing. */
export interface DeviceSignal {
  id: string
  isCompliant?: boolean | null
  /** `AzureAD`, `ServerAD` (hybrid) or `Workplace`. */
  trustType?: string | null
  displayName?: string | null
  operatingSystem?: string | null
  operatingSystemVersion?: string | null
  manufacturer?: string | null
  model?: string | null
  deviceOwnership?: string | null
  profileType?: string | null
  mdmAppId?: string | null
  physicalIds?: readonly string[] | null
  systemLabels?: readonly string[] | null
  enrollmentProfileName?: string | null
  /** `extensionAttribute1` to `extensionAttribute15`. */
  extensionAttributes?: Readonly<Record<string, string | null>> | null
}
