import { readClaimsChallenge } from '@caegis/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

interface Wanted {
  alice?: string[]
  bob?: string[]
  inner?: string[]
}

/** Readers hold staff, and staff may write: a member of staff is both. */
const file = ({ alice = [], bob = ['visitors'], inner = ['staff'] }: Wanted = {}) =>
  JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    groups: [{ displayName: 'staff' }, { displayName: 'readers', groups: inner }, { displayName: 'visitors' }],
    users: [
      { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD, groups: alice },
      { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD, groups: bob },
      ...['carol', 'dave'].map((one) => ({ userPrincipalName: `${one}@contoso.test`, displayName: one, password: PASSWORD, groups: alice })),
    ],
    applications: [
      {
        ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        optionalClaims: ['groups', 'upn'],
        permissions: ['api://mail/Mail.Read'],
        appRoles: [
          { value: 'Reader', groups: ['readers'] },
          { value: 'Owner', users: ['bob@contoso.test'] },
        ],
      },
      { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
      { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/GroupMember.ReadWrite.All', 'graph/User.RevokeSessions.All'] },
      { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    ],
  })

describe('what tokens say of memberships', () => {
  let loop: Loop
  let group: Record<string, string>
  const seq = async () => (await loop.server.store.position(loop.tenant)).seq
  const events = async (after: number) => loop.server.store.db.selectFrom('events').selectAll().where('seq', '>', after).execute()

  beforeAll(async () => {
    loop = await startLoop({ tenant: file() })
    const rows = await loop.server.store.db.selectFrom('groups').selectAll().execute()
    group = Object.fromEntries(rows.map((one) => [one.display_name, one.id]))
  })
  afterAll(() => loop.close())

  it('A1: a new membership costs one silent refresh, which brings the new claims; who is not concerned notices nothing', async () => {
    const guard = await loop.guard()
    const [alice, bob] = [loop.person('alice'), loop.person('bob')]
    const [old, others] = [await alice.signIn(), await bob.signIn()]
    expect(claimsOf(old)).toMatchObject({ groups: [], upn: 'alice@contoso.test' })
    expect(claimsOf(old)).not.toHaveProperty('roles')
    expect(claimsOf(others)).toMatchObject({ groups: [group.visitors], roles: ['Owner'] })

    const before = await seq()
    await loop.server.apply(file({ alice: ['staff'] }))
    const denied = await eventually(
      () => verdictOf(guard, old),
      (verdict) => !verdict.allowed,
    )
    if (denied.allowed) throw new Error('unreachable')
    const fresh = await alice.silent(readClaimsChallenge(denied.headers['WWW-Authenticate'])?.claims)
    const groups = [group.staff, group.readers].sort()
    expect(await verdictOf(guard, fresh)).toMatchObject({ allowed: true, claims: { groups, roles: ['Reader'] } })
    expect(await verdictOf(guard, others)).toMatchObject({ allowed: true })

    // Carol and Dave came into the group too, but there is no token of theirs to take back.
    const published = await events(before)
    expect(published.map(({ type }) => type.split('/').at(-1))).toEqual(['token-claims-change'])
    expect(JSON.parse(published[0]?.payload as string)).toMatchObject({ claims: { groups, roles: ['Reader'] } })
    const cutoffs = await loop.server.store.db.selectFrom('cutoffs').select(['kind', 'id', 'depth']).execute()
    expect(cutoffs).toEqual([{ kind: 'user', id: claimsOf(old).oid, depth: 'claims' }])

    await loop.server.apply(file({ alice: ['staff'] }))
    expect(await seq()).toBe(before + 1)
  })

  it('A9: a token without cp1 survives the edit, at a guard, at introspection and on behalf of; a revocation ends it, and its next one says what is true', async () => {
    const guard = await loop.guard()
    const capable = await loop.person('bob').signIn()
    const flow = createFlow(loop, { username: 'bob@contoso.test' })
    const { accessToken: plain, refreshToken } = await flow.tokens()
    expect(claimsOf(plain)).not.toHaveProperty('xms_cc')
    const active = async (token: string) => {
      const body = new URLSearchParams({ token, client_id: 'files-api', client_secret: SECRET })
      return (await (await fetch(`${loop.authority}/oauth2/v2.0/introspect`, { method: 'POST', body })).json()) as { active: boolean }
    }
    const onBehalf = (assertion: string) =>
      loop.token({
        ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', assertion },
        ...{ client_id: 'files-api', client_secret: SECRET, scope: 'api://mail/Mail.Read' },
      })
    await loop.server.apply(file({ bob: ['staff'] }))
    await eventually(
      () => verdictOf(guard, capable),
      (verdict) => !verdict.allowed,
    )
    expect(await verdictOf(guard, plain)).toMatchObject({ allowed: true })
    // A guard that starts now learns it from the snapshot.
    const late = await loop.guard()
    expect([await verdictOf(late, capable), await verdictOf(late, plain)]).toMatchObject([{ allowed: false, code: 'revoked' }, { allowed: true }])
    expect([await active(capable), await active(plain)]).toMatchObject([{ active: false }, { active: true }])
    expect([await onBehalf(capable), await onBehalf(plain)]).toMatchObject([{ status: 400 }, { status: 200 }])
    // The rows alone say the same.
    await loop.server.store.db.deleteFrom('cutoffs').execute()
    expect([await active(capable), await active(plain)]).toMatchObject([{ active: false }, { active: true }])

    const answer = await flow.refresh(refreshToken)
    expect(claimsOf(String(answer.body.access_token))).toMatchObject({ groups: [group.staff, group.readers].sort() })
    expect((await loop.graph('POST', `/users/${claimsOf(plain).oid}/revokeSignInSessions`)).status).toBe(200)
    for (const one of [guard, late]) {
      await eventually(
        () => verdictOf(one, plain),
        (verdict) => !verdict.allowed,
      )
    }
    expect(await active(plain)).toMatchObject({ active: false })
    expect(await onBehalf(plain)).toMatchObject({ status: 400 })
    await loop.server.apply(file({ alice: ['staff'] }))
  })

  it('a group that leaves a group takes its members along, by the admin API too', async () => {
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect(claimsOf(token)).toMatchObject({ roles: ['Reader'] })
    const bob = await loop.person('bob').signIn()

    expect((await loop.graph('DELETE', `/groups/${group.readers}/members/${group.staff}/$ref`)).status).toBe(204)
    const denied = await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    if (denied.allowed) throw new Error('unreachable')
    const fresh = claimsOf(await alice.silent(readClaimsChallenge(denied.headers['WWW-Authenticate'])?.claims))
    expect(fresh).toMatchObject({ groups: [group.staff] })
    expect(fresh).not.toHaveProperty('roles')
    expect(await verdictOf(guard, bob)).toMatchObject({ allowed: true })
  })

  it('groups in a circle end, and what changes nobody is not published', async () => {
    const add = (to: string, member: string) =>
      loop.graph('POST', `/groups/${to}/members/$ref`, { '@odata.id': `${loop.origin}/v1.0/directoryObjects/${member}` })
    await loop.server.apply(file({ alice: ['staff'] }))
    expect((await add(String(group.staff), String(group.readers))).status).toBe(204)
    expect(claimsOf(await loop.person('alice').signIn()).groups).toEqual([group.staff, group.readers].sort())
    const before = await seq()
    expect((await add(String(group.staff), String(group.readers))).status).toBe(204)
    expect(await seq()).toBe(before)
    expect((await add('00000000-0000-0000-0000-000000000000', String(group.staff))).status).toBe(404)
  })
})
