import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRisk, type Risk, remediateRisk } from '../packages/server/src/directory/risk.ts'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const tenantOf = (name: string) =>
  JSON.stringify({
    tenant: { name },
    users: ['admin', 'alice', 'bob', 'carol', 'dan'].map((one) => ({
      ...{ userPrincipalName: `${one}@${name}.test`, displayName: one, password: PASSWORD },
      roles: one === 'admin' ? ['admin'] : [],
    })),
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default', 'api://files/.default'] },
      { appId: 'weekly', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
    ],
  })

const USERS = '/identityProtection/riskyUsers'
const PRINCIPALS = '/identityProtection/riskyServicePrincipals'

let loop: Loop
let start: number
beforeAll(async () => {
  loop = await startLoop({ tenant: tenantOf('contoso') })
})
beforeEach(async () => {
  start = (await loop.server.store.position(loop.tenant)).seq
})
afterAll(() => loop.close())

const db = () => loop.server.store.db
const rowOf = (name: string) => db().selectFrom('users').selectAll().where('upn', '=', `${name}@contoso.test`).executeTakeFirstOrThrow()
const read = async (path: string) => (await (await loop.graph('GET', path)).json()) as Record<string, unknown> & { value: Record<string, unknown>[] }
const events = async () => {
  const rows = db().selectFrom('events').select(['type', 'payload']).where('tenant', '=', loop.tenant).where('seq', '>', start).orderBy('seq')
  return (await rows.execute()).map(({ type, payload }) => [type.split('/').at(-1), JSON.parse(payload)] as const)
}
const risk = () => createRisk(loop.server.store, loop.tenant, loop.issuer, { sayingWhich: (_, run) => run() })
const detection = { kind: 'system', reason: 'a detection' } as const
const atRisk = (level: Risk['level']): Risk => ({ level, state: 'atRisk', detail: 'none' })

describe('a user who', () => {
  it('is confirmed to be compromised has nothing left, here and at every API, and stands in the list', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop, { username: 'alice@contoso.test' })
    const { accessToken, refreshToken } = await flow.tokens()
    const { id } = await rowOf('alice')
    expect((await loop.graph('POST', `${USERS}/confirmCompromised`, { userIds: [id] })).status).toBe(204)
    await eventually(
      () => verdictOf(guard, accessToken),
      (verdict) => !verdict.allowed,
    )
    expect((await flow.refresh(refreshToken)).status).toBe(400)
    expect(await events()).toMatchObject([
      ['risk-level-change', { principal: 'USER', current_level: 'HIGH', previous_level: 'LOW' }],
      ['session-revoked', { initiating_entity: 'admin' }],
    ])
    const cut = db().selectFrom('cutoffs').select('depth').where('id', '=', id)
    expect(await cut.execute()).toEqual([{ depth: 'sign-in' }])
    const shown = { id, riskLevel: 'high', riskState: 'confirmedCompromised', riskDetail: 'adminConfirmedUserCompromised', userDisplayName: 'alice' }
    expect((await read(`${USERS}?$filter=riskLevel eq 'high'`)).value).toMatchObject([{ ...shown, userPrincipalName: 'alice@contoso.test' }])
    expect(await read(`${USERS}/${id}`)).toMatchObject({ ...shown, riskLastUpdatedDateTime: expect.stringMatching(/Z$/), isDeleted: false })
    expect((await read(`/auditLogs/directoryAudits?$filter=targetResources/any(t:t/id eq '${id}')&$top=1`)).value).toMatchObject([
      { activityDisplayName: 'Confirm compromised of user', category: 'UserManagement' },
    ])

    // What ended stays ended, and a new sign-in is good.
    expect((await loop.graph('POST', `${USERS}/dismiss`, { userIds: [id] })).status).toBe(204)
    expect(await read(`${USERS}/${id}`)).toMatchObject({ riskLevel: 'none', riskState: 'dismissed' })
    expect((await events()).at(-1)).toMatchObject(['risk-level-change', { current_level: 'LOW', previous_level: 'HIGH' }])
    expect((await verdictOf(guard, accessToken)).allowed).toBe(false)
    expect((await verdictOf(guard, (await createFlow(loop, { username: 'alice@contoso.test' }).tokens()).accessToken)).allowed).toBe(true)
  })

  it('stands beside somebody who does not exist is not touched', async () => {
    const { id } = await rowOf('bob')
    for (const action of ['confirmCompromised', 'dismiss'])
      expect((await loop.graph('POST', `${USERS}/${action}`, { userIds: [id, crypto.randomUUID()] })).status).toBe(404)
    for (const wrong of [{}, { userIds: [] }, { userIds: Array(61).fill(id) }, { userIds: [id], force: true }])
      expect((await loop.graph('POST', `${USERS}/confirmCompromised`, wrong)).status).toBe(400)
    expect(await events()).toEqual([])
    expect((await read(USERS)).value.map((one) => one.id)).not.toContain(id)
    expect((await loop.graph('GET', `${USERS}/${id}`)).status).toBe(404)
    // Nothing was ever thought of bob: there is nothing to dismiss.
    expect((await loop.graph('POST', `${USERS}/dismiss`, { userIds: [id] })).status).toBe(204)
    expect((await loop.graph('GET', `${USERS}/${id}`)).status).toBe(404)
  })

  it('becomes of high risk is asked for again, once; of any other, decisions are looked at again', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop, { username: 'carol@contoso.test' })
    const { accessToken, refreshToken } = await flow.tokens()
    const { id } = await rowOf('carol')
    const jobs = async () =>
      (await db().selectFrom('reevaluations').select(['reason', 'scope']).execute()).filter(({ scope }) => String(scope).includes(id)).length
    await risk().set(detection, id, atRisk('medium'))
    expect([await events(), await jobs()]).toEqual([[], 1])
    expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
    await risk().set(detection, id, atRisk('medium'))
    expect(await jobs()).toBe(1)

    await risk().set(detection, id, atRisk('high'))
    expect(await events()).toMatchObject([['risk-level-change', { current_level: 'HIGH', previous_level: 'MEDIUM', initiating_entity: 'system' }]])
    await eventually(
      () => verdictOf(guard, accessToken),
      (verdict) => !verdict.allowed,
    )
    const next = String((await flow.refresh(refreshToken)).body.access_token)
    expect((await verdictOf(guard, next)).allowed).toBe(true)

    await loop.server.store.commit({
      tenant: loop.tenant,
      actor: { kind: 'holder', user: id },
      edit: (context) => remediateRisk(context, loop.issuer, id),
    })
    expect(await rowOf('carol')).toMatchObject({ risk_level: 'none', risk_state: 'remediated', risk_detail: 'userPerformedSecuredPasswordChange' })
    expect((await events()).at(-1)).toMatchObject(['risk-level-change', { current_level: 'LOW', previous_level: 'HIGH', initiating_entity: 'user' }])
    expect((await verdictOf(guard, next)).allowed).toBe(true)
    expect(await jobs()).toBe(2)
  })
})

