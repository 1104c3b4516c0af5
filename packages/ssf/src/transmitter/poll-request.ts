import { isIdentifier, isNumericDate, isObject } from '@caegis/protocol'
import { MAX_REFUSED, type Place } from '../wire.ts'

/** A poll (RFC 8936 section 2.2) with our extension members, checked. */
export interface PollRequest {
  maxEvents: number
  returnImmediately: boolean
  ack: string[]
  /** `jti` and error code. */
  errors: [jti: string, err: string][]
  /** What a guard has applied: everything after it is what it needs. */
  applied?: Place
  /** Requests that a guard has refused first because of an event: its position, and when (seconds). */
  refused: [seq: number, at: number][]
  /** Longest hold that the receiver wants, seconds. */
  wait?: number
}

const MAX_JTIS = 10_000
const MAX_JTI = 256

/** @returns the name of the member that is malformed, when one is; unknown members are ignored */
export function parsePollRequest(body: Record<string, unknown>, limits: { events: number; maxEvents: number }): PollRequest | string {
  const { maxEvents, returnImmediately, ack, setErrs, caegis_applied: applied, caegis_refused: refused, caegis_wait: wait } = body
  if (maxEvents !== undefined && !(Number.isSafeInteger(maxEvents) && (maxEvents as number) >= 0)) return 'maxEvents'
  if (returnImmediately !== undefined && typeof returnImmediately !== 'boolean') return 'returnImmediately'
  if (ack !== undefined && !(Array.isArray(ack) && ack.length <= MAX_JTIS && ack.every(isJti))) return 'ack'
  if (wait !== undefined && !(typeof wait === 'number' && Number.isFinite(wait) && wait >= 0)) return 'caegis_wait'
  const request: PollRequest = {
    // More than we send at once is a wish, not a mistake.
    maxEvents: Math.min((maxEvents as number | undefined) ?? limits.events, limits.maxEvents),
    returnImmediately: returnImmediately ?? false,
    ack: (ack as string[] | undefined) ?? [],
    errors: [],
    refused: [],
  }
  if (wait !== undefined) request.wait = wait
  if (setErrs !== undefined) {
    if (!isObject(setErrs)) return 'setErrs'
    const entries = Object.entries(setErrs)
    if (entries.length > MAX_JTIS) return 'setErrs'
    for (const [jti, error] of entries) {
      if (!isJti(jti) || !isObject(error)) return 'setErrs'
      // The code goes to the log: anything but a short plain word is not repeated there.
      request.errors.push([jti, typeof error.err === 'string' && /^[\w.:-]{1,64}$/.test(error.err) ? error.err : 'unreadable'])
    }
  }
  if (applied !== undefined) {
    if (!isObject(applied) || !isIdentifier(applied.epoch, 64)) return 'caegis_applied'
    if (!Number.isSafeInteger(applied.seq) || (applied.seq as number) < 0) return 'caegis_applied'
    if (applied.event !== undefined && !isJti(applied.event)) return 'caegis_applied'
    request.applied = { epoch: applied.epoch, seq: applied.seq as number, ...(applied.event !== undefined && { event: applied.event as string }) }
  }
  if (refused !== undefined) {
    if (!Array.isArray(refused) || refused.length > MAX_REFUSED || !refused.every(isRefusal)) return 'caegis_refused'
    request.refused = refused
  }
  return request
}

function isRefusal(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && Number.isSafeInteger(value[0]) && value[0] > 0 && isNumericDate(value[1])
}

function isJti(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_JTI
}
