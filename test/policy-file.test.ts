import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  administerPolicies,
  CONTEXTS,
  client,
  db,
  eventsSince,
  idOf,
  LOCATIONS,
  loop,
  MFA,
  POLICIES,
  refusal,
  seq,
  tenantOf,
  version,
} from './policy-admin.ts'

administerPolicies()

describe('the legacy switch of continuous access evaluation', () => {
  const SWITCH = '/identity/continuousAccessEvaluationPolicy'
  const scope = async () => {
    const rows = await db()
      .selectFrom('policies')
      .select(['body', 'state'])
      .where('tenant', '=', loop.tenant)
      .where('deleted_at', 'is', null)
      .execute()
    return rows
      .filter(({ state }) => state === 'enabled')
      .map(({ body }) => JSON.parse(body))
      .map(({ conditions: { users }, sessionControls }) => [users.includeUsers, users.excludeUsers, sessionControls.continuousAccessEvaluation.mode])
  }

  it('acts as a policy that nobody lists, until a policy takes its place', async () => {
    const alice = await idOf('alice@contoso.test')
    const read = async () => {
      const { isEnabled, users, groups, migrate } = await client.api(SWITCH).get()
      return { isEnabled, users, groups, migrate }
    }
    expect(await read()).toEqual({ isEnabled: true, users: [], groups: [], migrate: false })
    await client.api(SWITCH).patch({ isEnabled: false })
    expect(await read()).toEqual({ isEnabled: false, users: [], groups: [], migrate: false })
    expect(await scope()).toEqual([[['All'], [], 'disabled']])
    expect(await refusal(client.api(SWITCH).patch({ users: [alice] }))).toMatchObject({ status: 400 })
    expect(await refusal(client.api(SWITCH).patch({ isEnabled: true, users: [alice, 'nobody'] }))).toMatchObject({ status: 400, paths: ['/users/1'] })
    await client.api(SWITCH).patch({ isEnabled: true, users: [alice] })
    expect(await read()).toEqual({ isEnabled: true, users: [alice], groups: [], migrate: false })
    expect(await scope()).toEqual([[['All'], [alice], 'disabled']])
    await client.api(SWITCH).patch({ users: [] })
    expect(await read()).toEqual({ isEnabled: true, users: [], groups: [], migrate: false })
    expect(await scope()).toEqual([])
    await client.api(SWITCH).patch({ users: [alice] })
    expect((await client.api(POLICIES).get()).value).toEqual([])
    const { id: hidden } = await db().selectFrom('policies').select('id').where('deleted_at', 'is', null).executeTakeFirstOrThrow()
    const url = `${POLICIES}/${hidden}`
    expect(await refusal(client.api(url).get())).toMatchObject({ status: 404 })
    expect(await refusal(client.api(url).patch({ state: 'disabled' }))).toMatchObject({ status: 404 })
    expect(await refusal(client.api(url).delete())).toMatchObject({ status: 404 })

    await client.api(SWITCH).patch({ migrate: true })
    expect(await read()).toEqual({ isEnabled: true, users: [], groups: [], migrate: true })
    const { value } = await client.api(POLICIES).get()
    expect(value).toMatchObject([{ state: 'enabled', sessionControls: { continuousAccessEvaluation: { mode: 'disabled' } } }])
    expect(await scope()).toEqual([[['All'], [alice], 'disabled']])
    expect(await refusal(client.api(SWITCH).patch({ isEnabled: false }))).toMatchObject({ status: 400 })
    await client.api(`${POLICIES}/${value[0].id}`).delete()
  })
})

