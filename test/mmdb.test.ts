import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openCountries } from '../packages/server/src/countries.ts'
import { writeCountries } from './mmdb.ts'

it('the countries that a test writes are what the server reads', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-mmdb-'))
  const file = join(folder, 'countries.mmdb')
  writeFileSync(
    file,
    writeCountries([
      { network: '192.0.2.0/25', country: 'DE' },
      { network: '192.0.2.128/25', country: 'NL' },
      { network: '198.51.100.7/32', country: undefined },
    ]),
  )
  const countryOf = openCountries(file)
  rmSync(folder, { recursive: true })
  const addresses = ['192.0.2.0', '192.0.2.127', '192.0.2.128', '192.0.2.255', '192.0.3.1', '198.51.100.6', '198.51.100.7', 'nowhere']
  expect(addresses.map((address) => countryOf(address))).toEqual(['DE', 'DE', 'NL', 'NL', null, null, undefined, null])
  expect(() => writeCountries(['10.0.0.0/8', '10.1.0.0/16'].map((network) => ({ network, country: 'DE' })))).toThrow('lie in each other')
})
