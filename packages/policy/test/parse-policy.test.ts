import { describe, expect, it } from 'vitest'
import { parsePolicy, policyToGraph } from '../src/index.ts'

const good = {
  id: 'p',
  displayName: 'P',
  state: 'enabled',
  conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] } },
  grantControls: { operator: 'OR', builtInControls: ['mfa'] },
}

function mistakesOf(value: unknown): { path: string; message: string }[] {
  try {
    parsePolicy(value)
    return []
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_policy' })
    return (error as any).detail
  }
}
const paths = (value: unknown) => mistakesOf(value).map(({ path }) => path)

describe('parsePolicy', () => {
  it('makes a policy whole, and reads again what it made', () => {
    const policy = parsePolicy(good)
    expect(policy.conditions.clientAppTypes).toEqual(['all'])
    expect(parsePolicy(policy)).toEqual(policy)
    expect(parsePolicy(policyToGraph(policy))).toEqual(policy)
  })

  it('tells all mistakes, each with its place', () => {
    const value = {
      ...good,
      state: 'on',
      extra: 1,
      conditions: { ...good.conditions, users: { includeUsers: [7], 'a/b~c': [] }, platforms: { includePlatforms: ['amiga'] } },
      grantControls: { operator: 'XOR', builtInControls: ['block', 'mfa'], termsOfUse: ['t'] },
      sessionControls: { cloudAppSecurity: { isEnabled: true }, signInFrequency: { isEnabled: true, type: 'hours', value: 0 } },
    }
    expect(paths(value).sort()).toEqual([
      '/conditions/platforms/includePlatforms/0',
      '/conditions/users/a~1b~0c',
      '/conditions/users/includeUsers/0',
      '/extra',
      '/grantControls/builtInControls',
      '/grantControls/operator',
      '/grantControls/termsOfUse',
      '/sessionControls/cloudAppSecurity',
      '/sessionControls/signInFrequency/value',
      '/state',
    ])
  })
})
