import { EVENT } from '@caegis/protocol'

/** The event types that something here publishes: a receiver that is promised more would wait for what never comes (SSF 1.0 section 8.1.1). */
export const PUBLISHED: readonly string[] = [
  EVENT.sessionRevoked,
  EVENT.credentialChange,
  EVENT.tokenClaimsChange,
  EVENT.deviceComplianceChange,
  EVENT.riskLevelChange,
  EVENT.assuranceLevelChange,
  EVENT.accountDisabled,
  EVENT.accountEnabled,
  EVENT.accountPurged,
  EVENT.accountCredentialChangeRequired,
]
