import { describe, expect, it } from 'vitest'
import { compilePolicies, decideAt, type Policy, parseLocation } from '../src/index.ts'
import { block, germany, NOW, office, policy, signals } from './sample.ts'

const CAFE = '203.0.113.7'
const tor = parseLocation({ id: 'tor', displayName: 'Tor', ipRanges: [{ cidrAddress: '203.0.113.0/24' }, { cidrAddress: '2001:db8:bad::/48' }] })
const onlyOffice = { conditions: { locations: { includeLocations: ['All'], excludeLocations: ['office'] } } }
const strict = { sessionControls: { continuousAccessEvaluation: { mode: 'strictLocation' } } }
const at = (policies: Policy[], address?: string, over: Parameters<typeof signals>[0] = {}, country?: string | null) =>
  decideAt(
    compilePolicies(policies, [office, germany, tor]),
    signals(over),
    address === undefined ? undefined : { address, ...(country === undefined ? {} : { country }) },
  )

describe('decideAt', () => {
  it('is decide where no API has seen anybody', () => {
    expect(at([policy({ ...block, ...onlyOffice })])).toMatchObject({ outcome: 'allow', lateBound: [{ id: 'p' }] })
    expect(at([policy({ ...block, ...onlyOffice })])).not.toHaveProperty('exception')
  })

  it('denies at the own address first, whatever the API saw', () => {
    expect(at([policy({ ...block, ...onlyOffice })], '198.51.100.9', { address: CAFE })).toMatchObject({ outcome: 'block', blockedBy: ['p'] })
  })

  it('D3: excuses a block for that one address and the policies that were judged', () => {
    const decision = at([policy({ ...block, ...onlyOffice })], CAFE)
    expect(decision).toMatchObject({ outcome: 'allow', blockedBy: [], exception: { address: CAFE, policies: ['p'] } })
    const six = at([policy({ ...block, ...onlyOffice })], '2001:db8:1:2:3:4:5:6')
    expect(six.exception).toEqual({ address: '2001:db8:1:2::/64', policies: ['p'] })
    expect(at([policy({ ...block, ...onlyOffice })], '::ffff:203.0.113.7').exception?.address).toBe(CAFE)
  })

  it('D3: never over strict enforcement, even of another policy', () => {
    expect(at([policy({ ...block, ...onlyOffice, ...strict })], CAFE)).toMatchObject({ outcome: 'block', blockedBy: ['p'] })
    expect(at([policy({ id: 'a', ...block, ...onlyOffice }), policy({ id: 'b', grantControls: null, ...strict })], CAFE)).toMatchObject({
      outcome: 'block',
      blockedBy: ['a'],
    })
  })

  it('D3: never over a place that the policy names', () => {
    const listed = policy({ ...block, conditions: { locations: { includeLocations: ['tor'] } } })
    expect(at([listed], CAFE)).toMatchObject({ outcome: 'block', blockedBy: ['p'] })
    expect(at([listed], '2001:db8:bad::1')).toMatchObject({ outcome: 'block' })
    expect(at([listed], '192.0.2.1')).toMatchObject({ outcome: 'allow', exception: { address: '192.0.2.1', policies: ['p'] } })
    const country = policy({ ...block, conditions: { locations: { includeLocations: ['germany'] } } })
    const abroad = { country: 'NL' }
    expect(at([country], CAFE, abroad, 'DE')).toMatchObject({ outcome: 'block' })
    expect(at([country], CAFE, abroad)).toMatchObject({ outcome: 'block' })
    expect(at([country], CAFE, abroad, null)).toMatchObject({ outcome: 'allow' })
  })

  it('has no exception for an address that cannot be read', () => {
    expect(at([policy({ ...block, ...onlyOffice })], 'unknown')).toMatchObject({ outcome: 'block' })
  })

  it('asks for what the seen address demands', () => {
    expect(at([policy(onlyOffice)], CAFE)).toMatchObject({ outcome: 'require', next: 'mfa', blockedBy: [] })
    const both = [policy({ id: 'a', ...block, ...onlyOffice }), policy({ id: 'b', ...onlyOffice })]
    expect(at(both, CAFE)).toMatchObject({ outcome: 'require', next: 'mfa', blockedBy: [], unmet: [{ policy: 'b' }] })
    const proof = { at: NOW, mfa: true, methods: ['fido2'] }
    expect(at(both, CAFE, { proof })).toMatchObject({ outcome: 'allow', exception: { address: CAFE, policies: ['a'] } })
  })

  it('D4: names the judged address and policies where the seen address is allowed too', () => {
    expect(at([policy({ ...block, ...onlyOffice })], '198.51.100.200')).toMatchObject({
      outcome: 'allow',
      exception: { address: '198.51.100.200', policies: ['p'] },
    })
  })

  it('holds the session by what both addresses demand', () => {
    const hourly = policy({
      ...onlyOffice,
      grantControls: null,
      sessionControls: { signInFrequency: { isEnabled: true, type: 'hours', value: 1 } },
    })
    expect(at([hourly])).toMatchObject({ session: {}, lateBound: [{ id: 'p' }] })
    expect(at([hourly], CAFE)).toMatchObject({
      outcome: 'allow',
      session: { signInFrequency: { seconds: 3600 }, freshUntil: NOW + 3540 },
      exception: { address: CAFE, policies: ['p'] },
    })
    const daily = policy({
      id: 'daily',
      grantControls: null,
      sessionControls: { signInFrequency: { isEnabled: true, type: 'days', value: 1 }, persistentBrowser: { isEnabled: true, mode: 'always' } },
    })
    expect(at([daily, hourly]).session).toMatchObject({ signInFrequency: { seconds: 86_400 }, persistentBrowser: 'always' })
    expect(at([daily, hourly], CAFE).session).toEqual({ signInFrequency: { seconds: 3600 }, freshUntil: NOW + 3540, persistentBrowser: 'always' })
    // Who is there already has it in the token's end.
    expect(at([hourly], undefined, { address: CAFE })).toMatchObject({ session: { freshUntil: NOW + 3540 }, lateBound: [] })
  })
})
