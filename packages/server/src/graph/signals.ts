import type { DeadLetter, Pusher, EventRow as Row, Transmitter, TransmitterStore } from '@caegis/ssf/transmitter'

/** A row of the log with its milliseconds. */
export type EventRow = Row & { ms: number }

/** What the admin API needs of a tenant's log and streams. */
export interface Signals {
  transmitter: Pick<Transmitter, 'setStatus' | 'sendVerification' | 'redeliver'>
  pusher: Pick<Pusher, 'status'>
  streams: Pick<TransmitterStore, 'head' | 'wait' | 'allStreams' | 'getStream' | 'deleteStream'>
  deliveries: {
    /** How far a change has come, by its txn; `undefined` when nothing of it was published. */
    proof(txn: string): Promise<ChangeProof | undefined>
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
  events: { seq: number }[]
  receivers: { status: string; complete: boolean }[]
}
