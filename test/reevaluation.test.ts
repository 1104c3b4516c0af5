import type { Guard } from '@caegis/guard'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createFlow, type FlowOptions } from './flow.ts'
import { claimsOf, holdNextMint, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const POLICIES = '/identity/conditionalAccess/policies'
const JOBS = '/identity/conditionalAccess/reevaluations'
const PEOPLE = ['alice', 'bob', 'carol', 'dave']

let loop: Loop
let guard: Guard
let finance: string
const made: string[] = []

beforeAll(async () => {
  loop = await startLoop({
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      groups: [{ displayName: 'finance' }],
      users: PEOPLE.map((name) => ({ userPrincipalName: `${name}@contoso.test`, password: PASSWORD, groups: name === 'bob' ? ['finance'] : [] })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
        { appId: 'backup', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default'] },
      ],
    }),
  })
  guard = await loop.guard()
  const groups = (await (await loop.graph('GET', "/groups?$filter=displayName eq 'finance'")).json()) as { value: { id: string }[] }
  finance = groups.value[0]?.id as string
})
afterAll(() => loop.close())
afterEach(async () => {
  for (const id of made.splice(0)) await loop.graph('DELETE', `${POLICIES}/${id}`)
  await expect.poll(running).toEqual([])
})

const running = () => loop.server.store.db.selectFrom('reevaluations').select('id').where('state', '=', 'running').execute()
const flow = (who: string, more: FlowOptions = {}) => createFlow(loop, { username: `${who}@contoso.test`, capable: true, ...more })
const say = async (token: string) => {
  const verdict = await verdictOf(guard, token)
  return verdict.allowed ? 'allowed' : `${verdict.status} ${verdict.code}`
}
const block = { grantControls: { operator: 'OR', builtInControls: ['block'] } }

/** Adds a policy for all applications; returns the txn of the edit. */
async function add(conditions: object, more: object = block): Promise<string> {
  const body = {
    displayName: `p${made.length} ${Date.now()}`,
    state: 'enabled',
    conditions: { applications: { includeApplications: ['All'] }, ...conditions },
    ...more,
  }
  const response = await loop.graph('POST', POLICIES, body)
  const { id } = (await response.json()) as { id: string }
  expect(response.status).toBe(201)
  made.push(id)
  return response.headers.get('caegis-txn') as string
}
const done = async (txn: string) => {
  const job = async () => (await loop.graph('GET', `${JOBS}/${txn}`)).json() as Promise<Record<string, unknown>>
  await expect.poll(job).toMatchObject({ state: 'done' })
  return job()
}

