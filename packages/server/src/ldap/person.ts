import type { LdapConfig } from './config.ts'
import type { Entry } from './connection.ts'

/** What an entry says of a person; pure, so that recorded entries of any directory are tests of it. */
export interface Person {
  externalId: string
  /** Names; absent when the entry does not say enough, or says what cannot be: `unfit` tells. */
  naming?: { userPrincipalName: string; displayName: string; mail: string | null; givenName: string | null; surname: string | null }
  unfit?: string
  /** Absent when the entry does not say. */
  enabled?: boolean
  /** Differs after every change of the password: `t:` and the time as the directory writes it, or `h:` and a keyed digest of a hash; `null` = nothing is said. */
  password: string | null
  /** Second of that time. */
  passwordAt?: number
  /** How far the directory's changes had come with this one: seconds, or an update sequence number. */
  changed: number
}

export interface Reading extends Pick<LdapConfig, 'kind' | 'attributes' | 'domain' | 'disabled'> {
  /** Keyed: what it is made of cannot be found by trying. */
  digest(value: string): string
}

const MAX_TEXT = 256
const UPN = /^[^\s@"\\]{1,128}@[^\s@"\\]{1,191}$/
const CONTROL = /[\p{Cc}\p{Cs}\u2028\u2029]/u
const utf8 = new TextDecoder('utf8', { fatal: true })
/** `userAccountControl` [MS-ADTS section 2.2.16]: ACCOUNTDISABLE. A lockout after wrong guesses is another bit, and disables nobody: a stranger can cause it. */
const ACCOUNTDISABLE = 0x2
/** `accountExpires`: never. */
const NEVER = 0x7fffffffffffffffn
/** `pwdAccountLockedTime` of somebody whom an administrator has locked (Behera draft, section 5.3.3); any other value is a lockout after wrong guesses. */
const LOCKED_FOR_GOOD = '000001010000Z'

/** The attributes that are asked for: nothing else is sent. */
export function wantedAttributes({ kind, attributes, disabled }: Pick<LdapConfig, 'kind' | 'attributes' | 'disabled'>): string[] {
  const own =
    kind === 'active-directory'
      ? ['sAMAccountName', 'userAccountControl', 'accountExpires', 'uSNChanged']
      : ['modifyTimestamp', 'pwdAccountLockedTime']
  const named = Object.values(attributes).filter((one) => one !== undefined)
  return [...new Set([...named, ...own, ...(disabled ? [disabled.attribute] : [])])]
}

/**
 * @param now seconds
 * @returns nothing for an entry without an id of its own: there is nobody to speak of
 */
export function toPerson(entry: Entry, reading: Reading, now: number): Person | undefined {
  const { kind, attributes } = reading
  const valuesOf = (name: string) => entry.values.get(name.toLowerCase()) ?? []
  const externalId = toId(attributes.externalId, valuesOf(attributes.externalId))
  if (externalId === undefined) return undefined
  const changed = kind === 'active-directory' ? toNumber(valuesOf('uSNChanged')) : toSeconds(valuesOf('modifyTimestamp'))
  const enabled = isEnabled(valuesOf, reading, now)
  return {
    externalId,
    ...toNaming(valuesOf, reading),
    ...(enabled === undefined ? {} : { enabled }),
    ...toPassword(valuesOf, reading),
    changed: changed ?? 0,
  }
}

type Values = (name: string) => Buffer[]

function toNaming(valuesOf: Values, { kind, attributes, domain }: Reading): Pick<Person, 'naming' | 'unfit'> {
  try {
    const name = toText(valuesOf(attributes.userPrincipalName)) ?? (kind === 'active-directory' && domain ? toText(valuesOf('sAMAccountName')) : null)
    if (name === null) return { unfit: `no ${attributes.userPrincipalName}` }
    const userPrincipalName = name.includes('@') || domain === undefined ? name : `${name}@${domain}`
    if (!UPN.test(userPrincipalName)) return { unfit: `${attributes.userPrincipalName} is no user name with a domain` }
    const optional = (attribute: string) => toText(valuesOf(attribute))
    return {
      naming: {
        userPrincipalName,
        displayName: optional(attributes.displayName) ?? userPrincipalName,
        mail: optional(attributes.mail),
        givenName: optional(attributes.givenName),
        surname: optional(attributes.surname),
      },
    }
  } catch {
    return { unfit: 'a value that is too long, or no text' }
  }
}

