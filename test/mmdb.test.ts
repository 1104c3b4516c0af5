import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openGeo } from '../packages/server/src/geo.ts'
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
  const { countryOf, placeOf, given } = openGeo(file)
  rmSync(folder, { recursive: true })
  const addresses = ['192.0.2.0', '192.0.2.127', '192.0.2.128', '192.0.2.255', '192.0.3.1', '198.51.100.6', '198.51.100.7', 'nowhere']
  expect(addresses.map((address) => countryOf(address))).toEqual(['DE', 'DE', 'NL', 'NL', null, null, undefined, null])
  expect([given, placeOf('192.0.2.0')]).toEqual([{ countries: true, places: false }, undefined])
  expect(() => writeCountries(['10.0.0.0/8', '10.1.0.0/16'].map((network) => ({ network, country: 'DE' })))).toThrow('lie in each other')
})

it('so are the places', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-mmdb-'))
  const file = join(folder, 'cities.mmdb')
  const berlin = { latitude: 52.52, longitude: 13.4 }
  writeFileSync(
    file,
    writeCountries([
      { network: '192.0.2.0/25', country: 'DE', place: { ...berlin, radius: 20 } },
      { network: '192.0.2.128/25', country: 'DE', place: berlin },
      { network: '198.51.100.0/25', country: 'NL' },
      { network: '198.51.100.128/25', country: 'NL', place: { latitude: 152, longitude: 5 } },
      { network: '203.0.113.7/32', country: undefined },
    ]),
  )
  const { placeOf, countryOf, given } = openGeo(file)
  rmSync(folder, { recursive: true })
  expect([given, countryOf('192.0.2.1')]).toEqual([{ countries: true, places: true }, 'DE'])
  expect(['192.0.2.1', '192.0.2.200'].map(placeOf)).toEqual([
    { ...berlin, radius: 20 },
    { ...berlin, radius: 100 },
  ])
  for (const address of ['198.51.100.1', '198.51.100.200', '203.0.113.7', '10.0.0.1', '', 'nowhere']) expect(placeOf(address)).toBeUndefined()
})
