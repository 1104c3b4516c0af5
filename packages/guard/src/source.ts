import type { Cutoff, Head } from '@caegis/protocol'
import type { Channel, Receiver } from '@caegis/ssf/receiver'
import type { Log } from './log.ts'
import type { RulesPart } from './read-rules.ts'

/** What the guard offers to whatever feeds it. Every method may be called at any time and in any order. */
export interface Sink {
  /**
   * Takes cutoffs in by maximum, duplicates and reordering being harmless, and ends the live connections that they hit.
   * @param seq position of the event that they come from: its first refusal is reported to the source
   * @param txn of the change that the event told of: live connections that it ends are told
   */
  merge(cutoffs: Iterable<Cutoff>, seq?: number, txn?: string): void
  /** State is complete up to `head.seq` of `head.epoch`, and the head was received now. */
  synced(head: Head): void
  /** A source without heads lives, and has handed over all that it was told. It proves nothing about what it was not told. */
  heard(): void
  /** Location rules: all of them, or what changed since `rulesVersion`. @throws when they cannot be taken in; nothing changes then */
  rules(parts: readonly RulesPart[]): void
  /** The version of the rules that are in force; 0 for none. */
  readonly rulesVersion: number
  /** Paused, disabled, unknown stream, another epoch, a gap, a SET that cannot be verified: stays so until the next `synced`. */
  outOfSync(reason: string): void
  /** The issuer changed its signing keys: refetch, and forget what removed keys vouched for. */
  keysChanged(): void
  /** What became of an event, shown in `guard.status()`. */
  count(outcome: CountedOutcome, detail?: string): void
}

export type CountedOutcome = 'applied' | 'none' | 'unmappable' | 'refused'

/** Where cutoffs come from. The guard knows nothing else about it. */
export interface Source {
  start(sink: Sink): void
  /** The event at this position made the guard refuse a request, for the first time at `at` (seconds). */
  refused?(seq: number, at: number): void
  /** Of a source that is told of events by push: takes what arrives. */
  readonly receiver?: Pick<Receiver, 'handler'>
  /** More about it, for `guard.status()`. */
  status?(): Record<string, unknown>
  /** What failed last, until it succeeds: shown as the reason while nothing has come yet. */
  failure?(): string | undefined
  /**
   * What it can show about how late it is: `heads` of a log (default), mere `contact` with whoever would tell of events, or nothing at all (`none`: there is nobody who
   * would, and staleness does not apply).
   */
  readonly proof?: 'heads' | 'contact' | 'none'
  close(): Promise<void>
}

/** Brings an issuer's log to many replicas at once. Nothing that it brings is believed but what the issuer has signed. */
export interface Fleet {
  open(issuer: string, log: Log): Channel
}
