import { CaegisError, PROTOCOL_ERRORS } from './errors.ts'
import { isIdentifier, isObject, type JsonObject } from './shape.ts'

/** A subject identifier of one format (RFC 9493 section 3, SSF 1.0 section 3.2-3.4). */
export type SimpleSubject =
  | { format: 'account'; uri: string }
  | { format: 'email'; email: string }
  | { format: 'iss_sub'; iss: string; sub: string }
  | { format: 'opaque'; id: string }
  | { format: 'phone_number'; phone_number: string }
  | { format: 'did'; url: string }
  | { format: 'uri'; uri: string }
  | { format: 'jwt_id'; iss: string; jti: string }
  | { format: 'saml_assertion_id'; issuer: string; assertion_id: string }
  | { format: 'ip-addresses'; 'ip-addresses': string[] }
  | { format: 'aliases'; identifiers: SimpleSubject[] }

/** Every member describes the same one principal (SSF 1.0 section 3.3). */
export interface ComplexSubject {
  format: 'complex'
  user?: SimpleSubject
  device?: SimpleSubject
  session?: SimpleSubject
  application?: SimpleSubject
  tenant?: SimpleSubject
  org_unit?: SimpleSubject
  group?: SimpleSubject
  [member: string]: SimpleSubject | string | undefined
}

export type Subject = SimpleSubject | ComplexSubject

/** The required string members of each format; two formats carry arrays and are read apart. */
const MEMBERS: Record<string, readonly string[]> = {
  account: ['uri'],
  email: ['email'],
  iss_sub: ['iss', 'sub'],
  opaque: ['id'],
  phone_number: ['phone_number'],
  did: ['url'],
  uri: ['uri'],
  jwt_id: ['iss', 'jti'],
  saml_assertion_id: ['issuer', 'assertion_id'],
}
const MAX_LIST = 32

/**
 * Reads a subject identifier. Members that a format does not describe are an error (RFC 9493 section 3), as are missing, empty or oversized ones.
 * @throws CaegisError `invalid_subject`
 */
export function parseSubject(value: unknown): Subject {
  if (!isObject(value)) throw invalid('not an object')
  return value.format === 'complex' ? parseComplex(value) : parseSimple(value)
}

function parseSimple(value: JsonObject, insideAliases = false): SimpleSubject {
  // `phone` stands in one example of SSF and in RISC prose: read it, never write it.
  const format = value.format === 'phone' ? 'phone_number' : value.format
  const names = Object.keys(value)
  if (format === 'aliases') {
    const list = value.identifiers
    if (insideAliases) throw invalid('aliases inside aliases')
    if (names.length !== 2 || !Array.isArray(list) || list.length === 0 || list.length > MAX_LIST) throw invalid('aliases')
    return { format, identifiers: list.map((one) => (isObject(one) ? parseSimple(one, true) : fail('aliases'))) }
  }
  if (format === 'ip-addresses') {
    const list = value['ip-addresses']
    if (names.length !== 2 || !Array.isArray(list) || list.length === 0 || list.length > MAX_LIST) throw invalid('ip-addresses')
    return { format, 'ip-addresses': list.map((one) => (isIdentifier(one, 64) ? one : fail('ip-addresses'))) }
  }
  const members = typeof format === 'string' && Object.hasOwn(MEMBERS, format) ? MEMBERS[format] : undefined
  if (!members) throw invalid('unknown format')
  if (names.length !== members.length + 1) throw invalid('members that the format does not describe, or too few')
  const subject: JsonObject = { format }
  for (const member of members) {
    // A phone number may stand under the lenient name too.
    const given = value[member] ?? (member === 'phone_number' ? value.phone : undefined)
    if (!isIdentifier(given)) throw invalid(`member ${member}`)
    subject[member] = given
  }
  return subject as SimpleSubject
}

function parseComplex(value: JsonObject): ComplexSubject {
  const subject: ComplexSubject = { format: 'complex' }
  const names = Object.keys(value).filter((name) => name !== 'format')
  if (names.length === 0 || names.length > MAX_LIST) throw invalid('a complex subject without members')
  for (const name of names) {
    const member = value[name]
    if (!isIdentifier(name, 64) || name === '__proto__' || !isObject(member)) throw invalid('a member that is not a subject')
    subject[name] = parseSimple(member)
  }
  return subject
}

function invalid(why: string): CaegisError {
  return new CaegisError('invalid_subject', PROTOCOL_ERRORS.invalid_subject, { detail: why })
}

function fail(why: string): never {
  throw invalid(why)
}
