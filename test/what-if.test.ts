import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

const OFFICE = '198.51.100.7'
const CAFE = '203.0.113.9'
const LOCATIONS = [{ id: 'office', trusted: true, ranges: ['198.51.100.0/24'] }]
const OUTSIDE = { locations: { includeLocations: ['All'], excludeLocations: ['office'] } }

let loop: Loop
let alice: string
let from = OFFICE
const realFetch = globalThis.fetch

beforeAll(async () => {
  globalThis.fetch = (input, init) =>
    realFetch(input, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), 'x-forwarded-for': from } })
  loop = await startLoop({
    environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1' },
    tenant: JSON.stringify({
      tenant: { name: 'contoso', displayName: 'Contoso' },
      groups: [{ displayName: 'finance' }],
      users: [
        { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD, groups: ['finance'] },
        { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD },
      ],
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        {
          ...{ appId: 'nightly', type: 'daemon', clientSecret: SECRET },
          permissions: ['graph/User.Read.All', 'graph/Policy.Read.All', 'graph/AuditLog.Read.All', 'api://files/.default'],
        },
        { appId: 'plain', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.Read.All'] },
      ],
    }),
  })
  alice = String((await (await loop.graph('GET', '/users/alice@contoso.test')).json()).id)
})
afterAll(async () => {
  globalThis.fetch = realFetch
  await loop.close()
})

const evaluate = async (body: object) => {
  const answer = await loop.graph('POST', '/identity/conditionalAccess/evaluate', body)
  return { status: answer.status, body: await answer.json() }
}
const user = (userId = alice) => ({ '@odata.type': '#microsoft.graph.userSignIn', userId })
const application = (id = 'files-api') => ({ '@odata.type': '#microsoft.graph.applicationContext', includeApplications: [id] })
const byName = (value: { displayName: string }[]) => Object.fromEntries(value.map((one) => [one.displayName, one]))