describe('the tenant file', () => {
  const FILE = {
    ...tenantOf('contoso'),
    authenticationContexts: [{ id: 'c5', displayName: 'Transfers', isAvailable: true }],
    namedLocations: [
      { displayName: 'Head office', isTrusted: true, ipRanges: [{ cidrAddress: '192.0.2.0/24' }, '2001:db8::/48'] },
      { '@odata.type': '#microsoft.graph.countryNamedLocation', displayName: 'North', countriesAndRegions: ['NO', 'SE'] },
    ],
    conditionalAccessPolicies: [
      {
        ...{ displayName: 'Named by names', state: 'disabled', grantControls: MFA },
        conditions: {
          users: { includeUsers: ['Alice@contoso.test'], includeGroups: ['staff'], excludeRoles: ['admin'] },
          applications: { includeApplications: ['api://files', 'graph'] },
          locations: { includeLocations: ['All'], excludeLocations: ['Head office', 'North', 'AllTrusted'] },
        },
      },
      {
        ...{ displayName: 'Transfers need more', state: 'enabled', grantControls: MFA },
        conditions: { users: { includeUsers: ['All'] }, applications: { includeAuthenticationContextClassReferences: ['c5'] } },
      },
    ],
  }
  const yaml = (more: object = {}) => JSON.stringify({ ...FILE, ...more })
  const mistakes = (text: string) =>
    loop.server.apply(text).then(
      () => [],
      ({ detail }: { detail: string[] }) => detail,
    )

  it('says locations, contexts and policies by names, and saying it twice changes nothing', async () => {
    const from = await seq()
    await loop.server.apply(yaml())
    const { value: places } = await client.api(LOCATIONS).orderby('displayName').get()
    expect(places).toMatchObject([
      { displayName: 'Head office', isTrusted: true },
      { displayName: 'North', countriesAndRegions: ['NO', 'SE'] },
    ])
    const { value } = await client.api(POLICIES).orderby('displayName').get()
    const group = (await client.api('/groups').filter("displayName eq 'staff'").get()).value[0].id
    expect(value).toMatchObject([
      {
        ...{ displayName: 'Named by names', state: 'disabled' },
        conditions: {
          users: { includeUsers: [await idOf('alice@contoso.test')], includeGroups: [group], excludeRoles: ['admin'] },
          applications: { includeApplications: ['files-api', 'graph'] },
          locations: { includeLocations: ['All'], excludeLocations: [places[0].id, places[1].id, 'AllTrusted'] },
        },
      },
      { displayName: 'Transfers need more', conditions: { applications: { includeAuthenticationContextClassReferences: ['c5'] } } },
    ])
    expect(await client.api(`${CONTEXTS}/c5`).get()).toMatchObject({ displayName: 'Transfers' })
    expect(await eventsSince(from)).toEqual(['location-rules-changed'])

    const before = [await version(), await seq()]
    const audits = async () => (await db().selectFrom('audits').select('id').execute()).length
    const known = await audits()
    await loop.server.apply(yaml())
    expect([await version(), await seq(), await audits()]).toEqual([...before, known])

    // What it says otherwise becomes so; what it does not name stays.
    const [first, ...rest] = FILE.conditionalAccessPolicies
    await loop.server.apply(yaml({ conditionalAccessPolicies: [{ ...first, state: 'enabledForReportingButNotEnforced' }] }))
    expect((await client.api(POLICIES).get()).value.map(({ state }: { state: string }) => state).sort()).toEqual([
      'enabled',
      'enabledForReportingButNotEnforced',
    ])
    expect(await version()).toBe((before[0] as number) + 1)
    expect(rest).toHaveLength(1)
  })

  it('may say what the README says', async () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
    const [example = ''] = readme.match(/^ {4}namedLocations:\n(?: {4}.*\n)+/m) ?? []
    await loop.server.apply(`tenant: { name: contoso }\n${example.replace('state: enabled', 'state: disabled').replaceAll(/^ {4}/gm, '')}`)
    const { value } = await client.api(POLICIES).filter("displayName eq 'A second factor outside the office'").get()
    expect(value).toMatchObject([{ grantControls: MFA, conditions: { applications: { includeApplications: ['files-api'] } } }])
  })

  it('is refused as a whole, with the line of each mistake', async () => {
    const before = [await version(), await seq()]
    const text = [
      'tenant: { name: contoso }',
      'users:',
      '  - userPrincipalName: late@contoso.test',
      'namedLocations:',
      '  - displayName: Bad',
      '    ipRanges:',
      '      - 192.0.2.0/24',
      '      - 192.0.2.0/64',
      'conditionalAccessPolicies:',
      '  - displayName: Wrong',
      '    state: on',
      '    conditions:',
      '      users: { includeUsers: [All] }',
      '      applications:',
      '        includeApplications: [All]',
      '        includeEverything: true',
      '    grantControls: { operator: OR, builtInControls: [mfa] }',
    ].join('\n')
    expect(await mistakes(text)).toEqual([
      expect.stringMatching(/^line 8: namedLocations\.0\.ipRanges\.1: must be/),
      expect.stringMatching(/^line 16: conditionalAccessPolicies\.0\.conditions\.applications\.includeEverything: /),
      expect.stringMatching(/^line 11: conditionalAccessPolicies\.0\.state: must be one of/),
    ])
    const right = text.replace('/64', '/26').replace('state: on', 'state: disabled').replace('        includeEverything: true\n', '')
    const nobody = right.replace('[All]', '[All, late@contoso.test, nobody@contoso.test]').replace('[All]\n    grant', '[no-api]\n    grant')
    expect(await mistakes(nobody)).toEqual([
      expect.stringMatching(/^line 13: conditionalAccessPolicies\.0\.conditions\.users\.includeUsers\.2: there is no such user/),
      expect.stringMatching(/^line 15: conditionalAccessPolicies\.0\.conditions\.applications\.includeApplications\.0: there is no such application/),
    ])
    expect(await mistakes(yaml({ namedLocations: [FILE.namedLocations[0], FILE.namedLocations[0]] }))).toEqual([expect.stringContaining('twice')])
    expect([await version(), await seq()]).toEqual(before)
    expect(await refusal(client.api('/users/late@contoso.test').get())).toMatchObject({ status: 404 })
    // Nor is a tenant made by it.
    expect(await mistakes(nobody.replace('name: contoso', 'name: newcomer'))).toHaveLength(2)
    expect(await db().selectFrom('tenants').select('id').where('name', '=', 'newcomer').execute()).toEqual([])
  })
})
