import { readFileSync } from 'node:fs'
import { parseAddress } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { type CityResponse, Reader } from 'mmdb-lib'
import type { Place } from './risk/signal.ts'

/** Country of an address by ISO 3166 code: `null` = of none, `undefined` = nobody can look it up. */
export type CountryOf = (address: string) => string | null | undefined
/** Where an address is: `undefined` = nobody can tell. */
export type PlaceOf = (address: string) => Place | undefined

export interface Geo {
  countryOf: CountryOf
  placeOf: PlaceOf
  /** What the file can tell: countries, and places in them. */
  given: { countries: boolean; places: boolean }
}

/** Kilometres, for databases that do not say how sure they are. */
const RADIUS = 100
/** Kinds of databases (MaxMind, DB-IP) whose records have coordinates. */
const WITH_PLACES = /city|location|enterprise|insights/i

/**
 * Opens a database of countries or cities (MMDB, as MaxMind and DB-IP publish them). Without one nobody can tell, and policies that ask for a country are enforced.
 * @throws CaegisError `invalid_settings`
 */
export function openGeo(file: string | undefined): Geo {
  if (file === undefined) return { countryOf: () => undefined, placeOf: () => undefined, given: { countries: false, places: false } }
  let reader: Reader<CityResponse>
  try {
    reader = new Reader<CityResponse>(readFileSync(file))
  } catch (cause) {
    throw new CaegisError('invalid_settings', 'CAEGIS_COUNTRY_DB must name an MMDB file that can be read.', { cause })
  }
  const places = WITH_PLACES.test(reader.metadata.databaseType)
  return {
    given: { countries: true, places },
    countryOf(address) {
      if (!parseAddress(address)) return null
      try {
        return reader.get(address)?.country?.iso_code?.toUpperCase() ?? null
      } catch {
        // A damaged record tells nothing.
        return undefined
      }
    },
    placeOf(address) {
      if (!places || !parseAddress(address)) return undefined
      try {
        const { latitude, longitude, accuracy_radius: radius = RADIUS } = reader.get(address)?.location ?? {}
        return isWithin(latitude, 90) && isWithin(longitude, 180) && isWithin(radius, 20_000) ? { latitude, longitude, radius } : undefined
      } catch {
        return undefined
      }
    },
  }
}

function isWithin(value: unknown, most: number): value is number {
  return typeof value === 'number' && Math.abs(value) <= most
}