describe('what-if', () => {
  it('tells of each policy whether it applies and every reason why not, in three values', async () => {
    await setPolicies(
      loop,
      [
        policy('Everybody', grant('mfa')),
        policy('Others, outside, by browser', {
          conditions: { users: { includeUsers: ['somebody-else'] }, clientAppTypes: ['browser'], ...OUTSIDE },
          ...grant('block'),
        }),
        policy('Risky', { conditions: { userRiskLevels: ['high'] }, ...grant('block') }),
        policy('Off', { state: 'disabled', ...grant('block') }),
      ],
      LOCATIONS,
    )
    const conditions = { ipAddress: OFFICE, clientAppType: 'mobileAppsAndDesktopClients' }
    const { status, body } = await evaluate({ signInIdentity: user(), signInContext: application(), signInConditions: conditions })
    expect(status).toBe(200)
    const found = byName(body.value)
    expect(found.Everybody).toMatchObject({ policyApplies: true, analysisReasons: 'notSet', caegis: { applies: true, unmet: ['mfa'] } })
    const reasons = String((found['Others, outside, by browser'] as unknown as { analysisReasons: string }).analysisReasons)
      .split(',')
      .sort()
    expect(reasons).toEqual(['clientApps', 'location', 'users'])
    expect(found.Risky).toMatchObject({
      policyApplies: false,
      analysisReasons: 'notEnoughInformation',
      caegis: { applies: 'unknown', unknown: ['userRisk'] },
    })
    expect(found.Off).toBeUndefined()
    // What may apply is enforced, so all of it together would be a block.
    expect(body.caegis).toMatchObject({ outcome: 'block' })

    const applied = await evaluate({
      signInIdentity: user(),
      signInContext: application(),
      signInConditions: { ...conditions, userRiskLevel: 'none' },
      appliedPoliciesOnly: true,
    })
    expect(applied.body.value.map((one: { displayName: string }) => one.displayName)).toEqual(['Everybody'])
    expect(applied.body.caegis).toMatchObject({ outcome: 'require', next: 'mfa' })
  })

  it('is asked about service principals, contexts and user actions too', async () => {
    await setPolicies(loop, [
      policy('Daemons', {
        conditions: {
          users: { includeUsers: ['None'] },
          clientApplications: { includeServicePrincipals: ['ServicePrincipalsInMyTenant'] },
          applications: { includeApplications: ['files-api'] },
        },
        ...grant('block'),
      }),
      policy('c1', { conditions: { applications: { includeAuthenticationContextClassReferences: ['c1'] } }, ...grant('mfa') }),
      policy('Registering', { conditions: { applications: { includeUserActions: ['urn:user:registersecurityinfo'] } }, ...grant('mfa') }),
    ])
    const names = async (body: object) =>
      (await evaluate({ ...body, appliedPoliciesOnly: true })).body.value.map((one: { displayName: string }) => one.displayName)
    const daemon = { '@odata.type': '#microsoft.graph.servicePrincipalSignIn', servicePrincipalId: 'nightly' }
    expect(await names({ signInIdentity: daemon, signInContext: application() })).toEqual(['Daemons'])
    expect(
      await names({ signInIdentity: user(), signInContext: { '@odata.type': '#microsoft.graph.authContext', authenticationContextValue: 'c1' } }),
    ).toEqual(['c1'])
    const action = { '@odata.type': '#microsoft.graph.userActionContext', userAction: 'registerSecurityInformation' }
    expect(await names({ signInIdentity: user(), signInContext: action })).toEqual(['Registering'])
  })

  it('replays a sign-in of the log, also under a draft that nobody has stored', async () => {
    await setPolicies(loop, [], LOCATIONS)
    from = CAFE
    await createFlow(loop).tokens()
    from = OFFICE
    const { value } = await (await loop.graph('GET', "/auditLogs/signIns?$filter=userPrincipalName eq 'alice@contoso.test'&$top=1")).json()
    const [{ id, ipAddress }] = value
    expect(ipAddress).toBe(CAFE)
    expect((await evaluate({ signInId: id })).body.caegis).toMatchObject({ outcome: 'allow' })
    const draft = { ...policy('Only the office', { conditions: OUTSIDE, ...grant('block') }) }
    const replayed = await evaluate({ signInId: id, draft })
    expect(replayed.body).toMatchObject({ caegis: { outcome: 'block' }, value: [{ policyApplies: true }] })
    expect((await evaluate({ signInId: 'nothing' })).status).toBe(404)
  })

  it('refuses what it does not know, with the path of each mistake of a draft, and whoever may not ask', async () => {
    const good = { signInIdentity: user(), signInContext: application() }
    expect((await evaluate({ ...good, signInConditions: { weather: 'rain' } })).status).toBe(400)
    expect((await evaluate({ ...good, signInIdentity: user('nobody') })).status).toBe(404)
    const wrong = await evaluate({ ...good, draft: { conditions: { users: { includeUsers: 'All' } }, colour: 'red' } })
    expect(wrong.status).toBe(400)
    expect(JSON.stringify(wrong.body.error)).toContain('/colour')
    const token = await loop.daemonToken('plain', `${loop.origin}/.default`)
    const refused = await fetch(`${loop.origin}/v1.0/identity/conditionalAccess/evaluate`, {
      ...{ method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } },
      body: JSON.stringify(good),
    })
    expect(refused.status).toBe(403)
  })
})

describe('the impact of a policy', () => {
  it('says how many of the last sign-ins it would have changed, before it is enabled', async () => {
    await setPolicies(loop, [], LOCATIONS)
    await loop.server.store.db.deleteFrom('sign_ins').execute()
    for (const [who, where] of [
      ['alice', OFFICE],
      ['alice', CAFE],
      ['bob', CAFE],
    ] as const) {
      from = where
      await createFlow(loop, { username: `${who}@contoso.test` }).tokens()
    }
    from = OFFICE
    const block = policy('Only the office', { conditions: { users: { includeUsers: [alice] }, ...OUTSIDE }, ...grant('block') })
    const drafted = await (await loop.graph('POST', '/identity/conditionalAccess/impact', { policy: block })).json()
    // The three of them, and the daemon that asks.
    expect(drafted.looked).toBeGreaterThan(3)
    // Somebody who signed in from the café would not have been let in; where alice was in the office, guards would have looked at her address from then on.
    expect(drafted).toMatchObject({ blocked: 1, interrupted: 0, allowed: 0, changed: 2 })

    const [id] = await setPolicies(loop, [{ ...block, state: 'enabledForReportingButNotEnforced' }], LOCATIONS)
    const reported = await (await loop.graph('GET', `/identity/conditionalAccess/policies/${id}/impact?$top=100`)).json()
    expect(reported).toMatchObject({
      blocked: 1,
      changed: 2,
      examples: expect.arrayContaining([expect.objectContaining({ before: 'allow', after: 'block' })]),
    })
    expect((await loop.graph('GET', `/identity/conditionalAccess/policies/${id}/impact?$top=0`)).status).toBe(400)
  })
})
