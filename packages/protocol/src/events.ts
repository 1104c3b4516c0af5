/** Event type URIs (SSF 1.0 section 8, CAEP 1.0, RISC 1.0) and our own extensions. Final 1.0 spelling throughout. */

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'

export const EVENT = {
  sessionRevoked: `${CAEP}session-revoked`,
  tokenClaimsChange: `${CAEP}token-claims-change`,
  credentialChange: `${CAEP}credential-change`,
  assuranceLevelChange: `${CAEP}assurance-level-change`,
  deviceComplianceChange: `${CAEP}device-compliance-change`,
  sessionEstablished: `${CAEP}session-established`,
  sessionPresented: `${CAEP}session-presented`,
  riskLevelChange: `${CAEP}risk-level-change`,
  accountCredentialChangeRequired: `${RISC}account-credential-change-required`,
  accountPurged: `${RISC}account-purged`,
  accountDisabled: `${RISC}account-disabled`,
  accountEnabled: `${RISC}account-enabled`,
  identifierChanged: `${RISC}identifier-changed`,
  identifierRecycled: `${RISC}identifier-recycled`,
  credentialCompromise: `${RISC}credential-compromise`,
  optIn: `${RISC}opt-in`,
  optOutInitiated: `${RISC}opt-out-initiated`,
  optOutCancelled: `${RISC}opt-out-cancelled`,
  optOutEffective: `${RISC}opt-out-effective`,
  recoveryActivated: `${RISC}recovery-activated`,
  recoveryInformationChanged: `${RISC}recovery-information-changed`,
  /** Deprecated by RISC 1.0: read, never sent. */
  sessionsRevoked: `${RISC}sessions-revoked`,
  verification: `${SSF}verification`,
  streamUpdated: `${SSF}stream-updated`,
  /** Ours: guards fetch the location rules again. */
  locationRulesChanged: 'urn:caegis:event:location-rules-changed',
  /** Ours: guards fetch the signing keys again and forget what the removed ones vouched for. */
  keysChanged: 'urn:caegis:event:keys-changed',
  /** Ours: many cutoffs in one SET, for guards only. */
  cutoffs: 'urn:caegis:event:cutoffs',
} as const

export type EventType = (typeof EVENT)[keyof typeof EVENT]
