import { bytesOf, CUTOFF_DEPTHS, MAX_ROWS_BYTES, parseCutoffs } from './cutoff.ts'
import { EVENT } from './events.ts'
import type { EventClaims, EventPayloads, Localized } from './payloads.ts'
import { isJson, isNumericDate, isObject } from './shape.ts'
import { parseSubject, type SimpleSubject } from './subject.ts'

/** Event types that may be written: all but the one that RISC 1.0 deprecates in favour of CAEP's. */
export type WrittenType = Exclude<keyof EventPayloads, typeof EVENT.sessionsRevoked>

/** The subject of an event about an identifier itself: the identifier, with its old value (RISC 1.0 sections 2.5 and 2.6). */
export type AddressSubject = Extract<SimpleSubject, { format: 'email' | 'phone_number' }>
type AboutAddress = typeof EVENT.identifierChanged | typeof EVENT.identifierRecycled

/** What an event needs beside its type: a payload unless all of it is optional, and a subject where the type prescribes its format. */
type Rest<Type extends WrittenType> = Type extends AboutAddress
  ? [payload: EventPayloads[Type], subject: AddressSubject]
  : Record<never, never> extends EventPayloads[Type]
    ? [payload?: EventPayloads[Type]]
    : [payload: EventPayloads[Type]]

export type WrittenEvent<Type extends WrittenType> = { type: Type; payload: EventPayloads[Type] } & (Type extends AboutAddress
  ? { subject: AddressSubject }
  : unknown)

/**
 * An event as its spec wants it written, to be spread into whatever publishes it:
 *
 *     event(EVENT.credentialChange, { credential_type: 'password', change_type: 'update', reason_admin: { en: 'Reset by the help desk' } })
 *
 * Members that the spec does not name are refused, because a typing error in an optional one would be silence; what both sides agreed on is added to the result.
 * @throws TypeError for a payload or subject that no receiver could rely on
 */
export function event<Type extends WrittenType>(type: Type, ...rest: Rest<Type>): WrittenEvent<Type>
export function event(type: WrittenType, payload: unknown = {}, subject?: unknown): unknown {
  if (!Object.hasOwn(MEMBERS, type)) throw new TypeError('An event of this type is not written')
  const members = new Map(Object.entries<Member<unknown>>(MEMBERS[type]))
  const name = type.slice(type.search(/[^/:]+$/))
  if (!isObject(payload)) throw new TypeError(`${name}: the payload must be an object`)
  for (const member of Object.keys(payload)) {
    if (!members.has(member)) throw new TypeError(`${name} has no member of the name ${member}`)
  }
  const written: Record<string, unknown> = {}
  for (const [member, { required, test, says }] of members) {
    const value = payload[member]
    if (value === undefined ? required : !test(value)) throw new TypeError(`${name}: ${member} must be ${says}`)
    if (value !== undefined) written[member] = value
  }
  if (type !== EVENT.identifierChanged && type !== EVENT.identifierRecycled) return { type, payload: written }
  return { type, payload: written, subject: address(name, subject) }
}

function address(name: string, subject: unknown): AddressSubject {
  try {
    const { format } = subject as AddressSubject
    if (format === 'email' || format === 'phone_number') return parseSubject(subject) as AddressSubject
  } catch {
    // Refused below.
  }
  throw new TypeError(`${name}: the subject must be an email or a phone_number`)
}

/** What a member must be, in words and as a question. */
interface Member<T> {
  says: string
  test: (value: unknown) => value is T
  required?: boolean
}
type Required<T> = Member<T> & { required: true }
type Optional<T> = Member<T> & { required?: never }

/** The rules of a payload: for each of its members one, and required exactly where the type says so. */
type Members<Payload> = {
  [Name in keyof Payload]-?: Record<never, never> extends Pick<Payload, Name> ? Optional<NonNullable<Payload[Name]>> : Required<Payload[Name]>
}

function required<T>(member: Optional<T>): Required<T> {
  return { ...member, required: true }
}

function oneOf<const T extends string>(...values: T[]): Optional<T> {
  return { says: `one of ${values.join(', ')}`, test: (value): value is T => (values as unknown[]).includes(value) }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== ''
}

const text: Optional<string> = { says: 'a text that is not empty', test: isText }
const texts: Optional<string[]> = { says: 'a list of texts', test: (value): value is string[] => Array.isArray(value) && value.every(isText) }

/** Well-formed by BCP 47 (RFC 5646 section 2.1), its private and grandfathered tags included. */
const LANGUAGE_TAG = /^(?:[a-z]{2,8}|[ix](?=-))(?:-[a-z0-9]{1,8})*$/i

