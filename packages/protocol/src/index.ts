export {
  type Challenge,
  type ChallengeClaims,
  type ChallengeParameters,
  type ClaimsChallenge,
  challengeObject,
  encodeClaims,
  formatChallenge,
  formatRefusal,
  parseChallenges,
  type RefusalParameters,
  readClaimsChallenge,
} from './challenge.ts'
export { type ClaimsRequest, MAX_CLAIMS_LENGTH, parseClaimsRequest } from './claims-request.ts'
export { type CutoffColumns, packColumns, parseColumns } from './columns.ts'
export {
  CUTOFF_DEPTHS,
  CUTOFF_KINDS,
  type Cutoff,
  type CutoffDepth,
  type CutoffKey,
  type CutoffKind,
  type CutoffRow,
  cutoffKeys,
  cutoffPlace,
  MAX_ACT_DEPTH,
  MAX_SOURCES,
  mergeCutoffs,
  packCutoffs,
  pairId,
  parseCutoffs,
  sourceKeys,
} from './cutoff.ts'
export { type CutoffOutcome, cutoffsOf, type Trust, trustForeign, trustOwn } from './cutoffs-of.ts'
export { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
export { type AddressSubject, event, type WrittenEvent, type WrittenType } from './event.ts'
export { EVENT, type EventType } from './events.ts'
export {
  EVIDENCE_LIFE,
  type Evidence,
  type EvidenceFacts,
  evidenceText,
  formatEvidence,
  isFreshEvidence,
  parseEvidence,
} from './evidence.ts'
export { type Head, parseHead, type StreamStatus } from './head.ts'
export { networkCode, networkReason } from './network.ts'
export type { CredentialType, EventClaims, EventPayload, EventPayloads, InitiatingEntity, Localized } from './payloads.ts'
export { isEvent, parseSet, SET_TYPE, type SecurityEvent } from './set.ts'
export { isIdentifier, isNumericDate, isObject, type Json, type JsonObject } from './shape.ts'
export { type ComplexSubject, parseSubject, type SimpleSubject, type Subject } from './subject.ts'
export { clientOf, scopesOf, wordsOf } from './token-claims.ts'
