import { EVENT } from '@caegis/protocol'
import { type Log, SILENT } from '../log.ts'
import type { SetAlgorithm, StreamRecord, TransmitterStore } from './store.ts'

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
  /** Event types that receivers may ask for; default {@link DEFAULT_EVENTS}. Guards get every row of the log. */
  events?: readonly string[]
}

/** The settings of a transmitter with every default filled in: what its parts share. */
export interface Settings extends Required<Omit<TransmitterOptions, 'limits'>> {
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
  return {
    ...options,
    now: options.now ?? Date.now,
    log: options.log ?? SILENT,
    limits,
    maxStaleness,
    events: options.events ?? DEFAULT_EVENTS,
  }
}

/** Whether an event of the log goes to a stream (SSF 1.0 section 8.1.1: `events_delivered`). */
export function wants(stream: StreamRecord, row: { type: string; subject: { simple?: unknown } }): boolean {
  // A guard proves by contiguous positions that it missed nothing, so it gets everything.
  if (stream.guard) return true
  return stream.eventsDelivered.includes(row.type) && (stream.subjects === 'complex' || row.subject.simple !== undefined)
}
