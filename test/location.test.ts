import type { Guard } from '@caegis/guard'
import { readClaimsChallenge } from '@caegis/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const CAFE = '203.0.113.9'
const ROOT = '/identity/conditionalAccess'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop({
    environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.1,::1' },
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      users: [
        { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
        { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
      ],
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
      ],
    }),
  })
})
afterAll(() => loop.close())

const graph = async (method: string, path: string, body?: object) => {
  const answer = await loop.graph(method, `${ROOT}${path}`, body)
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return (answer.status === 204 ? {} : await answer.json()) as { id: string }
}
const office = (...ranges: string[]) => ({
  '@odata.type': '#microsoft.graph.ipNamedLocation',
  ...{ displayName: 'Office', isTrusted: true },
  ipRanges: ranges.map((cidrAddress) => ({ '@odata.type': `#microsoft.graph.${cidrAddress.includes(':') ? 'iPv6' : 'iPv4'}CidrRange`, cidrAddress })),
})
const check = async (guard: Guard, token: string, remoteAddress = '127.0.0.1') =>
  guard.check({ headers: { authorization: `Bearer ${token}` }, socket: { remoteAddress } })
const outcome = async (guard: Guard, token: string, address?: string) => {
  const verdict = await check(guard, token, address)
  return verdict.allowed ? 'allowed' : verdict.code
}

describe('location conditions at an API', () => {
  it('D3, D5: a copied token is refused at once elsewhere; what the issuer excuses holds there and nowhere else; edits reach requests and connections', async () => {
    const guard = await loop.guard()
    expect(guard.status().rules).toEqual({ version: 0, policies: 0, locations: 0 })
    const location = await graph('POST', '/namedLocations', office('127.0.0.0/8', '::1/128'))
    const policy = await graph('POST', '/policies', {
      ...{ displayName: 'Office only', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
      conditions: {
        ...{ users: { includeUsers: ['All'] }, applications: { includeApplications: ['files-api'] }, clientAppTypes: ['all'] },
        locations: { includeLocations: ['All'], excludeLocations: [location.id] },
      },
    })
    await eventually(
      () => guard.status().rules.policies,
      (count) => count === 1,
    )
    const flow = createFlow(loop, { capable: true })
    const { accessToken: token, refreshToken } = await flow.tokens()
    expect(claimsOf(token)).toMatchObject({ capolids_latebind: [policy.id], xms_ssm: '1' })
    expect(claimsOf(token)).not.toHaveProperty('caegis_ip')
    expect([await outcome(guard, token), await outcome(guard, token, CAFE)]).toEqual(['allowed', 'location'])
    // A guard that starts now has them from the snapshot.
    const late = await loop.guard()
    expect([await outcome(late, token), await outcome(late, token, CAFE)]).toEqual(['allowed', 'location'])

    // The issuer sees the office, the API the café: an hour for that address.
    const denied = await check(guard, token, CAFE)
    const claims = denied.allowed ? undefined : JSON.parse(readClaimsChallenge(denied.headers['WWW-Authenticate'])?.claims ?? '{}')
    const asked = { access_token: { ...claims.access_token, xms_cc: { values: ['cp1'] } } }
    const answer = await flow.refresh(refreshToken, { claims: JSON.stringify(asked) })
    const excused = String(answer.body.access_token)
    expect(claimsOf(excused)).toMatchObject({ caegis_ip: { address: CAFE, policies: [policy.id] } })
    for (const one of [guard, late]) {
      expect([await outcome(one, excused, CAFE), await outcome(one, excused, '203.0.113.10')]).toEqual(['allowed', 'location'])
      // The verdict of one token is not another's.
      expect(await outcome(one, token, CAFE)).toBe('location')
    }

    // The café becomes an office, and is none again: a connection that lasts ends with it.
    await graph('PATCH', `/namedLocations/${location.id}`, office('127.0.0.0/8', '::1/128', '203.0.113.0/24'))
    const visit = await eventually(
      () => check(guard, token, CAFE),
      (verdict) => verdict.allowed,
    )
    const home = await check(guard, token)
    if (!visit.allowed || !home.allowed) throw new Error('unreachable')
    expect([visit.signal.aborted, home.signal.aborted]).toEqual([false, false])
    await graph('PATCH', `/namedLocations/${location.id}`, office('127.0.0.0/8', '::1/128'))
    await eventually(
      () => visit.signal.aborted,
      (aborted) => aborted,
    )
    expect(visit.signal.reason).toMatchObject({ code: 'location' })
    expect(home.signal.aborted).toBe(false)
    expect([await outcome(guard, token), await outcome(guard, token, CAFE)]).toEqual(['allowed', 'location'])

    // Gone: whoever names it is held to it no more, also by a guard that has never heard of it.
    await graph('DELETE', `/policies/${policy.id}`)
    await eventually(
      () => outcome(guard, token, CAFE),
      (code) => code !== 'location',
    )
    const last = await loop.guard()
    for (const one of [guard, last]) expect(await outcome(one, excused, '203.0.113.10')).not.toBe('location')
  })

  it('D3, D6: the server`s own guard judges callers of the admin API alike, by what its proxies say', async () => {
    const location = await graph('POST', '/namedLocations', { ...office('127.0.0.0/8', '::1/128'), displayName: 'Head office' })
    const policy = await graph('POST', '/policies', {
      ...{ displayName: 'Administration from the office', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
      conditions: {
        ...{ users: { includeUsers: ['All'] }, applications: { includeApplications: ['graph'] }, clientAppTypes: ['all'] },
        locations: { includeLocations: ['All'], excludeLocations: [location.id] },
      },
    })
    const scope = `${loop.origin}/User.Read.All openid offline_access`
    const flow = createFlow(loop, { clientId: 'caegis-cli', scope, username: 'admin@contoso.test', capable: true })
    const { accessToken, refreshToken } = await flow.tokens()
    expect(claimsOf(accessToken)).toMatchObject({ capolids_latebind: [policy.id] })
    const list = (token: string, forwarded?: string) =>
      fetch(`${loop.origin}/v1.0/users`, {
        headers: { authorization: `Bearer ${token}`, ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }) },
      })
    await eventually(
      async () => (await list(accessToken)).status,
      (status) => status === 200,
    )
    const denied = await list(accessToken, CAFE)
    expect(denied.status).toBe(401)
    const { access_token: asked } = JSON.parse(readClaimsChallenge(denied.headers.get('www-authenticate'))?.claims ?? '{}')
    expect(asked.xms_rp_ipaddr).toEqual({ value: CAFE })
    const answer = await flow.refresh(refreshToken, { claims: JSON.stringify({ access_token: { ...asked, xms_cc: { values: ['cp1'] } } }) })
    const excused = String(answer.body.access_token)
    expect(claimsOf(excused).caegis_ip).toEqual({ address: CAFE, policies: [policy.id] })
    expect([(await list(excused, CAFE)).status, (await list(excused, '203.0.113.10')).status, (await list(excused, 'nonsense')).status]).toEqual([
      200, 401, 401,
    ])
    await graph('DELETE', `/policies/${policy.id}`)
  })
})
