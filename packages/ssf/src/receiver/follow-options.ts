import type { Cutoff, Head, JsonObject, SecurityEvent } from '@caegis/protocol'
import { type Log, SILENT } from '../log.ts'
import type { Channel } from './channel.ts'
import { metadataUrl } from './discover.ts'
import type { TokenSource } from './stream-api.ts'

/** What a follower tells its owner. None of these may be asynchronous. */
export interface FollowHandlers {
  /**
   * Batches of a snapshot, each verified; to be merged, never to replace or to be taken back: what was handed over once is not handed over again. Not all of them are
   * there before `synced`.
   */
  snapshot(cutoffs: Cutoff[]): void
  /** A verified event, in log order. Throwing means that it cannot be applied: it stays unacknowledged and the follower resyncs. */
  event(set: SecurityEvent): void
  /**
   * The location rules, for who evaluates them: fetched with each snapshot and whenever an event says that they changed; the position of that event counts as applied only
   * once they were taken in. `since`: the version that is here; `load` throws what it cannot take in.
   */
  rules?: { since(): number; load(parts: JsonObject[]): void }
  /** Everything up to `head.seq` has been handed over. Guard streams only. */
  synced(head: Head): void
  /** What is known may lack something, until the next `synced`. */
  outOfSync(reason: string): void
}

/** Milliseconds. */
export interface FollowTiming {
  /** Each exchange that is not held; default 10,000. */
  timeout: number
  /** Added to the hold of a long poll; default 5000. */
  grace: number
  /** Backoff, first and longest; default 100 and 5000. */
  backoff: readonly [number, number]
  /** Between two looks at a stream that is paused or disabled; default 1000. */
  paused: number
  /** After a long poll that came back empty at once; default 1000. */
  idle: number
  /** Between two fetches of keys because of an unknown one; default 1000. */
  refetchKeys: number
  /** For taking leave; default 2000. */
  close: number
  /** Without a head on the channel; default 3000. */
  quiet: number
}

export interface FollowOptions {
  /** The transmitter: issuer of its metadata and of its SETs. */
  issuer: string
  token: TokenSource
  fetch?: typeof globalThis.fetch
  /** Milliseconds. */
  now?: () => number
  log?: Log
  stream: {
    subjects: 'simple' | 'complex'
    alg: 'RS256' | 'ES256'
    guard: boolean
    evaluates?: readonly ('ip' | 'country')[]
    events?: string[]
    description?: string
  }
  /** When given, the stream must be for this audience. */
  audience?: string
  /** Longest hold of a long poll, seconds; default 10. */
  waitSeconds?: number
  /**
   * Another way on which the log comes too, of guard streams only. While it does, a poll without a hold each `waitSeconds` says what is applied; whatever is wrong with it,
   * the stream is polled as ever.
   */
  channel?: Channel
  /** SETs asked for at once; default 500. */
  maxEvents?: number
  /** Bytes of a poll's answer; default 32 MiB. */
  maxAnswer?: number
  /** Allows `http:`; for tests on one machine. */
  insecure?: boolean
  timing?: Partial<FollowTiming>
  on: FollowHandlers
}

/** The options with every default filled in. */
export type FollowSettings = Required<Omit<FollowOptions, 'audience' | 'timing' | 'channel'>> & {
  audience: string | undefined
  channel: Channel | undefined
  timing: FollowTiming
}

/** @throws TypeError */
export function settleFollow(options: FollowOptions): FollowSettings {
  const { insecure = false, waitSeconds = 10, stream } = options
  // Throws for an issuer that cannot be followed.
  metadataUrl(options.issuer, insecure)
  if (typeof options.token !== 'function') throw new TypeError('token must be a function')
  if (!(waitSeconds >= 0)) throw new TypeError('waitSeconds must be a number')
  if (stream.guard && stream.subjects !== 'complex') throw new TypeError('a guard needs complex subjects')
  if (options.channel && !stream.guard) throw new TypeError('a channel brings the log of a guard stream')
  return {
    fetch: globalThis.fetch,
    now: Date.now,
    log: SILENT,
    maxEvents: 500,
    maxAnswer: 33_554_432,
    ...options,
    audience: options.audience,
    channel: options.channel,
    insecure,
    waitSeconds,
    timing: {
      timeout: 10_000,
      grace: 5000,
      backoff: [100, 5000],
      paused: 1000,
      idle: 1000,
      refetchKeys: 1000,
      close: 2000,
      quiet: 3000,
      ...options.timing,
    },
  }
}
