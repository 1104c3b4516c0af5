import { describe, expect, it } from 'vitest'
import { compileLocation, compilePolicies, compileRules, lateBoundUnmet, locationRules, ruleLocation } from '../src/index.ts'
import { block, germany, office, policy } from './sample.ts'

const set = compilePolicies(
  [
    policy({ id: 'office-only', ...block, conditions: { locations: { includeLocations: ['All'], excludeLocations: ['office'] } } }),
    policy({ id: 'trusted-only', ...block, conditions: { locations: { includeLocations: ['All'], excludeLocations: ['AllTrusted'] } } }),
    policy({ id: 'not-germany', ...block, conditions: { locations: { includeLocations: ['germany'] } } }),
    policy({ id: 'anywhere', conditions: { locations: { includeLocations: ['All'] } } }),
    policy({ id: 'nowhere' }),
    policy({ id: 'reported', state: 'enabledForReportingButNotEnforced', conditions: { locations: { includeLocations: ['germany'] } } }),
  ],
  [office, germany],
)
const rules = compileRules([...locationRules(set), { id: 'gone', pass: true }], [ruleLocation(office), ruleLocation(germany)])
const IN = '198.51.100.7'
const OUT = '203.0.113.7'

describe('lateBoundUnmet', () => {
  it('gives guards the rules that can be left to them', () => {
    expect(locationRules(set).map(({ id }) => id)).toEqual(['office-only', 'trusted-only', 'not-germany'])
  })

  it('tells which policies an address does not satisfy', () => {
    const unmet = (address: string | undefined, country?: string | null) =>
      lateBoundUnmet(rules, { policies: ['office-only', 'trusted-only', 'not-germany'], address, country })
    expect(unmet(IN, 'NL')).toEqual([])
    expect(unmet(`::ffff:${IN}`, 'NL')).toEqual([])
    expect(unmet(OUT, 'NL')).toEqual(['office-only', 'trusted-only'])
    expect(unmet(IN, 'DE')).toEqual(['not-germany'])
    expect(unmet(IN, null)).toEqual([])
    expect(unmet(undefined, null)).toEqual(['office-only', 'trusted-only'])
    expect(unmet('', null)).toEqual(['office-only', 'trusted-only'])
  })

  it('denies what it cannot tell: no table of countries, a location that is not there', () => {
    expect(lateBoundUnmet(rules, { policies: ['not-germany'], address: IN })).toEqual(['not-germany'])
    const lost = compileRules(locationRules(set), [])
    expect(lateBoundUnmet(lost, { policies: ['office-only'], address: IN })).toEqual(['office-only'])
  })

  it('D5: denies an unknown id, and passes one that is gone', () => {
    expect(lateBoundUnmet(rules, { policies: ['newer', 'gone'], address: IN })).toEqual(['newer'])
    expect(lateBoundUnmet(rules, { policies: [], address: OUT })).toEqual([])
  })

  it('D3, D4: takes the verdict of the issuer for exactly that address and those policies', () => {
    const unmet = (address: string, exception: { address: string; policies: string[] }) =>
      lateBoundUnmet(rules, { policies: ['office-only', 'newer'], address, exception })
    expect(unmet(OUT, { address: OUT, policies: ['office-only', 'newer'] })).toEqual([])
    expect(unmet(OUT, { address: OUT, policies: ['office-only'] })).toEqual(['newer'])
    expect(unmet('203.0.113.8', { address: OUT, policies: ['office-only', 'newer'] })).toEqual(['office-only', 'newer'])
    const six = { address: '2001:db8:1:2::/64', policies: ['office-only', 'newer'] }
    expect(unmet('2001:db8:1:2:ffff::1', six)).toEqual([])
    expect(unmet('2001:db8:1:3::1', six)).toEqual(['office-only', 'newer'])
  })

  it('takes rules as single words, and locations that are compiled already', () => {
    const compiled = compileLocation(office)
    const words = compileRules([{ id: 'w', include: 'All', exclude: 'AllTrusted' }], [compiled])
    expect(lateBoundUnmet(words, { policies: ['w'], address: IN })).toEqual([])
    expect(lateBoundUnmet(words, { policies: ['w'], address: OUT })).toEqual(['w'])
    expect(words.places.list[0]).toBe(compiled)
  })
})