describe('an edit of a policy', () => {
  it('B12: is refused at the APIs to those it concerns, within moments, and costs nobody else anything', async () => {
    const alice = await flow('alice').tokens()
    const bob = await flow('bob').tokens()
    expect([await say(alice.accessToken), await say(bob.accessToken)]).toEqual(['allowed', 'allowed'])
    const txn = await add({ users: { includeGroups: [finance] } })
    await expect.poll(() => say(bob.accessToken)).toBe('401 revoked')
    const job = await done(txn)
    expect(job).toMatchObject({ id: txn, reason: 'A Conditional Access policy was added', concerned: null, changed: 1, lost: 1 })
    expect(job.total).toBe(job.done)
    expect(Date.parse(String(job.effectiveDateTime)) / 1000).toBeGreaterThanOrEqual(Number(claimsOf(bob.accessToken).iat))
    expect(await say(alice.accessToken)).toBe('allowed')
    expect((await flow('alice').refresh(alice.refreshToken)).status).toBe(200)
    expect((await flow('bob').refresh(bob.refreshToken)).body).toMatchObject({ error: 'interaction_required' })
    // The proof of a revocation tells of it too.
    const proof = await (await loop.graph('GET', `/caegis/revocations/${txn}`)).json()
    expect(proof.events).toMatchObject([{ type: 'urn:caegis:event:cutoffs' }])
    const list = (await (await loop.graph('GET', `${JOBS}?$top=1`)).json()) as { value: object[] }
    expect(list.value).toHaveLength(1)
    expect((await loop.graph('GET', `${JOBS}/nothing`)).status).toBe(404)
  })

  it('A9, B12: under which somebody is still let in spares a client that could not get past its cache', async () => {
    const [capable, plain] = [await flow('carol').tokens(), await flow('carol', { capable: false }).tokens()]
    const { id } = (await (await loop.graph('GET', '/users/carol@contoso.test')).json()) as { id: string }
    const signInFrequency = { isEnabled: true, value: 8, type: 'hours', frequencyInterval: 'timeBased' }
    const txn = await add({ users: { includeUsers: [id] } }, { sessionControls: { signInFrequency } })
    await expect.poll(() => say(capable.accessToken)).toBe('401 revoked')
    expect(await done(txn)).toMatchObject({ changed: 2, lost: 0 })
    expect(await say(plain.accessToken)).toBe('allowed')
    const fresh = await flow('carol').refresh(capable.refreshToken)
    expect(await say(String(fresh.body.access_token))).toBe('allowed')
  })

  it('D1: a sign-in that was decided before it never lands after it', async () => {
    const { refreshToken } = await flow('dave').tokens()
    const { id } = (await (await loop.graph('GET', '/users/dave@contoso.test')).json()) as { id: string }
    // Its decision is taken; what it would give out is not in any table that the edit could look at.
    const door = holdNextMint(loop)
    const late = flow('dave').refresh(refreshToken)
    await door.held
    const txn = await add({ users: { includeUsers: [id] } })
    await done(txn)
    door.release()
    expect(await late).toMatchObject({ status: 400, body: { error: 'interaction_required' } })
  })

  it('D1: reaches daemons, who have no session', async () => {
    const token = await loop.daemonToken('backup', 'api://files/.default')
    expect(await say(token)).toBe('allowed')
    const { value } = (await (await loop.graph('GET', "/servicePrincipals?$filter=appId eq 'backup'")).json()) as { value: { id: string }[] }
    const includeServicePrincipals = [value[0]?.id]
    await add({ users: { includeUsers: ['None'] }, clientApplications: { includeServicePrincipals } })
    await expect.poll(() => say(token)).toBe('401 revoked')
  })
})

describe('an edit of who somebody is', () => {
  it('D1: a membership that no token tells of is refused like a policy, also to a mint that is under way', async () => {
    await add({ users: { includeGroups: [finance] } })
    const { accessToken, refreshToken } = await flow('alice').tokens()
    const { id } = (await (await loop.graph('GET', '/users/alice@contoso.test')).json()) as { id: string }
    const door = holdNextMint(loop)
    const late = flow('alice').refresh(refreshToken)
    await door.held
    const joined = await loop.graph('POST', `/groups/${finance}/members/$ref`, { '@odata.id': `${loop.origin}/v1.0/users/${id}` })
    expect(joined.status).toBe(204)
    door.release()
    expect(await late).toMatchObject({ status: 400 })
    await expect.poll(() => say(accessToken)).toBe('401 revoked')
    expect(await done(String(joined.headers.get('caegis-txn')))).toMatchObject({
      reason: 'Memberships were changed',
      concerned: [id],
      total: 2,
      changed: 2,
    })
  })

  it('B12: what is given out under the new policy lives on, in the same second too', async () => {
    for (let i = 0; i < 3; i++) {
      const { refreshToken } = await flow('carol').tokens()
      const { id } = (await (await loop.graph('GET', '/users/carol@contoso.test')).json()) as { id: string }
      const signInFrequency = { isEnabled: true, value: 2 + i, type: 'hours', frequencyInterval: 'timeBased' }
      const txn = await add({ users: { includeUsers: [id] } }, { sessionControls: { signInFrequency } })
      const { body } = await flow('carol').refresh(refreshToken)
      await done(txn)
      const { seq } = await loop.server.store.position(loop.tenant)
      await expect.poll(() => guard.status().head?.seq ?? 0).toBeGreaterThanOrEqual(seq)
      expect(await say(String(body.access_token))).toBe('allowed')
    }
  })
})
