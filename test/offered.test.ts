import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MOST_GRANTS } from '../packages/server/src/directory/offered.ts'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, holdNextMint, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const API = { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write'], cae: true, clientSecret: SECRET }
const file = (api: object = {}, groups: Record<string, string[]> = {}) =>
  JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    groups: [{ displayName: 'staff' }],
    users: ['alice', 'bob'].map((one) => ({
      ...{ userPrincipalName: `${one}@contoso.test`, displayName: one, password: PASSWORD, groups: groups[one] ?? [] },
    })),
    applications: [
      { ...API, ...api },
      { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
      {
        ...{ appId: 'files-native', type: 'native', redirectUris: ['http://localhost'] },
        permissions: ['api://files/Files.Read', 'api://files/Files.Write', 'api://mail/Mail.Read'],
      },
      ...['nightly', 'writer'].map((appId) => ({
        ...{ appId, type: 'daemon', clientSecret: SECRET },
        permissions: [appId === 'writer' ? 'api://files/Files.Write' : 'api://files/Files.Read'],
      })),
    ],
  })

let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ tenant: file() })
})
afterAll(() => loop.close())

const apply = async (api: object = {}, groups: Record<string, string[]> = {}) => {
  const before = (await loop.server.store.position(loop.tenant)).seq
  await loop.server.apply(file(api, groups))
  const rows = await loop.server.store.db.selectFrom('events').select(['type', 'payload', 'subject']).where('seq', '>', before).execute()
  return rows.map(({ type, payload, subject }) => ({
    type: type.split('/').at(-1),
    payload: JSON.parse(payload),
    complex: JSON.parse(subject).complex,
  }))
}
const dead = async (guard: Awaited<ReturnType<Loop['guard']>>, token: string) =>
  eventually(
    async () => (await verdictOf(guard, token)).allowed,
    (allowed) => !allowed,
  )
const alive = async (guard: Awaited<ReturnType<Loop['guard']>>, token: string) =>
  expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })

