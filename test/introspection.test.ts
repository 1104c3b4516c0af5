import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TOKENS_OF_OWNER, TOKENS_OF_SESSION } from '../packages/server/src/directory/sessions.ts'
import { createFlow } from './flow.ts'
import { createForge } from './forge.ts'
import { claimsOf, eventually, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop()
})
afterAll(() => loop.close())

const post = async (path: string, form: Record<string, string>) => {
  const response = await fetch(`${loop.authority}/oauth2/v2.0/${path}`, { method: 'POST', body: new URLSearchParams(form) })
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
}
const FILES = { client_id: 'files-api', client_secret: SECRET }
const introspect = (token: string, credentials: Record<string, string> = FILES) => post('introspect', { token, ...credentials })
const revoke = (token: string, clientId = 'files-native') => post('revoke', { token, client_id: clientId })
const isActive = async (token: string) => (await introspect(token)).body.active
const eventsOf = async () => {
  const rows = await loop.server.store.db
    .selectFrom('events')
    .select(['subject', 'payload'])
    .where('tenant', '=', loop.tenant)
    .orderBy('seq')
    .execute()
  return rows.map(({ subject, payload }) => ({ subject: JSON.parse(subject), payload: JSON.parse(payload) }))
}

describe('introspection (RFC 7662)', () => {
  it('tells an API what a token for it says, and nobody else anything', async () => {
    const { accessToken, refreshToken } = await createFlow(loop).tokens()
    const { sub, iat, exp, scp, client_id } = claimsOf(accessToken)
    expect(await introspect(accessToken)).toMatchObject({ status: 200, body: { active: true, token_type: 'Bearer', sub, iat, exp, scp, client_id } })
    expect((await introspect(accessToken, { client_id: 'mail-api', client_secret: SECRET })).body).toEqual({ active: false })
    expect((await introspect(accessToken, { client_id: 'nightly', client_secret: SECRET })).body).toEqual({ active: false })
    expect((await introspect(accessToken, { client_id: 'files-native' })).status).toBe(401)
    expect((await introspect(accessToken, { client_id: 'files-api', client_secret: `${SECRET}!` })).status).toBe(401)
    expect((await introspect(refreshToken)).body).toEqual({ active: false })
    const forge = await createForge(loop)
    for (const wrong of [
      'x',
      `${accessToken}x`,
      forge.like(accessToken, { exp: 1_600_000_000 }),
      forge.like(accessToken, { iss: 'https://else.test' }),
    ]) {
      expect((await introspect(wrong)).body).toEqual({ active: false })
    }
    // A header of another type is another token: an ID token opens nothing here.
    expect((await introspect(forge.like(accessToken, {}, { typ: 'JWT' }))).body).toEqual({ active: false })
  })

  it('A3: never says active for what a guard refuses: user, session and application cut off, at both depths', async () => {
    const guard = await loop.guard()
    const { directory, store } = await insides()
    const actor = { kind: 'system', reason: 'test' } as const
    const refused = async (token: string, change: () => Promise<unknown>) => {
      expect(await isActive(token)).toBe(true)
      await change()
      expect(await isActive(token)).toBe(false)
      await eventually(
        async () => (await verdictOf(guard, token)).allowed,
        (allowed) => !allowed,
      )
      // Everything that guards are given is gone, the rows are not.
      await store.db.deleteFrom('cutoffs').execute()
      expect(await isActive(token)).toBe(false)
    }
    const bob = () => createFlow(loop, { capable: true, username: 'bob@contoso.test' }).tokens()
    let tokens = await bob()
    await refused(tokens.accessToken, () => directory.revokeSessions(actor, 'bob@contoso.test'))
    tokens = await bob()
    await refused(tokens.accessToken, () => directory.update(actor, 'bob@contoso.test', { roles: ['admin'] }))
    tokens = await bob()
    await refused(tokens.accessToken, () => directory.revokeSession(actor, String(claimsOf(tokens.accessToken).sid), 'test'))
    tokens = await bob()
    await refused(tokens.accessToken, () =>
      store.commit(directory.changes.reevaluateSession(actor, String(claimsOf(tokens.accessToken).sid), 'test')),
    )
    tokens = await bob()
    await refused(tokens.accessToken, () => directory.update(actor, 'bob@contoso.test', { enabled: false }))
    await directory.update(actor, 'bob@contoso.test', { enabled: true })
  })
})

