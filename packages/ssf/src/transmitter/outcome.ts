import { isObject, networkCode } from '@caegis/protocol'

/** What a push led to. A reason is a short code that is safe to store and to log. */
export type DeliveryOutcome =
  | { is: 'accepted' }
  /** It may have been lost, or what hinders it may be repaired. `after`: seconds that the receiver asked for. */
  | { is: 'retry'; reason: string; after?: number }
  /** Sending the same again cannot help. */
  | { is: 'dead'; reason: string }

/** What the host's `send` returns: header names in lower case, of the body at most what was allowed. */
export interface PushResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

const MAX_BODY = 65_536
/** Seconds. */
const LONGEST_WISH = 600
/** A rotated key is fetched again, a credential is renewed: an event must not be lost over that (RFC 8935 section 2.4). */
const REPAIRABLE: ReadonlySet<string> = new Set(['invalid_key', 'authentication_failed'])

/** Whether what a receiver reports of a SET (RFC 8935 section 2.4) may be mended by itself. */
export function isRepairable(err: string): boolean {
  return REPAIRABLE.has(err)
}

/** Judges an answer to a push (RFC 8935 sections 2.2 to 2.4). @param now milliseconds */
export function outcomeOf({ status, headers, body }: PushResponse, now: number): DeliveryOutcome {
  // 202 is the word; receivers that say 200 or 204 mean it.
  if (status >= 200 && status < 300) return { is: 'accepted' }
  if (status >= 500 || status === 429 || status === 408) {
    const after = readRetryAfter(headers['retry-after'], now)
    return { is: 'retry', reason: `http ${status}`, ...(after !== undefined && { after }) }
  }
  if (status === 401) return { is: 'retry', reason: 'http 401' }
  if (status === 400) {
    const err = readCode(body)
    return { is: isRepairable(err) ? 'retry' : 'dead', reason: err }
  }
  if (status > 400) return { is: 'dead', reason: `http ${status}` }
  // A redirect is not followed; where it leads is for the receiver to configure.
  return { is: 'retry', reason: `http ${status}` }
}

/** Whatever went wrong below HTTP. */
export function outcomeOfFailure(error: unknown): DeliveryOutcome {
  return { is: 'retry', reason: networkCode(error) }
}

function readCode(body: string): string {
  if (typeof body !== 'string' || body.length > MAX_BODY) return 'http 400'
  try {
    const parsed: unknown = JSON.parse(body)
    if (isObject(parsed) && typeof parsed.err === 'string' && /^[\w.:-]{1,64}$/.test(parsed.err)) return parsed.err
  } catch {
    // An answer without a readable code is a plain 400.
  }
  return 'http 400'
}

function readRetryAfter(header: string | string[] | undefined, now: number): number | undefined {
  const text = Array.isArray(header) ? header[0] : header
  if (text === undefined || text.length > 64) return undefined
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - now) / 1000
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, LONGEST_WISH) : undefined
}
