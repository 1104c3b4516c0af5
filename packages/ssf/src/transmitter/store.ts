import type { ComplexSubject, Cutoff, EventPayload, Head, JsonObject, SimpleSubject, StreamStatus, Subject } from '@caegis/protocol'
import type { SegmentName } from '../segment.ts'
import type { Position } from '../wire.ts'

/** One row of a tenant's event log, as the change's own transaction wrote it. */
export interface EventRow {
  /** Position: 1, 2, 3 ... without holes, in commit order. */
  seq: number
  /** Random, so that a restored log never re-uses a SET's identity (its `jti` is made of it). */
  id: string
  /** Shared by every event of one cause. */
  txn: string
  /** Event type URI. */
  type: string
  /** Commit second. */
  at: number
  subject: {
    /** Only when the event is about a whole user: the form that the interoperability profile knows. */
    simple?: SimpleSubject
    complex: ComplexSubject | SimpleSubject
  }
  /** The receiver that it was learnt from, where the host is itself a receiver there: its streams do not get it back. */
  from?: string
  /** Stored as it is sent: `event_timestamp` is the cutoff's second; `caegis_until` reaches guards only. */
  payload: EventPayload
}

/** An event about one stream (verification, stream-updated), or one of the log that goes out once more: kept until the receiver acknowledges it. */
export interface ControlRow {
  /** Random; of a redelivery, the event's own. */
  id: string
  type: string
  /** Second. */
  at: number
  payload: EventPayload
  /** The row that goes out once more: whole, because the log may be cut meanwhile. */
  event?: EventRow
}

/** Where a stream's SETs go. */
export interface Delivery {
  method: string
  /** The receiver's URL; with push delivery only. */
  endpointUrl?: string
  /** Value of the `Authorization` header of a push: a secret, which a store seals and nobody reads back. */
  authorizationHeader?: string
}

/** One word of a receiver about subjects. */
export interface SubjectRule {
  subject: Subject
  included: boolean
}

/** An event of the log that a receiver finally refused, or that could not be delivered. */
export interface DeadLetter {
  /** The event's id. */
  id: string
  seq: number
  /** Seconds. */
  at: number
  attempts: number
  /** A short code, safe to show. */
  reason: string
}

/** `refused`: a guard has refused its first request because of the event. */
export type DeliveryState = 'sent' | 'acked' | 'applied' | 'refused' | 'failed' | 'dead'

/** What became of one event of the log on one stream: what the proof of a revocation is made of. */
export interface DeliveryRecord {
  stream: string
  seq: number
  jti: string
  /** Left out where this node did not hand the SET out; the record of its `sent` has it. */
  txn?: string
  state: DeliveryState
  /** Seconds, with a fraction. */
  at: number
  attempt: number
  reason?: string
}

export type SubjectForm = 'simple' | 'complex'
export type SetAlgorithm = 'RS256' | 'ES256'
export type Evaluates = 'ip' | 'country'

/** One receiver's subscription: its configuration, and how far it has come. Times are seconds, fractions allowed. */
export interface StreamRecord {
  id: string
  /** The receiver's client id. */
  receiver: string
  aud: string
  delivery: Delivery
  subjects: SubjectForm
  alg: SetAlgorithm
  /** A guard: it gets every row, with its position, and may load the snapshot. */
  guard: boolean
  /** The location conditions that a guard can evaluate at its requests. */
  evaluates?: Evaluates[]
  eventsRequested?: string[]
  eventsDelivered: string[]
  description?: string
  /** Nothing is sent but about subjects that were added; otherwise all but those that were removed. */
  defaultSubjects?: 'NONE'
  /** What was added and removed; a later word prevails over an earlier one. */
  subjectRules?: SubjectRule[]
  status: StreamStatus
  statusReason?: string
  /** The host has stopped the stream: its receiver may not start it. */
  statusFixed?: true
  createdAt: number
  /** Where the log stood when the stream was made. */
  start: Position
  /** Everything at or below is done: acknowledged, or not for this stream. */
  acked: number
  /** Positions above `acked` that are acknowledged; ascending. */
  ackedAhead: number[]
  /** What a guard said last that it has applied, and the instant up to which its state is complete. */
  applied?: Position & { asOf: number }
  /** The last snapshot that was sent to its end. */
  hydrated?: { epoch: string; at: number }
  /** The last call that named the stream. */
  seenAt?: number
  /** The last verification that the receiver asked for. */
  verifiedAt?: number
  /** When a verification event last arrived: acknowledged, whoever asked for it. */
  confirmedAt?: number
}

/** A segment as the transmitter keeps it in mind; with its key, so a store seals the list. */
export interface SegmentRecord extends SegmentName {
  /** Cutoffs in it. */
  rows: number
  /** Seconds: when all of them are over. */
  until: number
}

/** The segments that hold every live cutoff of the log up to a position. */
export interface SegmentList extends Position {
  /** 1, 2, 3 ... */
  version: number
  /** Id of the event at that position: in a log that was restored it is another one. */
  event: string | undefined
  /** Cutoffs that the segments held when they were last made of all that was live. */
  base: number
  segments: SegmentRecord[]
}

