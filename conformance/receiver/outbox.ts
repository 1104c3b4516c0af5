import { randomUUID } from 'node:crypto'
import type { Mode, Timing } from '../config.ts'
import { isObject, type Json, send, within } from '../http.ts'
import type { Notes } from '../notes.ts'
import type { SigningKey } from './keys.ts'
import type { Reply, Request } from './listener.ts'
import type { StreamState } from './streams.ts'

/** The events of the emulated transmitter on their way. */
export interface Outbox {
  /** Sends one, and resolves when the receiver has accepted it; `false` when it has not. */
  deliver(stream: StreamState, subject: Json, type: string, payload: Json): Promise<boolean>
  /** RFC 8936. */
  poll(stream: StreamState, request: Request): Promise<Reply>
}

export interface OutboxOptions {
  notes: Notes
  mode: Mode
  timing: Timing
  key: SigningKey
  issuer: string
  audience: string
}

/** Milliseconds that a long poll is held at most. */
const HOLD = 10_000
const ERROR_CODES = [
  ...['invalid_request', 'invalid_key', 'invalid_issuer', 'invalid_audience', 'authentication_failed', 'access_denied', 'invalid_state'],
]

export function createOutbox({ notes, mode, timing, key, issuer, audience }: OutboxOptions): Outbox {
  /** SETs that nobody has asked for yet: each is handed out once. */
  const waiting = new Map<string, string>()
  const outcomes = new Map<string, (accepted: boolean) => void>()
  let wake = () => {}

  return {
    async deliver(stream, subject, type, payload) {
      const jti = randomUUID()
      const claims = { iss: issuer, jti, iat: Math.floor(Date.now() / 1000), aud: audience, txn: randomUUID(), sub_id: subject }
      const jwt = key.sign({ ...claims, events: { [type]: payload } })
      if (mode === 'push') return push(stream, jwt)
      const settled = new Promise<boolean>((resolve) => outcomes.set(jti, resolve))
      waiting.set(jti, jwt)
      wake()
      return within(timing.step, settled, false)
    },

    async poll(stream, { headers, json, gone }) {
      const spec = 'RFC 8936 section 2.2'
      notes.must(/^application\/json\b/i.test(headers['content-type'] ?? ''), spec, 'a poll is not application/json')
      if (!notes.must(isObject(json), spec, 'a poll is no JSON object')) return { status: 400 }
      const { ack = [], setErrs = {}, maxEvents, returnImmediately = false } = json as Json
      const shaped = Array.isArray(ack) && isObject(setErrs) && typeof returnImmediately === 'boolean'
      const counted = maxEvents === undefined || (Number.isInteger(maxEvents) && (maxEvents as number) >= 0)
      if (!notes.must(shaped && counted, spec, 'a member of a poll has the wrong type')) return { status: 400 }
      for (const jti of ack as unknown[]) settle(jti, true)
      for (const [jti, error] of Object.entries(setErrs as Json)) {
        const { err, description } = isObject(error) ? error : {}
        notes.should(ERROR_CODES.includes(err as string), 'RFC 8936 section 2.6', `a SET is reported with the unknown code ${JSON.stringify(err)}`)
        notes.must(typeof description === 'string', 'RFC 8936 section 2.6', 'a SET is reported without description')
        notes.must(headers['content-language'] !== undefined, 'RFC 8936 section 2.6', 'a SET is reported without Content-Language')
        settle(jti, false)
      }
      const most = (maxEvents as number | undefined) ?? Number.POSITIVE_INFINITY
      if (!returnImmediately && (waiting.size === 0 || most === 0)) await held(gone)
      if (stream.status === 'disabled') return { status: 200, body: { sets: {} } }
      const sets = [...waiting].slice(0, most)
      for (const [jti] of sets) waiting.delete(jti)
      return { status: 200, body: { sets: Object.fromEntries(sets), ...(waiting.size > 0 && { moreAvailable: true }) } }
    },
  }

  function settle(jti: unknown, accepted: boolean): void {
    const settled = typeof jti === 'string' ? outcomes.get(jti) : undefined
    if (!notes.should(settled !== undefined, 'RFC 8936 section 2.4', 'the receiver acknowledges a SET that it was not sent')) return
    settled?.(accepted)
  }

  function held(gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, HOLD)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
      gone.addEventListener('abort', wake, { once: true })
    })
  }

  /** RFC 8935 section 2. */
  async function push({ configuration, authorization }: StreamState, jwt: string): Promise<boolean> {
    const { endpoint_url: url } = configuration.delivery as { endpoint_url: string }
    const { status, text } = await send(url, {
      method: 'POST',
      headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json', ...(authorization !== undefined && { authorization }) },
      body: jwt,
      timeout: timing.request,
    })
    if (!notes.must(status === 202, 'RFC 8935 section 2.2', `a push is answered ${status}, not 202`)) return false
    return notes.must(text === '', 'RFC 8935 section 2.2', 'a push is answered with a body')
  }
}