/** Which of several values comes first is up to the server: the smallest is always the same one. @throws when it is no text, or too long */
function toText(values: readonly Buffer[]): string | null {
  const [first] = values.length > 1 ? [...values].sort(Buffer.compare) : values
  if (!first || first.length === 0) return null
  if (first.length > MAX_TEXT * 4) throw new RangeError('too long')
  const text = utf8.decode(first).trim()
  if (text.length > MAX_TEXT || CONTROL.test(text)) throw new RangeError('too long')
  return text === '' ? null : text
}

/** Two ids are none: nobody could say which one stays. */
function toId(attribute: string, values: readonly Buffer[]): string | undefined {
  const [bytes] = values
  if (!bytes || values.length > 1) return undefined
  if (attribute.toLowerCase() === 'objectguid') return bytes.length === 16 ? toGuid(bytes) : undefined
  const text = bytes.toString('latin1')
  return /^[\x21-\x7e]{1,128}$/.test(text) ? text.toLowerCase() : undefined
}

/** Active Directory keeps a GUID as bytes, its first three parts with the lowest byte first [MS-DTYP section 2.3.4]. */
function toGuid(bytes: Buffer): string {
  const hex = (from: number, to: number) => bytes.toString('hex', from, to)
  const swapped = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).reverse().toString('hex')
  return `${swapped(0, 4)}-${swapped(4, 6)}-${swapped(6, 8)}-${hex(8, 10)}-${hex(10, 16)}`
}

function isEnabled(valuesOf: Values, { kind, disabled }: Reading, now: number): boolean | undefined {
  if (disabled) {
    const values = valuesOf(disabled.attribute).map((value) => value.toString('utf8').toLowerCase())
    const wanted = disabled.values?.map((value) => value.toLowerCase())
    if (wanted ? values.some((value) => wanted.includes(value)) : values.length > 0) return false
  }
  if (kind === 'openldap') return !valuesOf('pwdAccountLockedTime').some((value) => value.toString('latin1') === LOCKED_FOR_GOOD)
  const control = toNumber(valuesOf('userAccountControl'))
  if (control === undefined) return undefined
  const expires = toBigInt(valuesOf('accountExpires')) ?? 0n
  const expired = expires > 0n && expires !== NEVER && fromFileTime(expires) <= now
  return (control & ACCOUNTDISABLE) === 0 && !expired
}

function toPassword(valuesOf: Values, { kind, attributes, digest }: Reading): Pick<Person, 'password' | 'passwordAt'> {
  const times = valuesOf(attributes.passwordChanged)
  const [time] = times
  if (time && time.length > 0 && time.length <= 64) {
    const at = kind === 'active-directory' ? (toBigInt(times) ?? 0n) : undefined
    const seconds = at === undefined ? toSeconds(times) : fromFileTime(at)
    return { password: `t:${time.toString('latin1')}`, ...(seconds === undefined ? {} : { passwordAt: seconds }) }
  }
  const hashes = attributes.passwordHash === undefined ? [] : valuesOf(attributes.passwordHash)
  if (hashes.length === 0) return { password: null }
  return {
    password: `h:${digest(
      hashes
        .map((one) => one.toString('base64'))
        .sort()
        .join(' '),
    )}`,
  }
}

function toBigInt([bytes]: readonly Buffer[]): bigint | undefined {
  const text = bytes?.toString('latin1') ?? ''
  return /^-?\d{1,19}$/.test(text) ? BigInt(text) : undefined
}

function toNumber(values: readonly Buffer[]): number | undefined {
  const value = toBigInt(values)
  return value === undefined ? undefined : Number(value)
}

/** 100-nanosecond steps since 1601 [MS-DTYP section 2.3.3]. */
function fromFileTime(value: bigint): number {
  return Number(value / 10_000_000n) - 11_644_473_600
}

/** Generalized time (RFC 4517 section 3.3.13), as directories write their own: seconds, in UTC. */
function toSeconds([bytes]: readonly Buffer[]): number | undefined {
  const parts = bytes?.toString('latin1').match(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:[.,]\d+)?Z$/)
  if (!parts) return undefined
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number) as [number, number, number, number, number, number]
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000
}

/** @param seconds whole */
export function toGeneralizedTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
}
