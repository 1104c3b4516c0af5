import { readFileSync } from 'node:fs'
import { parseAddress } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import { type CountryResponse, Reader } from 'mmdb-lib'

/** Country of an address by ISO 3166 code: `null` = of none, `undefined` = nobody can look it up. */
export type CountryOf = (address: string) => string | null | undefined

/**
 * Opens a database of countries (MMDB, as MaxMind and DB-IP publish them). Without one nobody can tell, and policies that ask for a country are enforced.
 * @throws CaegisError `invalid_settings`
 */
export function openCountries(file: string | undefined): CountryOf {
  if (file === undefined) return () => undefined
  let reader: Reader<CountryResponse>
  try {
    reader = new Reader<CountryResponse>(readFileSync(file))
  } catch (cause) {
    throw new CaegisError('invalid_settings', 'CAEGIS_COUNTRY_DB must name an MMDB file that can be read.', { cause })
  }
  return (address) => {
    if (!parseAddress(address)) return null
    try {
      return reader.get(address)?.country?.iso_code?.toUpperCase() ?? null
    } catch {
      // A damaged record tells nothing.
      return undefined
    }
  }
}
