import type { DeadLetter, LaneState, EventRow as Row, StreamRecord, Transmitter, TransmitterStore } from '@caegis/ssf/transmitter'

/** A row of the log with its milliseconds. */
export type EventRow = Row & { ms: number }

/** What the admin API needs of a tenant's log and streams. */
export interface Signals {
  transmitter: Pick<Transmitter, 'setStatus' | 'sendVerification' | 'redeliver'>
  /** How the push streams fare, wherever they are served. */
  lanes(): Promise<readonly LaneState[]>
  streams: Pick<TransmitterStore, 'head' | 'wait' | 'allStreams' | 'getStream' | 'deleteStream'>
  deliveries: {
    /** How far a change has come, by its txn; `undefined` when nothing of it was published. */
    proof(txn: string): Promise<ChangeProof | undefined>
    /** The share of the last day's deliveries that each receiver took. */
    successRates(streams: readonly StreamRecord[]): Promise<Map<string, number>>
    /** Resolves when something more became of the event at a position, or when the signal aborts. */
    changed(seq: number, signal: AbortSignal): Promise<void>
    /** Tells that something more became of anything. @returns what ends it */
    watch(listener: () => void): () => void
  }
  inspection: {
    events(page: { limit: number; before?: number; txn?: string; userId?: string }): Promise<EventRow[]>
    eventsAfter(seq: number, limit: number): Promise<EventRow[]>
    committedAt(seqs: number[]): Promise<Map<number, number>>
    deadLetters(stream: string, page: { limit: number; after?: number }): Promise<DeadLetter[]>
    countDeadLetters(): Promise<Map<string, number>>
    applicationNames(appIds: string[]): Promise<Map<string, string>>
  }
  /** The log as one receiver gets it. */
  deliveryList: {
    list(stream: StreamRecord, page: { limit: number; before?: number } & DeliveryFilter): Promise<{ value: DeliveryOnStream[]; next?: number }>
    find(stream: StreamRecord, seq: number): Promise<(DeliveryOnStream & { set: object | undefined }) | undefined>
  }
  hops: { look(): Promise<LoopLook> }
  /** Seconds after which a guard that was not heard of counts as silent. */
  maxStaleness: number
}

/** How the loop is doing. */
export interface LoopLook {
  /** Seconds with a fraction. */
  asOf: number
  windowMinutes: number
  hops: object[]
  /** What may change of each stream, as a text to compare. */
  streams: ReadonlyMap<string, string>
}

export interface ChangeProof {
  txn: string
  committedDateTime: string
  events: { seq: number; type: string }[]
  /** The position of the last event. */
  last: number
  receivers: { streamId: string; appId: string; guard: boolean; status: string; complete: boolean; refused?: { at: string } }[]
  receiversLeftOut: number
}

export interface DeliveryFilter {
  userId?: string
  type?: string
  txn?: string
  jti?: string
  state?: DeliveryState
}

export type DeliveryState = 'pending' | 'sent' | 'acked' | 'applied' | 'refused' | 'dead' | 'notSent'

export interface DeliveryOnStream {
  row: EventRow
  jti: string
  state: DeliveryState
  times: object
}
