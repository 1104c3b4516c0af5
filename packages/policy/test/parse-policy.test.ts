import { describe, expect, it } from 'vitest'
import { parsePolicy, policyToGraph, TEMPLATES } from '../src/index.ts'

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
const conditions = (over: object) => ({ ...good, conditions: { ...good.conditions, ...over } })
const grant = (grantControls: object) => ({ ...good, grantControls })
const session = (sessionControls: object) => ({ ...good, sessionControls })
const risk = { ...good.conditions, userRiskLevels: ['high'] }
const change = { operator: 'AND', builtInControls: ['mfa', 'passwordChange'] }
const workload = { applications: { includeApplications: ['All'] }, clientApplications: { includeServicePrincipals: ['nightly'] } }
const block = { operator: 'OR', builtInControls: ['block'] }

describe('parsePolicy', () => {
  it('makes a policy whole, and reads again what it made', () => {
    const policy = parsePolicy(good)
    expect(policy.conditions.clientAppTypes).toEqual(['all'])
    expect(parsePolicy(policy)).toEqual(policy)
    expect(parsePolicy(JSON.parse(JSON.stringify(policyToGraph(policy))))).toEqual(policy)
  })

  it.each(TEMPLATES)('reads the template $name, and writes it as Graph would', ({ policy }) => {
    const read = parsePolicy({ id: 't', ...policy })
    expect(parsePolicy(policyToGraph(read))).toEqual(read)
  })

  it('reads a policy as Graph sends it: annotations, read-only members, nothing where nothing is', () => {
    const sent = {
      '@odata.context': 'https://graph.microsoft.com/v1.0/$metadata#identity/conditionalAccess/policies/$entity',
      id: '8b7a6c1e-0000-4000-8000-000000000001',
      templateId: null,
      displayName: 'Guests',
      createdDateTime: '2026-01-01T00:00:00Z',
      modifiedDateTime: null,
      deletedDateTime: null,
      partialEnablementStrategy: null,
      state: 'enabledForReportingButNotEnforced',
      conditions: {
        userRiskLevels: [],
        signInRiskLevels: [],
        clientAppTypes: ['all'],
        servicePrincipalRiskLevels: [],
        insiderRiskLevels: 'minor,elevated',
        agentIdRiskLevels: null,
        times: null,
        deviceStates: null,
        platforms: null,
        locations: { includeLocations: ['All'], excludeLocations: ['AllTrusted'] },
        devices: { includeDevices: [], excludeDevices: [], deviceFilter: { mode: 'exclude', rule: 'device.isCompliant -eq True' } },
        clientApplications: null,
        authenticationFlows: { transferMethods: 'deviceCodeFlow,authenticationTransfer' },
        applications: { includeApplications: ['All'], excludeApplications: ['Office365'], includeUserActions: [], applicationFilter: null },
        users: {
          includeUsers: [],
          includeGuestsOrExternalUsers: {
            guestOrExternalUserTypes: 'internalGuest,b2bCollaborationGuest',
            externalTenants: { '@odata.type': '#microsoft.graph.conditionalAccessAllExternalTenants', membershipKind: 'all' },
          },
          excludeGuestsOrExternalUsers: null,
        },
      },
      grantControls: {
        operator: 'OR',
        builtInControls: [],
        customAuthenticationFactors: [],
        termsOfUse: [],
        'authenticationStrength@odata.context': 'https://graph.microsoft.com/v1.0/$metadata',
        authenticationStrength: {
          id: '00000000-0000-0000-0000-000000000002',
          createdDateTime: '2021-12-01T00:00:00Z',
          modifiedDateTime: '2021-12-01T00:00:00Z',
          displayName: 'Multifactor authentication',
          description: 'Combinations of methods',
          policyType: 'builtIn',
          requirementsSatisfied: 'mfa',
          allowedCombinations: ['password,sms'],
          'combinationConfigurations@odata.context': 'https://graph.microsoft.com/v1.0/$metadata',
          combinationConfigurations: [],
        },
      },
      sessionControls: {
        disableResilienceDefaults: null,
        applicationEnforcedRestrictions: null,
        cloudAppSecurity: { isEnabled: false, cloudAppSecurityType: null },
        secureSignInSession: null,
        persistentBrowser: { isEnabled: false, mode: null },
        signInFrequency: { isEnabled: true, value: null, type: null, authenticationType: 'secondaryAuthentication', frequencyInterval: 'everyTime' },
      },
    }
    const policy = parsePolicy(sent)
    expect(policy.conditions.users.includeGuestsOrExternalUsers?.guestOrExternalUserTypes).toEqual(['internalGuest', 'b2bCollaborationGuest'])
    expect(policy.conditions.insiderRiskLevels).toEqual(['minor', 'elevated'])
    // What a built-in strength takes is known, whatever is said here.
    expect(policy.grantControls?.authenticationStrength?.allowedCombinations).toContain('fido2')
    expect(policy.sessionControls).toMatchObject({ persistentBrowser: null, signInFrequency: { frequencyInterval: 'everyTime' } })
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

  it.each([
    ['nothing', null, ''],
    ['a list', [], ''],
    ['no id', { ...good, id: undefined }, '/id'],
    ['no name', { ...good, displayName: '' }, '/displayName'],
    ['no conditions', { ...good, conditions: null }, '/conditions'],
    ['no users', conditions({ users: undefined }), '/conditions/users'],
    ['nobody', conditions({ users: { excludeUsers: ['alice'] } }), '/conditions/users'],
    ['no applications', conditions({ applications: {} }), '/conditions/applications'],
    [
      'two kinds of targets',
      conditions({ applications: { includeApplications: ['All'], includeUserActions: ['urn:user:registerdevice'] } }),
      '/conditions/applications',
    ],
    [
      'an application group',
      conditions({ applications: { includeApplications: ['a', 'Office365'] } }),
      '/conditions/applications/includeApplications/1',
    ],
    ['another action', conditions({ applications: { includeUserActions: ['urn:user:dance'] } }), '/conditions/applications/includeUserActions/0'],
    [
      'context 100',
      conditions({ applications: { includeAuthenticationContextClassReferences: ['c99', 'c100'] } }),
      '/conditions/applications/includeAuthenticationContextClassReferences/1',
    ],
    [
      'an application filter',
      conditions({ applications: { includeApplications: ['All'], applicationFilter: { mode: 'include', rule: 'r' } } }),
      '/conditions/applications/applicationFilter',
    ],
    ['everybody excluded', conditions({ users: { includeUsers: ['All'], excludeUsers: ['All'] } }), '/conditions/users/excludeUsers/0'],
    [
      'guests of no type',
      conditions({ users: { includeGuestsOrExternalUsers: { guestOrExternalUserTypes: '' } } }),
      '/conditions/users/includeGuestsOrExternalUsers/guestOrExternalUserTypes',
    ],
    [
      'guests of an unknown type',
      conditions({ users: { includeUsers: ['All'], excludeGuestsOrExternalUsers: { guestOrExternalUserTypes: 'martian' } } }),
      '/conditions/users/excludeGuestsOrExternalUsers/guestOrExternalUserTypes',
    ],
    [
      'addresses of another service',
      conditions({ locations: { includeLocations: ['00000000-0000-0000-0000-000000000000'] } }),
      '/conditions/locations/includeLocations/0',
    ],
    ['locations excluded from nothing', conditions({ locations: { excludeLocations: ['office'] } }), '/conditions/locations/includeLocations'],
    [
      'every location excluded',
      conditions({ locations: { includeLocations: ['All'], excludeLocations: ['All'] } }),
      '/conditions/locations/excludeLocations/0',
    ],
    [
      'a device rule',
      conditions({ devices: { deviceFilter: { mode: 'include', rule: 'device.colour -eq "red"' } } }),
      '/conditions/devices/deviceFilter/rule',
    ],
    ['devices of old', conditions({ devices: { includeDevices: ['All'] } }), '/conditions/devices/includeDevices'],
    ['times', conditions({ times: { ranges: [] } }), '/conditions/times'],
    ['a risk of service principals for users', conditions({ servicePrincipalRiskLevels: ['high'] }), '/conditions/servicePrincipalRiskLevels'],
    ['a flow', conditions({ authenticationFlows: { transferMethods: 'pigeon' } }), '/conditions/authenticationFlows/transferMethods'],
    ['no control', { ...good, grantControls: null }, ''],
    ['no control that is enabled', { ...good, grantControls: null, sessionControls: { persistentBrowser: { isEnabled: false } } }, ''],
    ['block and more', grant({ operator: 'AND', builtInControls: ['block', 'mfa'] }), '/grantControls/builtInControls'],
    ['two controls without operator', grant({ builtInControls: ['mfa', 'compliantDevice'] }), '/grantControls/operator'],
    ['another control', grant({ operator: 'OR', builtInControls: ['riskRemediation'] }), '/grantControls/builtInControls/0'],
    ['custom factors', grant({ ...good.grantControls, customAuthenticationFactors: ['f'] }), '/grantControls/customAuthenticationFactors'],
    [
      'a strength nobody knows',
      grant({ operator: 'OR', builtInControls: [], authenticationStrength: { id: 'x' } }),
      '/grantControls/authenticationStrength/allowedCombinations',
    ],
    [
      'a method nobody knows',
      grant({ operator: 'OR', builtInControls: [], authenticationStrength: { id: 'x', allowedCombinations: ['fido2', 'password,telepathy'] } }),
      '/grantControls/authenticationStrength/allowedCombinations/1',
    ],
    [
      'restrictions by applications',
      session({ applicationEnforcedRestrictions: { isEnabled: true } }),
      '/sessionControls/applicationEnforcedRestrictions',
    ],
    ['token protection', session({ secureSignInSession: { isEnabled: true } }), '/sessionControls/secureSignInSession'],
    ['a frequency of nothing', session({ signInFrequency: { isEnabled: true } }), '/sessionControls/signInFrequency/type'],
    [
      'a frequency of half an hour',
      session({ signInFrequency: { isEnabled: true, type: 'hours', value: 0.5 } }),
      '/sessionControls/signInFrequency/value',
    ],
    [
      'every time and hourly',
      session({ signInFrequency: { isEnabled: true, frequencyInterval: 'everyTime', value: 1 } }),
      '/sessionControls/signInFrequency/value',
    ],
    ['a mode', session({ continuousAccessEvaluation: { mode: 'off' } }), '/sessionControls/continuousAccessEvaluation/mode'],
    [
      'a report on user actions',
      { ...conditions({ applications: { includeUserActions: ['urn:user:registerdevice'] } }), state: 'enabledForReportingButNotEnforced' },
      '/state',
    ],
    [
      'a password change alone',
      { ...good, conditions: risk, grantControls: { operator: 'OR', builtInControls: ['passwordChange'] } },
      '/grantControls',
    ],
    ['a password change or mfa', { ...good, conditions: risk, grantControls: { ...change, operator: 'OR' } }, '/grantControls'],
    ['a password change without risk', grant(change), '/conditions/userRiskLevels'],
    [
      'a password change for some applications',
      { ...good, conditions: { ...risk, applications: { includeApplications: ['a'] } }, grantControls: change },
      '/conditions/applications',
    ],
    [
      'a password change somewhere',
      { ...good, conditions: { ...risk, locations: { includeLocations: ['All'] } }, grantControls: change },
      '/conditions/locations',
    ],
    [
      'a password change in browsers',
      { ...good, conditions: { ...risk, clientAppTypes: ['browser'] }, grantControls: change },
      '/conditions/clientAppTypes',
    ],
    ['service principals that are asked', { ...good, conditions: workload }, '/grantControls'],
    [
      'service principals with a session',
      { ...good, conditions: workload, grantControls: block, sessionControls: { disableResilienceDefaults: true } },
      '/sessionControls',
    ],
    [
      'service principals and users',
      { ...good, conditions: { ...workload, users: { includeUsers: ['All'] } }, grantControls: block },
      '/conditions/users',
    ],
    [
      'service principals on platforms',
      { ...good, conditions: { ...workload, platforms: { includePlatforms: ['all'] } }, grantControls: block },
      '/conditions/platforms',
    ],
    ['too long a text', { ...good, displayName: 'x'.repeat(257) }, '/displayName'],
    ['too long a list', conditions({ users: { includeUsers: Array.from({ length: 10_001 }, () => 'u') } }), '/conditions/users/includeUsers'],
  ])('refuses %s', (_, value, path) => {
    expect(paths(value)).toContain(path)
  })

  it('takes a password change for whoever is at risk', () => {
    expect(mistakesOf({ ...good, conditions: risk, grantControls: change })).toEqual([])
  })

  it('never tells more than a hundred mistakes, nor what it found', () => {
    const value = conditions({ users: Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`secret${at}`, 1])) })
    expect(mistakesOf(value)).toHaveLength(100)
    expect(JSON.stringify(mistakesOf({ ...good, state: 'hunter2' }))).not.toContain('hunter2')
  })

  it('is not fooled by inherited members', () => {
    const hidden = Object.create({ grantControls: good.grantControls })
    expect(paths(Object.assign(hidden, { ...good, grantControls: undefined }))).toContain('')
    expect(paths(JSON.parse(`{"__proto__": {}, ${JSON.stringify(good).slice(1)}`))).toEqual(['/__proto__'])
  })
})
