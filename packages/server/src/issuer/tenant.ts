import type { AuthorCheck } from '../access/author.ts'
import type { Book } from '../access/book.ts'
import type { Guards } from '../access/lifetime.ts'
import type { WhatIf } from '../access/what-if.ts'
import type { Application } from '../directory/application.ts'
import type { Applications } from '../directory/applications.ts'
import type { CaeSwitches } from '../directory/cae-switch.ts'
import type { Contexts } from '../directory/contexts.ts'
import type { Deltas } from '../directory/deltas.ts'
import type { Devices } from '../directory/devices.ts'
import type { Directory } from '../directory/directory.ts'
import type { Factors } from '../directory/factors.ts'
import type { Groups } from '../directory/groups.ts'
import type { Locations } from '../directory/locations.ts'
import type { Policies } from '../directory/policies.ts'
import type { Reevaluations } from '../directory/reevaluations.ts'
import type { RiskyPrincipals } from '../directory/risk.ts'
import type { RiskSettingsOf } from '../directory/risk-settings.ts'
import type { RevokedToken } from '../directory/sessions.ts'
import type { TenantFiles } from '../directory/tenant-files.ts'
import type { UpstreamRegistry } from '../directory/upstreams.ts'
import type { Audits } from '../logs/audits.ts'
import type { SignIns } from '../logs/sign-ins.ts'
import type { Intelligence } from '../risk/intelligence.ts'
import type { Artifacts } from '../store/artifacts.ts'
import type { SigningKeys } from './keys.ts'
import type { Resource } from './resources.ts'

/** What belongs to one tenant, made once and handed to the rooms that serve it. */
export interface Tenant {
  id: string
  /** Never changes; the issuer is made of it. */
  name: string
  displayName: string
  /** `https://host/{name}/v2.0` */
  issuer: string
  /** `https://host/{name}` */
  base: string
  keys: SigningKeys
  artifacts: Artifacts
  directory: Directory
  applications: Applications
  groups: Groups
  deltas: Deltas
  factors: Factors
  devices: Devices
  policies: Policies
  locations: Locations
  contexts: Contexts
  caeSwitch: CaeSwitches
  risk: RiskyPrincipals
  /** Which detections look at its sign-ins. */
  riskSettings: RiskSettingsOf
  /** What they look things up in. */
  intelligence: Intelligence
  upstreams: UpstreamRegistry
  tenantFiles: TenantFiles
  /** Its Conditional Access policies. */
  book: Book
  wouldBlock: AuthorCheck
  whatIf: WhatIf
  /** Edits whose consequences are, or were, worked out. */
  reevaluations: Reevaluations
  /** Country of an address: ISO code, `null` = of none, `undefined` = nobody can look it up. */
  countryOf(address: string): string | null | undefined
  /** What protects the admin API, in this process. */
  ownGuard: Guards
  signIns: SignIns
  audits: Audits
  /** What tokens can be asked for here. */
  resources(): Promise<Resource[]>
  /** What a live access token of this tenant says of itself; `undefined` for anything else. */
  readToken(text: string): Promise<RevokedToken | undefined>
  application(appId: string): Promise<Application | undefined>
}
