import type { CutoffDepth, CutoffRow } from './cutoff.ts'
import type { EVENT } from './events.ts'
import type { StreamStatus } from './head.ts'

/** Who caused an event (CAEP 1.0 section 2). */
export type InitiatingEntity = 'admin' | 'user' | 'policy' | 'system'

/** BCP 47 tag -> text, at least one (CAEP 1.0 section 2). */
export type Localized = Record<string, string>

/**
 * The optional claims that every CAEP event shares (CAEP 1.0 section 2). RISC names three of them for one of its events (RISC 1.0 section 2.7); as members that
 * a receiver does not know are ignored (SSF 1.0 section 4), its other events may carry them too.
 */
export type EventClaims = {
  /** Whole seconds: when it happened, which may be long before the SET was written. */
  event_timestamp?: number
  initiating_entity?: InitiatingEntity
  /** For logs. */
  reason_admin?: Localized
  /** For the end user. */
  reason_user?: Localized
  /** Ours: how deep it cuts, where one event type serves several depths. */
  caegis_depth?: CutoffDepth
  /** Ours, for guards only: seconds, the last `exp` of a token that it can hit. */
  caegis_until?: number
}

/** The payload of an event of any type. One that was read holds what its transmitter wrote: the values are to be checked. */
export interface EventPayload extends EventClaims {
  [claim: string]: unknown
}

/** A value of the spec's list, or one that both sides agreed on. */
type Agreed<Known extends string> = Known | (string & {})

/** CAEP 1.0 section 3.3.1. */
export type CredentialType = Agreed<
  'password' | 'pin' | 'x509' | 'fido2-platform' | 'fido2-roaming' | 'fido-u2f' | 'verifiable-credential' | 'phone-voice' | 'phone-sms' | 'app'
>
type RiskLevel = 'LOW' | 'MEDIUM' | 'HIGH'
type Compliance = 'compliant' | 'not-compliant'

/** What an event of each type holds, as it is to be written. */
export interface EventPayloads {
  /** CAEP 1.0 section 3.1 */
  [EVENT.sessionRevoked]: EventClaims
  /** CAEP 1.0 section 3.2 */
  [EVENT.tokenClaimsChange]: EventClaims & {
    /** Claim name -> its new value; at least one. */
    claims: Record<string, unknown>
  }
  /** CAEP 1.0 section 3.3 */
  [EVENT.credentialChange]: EventClaims & {
    credential_type: CredentialType
    change_type: 'create' | 'revoke' | 'update' | 'delete'
    friendly_name?: string
    x509_issuer?: string
    x509_serial?: string
    fido2_aaguid?: string
  }
  /** CAEP 1.0 section 3.4 */
  [EVENT.assuranceLevelChange]: EventClaims & {
    namespace: Agreed<'RFC8176' | 'RFC6711' | 'ISO-IEC-29115' | 'NIST-IAL' | 'NIST-AAL' | 'NIST-FAL'>
    current_level: string
    /** Left out where the transmitter does not know it. */
    previous_level?: string
    /** Should be given with `previous_level`. */
    change_direction?: 'increase' | 'decrease'
  }
  /** CAEP 1.0 section 3.5 */
  [EVENT.deviceComplianceChange]: EventClaims & { previous_status: Compliance; current_status: Compliance }
  /** CAEP 1.0 section 3.6; `event_timestamp` is when it was established. */
  [EVENT.sessionEstablished]: EventClaims & {
    /** Fingerprint of the user agent. */
    fp_ua?: string
    acr?: string
    amr?: string[]
    /** The session's id outside, as in SAML or OpenID Connect. */
    ext_id?: string
  }
  /** CAEP 1.0 section 3.7; `event_timestamp` is when it was seen. */
  [EVENT.sessionPresented]: EventClaims & { fp_ua?: string; ext_id?: string }
  /** CAEP 1.0 section 3.8 */
  [EVENT.riskLevelChange]: EventClaims & {
    /** What the risk is of: a kind of subject. */
    principal: Agreed<'USER' | 'DEVICE' | 'SESSION' | 'TENANT' | 'ORG_UNIT' | 'GROUP'>
    current_level: RiskLevel
    previous_level?: RiskLevel
    /** Recommended. */
    risk_reason?: string
  }
  /** RISC 1.0 section 2.1 */
  [EVENT.accountCredentialChangeRequired]: EventClaims
  /** RISC 1.0 section 2.2 */
  [EVENT.accountPurged]: EventClaims
  /** RISC 1.0 section 2.3 */
  [EVENT.accountDisabled]: EventClaims & { reason?: 'hijacking' | 'bulk-account' }
  /** RISC 1.0 section 2.4 */
  [EVENT.accountEnabled]: EventClaims
  /** RISC 1.0 section 2.5; the subject is the old value. */
  [EVENT.identifierChanged]: EventClaims & { 'new-value'?: string }
  /** RISC 1.0 section 2.6 */
  [EVENT.identifierRecycled]: EventClaims
  /** RISC 1.0 section 2.7 */
  [EVENT.credentialCompromise]: EventClaims & { credential_type: CredentialType }
  /** RISC 1.0 section 2.8 */
  [EVENT.optIn]: EventClaims
  [EVENT.optOutInitiated]: EventClaims
  [EVENT.optOutCancelled]: EventClaims
  [EVENT.optOutEffective]: EventClaims
  /** RISC 1.0 section 2.9 */
  [EVENT.recoveryActivated]: EventClaims
  /** RISC 1.0 section 2.10 */
  [EVENT.recoveryInformationChanged]: EventClaims
  /** RISC 1.0 section 2.11: read, never written. */
  [EVENT.sessionsRevoked]: EventClaims
  /** SSF 1.0 section 8.1.4.1; `state` is what the receiver sent with its request. */
  [EVENT.verification]: { state?: string }
  /** SSF 1.0 section 8.1.5 */
  [EVENT.streamUpdated]: { status: StreamStatus; reason?: string }
  [EVENT.locationRulesChanged]: EventClaims
  [EVENT.keysChanged]: EventClaims
  [EVENT.cutoffs]: EventClaims & { cutoffs: CutoffRow[] }
}
