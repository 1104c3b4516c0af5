import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop()
})
afterAll(() => loop.close())

const revokeAll = (upn: string) => loop.graph('POST', `/users/${upn}/revokeSignInSessions`)

describe('a code that is presented again', () => {
  it('ends what came of it, access tokens included; the browser session and other clients live on', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop)
    const { accessToken, refreshToken, code } = await flow.tokens()
    const later = String((await flow.refresh(refreshToken)).body.access_token)
    expect((await verdictOf(guard, later)).allowed).toBe(true)
    expect((await flow.redeem(code)).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
    for (const token of [accessToken, later])
      await eventually(
        async () => (await verdictOf(guard, token)).allowed,
        (allowed) => !allowed,
      )
    expect((await flow.refresh(refreshToken)).status).toBe(400)
    // Nobody has to type a password for it.
    const again = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect((await verdictOf(guard, (await again.tokens()).accessToken)).allowed).toBe(true)
  })

  it('without its verifier, or by another client, ends nothing: anybody may have seen it pass', async () => {
    const guard = await loop.guard()
    const flow = createFlow(loop)
    const { accessToken, refreshToken, code } = await flow.tokens()
    expect((await flow.redeem(code, { code_verifier: 'x'.repeat(43) })).status).toBe(400)
    expect((await flow.redeem(code, { client_id: 'caegis-cli' })).status).toBe(400)
    expect((await flow.refresh(refreshToken)).status).toBe(200)
    expect((await verdictOf(guard, accessToken)).allowed).toBe(true)
  })
})

describe('what ends because of a request', () => {
  it('ends with its answer or not at all: a kill between both leaves neither', async () => {
    const { store } = loop.server
    const flow = createFlow(loop)
    const { accessToken, refreshToken } = await flow.tokens()
    const count = async () => (await store.db.selectFrom('events').select('id').execute()).length
    const before = await count()
    const handBack = (token: string) =>
      fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body: new URLSearchParams({ client_id: 'files-native', token }) })
    const real = store.transaction
    // Everything has been written; the last thing that the database hears is that it was for nothing.
    store.transaction = (lock, work) =>
      real(lock, async (db, clock) => {
        await work(db, clock)
        throw new Error('killed')
      })
    for (const token of [refreshToken, accessToken]) expect((await handBack(token)).status).toBe(500)
    store.transaction = real
    expect(await count()).toBe(before)
    expect((await flow.refresh(refreshToken)).status).toBe(200)
    // And the other way: once it is answered nothing is left to be done.
    const commit = store.commit
    store.commit = () => Promise.reject(new Error('killed'))
    try {
      for (const token of [accessToken, refreshToken]) expect((await handBack(token)).status).toBe(200)
    } finally {
      store.commit = commit
    }
    expect(await count()).toBe(before + 2)
  })
})

describe('A3: what a revocation ends', () => {
  it('a refresh token that was rotated after it is as dead as its sign-in', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    const next = String((await flow.refresh(refreshToken)).body.refresh_token)
    await revokeAll('alice@contoso.test')
    for (const token of [refreshToken, next]) {
      const { status, body } = await flow.refresh(token)
      expect({ status, error: body.error, codes: body.error_codes }).toEqual({ status: 400, error: 'interaction_required', codes: [50173] })
    }
  })

  it('the cookie of a browser session asks for the password again', async () => {
    const flow = createFlow(loop)
    await flow.tokens()
    await revokeAll('alice@contoso.test')
    const silent = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('error')).toBe('login_required')
    const fresh = createFlow(loop, { browser: flow.browser })
    expect(claimsOf((await fresh.tokens()).accessToken).aud).toBe('api://files')
  })
})

