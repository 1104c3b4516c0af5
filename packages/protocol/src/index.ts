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
  readClaimsChallenge,
} from './challenge.ts'
export { type ClaimsRequest, MAX_CLAIMS_LENGTH, parseClaimsRequest } from './claims-request.ts'
export {
  CUTOFF_KINDS,
  type Cutoff,
  type CutoffDepth,
  type CutoffKey,
  type CutoffKind,
  type CutoffOutcome,
  cutoffKeys,
  cutoffOf,
  MAX_ACT_DEPTH,
  mergeCutoffs,
  pairId,
  type Trust,
  trustForeign,
  trustOwn,
} from './cutoff.ts'
export { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
export { EVENT, type EventPayload, type EventType, type InitiatingEntity } from './events.ts'
export { type Head, parseHead, type StreamStatus } from './head.ts'
export { parseSet, SET_TYPE, type SecurityEvent } from './set.ts'
export { isIdentifier, isNumericDate, isObject, type Json, type JsonObject } from './shape.ts'
export { type ComplexSubject, parseSubject, type SimpleSubject, type Subject } from './subject.ts'