export type StreamProgress = Partial<Pick<StreamRecord, 'acked' | 'ackedAhead' | 'applied' | 'hydrated' | 'seenAt' | 'verifiedAt' | 'confirmedAt'>>

/** The members that change after a stream was made; one that is `undefined` is removed. */
export type StreamConfig = Pick<
  StreamRecord,
  'delivery' | 'eventsRequested' | 'eventsDelivered' | 'description' | 'subjectRules' | 'status' | 'statusReason' | 'statusFixed'
>

export interface StreamChange {
  config?: { [K in keyof StreamConfig]?: StreamConfig[K] | undefined }
  /** One that is `undefined` is removed. */
  progress?: { [K in keyof StreamProgress]?: StreamProgress[K] | undefined }
  /** Queued with the change: neither without the other. An older one of the type `replaces` is removed. */
  control?: ControlRow
  replaces?: string
}

/**
 * What the transmitter needs of the log and of the streams of one tenant. Everything is read on the primary: a lagging replica would make an old head look fresh.
 */
export interface TransmitterStore {
  /** Where the log stands and the store's clock, read in that order in one go. */
  head(): Promise<Omit<Head, 'status'>>
  /** The rows after a position, ascending; never one that a row with a smaller number could still commit before. */
  events(after: number, limit: number): Promise<EventRow[]>
  /** The positions of events by their random id; unknown ids are left out. */
  positions(ids: string[]): Promise<ReadonlyMap<string, number>>
  /**
   * Resolves when a row after `after` is committed (at once if one is), when a control event is queued or a stream changes, or when the signal aborts.
   * It is registered when the call returns, so that nothing committed later is missed; it may resolve without a cause.
   */
  wait(after: number, signal: AbortSignal): Promise<void>

  createStream(record: StreamRecord): Promise<void>
  getStream(id: string): Promise<StreamRecord | undefined>
  listStreams(receiver: string): Promise<StreamRecord[]>
  /** The streams of every receiver, or those with a delivery method. */
  allStreams(method?: string): Promise<StreamRecord[]>
  /**
   * Reads a stream, asks what is to change and writes it, as one transaction with the stream's row locked; then wakes who waits. `decide` is pure and may be
   * called again. Returns the stream as it is now, `undefined` when there is none.
   */
  updateStream(id: string, decide: (stream: StreamRecord) => StreamChange | undefined): Promise<StreamRecord | undefined>
  /** With its control events and dead letters. */
  deleteStream(id: string): Promise<void>
  /**
   * Sets the members given; a lower `acked` than the stored one is ignored. Saving for a deleted stream does nothing. It is read back at once, and may be written a
   * moment later, but for `hydrated`: what a crash takes with it is delivered once more. Of several servers that save for a stream, what is acknowledged or applied stays so.
   * @param epoch the log that `acked` and `ackedAhead` are positions of; where another one holds by then, they are ignored
   */
  saveProgress(id: string, progress: StreamProgress, epoch?: string): Promise<void>

  /** One with a known id replaces it. For a deleted stream it does nothing. */
  addControl(streamId: string, control: ControlRow): Promise<void>
  /** Oldest first. */
  listControls(streamId: string): Promise<ControlRow[]>
  removeControls(streamId: string, ids: string[]): Promise<void>

  /** One with a known id replaces it. A store keeps at least the newest 10,000 of a stream; for a deleted one it does nothing. */
  addDeadLetters(streamId: string, letters: DeadLetter[]): Promise<void>
  /** In log order. */
  listDeadLetters(streamId: string): Promise<DeadLetter[]>
  removeDeadLetters(streamId: string, ids: string[]): Promise<void>

  /** Keeps the proof of deliveries, for as long as the host wants. At most one call a poll; when it fails, the poll does not. */
  recordDeliveries(records: DeliveryRecord[]): Promise<void>

  /** Every live cutoff, in batches of any size, read after the call. */
  cutoffs(): AsyncIterable<Cutoff[]>

  /** Which segments of the snapshot there are. */
  segmentList(): Promise<SegmentList | undefined>
  /**
   * Replaces the list of the version before, by one that names stored segments only; false, and nothing happens, when another one holds by now. What the list names no more is kept
   * for an hour: somebody may have been told its name a moment ago.
   */
  saveSegmentList(list: SegmentList): Promise<boolean>
  /** Stores a segment that a list will name. One that none names within an hour goes. */
  addSegment(digest: string, body: Uint8Array): Promise<void>
  getSegment(digest: string): Promise<Uint8Array | undefined>

  /**
   * The location rules of an API, in parts that a guard reads one after the other (each at most 1 MiB as JSON), read after the call: those that changed since a version
   * of them, all for 0. Without it there are none.
   * @param receiver the API's client id
   */
  rules?(since: number, receiver: string): AsyncIterable<JsonObject>
}
