import { absent, child, isRecord, note, type Place, placeOf, readBoolean, readList, readOneOf, readText, readTexts, settle } from './mistakes.ts'
import { compileRanges, isRange, type RangeTable } from './ranges.ts'
import { type Truth, truth, UNKNOWN } from './truth.ts'

/** A named place of the network. Only IP locations can be trusted. */
export type Location =
  | { readonly id: string; readonly displayName: string; readonly kind: 'ip'; readonly isTrusted: boolean; readonly ranges: readonly string[] }
  | {
      readonly id: string
      readonly displayName: string
      readonly kind: 'country'
      readonly countries: readonly string[]
      readonly includeUnknown: boolean
    }

/** A location as guards get it. */
export type RuleLocation =
  | { readonly id: string; readonly kind: 'ip'; readonly trusted: boolean; readonly ranges: readonly string[] }
  | {
      readonly id: string
      readonly kind: 'country'
      readonly trusted: false
      readonly countries: readonly string[]
      readonly includeUnknown: boolean
    }

/** A location made ready for look-ups. It may go into any number of policy sets and rule sets: an edit of one location costs the compilation of that one. */
export interface CompiledLocation {
  readonly id: string
  readonly kind: 'ip' | 'country'
  readonly trusted: boolean
  /** Whether an address lies in it; a country that nobody can look up is unknown. */
  holds(address: Caller): Truth
}

/** Where somebody is, as far as it can be told: see `Signals.address` and `Signals.country`. */
export interface Caller {
  readonly address: Parameters<RangeTable['has']>[0]
  readonly country: string | null | undefined
}

const MOST_RANGES = 1_000_000
const READ_ONLY = ['createdDateTime', 'modifiedDateTime', 'deletedDateTime']

/**
 * Reads a named location as Microsoft Graph writes it: an ipNamedLocation or a countryNamedLocation.
 * @throws CaegisError `invalid_location`; `detail` is the list of all mistakes: `{ path, message }`, the path a JSON pointer
 */
export function parseLocation(value: unknown): Location {
  const place = placeOf(value)
  const location = readLocation(place)
  settle(place, 'invalid_location')
  return location as Location
}

/** As `parseLocation`, inside a greater document. */
export function readLocation(place: Place): Location | undefined {
  const at = (name: string) => child(place, name)
  const type = at('@odata.type').value
  const country = typeof type === 'string' ? type.endsWith('countryNamedLocation') : !absent(at('countriesAndRegions'))
  const own = country ? ['countriesAndRegions', 'countryLookupMethod', 'includeUnknownCountriesAndRegions'] : ['isTrusted', 'ipRanges']
  if (!isRecord(place, ['id', 'displayName', ...READ_ONLY, ...own])) return undefined
  if (type !== undefined && type !== '#microsoft.graph.countryNamedLocation' && type !== '#microsoft.graph.ipNamedLocation') {
    note(at('@odata.type'), 'must be #microsoft.graph.ipNamedLocation or #microsoft.graph.countryNamedLocation')
  }
  const base = { id: readText(at('id')), displayName: readText(at('displayName')) }
  if (!country) {
    const isTrusted = absent(at('isTrusted')) ? false : readBoolean(at('isTrusted'))
    const ranges = readList(at('ipRanges'), MOST_RANGES, readRange)
    if (place.mistakes.length === 0 && ranges.length === 0) note(at('ipRanges'), 'must name at least one range')
    return { ...base, kind: 'ip', isTrusted, ranges }
  }
  const method = at('countryLookupMethod')
  if (!absent(method) && method.value !== 'clientIpAddress') note(method, 'only clientIpAddress is supported')
  const countries = readTexts(at('countriesAndRegions'), { most: 300, longest: 2 })
  countries.forEach((code, index) => {
    if (code && !/^[A-Z]{2}$/.test(code)) note(child(at('countriesAndRegions'), index), 'must be a country code of two capital letters')
  })
  const unknown = at('includeUnknownCountriesAndRegions')
  const includeUnknown = absent(unknown) ? false : readBoolean(unknown)
  if (countries.length === 0 && !includeUnknown && !absent(at('countriesAndRegions')))
    note(at('countriesAndRegions'), 'must name at least one country')
  if (absent(at('countriesAndRegions')) && !includeUnknown) note(at('countriesAndRegions'), 'must be a list')
  return { ...base, kind: 'country', countries, includeUnknown }
}

function readRange(place: Place): string {
  // Plain texts beside Graph's objects: nothing else could be meant.
  if (typeof place.value === 'string') return checkRange(place, place.value)
  if (!isRecord(place, ['cidrAddress'])) return ''
  const type = child(place, '@odata.type')
  if (!absent(type)) readOneOf(type, ['#microsoft.graph.iPv4CidrRange', '#microsoft.graph.iPv6CidrRange'])
  const address = child(place, 'cidrAddress')
  return checkRange(address, readText(address, 64))
}

function checkRange(place: Place, text: string): string {
  if (text !== '' && !isRange(text)) note(place, 'must be an IP address or a range in CIDR notation')
  return text
}

/** A location as Microsoft Graph writes it. */
export function locationToGraph(location: Location): Record<string, unknown> {
  const { id, displayName } = location
  if (location.kind === 'ip') {
    return {
      '@odata.type': '#microsoft.graph.ipNamedLocation',
      id,
      displayName,
      isTrusted: location.isTrusted,
      ipRanges: location.ranges.map((cidrAddress) => ({
        '@odata.type': `#microsoft.graph.${cidrAddress.includes(':') ? 'iPv6CidrRange' : 'iPv4CidrRange'}`,
        cidrAddress,
      })),
    }
  }
  return {
    '@odata.type': '#microsoft.graph.countryNamedLocation',
    id,
    displayName,
    countriesAndRegions: location.countries,
    countryLookupMethod: 'clientIpAddress',
    includeUnknownCountriesAndRegions: location.includeUnknown,
  }
}

/** A location as guards get it. */
export function ruleLocation(location: Location): RuleLocation {
  const { id } = location
  if (location.kind === 'ip') return { id, kind: 'ip', trusted: location.isTrusted, ranges: location.ranges }
  return { id, kind: 'country', trusted: false, countries: location.countries, includeUnknown: location.includeUnknown }
}

/** ISO 3166-1 alpha-2. */
const COUNTRY = /^[a-z]{2}$/i

/** @throws CaegisError `invalid_range` */
export function compileLocation(location: Location | RuleLocation): CompiledLocation {
  const { id } = location
  if (location.kind === 'ip') {
    const table = compileRanges(location.ranges)
    const trusted = 'trusted' in location ? location.trusted : location.isTrusted
    return { id, kind: 'ip', trusted, holds: ({ address }) => truth(table.has(address)) }
  }
  const countries = new Set(location.countries)
  const { includeUnknown } = location
  return {
    id,
    kind: 'country',
    trusted: false,
    holds({ country }) {
      if (country === null) return truth(includeUnknown)
      // Whoever looks them up may have codes of another kind: that one is none of those that are named proves nothing.
      if (country === undefined || !COUNTRY.test(country)) return UNKNOWN
      return truth(countries.has(country.toUpperCase()))
    },
  }
}
