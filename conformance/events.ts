import { isObject, type Json } from './http.ts'
import type { Notes } from './notes.ts'

export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
export const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'
export const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification'
export const STREAM_UPDATED = 'https://schemas.openid.net/secevent/ssf/event-type/stream-updated'
export const PUSH = 'urn:ietf:rfc:8935'
export const POLL = 'urn:ietf:rfc:8936'

/** What an event must carry: a list of the values that it may have, or only its type. */
type Required = Record<string, readonly string[] | 'string' | 'object'>

const CREDENTIALS = [
  ...['password', 'pin', 'x509', 'fido2-platform', 'fido2-roaming', 'fido-u2f', 'verifiable-credential', 'phone-voice', 'phone-sms', 'app'],
] as const
const COMPLIANCE = ['compliant', 'not-compliant'] as const

/** CAEP 1.0 section 3. Where its text lets both sides agree on further values, only the type is asked for. */
export const CAEP_EVENTS: Record<string, Required> = {
  'session-revoked': {},
  'token-claims-change': { claims: 'object' },
  'credential-change': { credential_type: 'string', change_type: ['create', 'revoke', 'update', 'delete'] },
  'assurance-level-change': { namespace: 'string', current_level: 'string' },
  'device-compliance-change': { previous_status: COMPLIANCE, current_status: COMPLIANCE },
  'session-established': {},
  'session-presented': {},
  'risk-level-change': { principal: 'string', current_level: ['LOW', 'MEDIUM', 'HIGH'] },
}

/** RISC 1.0 section 2. */
export const RISC_EVENTS: Record<string, Required> = {
  'account-credential-change-required': {},
  'account-purged': {},
  'account-disabled': {},
  'account-enabled': {},
  'identifier-changed': {},
  'identifier-recycled': {},
  'credential-compromise': { credential_type: CREDENTIALS },
  'opt-in': {},
  'opt-out-initiated': {},
  'opt-out-cancelled': {},
  'opt-out-effective': {},
  'recovery-activated': {},
  'recovery-information-changed': {},
}
/** Read, never to be sent by new code (RISC 1.0 section 2). */
const DEPRECATED = `${RISC}sessions-revoked`

/** The use cases of the interoperability profile (section 3). */
export const INTEROP_EVENTS = ['session-revoked', 'credential-change', 'device-compliance-change'].map((name) => CAEP + name)
export const ALL_EVENTS = [...Object.keys(CAEP_EVENTS).map((name) => CAEP + name), ...Object.keys(RISC_EVENTS).map((name) => RISC + name)]

export function isKnownEvent(uri: unknown): boolean {
  return typeof uri === 'string' && (ALL_EVENTS.includes(uri) || uri === DEPRECATED || uri === VERIFICATION || uri === STREAM_UPDATED)
}

export function shortName(uri: string): string {
  return uri.slice(uri.lastIndexOf('/') + 1)
}

/** Checks a CAEP event: the claims that all share (CAEP 1.0 section 2), and what its type requires (section 3). */
export function checkCaepEvent(notes: Notes, uri: string, payload: unknown, interop: boolean): void {
  const name = shortName(uri)
  if (!isObject(payload)) {
    notes.must(false, 'RFC 8417 section 2.2', `the value of ${name} is no object`)
    return
  }
  const { event_timestamp: at, initiating_entity: by, reason_admin: admin, reason_user: user } = payload
  const common = 'CAEP 1.0 section 2'
  notes.must(at === undefined || (typeof at === 'number' && at > 1e9 && at < 1e11), common, `${name}: event_timestamp is not in seconds`)
  notes.must(by === undefined || ['admin', 'user', 'policy', 'system'].includes(by as string), common, `${name}: unknown initiating_entity`)
  for (const [member, reason] of Object.entries({ reason_admin: admin, reason_user: user })) {
    notes.must(reason === undefined || isLocalized(reason), common, `${name}: ${member} is not an object of texts by language`)
  }
  if (interop) notes.must(isLocalized(admin), 'CAEP Interop section 3', `${name}: reason_admin is missing or empty`)
  checkRequired(notes, name, payload, CAEP_EVENTS[name] ?? {})
}

function checkRequired(notes: Notes, name: string, payload: Json, required: Required): void {
  for (const [member, wanted] of Object.entries(required)) {
    const value = payload[member]
    const holds = wanted === 'object' ? isObject(value) : wanted === 'string' ? typeof value === 'string' : wanted.includes(value as string)
    notes.must(holds, 'CAEP 1.0 section 3', `${name}: ${member} is missing or has no value of the spec`)
  }
}

function isLocalized(value: unknown): boolean {
  if (!isObject(value)) return false
  const texts = Object.entries(value)
  return texts.length > 0 && texts.every(([tag, text]) => /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/.test(tag) && typeof text === 'string' && text !== '')
}

/** A payload with everything that the type requires, for events that the suite itself sends. */
export function samplePayload(uri: string): Json {
  const required = { ...CAEP_EVENTS, ...RISC_EVENTS }[shortName(uri)] ?? {}
  const own = Object.entries(required).map(([member, wanted]) => [
    member,
    wanted === 'object' ? { role: 'reader' } : wanted === 'string' ? (member === 'credential_type' ? 'password' : 'USER') : (wanted.at(-1) as string),
  ])
  const common = uri.startsWith(CAEP)
    ? { event_timestamp: Math.floor(Date.now() / 1000), initiating_entity: 'admin', reason_admin: { en: 'conformance' } }
    : {}
  return { ...common, ...Object.fromEntries(own) }
}
