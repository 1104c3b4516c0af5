export type { Log } from '../log.ts'
export { POLL_METHOD, type Position, SEAL_TYPE } from '../wire.ts'
export { type Answer, type Caller, PROBLEMS, type Problem } from './answer.ts'
export { isLive } from './live.ts'
export { createMemoryStore, type MemoryStore, type MemoryStoreOptions, type NewEvent } from './memory-store.ts'
export { claimsOfControl, claimsOfEvent } from './mint.ts'
export { DEFAULT_EVENTS, type TransmitterLimits, type TransmitterOptions } from './options.ts'
export type {
  ControlRow,
  EventRow,
  SetAlgorithm,
  StreamProgress,
  StreamRecord,
  SubjectForm,
  TransmitterStore,
} from './store.ts'
export { createTransmitter, type Transmitter } from './transmitter.ts'
