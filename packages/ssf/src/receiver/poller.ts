import { sleep } from '../wait.ts'
import { type PollAnswer, parsePollAnswer } from './delivery.ts'
import type { SetError } from './set-errors.ts'

export interface PollerOptions {
  poll(body: Record<string, unknown>, timeout: number, last?: boolean): Promise<Record<string, unknown>>
  /** The transmitter speaks our extension: it holds a poll for as long as it is asked to. */
  extended: boolean
  /** Longest hold of a long poll, seconds. */
  waitSeconds: number
  maxEvents: number
  /** A longer list of SETs is cut off (what was not acknowledged comes again) instead of refused. */
  cut?: boolean
  /** Milliseconds. */
  timing: { grace: number; paused: number; idle: number }
  signal: AbortSignal
}

/** One stream polled (RFC 8936): what is still to be said, and when to ask again. */
export interface Poller {
  /** Asks once. What is to be acknowledged or reported goes along, and is forgotten when the answer has come. */
  poll(extra?: Record<string, unknown>): Promise<PollAnswer>
  acknowledge(jti: string): void
  /** Final for the transmitter: never for a SET that only we cannot read. */
  refuse(jti: string, error: SetError): void
  /** The next poll is answered at once: after anything unusual, freshness matters more than quiet. */
  hurry(): void
  /** Waits where asking again at once would only be noise: the stream is not enabled, or the transmitter does not hold its polls. */
  rest(state: { fresh: number; enabled: boolean }): Promise<void>
  /** Says what is left to say and asks for nothing; for taking leave. */
  settle(timeout: number): Promise<void>
}

/** Seconds that a transmitter without our extension may hold a poll; it does not say. */
const UNKNOWN_HOLD = 60
/** Milliseconds: an empty long poll that ends sooner was not held. */
const NOT_HELD = 20
const MAX_ACKS = 10_000
const MAX_ERRORS = 1000

export function createPoller(options: PollerOptions): Poller {
  const { poll, extended, waitSeconds, maxEvents, cut, timing, signal } = options
  const acks = new Set<string>()
  const errors = new Map<string, SetError>()
  let quick = true
  let held: { short: boolean; began: number } = { short: true, began: 0 }

  const send = async (body: Record<string, unknown>, timeout: number, last?: boolean) => {
    const ack = [...acks].slice(0, MAX_ACKS)
    const report = [...errors].slice(0, MAX_ERRORS)
    const answer = await poll(
      { ...body, ...(ack.length > 0 && { ack }), ...(report.length > 0 && { setErrs: Object.fromEntries(report) }) },
      timeout,
      last,
    )
    for (const jti of ack) acks.delete(jti)
    for (const [jti] of report) errors.delete(jti)
    return answer
  }

  return {
    async poll(extra = {}) {
      const short = quick
      held = { short, began: performance.now() }
      const hold = short ? 0 : extended ? waitSeconds : UNKNOWN_HOLD
      const body = await send(
        { maxEvents, returnImmediately: short, ...(extended && { caegis_wait: waitSeconds }), ...extra },
        hold * 1000 + timing.grace,
      )
      quick = false
      return parsePollAnswer(body, cut)
    },
    acknowledge(jti) {
      acks.add(jti)
    },
    refuse(jti, error) {
      errors.set(jti, error)
    },
    hurry() {
      quick = true
    },
    async rest({ fresh, enabled }) {
      if (!enabled) {
        quick = true
        await sleep(timing.paused, signal)
      } else if (!held.short && fresh === 0 && performance.now() - held.began < NOT_HELD) await sleep(timing.idle, signal)
    },
    async settle(timeout) {
      if (acks.size + errors.size > 0) await send({ maxEvents: 0, returnImmediately: true }, timeout, true)
    },
  }
}
