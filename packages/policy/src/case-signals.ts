import type { Seen } from './decide-at.ts'
import {
  absent,
  child,
  isRecord,
  note,
  type Place,
  readBoolean,
  readList,
  readNumber,
  readOneOf,
  readOptionalText,
  readText,
  readTexts,
} from './mistakes.ts'
import { CLIENT_APP_TYPES, INSIDER_RISK_LEVELS, PLATFORMS, RISK_LEVELS, TRANSFER_METHODS } from './policy.ts'
import type { DeviceSignal, ProofSignal, ServicePrincipalSignal, Signals, UserSignal } from './signals.ts'

/** The second in which a case happens that does not say when. */
export const CASE_NOW = 1_800_000_000

type Read = (place: Place, now: number) => unknown

/** By member of `Signals`; what may be written shorter in a file says so. */
const READERS: Record<string, Read> = {
  user: readUser,
  servicePrincipal: readServicePrincipal,
  application: (place) => readText(place),
  action: (place) => readText(place),
  contexts: (place) => readTexts(place, { most: 99 }),
  clientAppType: (place) =>
    readOneOf(
      place,
      CLIENT_APP_TYPES.filter((type) => type !== 'all'),
    ),
  platform: (place) => readOneOf(place, [...PLATFORMS.filter((platform) => platform !== 'all'), 'other']),
  address: (place) => (place.value === '' ? '' : readText(place, 64)),
  country: (place) => readOptionalText(place, 2),
  device: readDevice,
  userRisk: (place) => readOneOf(place, RISK_LEVELS),
  signInRisk: (place) => readOneOf(place, RISK_LEVELS),
  insiderRisk: (place) => readOneOf(place, ['none', ...INSIDER_RISK_LEVELS]),
  flow: (place) => readOneOf(place, ['none', ...TRANSFER_METHODS]),
  proof: readProof,
  client: readClient,
}

export const SIGNAL_NAMES: readonly string[] = Object.keys(READERS)

/** The signals of a case over those of its file; `without` names those that shall be unknown. */
export function readSignals(base: Place, own: Place, without: Place): Signals {
  const places = [base, own].filter((place) => !absent(place) && isRecord(place, ['now', ...SIGNAL_NAMES]))
  const missing = readList(without, 32, (one) => readOneOf(one, SIGNAL_NAMES))
  const last = (name: string) => places.map((place) => child(place, name)).findLast(({ value }) => value !== undefined)
  const nowPlace = last('now')
  const now = nowPlace ? readNumber(nowPlace, 0, Number.MAX_SAFE_INTEGER) : CASE_NOW
  const signals: Record<string, unknown> = { now }
  for (const [name, read] of Object.entries(READERS)) {
    const place = last(name)
    if (place && !missing.includes(name)) signals[name] = read(place, now)
  }
  return signals as unknown as Signals
}

export function readSeen(place: Place): Seen | undefined {
  if (absent(place) || !isRecord(place, ['address', 'country'])) return undefined
  const country = child(place, 'country')
  return { address: readText(child(place, 'address'), 64), ...(country.value === undefined ? {} : { country: readOptionalText(country, 2) }) }
}

/** An id alone, or the user with groups and roles. */
function readUser(place: Place): UserSignal {
  if (typeof place.value === 'string') return { id: readText(place), groups: [], roles: [] }
  isRecord(place, ['id', 'groups', 'roles', 'guest'])
  const guest = child(place, 'guest')
  const tenants = child(guest, 'tenants')
  return {
    id: readText(child(place, 'id')),
    groups: readTexts(child(place, 'groups')),
    roles: readTexts(child(place, 'roles')),
    ...(absent(guest) || !isRecord(guest, ['types', 'tenants'])
      ? {}
      : { guest: { types: readTexts(child(guest, 'types')), ...(absent(tenants) ? {} : { tenants: readTexts(tenants) }) } }),
  }
}

function readServicePrincipal(place: Place): ServicePrincipalSignal {
  isRecord(place, ['id', 'appId', 'ours', 'risk'])
  const at = (name: string) => child(place, name)
  return {
    id: readText(at('id')),
    ours: absent(at('ours')) ? true : readBoolean(at('ours')),
    ...(absent(at('appId')) ? {} : { appId: readText(at('appId')) }),
    ...(absent(at('risk')) ? {} : { risk: readOneOf(at('risk'), RISK_LEVELS) }),
  }
}

const DEVICE_LISTS = ['physicalIds', 'systemLabels']
const DEVICE_TEXTS = [
  'trustType',
  'displayName',
  'operatingSystem',
  'operatingSystemVersion',
  'manufacturer',
  'model',
  'deviceOwnership',
  'profileType',
  'mdmAppId',
  'enrollmentProfileName',
]

function readDevice(place: Place): DeviceSignal | null {
  if (place.value === null) return null
  if (!isRecord(place, ['id', 'isCompliant', 'extensionAttributes', ...DEVICE_LISTS, ...DEVICE_TEXTS])) return null
  const device: Record<string, unknown> = { id: readText(child(place, 'id')) }
  const read = (name: string, reader: (one: Place) => unknown) => {
    const one = child(place, name)
    if (one.value !== undefined) device[name] = one.value === null ? null : reader(one)
  }
  read('isCompliant', readBoolean)
  for (const name of DEVICE_TEXTS) read(name, (one) => readText(one))
  for (const name of DEVICE_LISTS) read(name, (one) => readTexts(one))
  read('extensionAttributes', (one) => {
    const names = Array.from({ length: 15 }, (_, index) => `extensionAttribute${index + 1}`)
    if (!isRecord(one, names)) return null
    return Object.fromEntries(names.filter((name) => !absent(child(one, name))).map((name) => [name, readText(child(one, name))]))
  })
  return device as unknown as DeviceSignal
}

/** Instants are given as they are (`at`, `secondAt`) or as ages in seconds (`ago`, `secondAgo`). */
function readProof(place: Place, now: number): ProofSignal {
  isRecord(place, ['at', 'ago', 'secondAt', 'secondAgo', 'mfa', 'methods', 'passwordChanged'])
  const instant = (at: string, ago: string) => {
    const age = child(place, ago)
    if (!absent(age)) return now - readNumber(age, 0, now)
    const given = child(place, at)
    return absent(given) ? undefined : readNumber(given, 0, Number.MAX_SAFE_INTEGER)
  }
  const at = instant('at', 'ago')
  if (at === undefined) note(place, 'must say when: at, or ago')
  const secondAt = instant('secondAt', 'secondAgo')
  const changed = child(place, 'passwordChanged')
  return {
    at: at ?? 0,
    ...(secondAt === undefined ? {} : { secondAt }),
    mfa: readBoolean(child(place, 'mfa')),
    methods: readTexts(child(place, 'methods'), { most: 32 }),
    ...(absent(changed) ? {} : { passwordChanged: readBoolean(changed) }),
  }
}

function readClient(place: Place): NonNullable<Signals['client']> {
  isRecord(place, ['approved', 'compliant'])
  const flags = ['approved', 'compliant'].filter((name) => !absent(child(place, name)))
  return Object.fromEntries(flags.map((name) => [name, readBoolean(child(place, name))]))
}
