export type { Log } from '../log.ts'
export { FLEET_STREAM, fleetAudience, fleetSubjects, HEAD_TYPE, POLL_METHOD, type Position, PUSH_METHOD, SEAL_TYPE } from '../wire.ts'
export { type Answer, type Caller, PROBLEMS, type Problem } from './answer.ts'
export { createFilter } from './filter.ts'
export { type FleetMessage, fleetEvent, fleetHead, fleetJti } from './fleet.ts'
export type { LaneState } from './lane.ts'
export { isLive } from './live.ts'
export { createMemoryStore, type MemoryStore, type MemoryStoreOptions, type NewEvent } from './memory-store.ts'
export { claimsOfControl, claimsOfEvent, idOfJti, jtiOf } from './mint.ts'
export { DEFAULT_EVENTS, type Holds, type TransmitterLimits, type TransmitterOptions } from './options.ts'
export { type DeliveryOutcome, outcomeOf, type PushResponse } from './outcome.ts'
export type { PusherOptions, PushLimits, PushRequest } from './push-options.ts'
export { createPusher, type Pusher } from './pusher.ts'
export { GAVE_UP, type Letters, type Redelivery } from './redeliver.ts'
export { isGivenUp } from './status.ts'
export type {
  ControlRow,
  DeadLetter,
  Delivery,
  DeliveryRecord,
  DeliveryState,
  EventRow,
  SegmentList,
  SegmentRecord,
  SetAlgorithm,
  StreamChange,
  StreamConfig,
  StreamProgress,
  StreamRecord,
  SubjectForm,
  SubjectRule,
  TransmitterStore,
} from './store.ts'
export type { Tidy } from './tidy.ts'
export { createTransmitter, type Transmitter } from './transmitter.ts'