describe('revocation (RFC 7009)', () => {
  it('one access token: every API refuses it, its siblings and the refresh token live on', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop)
    const first = await flow.tokens()
    const sibling = String((await flow.refresh(first.refreshToken)).body.access_token)
    expect((await revoke(first.accessToken)).status).toBe(200)
    expect(await isActive(first.accessToken)).toBe(false)
    await eventually(
      async () => (await verdictOf(guard, first.accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect((await verdictOf(guard, sibling)).allowed).toBe(true)
    expect(await isActive(sibling)).toBe(true)
    expect((await flow.refresh(first.refreshToken)).status).toBe(200)
    const { jti, exp } = claimsOf(first.accessToken)
    const jwtId = { format: 'jwt_id', iss: loop.issuer, jti }
    const [last] = (await eventsOf()).slice(-1)
    expect(last?.subject).toEqual({ simple: jwtId, complex: jwtId })
    expect(last?.payload).toMatchObject({ caegis_until: exp, caegis_depth: 'access', initiating_entity: 'user' })
    // Again: nothing more happens, and nobody is told anything else.
    const before = (await eventsOf()).length
    expect((await revoke(first.accessToken)).status).toBe(200)
    expect((await eventsOf()).length).toBe(before)
  })

  it('a refresh token: its lineage ends, the access tokens with it, the browser session does not', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop)
    const { accessToken, refreshToken } = await flow.tokens()
    expect((await revoke(refreshToken)).status).toBe(200)
    expect(await isActive(accessToken)).toBe(false)
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect((await flow.refresh(refreshToken)).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
    // Single sign-on still works: the same browser gets new tokens without a password.
    const again = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect(await isActive((await again.tokens()).accessToken)).toBe(true)
  })

  it("another client's token is refused, what is unknown is none of anybody's business", async () => {
    const { accessToken, refreshToken } = await createFlow(loop).tokens()
    for (const token of [accessToken, refreshToken]) {
      expect(await revoke(token, 'caegis-cli')).toMatchObject({ status: 400, body: { error: 'unauthorized_client' } })
    }
    expect(await isActive(accessToken)).toBe(true)
    expect((await revoke('unknown')).status).toBe(200)
    expect((await revoke(accessToken, 'nobody')).status).toBe(401)
    expect((await post('revoke', { client_id: 'files-native' })).status).toBe(400)
  })

  it('an administrator revokes by id alone until guards would have too much to remember', async () => {
    const guard = await loop.guard()
    const { accessToken } = await createFlow(loop).tokens()
    const revokeId = (id: string) => loop.graph('POST', '/caegis/tokens/revoke', { id })
    expect((await revokeId(String(claimsOf(accessToken).jti))).status).toBe(204)
    expect(await isActive(accessToken)).toBe(false)
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    // What is none of ours would take the room of one that is.
    for (const id of ['made-up', 'x'.repeat(44)]) expect((await revokeId(id)).status).toBe(400)
    // Once more is no more to remember.
    expect((await revokeId(String(claimsOf(accessToken).jti))).status).toBe(204)
    const { store } = loop.server
    const [mine] = await store.db.selectFrom('revoked_tokens').selectAll().where('owner', '=', 'unknown').execute()
    const others = Array.from({ length: 58 }, (_, n) => ({ ...(mine as NonNullable<typeof mine>), jti: `unknown-${n}` }))
    await store.db.insertInto('revoked_tokens').values(others).execute()
    expect((await revokeId('the-last'.padEnd(43, '-'))).status).toBe(204)
    const refused = await revokeId('one-more'.padEnd(43, '-'))
    expect(refused.status).toBe(400)
    expect(((await refused.json()) as { error: { message: string } }).error.message).toContain('give the tokens themselves')
    const { accessToken: next } = await createFlow(loop).tokens()
    expect((await loop.graph('POST', '/caegis/tokens/revoke', { token: next })).status).toBe(204)
    expect(await isActive(next)).toBe(false)
    for (const body of [
      {},
      { id: '' },
      { id: 'a b' },
      { id: 'made-up' },
      { id: 'x'.repeat(44) },
      { id: 'x', token: next },
      { token: `${next}x` },
      undefined,
    ])
      expect((await loop.graph('POST', '/caegis/tokens/revoke', body)).status).toBe(400)
  })

  it('A8(e): too many single tokens widen to the session, then to the user; none is dropped', async () => {
    const { directory } = await insides()
    const actor = { kind: 'system', reason: 'test' } as const
    const one = await createFlow(loop, { username: 'bob@contoso.test' }).tokens()
    const { sub, sid, iat, exp } = claimsOf(one.accessToken)
    const forge = await createForge(loop)
    const before = (await kinds()).length
    const token = (jti: string, session: string) => ({ jti, iat, exp, appId: 'files-native', user: String(sub), sid: session })
    for (let n = 0; n <= TOKENS_OF_SESSION; n++) await directory.revokeToken(actor, token(`many-${n}`, String(sid)), 'test')
    expect((await kinds()).slice(before).filter((kind) => kind === 'jwt_id')).toHaveLength(TOKENS_OF_SESSION)
    expect((await kinds()).at(-1)).toBe('session')
    for (let n = 0; n <= TOKENS_OF_OWNER; n++) await directory.revokeToken(actor, token(`more-${n}`, `session-${n}`), 'test')
    expect((await kinds()).slice(before).filter((kind) => kind === 'jwt_id')).toHaveLength(TOKENS_OF_OWNER)
    expect((await kinds()).at(-1)).toBe('user')
    for (const jti of [`many-${TOKENS_OF_SESSION}`, 'more-0', `more-${TOKENS_OF_OWNER}`])
      expect(await isActive(forge.like(one.accessToken, { jti }))).toBe(false)
    // Depth access: it costs one silent refresh.
    const flow = createFlow(loop, { username: 'bob@contoso.test' })
    expect((await flow.refresh(one.refreshToken)).status).toBe(200)
  })
})

async function kinds(): Promise<string[]> {
  return (await eventsOf()).map(({ subject: { complex } }) => (complex.format === 'jwt_id' ? 'jwt_id' : complex.session ? 'session' : 'user'))
}

async function insides() {
  const { createDirectory } = await import('../packages/server/src/directory/directory.ts')
  const { store } = loop.server
  return { store, directory: createDirectory(store, loop.tenant, loop.issuer) }
}