describe('what an administrator sees and ends', () => {
  const listed = async (path: string) => ((await (await loop.graph('GET', path)).json()) as { value: Record<string, string>[] }).value

  it('one browser session of a user, not the others', async () => {
    const guard = await loop.guard()
    const one = createFlow(loop, { username: 'bob@contoso.test' })
    const other = createFlow(loop, { username: 'bob@contoso.test' })
    const [first, second] = [await one.tokens(), await other.tokens()]
    const sid = String(claimsOf(first.accessToken).sid)
    const ids = async () => (await listed('/caegis/users/bob@contoso.test/sessions')).map(({ id }) => id)
    expect(await ids()).toEqual(expect.arrayContaining([sid, claimsOf(second.accessToken).sid]))
    const answer = await loop.graph('POST', `/caegis/sessions/${sid}/revoke`)
    expect(answer.status).toBe(204)
    expect(answer.headers.get('caegis-txn')).toBeTruthy()
    await eventually(
      async () => (await verdictOf(guard, first.accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect((await one.refresh(first.refreshToken)).body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
    expect(await ids()).not.toContain(sid)
    expect((await verdictOf(guard, second.accessToken)).allowed).toBe(true)
    expect((await other.refresh(second.refreshToken)).status).toBe(200)
    expect((await loop.graph('POST', '/caegis/sessions/nothing/revoke')).status).toBe(404)
  })

  it('A3: what one application holds of a user: its tokens and refresh tokens end, other applications and the browser session live on', async () => {
    const guard = await loop.guard()
    const files = createFlow(loop)
    const first = await files.tokens()
    const cliScope = `${loop.origin}/User.Read openid profile offline_access`
    const cli = createFlow(loop, { clientId: 'caegis-cli', scope: cliScope, browser: files.browser })
    const second = await cli.tokens()
    const grants = await listed('/users/alice@contoso.test/oauth2PermissionGrants')
    const mine = grants.find(({ clientId }) => clientId === 'files-native')
    expect(mine).toMatchObject({ consentType: 'Principal', principalId: claimsOf(first.accessToken).sub, scope: 'api://files/Files.Read' })
    expect(grants.map(({ clientId }) => clientId)).toContain('caegis-cli')
    const half = createFlow(loop, { browser: files.browser })
    const code = await half.code()
    expect((await loop.graph('DELETE', `/oauth2PermissionGrants/${mine?.id}`)).status).toBe(204)
    await eventually(
      async () => (await verdictOf(guard, first.accessToken)).allowed,
      (allowed) => !allowed,
    )
    const introspected = await fetch(`${loop.authority}/oauth2/v2.0/introspect`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'files-api', client_secret: SECRET, token: first.accessToken }),
    })
    expect(await introspected.json()).toEqual({ active: false })
    expect((await files.refresh(first.refreshToken)).body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
    expect((await half.redeem(code)).body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
    expect((await cli.refresh(second.refreshToken)).status).toBe(200)
    const silent = (clientId: string, scope?: string) =>
      createFlow(loop, { clientId, browser: files.browser, more: { prompt: 'none' }, ...(scope === undefined ? {} : { scope }) }).signIn()
    expect((await silent('caegis-cli', cliScope)).searchParams.get('code')).toBeTruthy()
    // The application itself has to ask the user, and then works at once.
    expect((await silent('files-native')).searchParams.get('error')).toBe('login_required')
    expect(await listed('/users/alice@contoso.test/oauth2PermissionGrants').then((all) => all.map(({ clientId }) => clientId))).not.toContain(
      'files-native',
    )
    // The proof of the password waits until it is after the withdrawal.
    const fresh = createFlow(loop, { browser: files.browser })
    expect((await verdictOf(guard, (await fresh.tokens()).accessToken)).allowed).toBe(true)
    const event = await loop.server.store.db.selectFrom('events').select('subject').orderBy('seq', 'desc').executeTakeFirstOrThrow()
    expect(JSON.parse(event.subject).complex).toMatchObject({ application: { format: 'opaque', id: 'files-native' } })
    expect((await loop.graph('DELETE', '/oauth2PermissionGrants/bm90aGluZw')).status).toBe(404)
  })
})
