import { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
import type { EventType } from './events.ts'
import type { EventPayload, EventPayloads } from './payloads.ts'
import { isIdentifier, isNumericDate, isObject } from './shape.ts'
import { parseSubject, type Subject } from './subject.ts'

/** JOSE `typ` of every SET of the SSF profile (SSF 1.0 section 4.1.1). */
export const SET_TYPE = 'secevent+jwt'

/** A SET with exactly one event, its shape checked (RFC 8417 section 2, SSF 1.0 section 4). */
export interface SecurityEvent {
  iss: string
  jti: string
  /** Seconds; floored. */
  iat: number
  aud: string[]
  txn?: string
  subject: Subject
  type: string
  payload: EventPayload
  /** Position in the transmitter's log, for guards only: contiguous, so that a gap shows. */
  seq?: number
}

/**
 * Reads the payload of a SET whose signature has been verified.
 * Refuses `sub` and `exp` (SSF 1.0 sections 4.1.2, 4.1.7: they are what makes a JWT an access or ID token), more than one event, a missing `iat`.
 * @throws CaegisError `invalid_set`, or `invalid_subject` for its `sub_id`
 */
export function parseSet(payload: unknown): SecurityEvent {
  if (!isObject(payload)) throw invalid('not an object')
  const { iss, jti, iat, aud, txn, events, sub_id: subId, caegis_seq: seq } = payload
  if ('sub' in payload || 'exp' in payload) throw invalid('sub or exp present')
  if (!isIdentifier(iss)) throw invalid('iss')
  if (!isIdentifier(jti, 256)) throw invalid('jti')
  if (!isNumericDate(iat)) throw invalid('iat')
  const audience = typeof aud === 'string' ? [aud] : aud
  if (!Array.isArray(audience) || audience.length === 0 || audience.length > 32) throw invalid('aud')
  if (!audience.every((one) => isIdentifier(one))) throw invalid('aud')
  if (!isObject(events)) throw invalid('events')
  const [first, ...more] = Object.entries(events)
  if (!first || more.length > 0) throw invalid('not exactly one event')
  const [type, body] = first
  if (!isIdentifier(type)) throw invalid('event type')
  if (!isObject(body)) throw invalid('event payload')
  if (txn !== undefined && !isIdentifier(txn, 256)) throw invalid('txn')
  if (seq !== undefined && !(Number.isSafeInteger(seq) && (seq as number) > 0)) throw invalid('caegis_seq')
  return {
    iss,
    jti,
    iat: Math.floor(iat),
    aud: audience as string[],
    subject: parseSubject(subId),
    type,
    payload: body as EventPayload,
    ...(txn === undefined ? {} : { txn: txn as string }),
    ...(seq === undefined ? {} : { seq: seq as number }),
  }
}

/** Narrows a SET to one event type: to the names of its members, not to their values, which are somebody else's and to be checked. */
export function isEvent<Type extends EventType>(
  set: SecurityEvent,
  type: Type,
): set is SecurityEvent & { type: Type; payload: { [Name in keyof EventPayloads[Type]]?: unknown } } {
  return set.type === type
}

function invalid(why: string): CaegisError {
  return new CaegisError('invalid_set', PROTOCOL_ERRORS.invalid_set, { detail: why })
}
