import { type EventPayload, SET_TYPE, type Subject } from '@caegis/protocol'
import { createBoundedMap } from './bounded-map.ts'
import type { Settings } from './options.ts'
import type { ControlRow, EventRow, StreamRecord } from './store.ts'

/** What a SET says of the stream that it is for. */
type SetStream = Pick<StreamRecord, 'id' | 'aud' | 'subjects' | 'guard'>

/**
 * The claims of the SET for one stream: a pure function of stream and row, so that a retry is the same SET whenever it is minted and whatever has become of the
 * subject since. Only key and signature may differ.
 */
export function claimsOfEvent(issuer: string, stream: SetStream, row: EventRow, { legacyDraft = false } = {}): Record<string, unknown> {
  const subject = stream.subjects === 'simple' ? row.subject.simple : row.subject.complex
  if (!subject) throw new TypeError('a stream with simple subjects cannot carry this event')
  const payload = stream.guard ? row.payload : withoutExtensions(row.payload)
  const claims = setClaims(issuer, stream, row, row.txn, subject, legacyDraft ? { subject, ...payload } : payload)
  return stream.guard ? { ...claims, caegis_seq: row.seq } : claims
}

/** The claims of an event about the stream itself (SSF 1.0 sections 8.1.4.1 and 8.1.5): its subject is the stream's id. */
export function claimsOfControl(issuer: string, stream: StreamRecord, row: ControlRow, { legacyDraft = false } = {}): Record<string, unknown> {
  const subject = { format: 'opaque', id: stream.id } as const
  return setClaims(issuer, stream, row, row.id, subject, legacyDraft ? { subject, ...row.payload } : row.payload)
}

function setClaims(
  issuer: string,
  stream: SetStream,
  row: { id: string; type: string; at: number },
  txn: string,
  subject: Subject,
  payload: EventPayload,
): Record<string, unknown> {
  return { iss: issuer, jti: jtiOf(stream, row.id), iat: row.at, aud: stream.aud, txn, sub_id: subject, events: { [row.type]: payload } }
}

export function jtiOf(stream: Pick<StreamRecord, 'id'>, id: string): string {
  return `${id}.${stream.id}`
}

/** The event's id within a `jti` of this stream; undefined for any other text. */
export function idOfJti(stream: StreamRecord, jti: string): string | undefined {
  const end = `.${stream.id}`
  return jti.length > end.length && jti.endsWith(end) ? jti.slice(0, -end.length) : undefined
}

function withoutExtensions(payload: EventPayload): EventPayload {
  return Object.fromEntries(Object.entries(payload).filter(([name]) => !name.startsWith('caegis_')))
}

const CACHED = 10_000
/** Milliseconds: a SET must not outlive the key that signed it. */
const CACHED_FOR = 60_000

export interface Minter {
  event(stream: StreamRecord, row: EventRow): Promise<string>
  /** Of a redelivery, the event's own SET. */
  control(stream: StreamRecord, row: ControlRow): Promise<string>
}

/** Signs SETs, and remembers them for a short while so that a retry costs no signature. */
export function createMinter({ issuer, sign, now, legacyDraft }: Settings): Minter {
  const cache = createBoundedMap<{ jwt: Promise<string>; at: number }>(CACHED)
  const minted = (stream: StreamRecord, id: string, claims: () => Record<string, unknown>): Promise<string> => {
    const key = `${stream.alg}\n${stream.aud}\n${jtiOf(stream, id)}`
    const known = cache.get(key)
    if (known && now() - known.at < CACHED_FOR) return known.jwt
    const jwt = sign(claims(), { typ: SET_TYPE, alg: stream.alg })
    cache.set(key, { jwt, at: now() })
    jwt.catch(() => cache.delete(key))
    return jwt
  }
  const event = (stream: StreamRecord, row: EventRow) => minted(stream, row.id, () => claimsOfEvent(issuer, stream, row, { legacyDraft }))
  return {
    event,
    control: (stream, row) =>
      row.event ? event(stream, row.event) : minted(stream, row.id, () => claimsOfControl(issuer, stream, row, { legacyDraft })),
  }
}
