import { describe, expect, it } from 'vitest'
import { callerAddress, compileLocation, compileRanges, locationToGraph, parseLocation, ruleLocation } from '../src/index.ts'
import { germany, office } from './sample.ts'

function paths(value: unknown): string[] {
  try {
    parseLocation(value)
    return []
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_location' })
    return (error as any).detail.map(({ path }: { path: string }) => path)
  }
}

describe('parseLocation', () => {
  it('reads both kinds, and writes them as Graph does', () => {
    expect(office).toMatchObject({ kind: 'ip', isTrusted: true, ranges: ['198.51.100.0/24'] })
    expect(germany).toMatchObject({ kind: 'country', countries: ['DE'], includeUnknown: false })
    for (const one of [office, germany]) expect(parseLocation(locationToGraph(one))).toEqual(one)
    expect(locationToGraph(parseLocation({ id: 'l', displayName: 'L', ipRanges: ['2001:db8::/32'] }))).toMatchObject({
      '@odata.type': '#microsoft.graph.ipNamedLocation',
      ipRanges: [{ '@odata.type': '#microsoft.graph.iPv6CidrRange', cidrAddress: '2001:db8::/32' }],
    })
    expect(ruleLocation(office)).toEqual({ id: 'office', kind: 'ip', trusted: true, ranges: ['198.51.100.0/24'] })
    expect(ruleLocation(germany)).toEqual({ id: 'germany', kind: 'country', trusted: false, countries: ['DE'], includeUnknown: false })
  })

  const ip = { id: 'l', displayName: 'L', ipRanges: [{ cidrAddress: '10.0.0.0/8' }] }
  const country = { id: 'l', displayName: 'L', countriesAndRegions: ['DE'] }
  it.each([
    ['nothing', null, ''],
    ['no ranges', { ...ip, ipRanges: [] }, '/ipRanges'],
    ['a range', { ...ip, ipRanges: ['10.0.0.0/8', { cidrAddress: '10.0.0.0/33' }] }, '/ipRanges/1/cidrAddress'],
    ['another member', { ...ip, countriesAndRegion: [] }, '/countriesAndRegion'],
    ['another type', { ...ip, '@odata.type': '#microsoft.graph.compliantNetworkNamedLocation' }, '/@odata.type'],
    ['a trusted country', { ...country, isTrusted: true }, '/isTrusted'],
    ['no country', { ...country, countriesAndRegions: [] }, '/countriesAndRegions'],
    ['no list of countries', { '@odata.type': '#microsoft.graph.countryNamedLocation', id: 'l', displayName: 'L' }, '/countriesAndRegions'],
    ['a country in small letters', { ...country, countriesAndRegions: ['DE', 'nl'] }, '/countriesAndRegions/1'],
    ['countries by GPS', { ...country, countryLookupMethod: 'authenticatorAppGps' }, '/countryLookupMethod'],
  ])('refuses %s', (_, value, path) => {
    expect(paths(value)).toContain(path)
  })

  it('tells inside from outside, and a country that nobody knows from both', () => {
    const holds = (address: string, country?: string | null) => [office, germany].map((one) => compileLocation(one).holds({ address, country }))
    expect(holds('198.51.100.255', 'DE')).toEqual([2, 2])
    expect(holds('198.51.101.0', 'NL')).toEqual([0, 0])
    expect(holds('nowhere', null)).toEqual([0, 0])
    expect(holds('::ffff:198.51.100.1')).toEqual([2, 1])
  })
})

describe('callerAddress', () => {
  const proxies = compileRanges(['10.0.0.0/8', '::1'])
  it.each([
    ['the peer, where it is no proxy', '203.0.113.7', '198.51.100.1', '203.0.113.7'],
    ['the rightmost that no proxy wrote', '10.0.0.1', '198.51.100.9, 203.0.113.7, 10.0.0.2', '203.0.113.7'],
    ['a mapped proxy', '::ffff:10.0.0.1', '::ffff:203.0.113.7', '203.0.113.7'],
    ['the peer, where nothing was forwarded', '::1', undefined, '::1'],
    ['nothing, where something unreadable stands between', '10.0.0.1', '203.0.113.7, unknown', ''],
    ['nothing, where all are proxies', '10.0.0.1', '10.0.0.3', ''],
    ['nothing of no peer', undefined, '203.0.113.7', ''],
    ['one spelling', '2001:DB8:0:0:0:0:0:1', undefined, '2001:db8::1'],
  ])('D6: is %s', (_, peer, forwarded, wanted) => {
    expect(callerAddress(proxies, peer, forwarded)).toBe(wanted)
  })

  it('D6: reads several headers as one list', () => {
    expect(callerAddress(proxies, '10.0.0.1', ['198.51.100.9', '203.0.113.7', '10.0.0.2'])).toBe('203.0.113.7')
  })
})
