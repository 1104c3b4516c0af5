import { type Policy, parseLocation, parsePolicy, type Signals } from '../src/index.ts'

/** A policy of which a test says only what it is about. */
export function policy(over: Record<string, unknown> & { conditions?: object } = {}): Policy {
  const { conditions, ...rest } = over
  return parsePolicy({
    id: 'p',
    displayName: 'P',
    state: 'enabled',
    conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] }, ...conditions },
    ...('grantControls' in over || 'sessionControls' in over ? {} : { grantControls: { operator: 'OR', builtInControls: ['mfa'] } }),
    ...rest,
  })
}

export const block = { grantControls: { operator: 'OR', builtInControls: ['block'] } }

export const office = parseLocation({
  '@odata.type': '#microsoft.graph.ipNamedLocation',
  id: 'office',
  displayName: 'Office',
  isTrusted: true,
  ipRanges: [{ '@odata.type': '#microsoft.graph.iPv4CidrRange', cidrAddress: '198.51.100.0/24' }],
})

export const germany = parseLocation({
  '@odata.type': '#microsoft.graph.countryNamedLocation',
  id: 'germany',
  displayName: 'Germany',
  countriesAndRegions: ['DE'],
})

export const NOW = 1_800_000_000

export function signals(over: Partial<Signals> = {}): Signals {
  return {
    now: NOW,
    user: { id: 'alice', groups: ['finance'], roles: [] },
    application: 'files-api',
    clientAppType: 'browser',
    platform: 'windows',
    address: '198.51.100.7',
    country: 'DE',
    device: null,
    userRisk: 'none',
    signInRisk: 'none',
    insiderRisk: 'none',
    flow: 'none',
    proof: { at: NOW - 60, mfa: false, methods: ['password'] },
    ...over,
  }
}