const localized: Optional<Localized> = {
  says: 'an object of language tags and texts, with at least one',
  test: (value): value is Localized =>
    isObject(value) && Object.keys(value).length > 0 && Object.entries(value).every(([tag, one]) => LANGUAGE_TAG.test(tag) && isText(one)),
}

/** Later than any second that is meant, earlier than any millisecond since 1973. */
const NO_SECOND = 100_000_000_000

const seconds: Optional<number> = {
  says: 'whole seconds since 1970, not milliseconds',
  test: (value): value is number => isNumericDate(value) && Number.isInteger(value) && value < NO_SECOND,
}

const newClaims: Optional<Record<string, unknown>> = {
  says: 'an object of claims and their new values, with at least one',
  test: (value): value is Record<string, unknown> => isObject(value) && Object.keys(value).length > 0 && isJson(value),
}

const rows: Optional<EventPayloads[typeof EVENT.cutoffs]['cutoffs']> = {
  says: 'a list of rows that fits into one SET, with at least one',
  test: (value): value is EventPayloads[typeof EVENT.cutoffs]['cutoffs'] => {
    try {
      return parseCutoffs(value, '').length > 0 && bytesOf(value) <= MAX_ROWS_BYTES
    } catch {
      return false
    }
  },
}

/** CAEP 1.0 section 2, and ours. */
const COMMON: Members<EventClaims> = {
  event_timestamp: seconds,
  initiating_entity: oneOf('admin', 'user', 'policy', 'system'),
  reason_admin: localized,
  reason_user: localized,
  caegis_depth: oneOf(...CUTOFF_DEPTHS),
  caegis_until: seconds,
}

const riskLevel = oneOf('LOW', 'MEDIUM', 'HIGH')
const compliance = oneOf('compliant', 'not-compliant')

const MEMBERS: { [Type in WrittenType]: Members<EventPayloads[Type]> } = {
  // CAEP 1.0 section 3
  [EVENT.sessionRevoked]: COMMON,
  [EVENT.tokenClaimsChange]: { ...COMMON, claims: required(newClaims) },
  [EVENT.credentialChange]: {
    ...COMMON,
    credential_type: required(text),
    change_type: required(oneOf('create', 'revoke', 'update', 'delete')),
    friendly_name: text,
    x509_issuer: text,
    x509_serial: text,
    fido2_aaguid: text,
  },
  [EVENT.assuranceLevelChange]: {
    ...COMMON,
    namespace: required(text),
    current_level: required(text),
    previous_level: text,
    change_direction: oneOf('increase', 'decrease'),
  },
  [EVENT.deviceComplianceChange]: { ...COMMON, previous_status: required(compliance), current_status: required(compliance) },
  [EVENT.sessionEstablished]: { ...COMMON, fp_ua: text, acr: text, amr: texts, ext_id: text },
  [EVENT.sessionPresented]: { ...COMMON, fp_ua: text, ext_id: text },
  [EVENT.riskLevelChange]: {
    ...COMMON,
    principal: required(text),
    current_level: required(riskLevel),
    previous_level: riskLevel,
    risk_reason: text,
  },
  // RISC 1.0 section 2
  [EVENT.accountCredentialChangeRequired]: COMMON,
  [EVENT.accountPurged]: COMMON,
  [EVENT.accountDisabled]: { ...COMMON, reason: oneOf('hijacking', 'bulk-account') },
  [EVENT.accountEnabled]: COMMON,
  [EVENT.identifierChanged]: { ...COMMON, 'new-value': text },
  [EVENT.identifierRecycled]: COMMON,
  [EVENT.credentialCompromise]: { ...COMMON, credential_type: required(text) },
  [EVENT.optIn]: COMMON,
  [EVENT.optOutInitiated]: COMMON,
  [EVENT.optOutCancelled]: COMMON,
  [EVENT.optOutEffective]: COMMON,
  [EVENT.recoveryActivated]: COMMON,
  [EVENT.recoveryInformationChanged]: COMMON,
  // SSF 1.0 sections 8.1.4.1 and 8.1.5
  [EVENT.verification]: { state: text },
  [EVENT.streamUpdated]: { status: required(oneOf('enabled', 'paused', 'disabled')), reason: text },
  // Ours
  [EVENT.locationRulesChanged]: COMMON,
  [EVENT.keysChanged]: COMMON,
  [EVENT.cutoffs]: { ...COMMON, cutoffs: required(rows) },
}
