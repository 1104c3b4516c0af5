import { EVENT, type Subject } from '@caegis/protocol'
import { type Log, SILENT } from '../log.ts'
import type { Position } from '../wire.ts'
import type { SetAlgorithm, TransmitterStore } from './store.ts'

export interface TransmitterLimits {
  /** Streams a receiver may have; default 64. */
  streams: number
  /** SETs in an answer when the request names no `maxEvents`; default 100. */
  events: number
  /** SETs in an answer at most; default 1000. */
  maxEvents: number
  /** Longest hold of a long poll, seconds; default 10. */
  hold: number
  /** Polls of one stream that may be held at once; default 16. */
  polls: number
  /** A long poll does not hand out again what went out within this many seconds; default 10. */
  redeliverAfter: number
  /** Rows behind the oldest unacknowledged one that are looked at: a receiver that never acknowledges one SET is not served without end; default 10,000. */
  window: number
  /** Seconds between two verifications of a stream; default 1. */
  verification: number
  /** Control events waiting on one stream; default 32. */
  controls: number
  /** Subjects that a receiver may add to or remove from one stream; default 1000. */
  subjects: number
  /** Cutoffs of a full segment of the snapshot; default 32,768. */
  segment: number
  /** Events that a snapshot says by itself, before they become a segment; default 1000. */
  later: number
  /** Rows that a stream may be behind before it is disabled as lagging; default 1,000,000. */
  backlog: number
}

/** Bounds what a process holds, for all of its transmitters together. */
export interface Holds {
  /**
   * A poll of this receiver wants to be held.
   * @param end ends it at once, with what there is to say
   * @returns says that it is over; `undefined` when there is no room for it
   */
  enter(receiver: string, end: () => void): (() => void) | undefined
}

export interface TransmitterOptions {
  /** SET `iss`, and the metadata's `issuer`. */
  issuer: string
  /** URL of the endpoints, without a slash at the end: `https://host/acme/ssf`. */
  base: string
  jwksUri: string
  store: TransmitterStore
  /** Signs a payload as a compact JWS; the header carries `typ`, `alg` and the key's `kid`. */
  sign(payload: Record<string, unknown>, header: { typ: string; alg: SetAlgorithm }): Promise<string>
  /** Milliseconds. */
  now?: () => number
  log?: Log
  limits?: Partial<TransmitterLimits>
  /** Seconds after which a guard calls itself stale: a long poll ends within a third of it; default 30. */
  maxStaleness?: number
  /** Seconds after which a cutoff that names no end may be forgotten; default 28 h. */
  horizon?: number
  /** Event types that receivers may ask for; default {@link DEFAULT_EVENTS}. Guards get every row of the log. */
  events?: readonly string[]
  /** Offers push delivery (RFC 8935): the host runs a pusher over the same store. Default false. */
  push?: boolean
  /** What is on a new stream (SSF 1.0 section 7.1); default `ALL`. */
  defaultSubjects?: 'ALL' | 'NONE'
  /** The form in which the log names a subject that a receiver knows otherwise (by e-mail address, say); `undefined` when it names nobody here. */
  subjectOf?(subject: Subject): Promise<Subject | undefined>
  /** Seconds without a sign of the receiver after which its stream is paused; guard streams are deleted. Default: never. Longer than polls are held. */
  inactivityTimeout?: number
  /** The same for guard streams, when it differs. */
  guardInactivityTimeout?: number
  /**
   * A guard says that it has applied more than the log holds: the log was restored from an older copy, and positions mean other events than before. The host
   * renews the epoch, so that every guard loads a snapshot. Awaited before the guard is answered.
   */
  onAhead?(report: { stream: string; receiver: string; claimed: Position; head: Position }): Promise<void>
  /** Default: as many as there are, each to its own end. */
  holds?: Holds
  /** For receivers of the implementer's draft: `subject` also inside the event, and the draft's version in the metadata. Default false. */
  legacyDraft?: boolean
}

/** The settings of a transmitter with every default filled in: what its parts share. */
type Optional = 'subjectOf' | 'onAhead' | 'holds' | 'inactivityTimeout' | 'guardInactivityTimeout'
export interface Settings extends Required<Omit<TransmitterOptions, 'limits' | Optional>>, Pick<TransmitterOptions, Optional> {
  limits: TransmitterLimits
}

export const DEFAULT_EVENTS: readonly string[] = [
  EVENT.sessionRevoked,
  EVENT.credentialChange,
  EVENT.deviceComplianceChange,
  EVENT.riskLevelChange,
  EVENT.tokenClaimsChange,
  EVENT.accountDisabled,
  EVENT.accountEnabled,
  EVENT.accountPurged,
]

const DEFAULT_LIMITS: TransmitterLimits = {
  streams: 64,
  events: 100,
  maxEvents: 1000,
  hold: 10,
  polls: 16,
  redeliverAfter: 10,
  window: 10_000,
  verification: 1,
  controls: 32,
  subjects: 1000,
  segment: 32_768,
  later: 1000,
  backlog: 1_000_000,
}

/** @throws TypeError when the transmitter could not work or would not be safe */
export function settle(options: TransmitterOptions): Settings {
  for (const name of ['issuer', 'base', 'jwksUri'] as const) {
    const value = options[name]
    if (typeof value !== 'string' || !URL.canParse(value)) throw new TypeError(`${name} must be an absolute URL`)
  }
  if (options.base.endsWith('/')) throw new TypeError('base must not end with a slash')
  if (!options.store || typeof options.sign !== 'function') throw new TypeError('store and sign are required')
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  for (const [name, value] of Object.entries(limits)) {
    if (!(Number.isFinite(value) && value >= 0)) throw new TypeError(`limits.${name} must be a number`)
  }
  const maxStaleness = options.maxStaleness ?? 30
  if (!(maxStaleness > 0)) throw new TypeError('maxStaleness must be a number of seconds')
  for (const name of ['inactivityTimeout', 'guardInactivityTimeout'] as const) {
    const value = options[name]
    // Who is held in a poll is not silent.
    if (value !== undefined && !(Number.isSafeInteger(value) && value > limits.hold))
      throw new TypeError(`${name} must be whole seconds, more than limits.hold`)
  }
  return {
    ...options,
    push: options.push ?? false,
    defaultSubjects: options.defaultSubjects ?? 'ALL',
    legacyDraft: options.legacyDraft ?? false,
    now: options.now ?? Date.now,
    log: options.log ?? SILENT,
    limits,
    maxStaleness,
    horizon: options.horizon ?? 100_800,
    events: options.events ?? DEFAULT_EVENTS,
  }
}
