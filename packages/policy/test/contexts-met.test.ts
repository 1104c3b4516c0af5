import { describe, expect, it } from 'vitest'
import { compilePolicies, contextsMet, whatIf } from '../src/index.ts'
import { block, NOW, office, policy, signals } from './sample.ts'

const on = (...ids: string[]) => ({ applications: { includeAuthenticationContextClassReferences: ids } })
const hourly = { grantControls: null, sessionControls: { signInFrequency: { isEnabled: true, type: 'hours', value: 1 } } }

describe('contextsMet', () => {
  const set = compilePolicies(
    [
      policy({ id: 'mfa', conditions: on('c1') }),
      policy({ id: 'hourly', ...hourly, conditions: on('c2') }),
      policy({ id: 'office', ...block, conditions: { ...on('c3'), locations: { includeLocations: ['All'], excludeLocations: ['office'] } } }),
      policy({ id: 'off', state: 'disabled', ...block, conditions: on('c4') }),
    ],
    [office],
  )
  const mfa = { proof: { at: NOW - 600, mfa: true, methods: ['fido2'] } }

  it('gives what is met, asked for or not', () => {
    expect(contextsMet(set, signals())).toEqual(['c2'])
    expect(contextsMet(set, signals(mfa))).toEqual(['c1', 'c2'])
    expect(contextsMet(set, signals({ contexts: ['c1', 'c9'] }))).toEqual(['c2', 'c9'])
  })

  it('gives what a frequency bounds only while it lasts, and what the address decides only to who asks', () => {
    expect(contextsMet(set, signals({ proof: { at: NOW - 3500, mfa: false, methods: [] } }))).toEqual([])
    expect(contextsMet(set, signals({ proof: { at: NOW - 60, secondAt: NOW - 3500, mfa: false, methods: [] } }))).toEqual([])
    expect(contextsMet(set, signals(), NOW + 3540)).toEqual(['c2'])
    expect(contextsMet(set, signals(), NOW + 3541)).toEqual([])
    expect(contextsMet(set, signals({ contexts: ['c2', 'c3'] }), NOW + 100_000)).toEqual(['c2', 'c3'])
    expect(contextsMet(set, signals({ contexts: ['c3'], address: '203.0.113.7' }))).toEqual(['c2'])
  })
})

describe('whatIf', () => {
  it('tells every reason, and what it cannot tell', () => {
    const set = compilePolicies([
      policy({ id: 'a', conditions: { users: { includeUsers: ['bob'] }, platforms: { includePlatforms: ['linux'] }, signInRiskLevels: ['high'] } }),
      policy({ id: 'b' }),
      policy({ id: 'c', state: 'disabled' }),
      policy({ id: 'd', conditions: on('c1') }),
    ])
    const { signInRisk: _, ...given } = signals()
    expect(whatIf(set, given).map(({ id, applies, reasons }) => ({ id, applies, reasons }))).toEqual([
      { id: 'a', applies: false, reasons: ['users', 'devicePlatform', 'notEnoughInformation'] },
      { id: 'b', applies: true, reasons: [] },
      { id: 'd', applies: false, reasons: ['authenticationContext'] },
    ])
  })
})
