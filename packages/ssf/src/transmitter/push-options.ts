import { sleep } from '../wait.ts'
import { type Settings, settle, type TransmitterOptions } from './options.ts'
import type { PushResponse } from './outcome.ts'

/** One push as it goes over the wire: nothing is to be added to it but what HTTP needs. */
export interface PushRequest {
  url: string
  headers: Record<string, string>
  body: string
  /** Of the answer's body, at most this many bytes are to be read. */
  maxBody: number
  /** Aborts when the time is up or the pusher closes. */
  signal: AbortSignal
}

export interface PushLimits {
  /** SETs of one stream in flight at once, never two about the same subject; default 4. */
  perStream: number
  /** SETs of all streams in flight at once; default 64. */
  total: number
  /** Seconds that a receiver may take to answer; default 10. */
  timeout: number
  /** First and longest pause after a failure, milliseconds; default 100 and 60,000. */
  backoff: readonly [first: number, longest: number]
  /** Seconds of failure after which a stream is paused, and tried a dozen times in as long from then on, or a SET that alone fails is a dead letter; default 3600. */
  giveUpAfter: number
}

/** Settings as the transmitter's, with whose store they must share. */
export interface PusherOptions extends TransmitterOptions {
  /** POSTs over TLS, without following redirects, to no address that the host's dialer forbids. Rejects when there is no answer. */
  send(request: PushRequest): Promise<PushResponse>
  /** Resolves after some milliseconds, or when the signal aborts. */
  sleep?: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** A clock that is never set, in milliseconds, by which pauses are measured: as `sleep` takes them. Default: `now` beside a `sleep` that is handed in, the process's own otherwise. */
  monotonic?: () => number
  /** At least 0, less than 1. */
  random?: () => number
  push?: true
  pushLimits?: Partial<PushLimits>
}

export interface PushSettings extends Settings {
  send: PusherOptions['send']
  sleep: NonNullable<PusherOptions['sleep']>
  monotonic: () => number
  random: () => number
  pushLimits: PushLimits
}

const DEFAULT_LIMITS: PushLimits = { perStream: 4, total: 64, timeout: 10, backoff: [100, 60_000], giveUpAfter: 3600 }

/** @throws TypeError */
export function settlePush(options: PusherOptions): PushSettings {
  if (typeof options.send !== 'function') throw new TypeError('send is required')
  const pushLimits = { ...DEFAULT_LIMITS, ...options.pushLimits }
  const { perStream, total, timeout, giveUpAfter, backoff } = pushLimits
  for (const [name, value] of Object.entries({ perStream, total, timeout, giveUpAfter, first: backoff[0], longest: backoff[1] })) {
    if (!(Number.isFinite(value) && value > 0)) throw new TypeError(`pushLimits.${name} must be a positive number`)
  }
  const settings = settle({ ...options, push: true })
  return {
    ...settings,
    send: options.send,
    sleep: options.sleep ?? sleep,
    monotonic: options.monotonic ?? (options.sleep ? settings.now : () => performance.now()),
    random: options.random ?? Math.random,
    pushLimits,
  }
}