describe('an edit of what an API offers', () => {
  it('that adds an optional claim costs those who have its tokens one silent refresh, and nobody else anything', async () => {
    const [files, mail] = [await loop.guard(), await loop.guard({ audience: 'api://mail', clientId: 'mail-api' })]
    const [alice, bob] = [
      createFlow(loop, { capable: true }),
      createFlow(loop, { capable: true, username: 'bob@contoso.test', scope: 'api://mail/Mail.Read openid' }),
    ]
    const [hers, his] = [await alice.tokens(), await bob.tokens()]
    const daemon = await loop.daemonToken('nightly', 'api://files/.default')
    const { oid } = claimsOf(hers.accessToken)
    const published = await apply({ optionalClaims: ['upn', 'email', 'login_hint', 'groups'] })
    const named = { upn: 'alice@contoso.test', email: 'alice@contoso.test', login_hint: 'alice@contoso.test', groups: [] }
    expect(published).toMatchObject([
      { type: 'token-claims-change', payload: { claims: named }, complex: { user: { sub: oid }, application: { id: 'files-native' } } },
    ])
    await dead(files, hers.accessToken)
    await alive(mail, his.accessToken)
    await alive(files, daemon)
    const next = (await alice.refresh(hers.refreshToken)).body
    await alive(files, String(next.access_token))
    expect(claimsOf(String(next.access_token))).toMatchObject(named)

    expect(await apply({ optionalClaims: ['upn', 'email', 'login_hint', 'groups'] })).toEqual([])
    expect(await apply({ optionalClaims: ['groups'] })).toMatchObject([{ payload: { claims: { upn: 'alice@contoso.test' } } }])
    await dead(files, String(next.access_token))
    expect(claimsOf(String((await alice.refresh(String(next.refresh_token))).body.access_token))).not.toHaveProperty('upn')
    await apply()
  })

  it('that withdraws a scope reaches those who hold it; one more scope reaches nobody', async () => {
    const guard = await loop.guard()
    const both = createFlow(loop, { capable: true, scope: 'api://files/Files.Read api://files/Files.Write openid offline_access' })
    const [writes, reads] = [await both.tokens(), await createFlow(loop, { capable: true, username: 'bob@contoso.test' }).tokens()]
    const [writer, reader] = [await loop.daemonToken('writer', 'api://files/.default'), await loop.daemonToken('nightly', 'api://files/.default')]
    expect(await apply({ scopes: ['Files.Read', 'Files.Write', 'Files.Delete'] })).toEqual([])
    const published = await apply({ scopes: ['Files.Read'] })
    expect(published).toMatchObject([
      { type: 'token-claims-change', payload: { claims: { scp: 'Files.Read' } }, complex: { application: { id: 'files-native' } } },
      { type: 'session-revoked', payload: { caegis_depth: 'access' }, complex: { application: { id: 'writer' } } },
    ])
    await dead(guard, writes.accessToken)
    await dead(guard, writer)
    await alive(guard, reads.accessToken)
    await alive(guard, reader)
    expect(await both.refresh(writes.refreshToken, { scope: `${SCOPE} openid` })).toMatchObject({ status: 200 })
    expect(
      (await loop.token({ grant_type: 'client_credentials', client_id: 'writer', client_secret: SECRET, scope: 'api://files/.default' })).status,
    ).toBe(400)
    await apply()
  })

  it('that disables it, or takes it out of continuous access evaluation, reaches all of its tokens', async () => {
    for (const [api, code] of [
      [{ enabled: false }, 400],
      [{ enabled: true, cae: false }, 200],
    ] as const) {
      await apply({ enabled: true })
      const guard = await loop.guard()
      const flow = createFlow(loop, { capable: true })
      const { accessToken, refreshToken } = await flow.tokens()
      const daemon = await loop.daemonToken('nightly', 'api://files/.default')
      const { body } = await loop.token({
        ...{ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' },
        claims: '{"access_token":{"xms_cc":{"values":["cp1"]}}}',
      })
      const published = await apply(api)
      expect(published.some(({ complex }) => complex.application?.id === 'files-native' && complex.user)).toBe(true)
      expect(published.some(({ complex }) => complex.application?.id === 'nightly')).toBe(true)
      // A9: nobody gets another token for an API that is disabled; one whose tokens cannot be taken back any more still gives out short ones.
      const says = published.find(({ complex }) => complex.application?.id === 'files-native')
      expect(says?.payload.caegis_depth).toBe(api.enabled ? 'claims' : undefined)
      expect((await flow.refresh(refreshToken)).status).toBe(code)
      // Its own streams ended with it where it was disabled; introspection of others still tells what the rows say.
      if (api.enabled) {
        await dead(guard, accessToken)
        await dead(guard, String(body.access_token))
        expect(await verdictOf(guard, daemon)).toMatchObject({ allowed: true })
      }
    }
    await apply({ enabled: true })
  })

  it('A4: decides a mint again that it races with, also where nobody holds a token yet that could be cut off', async () => {
    const { db } = loop.server.store
    const forgetTokens = async () => {
      await db.updateTable('grants').set({ tokens_until: 0 }).execute()
      await db.updateTable('applications').set({ tokens_until: 0 }).execute()
    }
    await forgetTokens()
    const flow = createFlow(loop, { capable: true, username: 'bob@contoso.test' })
    const code = await flow.code()
    const mint = holdNextMint(loop)
    const answer = flow.redeem(code)
    await mint.held
    await apply({ optionalClaims: ['upn'] })
    mint.release()
    expect(claimsOf(String((await answer).body.access_token))).toMatchObject({ upn: 'bob@contoso.test' })

    await forgetTokens()
    const second = holdNextMint(loop)
    const daemon = loop.token({ grant_type: 'client_credentials', client_id: 'writer', client_secret: SECRET, scope: 'api://files/.default' })
    await second.held
    await apply({ scopes: ['Files.Read'] })
    second.release()
    expect((await daemon).status).toBe(400)
    await apply()
  })

  it('A4: so does a change of membership, also of somebody who never had a token', async () => {
    await apply({ optionalClaims: ['groups'] }, {})
    for (const who of ['alice', 'bob']) {
      const { db } = loop.server.store
      if (who === 'bob') await db.updateTable('users').set({ last_iat: 0 }).where('upn_key', '=', 'bob@contoso.test').execute()
      const flow = createFlow(loop, { capable: true, username: `${who}@contoso.test` })
      const code = await flow.code()
      const mint = holdNextMint(loop)
      const answer = flow.redeem(code)
      await mint.held
      await apply({ optionalClaims: ['groups'] }, { [who]: ['staff'] })
      mint.release()
      const { body } = await answer
      expect((claimsOf(String(body.access_token)).groups as string[]).length).toBe(1)
      await apply({ optionalClaims: ['groups'] }, {})
    }
    await apply()
  })

  it('says that there are too many groups where they do not fit', async () => {
    const { db } = loop.server.store
    const { id: user } = await db.selectFrom('users').select('id').where('upn_key', '=', 'alice@contoso.test').executeTakeFirstOrThrow()
    const { version } = await db.selectFrom('users').select('version').where('id', '=', user).executeTakeFirstOrThrow()
    const names = Array.from({ length: 201 }, (_, n) => `group-${String(n).padStart(3, '0')}`)
    for (const id of names) await db.insertInto('groups').values({ tenant: loop.tenant, id, display_name: id }).execute()
    const join = (ids: string[]) =>
      db
        .insertInto('members')
        .values(ids.map((group_id) => ({ tenant: loop.tenant, group_id, user_id: user })))
        .execute()
    await apply({ optionalClaims: ['groups'] })
    await join(names.slice(0, 200))
    await db
      .updateTable('users')
      .set({ version: version + 1 })
      .where('id', '=', user)
      .execute()
    expect(claimsOf((await createFlow(loop, { capable: true }).tokens()).accessToken)).toMatchObject({ groups: names.slice(0, 200) })
    await join(names.slice(200))
    const over = claimsOf((await createFlow(loop, { capable: true }).tokens()).accessToken)
    expect(over).toMatchObject({ hasgroups: true })
    expect(over).not.toHaveProperty('groups')
    await db.deleteFrom('members').where('user_id', '=', user).execute()
    await apply()
  })

  it('asks whole applications again where too many are concerned to name each', async () => {
    const { db } = loop.server.store
    const guard = await loop.guard()
    const { accessToken } = await createFlow(loop, { capable: true }).tokens()
    const until = Math.floor(Date.now() / 1000) + 3600
    const rows = Array.from({ length: MOST_GRANTS }, (_, n) => ({
      ...{ tenant: loop.tenant, user_id: `nobody-${n}`, app_id: 'files-native', scopes: JSON.stringify([SCOPE]), created_at: 0, tokens_until: until },
    }))
    await db.insertInto('grants').values(rows).execute()
    const published = await apply({ optionalClaims: ['upn'] })
    expect(published).toMatchObject([
      { type: 'session-revoked', payload: { caegis_depth: 'claims' }, complex: { application: { id: 'files-native' } } },
    ])
    await dead(guard, accessToken)
    await db.deleteFrom('grants').where('user_id', 'like', 'nobody-%').execute()
    await apply()
  })
})