describe('an application that', () => {
  it('is confirmed to be compromised loses its tokens, and stands in the list until that is dismissed', async () => {
    const guard = await loop.guard()
    const token = await loop.daemonToken('weekly', 'api://files/.default')
    expect((await verdictOf(guard, token)).allowed).toBe(true)
    expect((await loop.graph('POST', `${PRINCIPALS}/confirmCompromised`, { servicePrincipalIds: ['weekly'] })).status).toBe(204)
    await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    expect(await events()).toMatchObject([['account-disabled', {}]])
    const { value } = await read(PRINCIPALS)
    expect(value).toMatchObject([{ appId: 'weekly', riskLevel: 'high', riskState: 'confirmedCompromised', isEnabled: true }])
    const { id } = value[0] as { id: string }
    expect(await read(`${PRINCIPALS}/${id}`)).toMatchObject({ appId: 'weekly' })
    expect((await loop.graph('POST', `${PRINCIPALS}/dismiss`, { servicePrincipalIds: [id] })).status).toBe(204)
    expect((await read(PRINCIPALS)).value).toEqual([])
    expect((await loop.graph('POST', `${PRINCIPALS}/confirmCompromised`, { servicePrincipalIds: ['weekly', 'nobody'] })).status).toBe(404)
    expect((await read(PRINCIPALS)).value).toEqual([])
  })
})

describe('another tenant', () => {
  it('can say nothing of our users', async () => {
    await loop.server.apply(tenantOf('fabrikam'))
    const form = { grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: `${loop.origin}/.default` }
    const answer = await fetch(`${loop.origin}/fabrikam/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    const { access_token: token } = (await answer.json()) as { access_token: string }
    const { id } = await rowOf('dan')
    const response = await fetch(`${loop.origin}/v1.0${USERS}/confirmCompromised`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ userIds: [id] }),
    })
    expect(response.status).toBe(404)
    expect(await rowOf('dan')).toMatchObject({ risk_level: 'none', risk_at: null })
  })
})
