import { describe, expect, it } from 'vitest'
import { compilePolicies, decide, fingerprint } from '../src/index.ts'
import { block, germany, NOW, office, policy, signals } from './sample.ts'

const outside = { locations: { includeLocations: ['All'], excludeLocations: ['office'] } }
const once = (over: Parameters<typeof policy>[0], given: Parameters<typeof signals>[0] = {}) =>
  decide(compilePolicies([policy(over)], [office, germany]), signals(given))

describe('decide', () => {
  it('allows where no policy applies', () => {
    expect(decide(compilePolicies([]), signals())).toMatchObject({ outcome: 'allow', policies: [], unmet: [], blockedBy: [], lateBound: [] })
  })

  it('asks for what is missing, and is content with what was proved', () => {
    expect(once({})).toMatchObject({ outcome: 'require', next: 'mfa', unmet: [{ policy: 'p', operator: 'OR', controls: ['mfa'] }] })
    expect(once({}, { proof: { at: NOW, mfa: true, methods: ['password', 'softwareOath'] } })).toMatchObject({ outcome: 'allow' })
  })

  it('blocks, whatever else is satisfied', () => {
    expect(once(block)).toMatchObject({ outcome: 'block', blockedBy: ['p'], policies: [{ result: 'failure', applies: true }] })
  })

  it('lets exclude beat include', () => {
    expect(once({ ...block, conditions: { users: { includeUsers: ['alice'], excludeGroups: ['finance'] } } })).toMatchObject({
      outcome: 'allow',
      policies: [{ applies: false, notSatisfied: ['users'], satisfied: ['application'], result: 'notApplied' }],
    })
  })

  it('tells of each sign-in its own, however often a policy does not apply', () => {
    const set = compilePolicies([
      policy({ ...block, conditions: { users: { includeUsers: ['kim'] }, platforms: { includePlatforms: ['windows'] } } }),
    ])
    const { platform: _, ...unseen } = signals()
    const told = [signals(), unseen, signals({ platform: 'linux' }), signals(), signals({ user: { id: 'kim', groups: [], roles: [] } })].map(
      (given) => {
        const [{ applies, satisfied, notSatisfied, unknown } = {}] = decide(set, given).policies
        return [applies, satisfied, notSatisfied, unknown]
      },
    )
    expect(told).toEqual([
      [false, ['application', 'devicePlatform'], ['users'], []],
      [false, ['application'], ['users'], ['devicePlatform']],
      [false, ['application'], ['users', 'devicePlatform'], []],
      [false, ['application', 'devicePlatform'], ['users'], []],
      [true, ['users', 'application', 'devicePlatform'], [], []],
    ])
  })

  it('enforces what it cannot tell, and says so', () => {
    const { country: _, ...unlocated } = signals()
    const abroad = policy({ ...block, conditions: { locations: { includeLocations: ['All'], excludeLocations: ['germany'] } } })
    expect(decide(compilePolicies([abroad], [germany]), unlocated)).toMatchObject({
      outcome: 'block',
      policies: [{ applies: 'unknown', unknown: ['location'] }],
    })
    expect(decide(compilePolicies([abroad], []), signals())).toMatchObject({ outcome: 'block', policies: [{ applies: 'unknown' }] })
  })

  it('leaves to guards what the address decides, and nothing else', () => {
    expect(once({ ...block, conditions: outside }).lateBound).toEqual([{ id: 'p', needs: 'ip' }])
    expect(once({ conditions: outside }).lateBound).toEqual([{ id: 'p', needs: 'ip' }])
    expect(once({ conditions: outside }, { proof: { at: NOW, mfa: true, methods: [] } }).lateBound).toEqual([])
    expect(once({ ...block, conditions: { ...outside, platforms: { includePlatforms: ['linux'] } } }).lateBound).toEqual([])
    expect(once({ conditions: { locations: { includeLocations: ['All'] } } }).lateBound).toEqual([])
    expect(once({ ...block, conditions: { locations: { includeLocations: ['All'], excludeLocations: ['germany'] } } }).lateBound).toEqual([
      { id: 'p', needs: 'country' },
    ])
  })

  it('merges session controls: the strictest of each', () => {
    const frequency = (value: number) => ({ signInFrequency: { isEnabled: true, type: 'hours', value } })
    const set = compilePolicies([
      policy({ id: 'a', sessionControls: { ...frequency(4), persistentBrowser: { isEnabled: true, mode: 'always' } } }),
      policy({ id: 'b', sessionControls: { ...frequency(1), persistentBrowser: { isEnabled: true, mode: 'never' } } }),
      policy({ id: 'c', sessionControls: { continuousAccessEvaluation: { mode: 'strictLocation' } } }),
      policy({ id: 'd', sessionControls: { continuousAccessEvaluation: { mode: 'disabled' } } }),
    ])
    expect(decide(set, signals()).session).toEqual({
      signInFrequency: { seconds: 3600 },
      freshUntil: NOW - 60 + 3600,
      persistentBrowser: 'never',
      cae: 'strictLocation',
    })
  })

  it('D7: asks to sign in again where less than six minutes would be left', () => {
    const hourly = { sessionControls: { signInFrequency: { isEnabled: true, type: 'hours', value: 1 } } }
    const at = (age: number) => once(hourly, { proof: { at: NOW - age, mfa: false, methods: [] } })
    expect(at(3240)).toMatchObject({ outcome: 'allow', session: { freshUntil: NOW + 360 } })
    expect(at(3241)).toMatchObject({ outcome: 'require', next: 'signIn' })
  })

  it('only reports what is report-only', () => {
    const reported = (over: object) => once({ state: 'enabledForReportingButNotEnforced', ...over })
    expect(reported({})).toMatchObject({ outcome: 'allow', policies: [{ result: 'reportOnlyInterrupted' }], unmet: [] })
    expect(reported(block)).toMatchObject({ outcome: 'allow', policies: [{ result: 'reportOnlyFailure' }], blockedBy: [] })
    expect(reported({ conditions: { platforms: { includePlatforms: ['linux'] } } })).toMatchObject({ policies: [{ result: 'reportOnlyNotApplied' }] })
  })
})

describe('fingerprint', () => {
  it('is equal where nobody would notice a difference', () => {
    const named = (displayName: string) => fingerprint(once({ displayName }))
    expect(named('A')).toBe(named('B'))
    expect(named('A')).not.toBe(fingerprint(once(block)))
    expect(named('A')).not.toBe(fingerprint(once({ conditions: outside })))
    // Allowed both, but one is left to guards.
    expect(fingerprint(once({ conditions: outside }))).not.toBe(fingerprint(decide(compilePolicies([]), signals())))
  })
})
