import { CryptoProvider, InteractionRequiredAuthError } from '@azure/msal-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { claimsOf, eventually, holdNextMint, type Loop, PASSWORD, SCOPE, startLoop, verdictOf } from './loop.ts'

/** Claims that make MSAL go past its cache and are met by any token. */
const PAST_CACHE = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'

const system = { kind: 'system', reason: 'test' } as const

describe('the fence', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(() => loop.close())

  /** Commits changes as the admin API would, without needing a token of its own at that moment. */
  const admin = async (path: string, method: string, body?: unknown) => {
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    return () =>
      fetch(`${loop.origin}/v1.0/users/${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
  }

  it('A4: a mint that is held while the revoke commits is discarded: no token, and the refresh token is still there', async () => {
    const alice = loop.person('alice')
    await alice.signIn()
    const revoke = await admin('alice@contoso.test/revokeSignInSessions', 'POST')
    const spentBefore = await consumed(loop)
    const mint = holdNextMint(loop)
    const answer = alice.silent(PAST_CACHE).then(
      (token) => ({ token }),
      (error: unknown) => ({ error }),
    )
    await mint.held
    expect((await revoke()).status).toBe(200)
    mint.release()
    const outcome = await answer
    expect(outcome).not.toHaveProperty('token')
    expect(outcome).toMatchObject({ error: expect.any(InteractionRequiredAuthError) })
    expect((outcome as { error: InteractionRequiredAuthError }).error.errorNo).toBe(50173)
    expect(await consumed(loop)).toBe(spentBefore)
  })

  it('A4: a mint that is held while the user is disabled, or gets a new password, is discarded', async () => {
    for (const body of [{ accountEnabled: false }, { passwordProfile: { password: PASSWORD } }]) {
      const bob = loop.person('bob')
      await bob.signIn()
      const edit = await admin('bob@contoso.test', 'PATCH', body)
      const mint = holdNextMint(loop)
      const answer = bob.silent(PAST_CACHE).catch((error: unknown) => error)
      await mint.held
      expect((await edit()).status).toBe(204)
      mint.release()
      expect(await answer).toBeInstanceOf(InteractionRequiredAuthError)
      await (await admin('bob@contoso.test', 'PATCH', { accountEnabled: true }))()
    }
  })

  it('A4: a mint that is held while something it was decided from is edited, without any cutoff, is decided again', async () => {
    const alice = loop.person('alice')
    await alice.signIn()
    const { db } = loop.server.store
    const mint = holdNextMint(loop)
    const answer = alice.silent(PAST_CACHE).catch((error: unknown) => error)
    await mint.held
    const app = await db.selectFrom('applications').selectAll().where('app_id', '=', 'files-native').executeTakeFirstOrThrow()
    const edit = (permissions: string, version: number) =>
      db.updateTable('applications').set({ permissions, version }).where('app_id', '=', 'files-native').execute()
    await edit('[]', app.version + 1)
    mint.release()
    expect(await answer).toMatchObject({ errorCode: 'invalid_scope' })
    await edit(app.permissions, app.version + 2)
  })

  it('A4: a mint that is held while another user is revoked passes', async () => {
    const alice = loop.person('alice')
    await alice.signIn()
    const revoke = await admin('bob@contoso.test/revokeSignInSessions', 'POST')
    const mint = holdNextMint(loop)
    const answer = alice.silent(PAST_CACHE)
    await mint.held
    await revoke()
    mint.release()
    expect(await answer).toEqual(expect.any(String))
  })

  it('A3(a): an authorization code that was issued before the revocation is worth nothing after it', async () => {
    const { code, verifier } = await freshCode(loop)
    await (await admin('alice@contoso.test/revokeSignInSessions', 'POST'))()
    const { status, body } = await redeem(loop, code, verifier)
    expect(status).toBe(400)
    expect(body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
    expect(body).not.toHaveProperty('access_token')
  })

  it('A3(b): a device code that was approved before the revocation is worth nothing after it', async () => {
    const begun = await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'files-native', scope: `${SCOPE} openid offline_access` }),
    })
    const device = (await begun.json()) as { device_code: string; user_code: string; verification_uri: string; interval: number }
    expect(device.interval).toBe(5)
    await approveDevice(device)
    await (await admin('alice@contoso.test/revokeSignInSessions', 'POST'))()
    const { status, body } = await loop.token({ grant_type: 'device_code', client_id: 'files-native', device_code: device.device_code })
    expect(status).toBe(400)
    expect(body).toMatchObject({ error: 'interaction_required', error_codes: [50173] })
  })

  it('A3(d): a sign-in that proved its password before the revocation ends at the sign-in page', async () => {
    const alice = loop.person('alice')
    const browser = createBrowser()
    const { url } = await authorizeUrl(alice)
    // The password is proved; the redirect that would complete the sign-in is not followed yet.
    const page = await browser.open(url)
    const proof = await browser.submit(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    await (await admin('alice@contoso.test/revokeSignInSessions', 'POST'))()
    const end = await browser.open(proof)
    expect(end.url.pathname).toContain('/signin/')
    expect(end.text).toContain('name="password"')
  })

  it('A3(d): a password that is changed while the old one is being proved leaves the proof behind', async () => {
    const browser = createBrowser()
    const { url } = await authorizeUrl(loop.person('bob'))
    const page = await browser.open(url)
    const change = await admin('bob@contoso.test', 'PATCH', { passwordProfile: { password: `${PASSWORD} two` } })
    const proof = holdNextMint(loop)
    const answer = browser.submit(page.url.href, { username: 'bob@contoso.test', password: PASSWORD })
    await proof.held
    expect((await change()).status).toBe(204)
    proof.release()
    // No redirect: the sign-in page again, because the password is wrong by now.
    expect(await answer).toBe(page.url.href)
    const end = await browser.submit(page.url.href, { username: 'bob@contoso.test', password: `${PASSWORD} two` })
    expect(end).toContain('/oauth2/v2.0/authorize/')
    await (await admin('bob@contoso.test', 'PATCH', { passwordProfile: { password: PASSWORD } }))()
  })

  it('A2: a refresh token stays dead for ever, however long ago the revocation was', async () => {
    let ahead = 0
    const later = await startLoop({ now: () => Date.now() + ahead })
    try {
      const alice = later.person('alice')
      await alice.signIn()
      await later.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      ahead = 40 * 3600 * 1000
      await expect(alice.silent(PAST_CACHE)).rejects.toMatchObject({ errorNo: 50173 })
    } finally {
      await later.close()
    }
  })

  it('A1: a change of depth access costs a silent refresh, one of depth sign-in a sign-in', async () => {
    const guard = await loop.guard()
    const alice = loop.person('alice')
    const token = await alice.signIn()
    const tenant = await loop.server.store.db.selectFrom('tenants').select('id').executeTakeFirstOrThrow()
    const user = await loop.server.store.db.selectFrom('users').select('id').where('upn_key', '=', 'alice@contoso.test').executeTakeFirstOrThrow()
    await loop.server.store.commit({
      tenant: tenant.id,
      actor: system,
      async edit(context) {
        context.publish({
          type: 'https://schemas.openid.net/secevent/caep/event-type/token-claims-change',
          subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss: loop.issuer, sub: user.id } } },
          payload: { claims: { groups: ['finance'] } },
          reason: 'a group edit',
          cut: { kind: 'user', id: user.id, depth: 'access' },
        })
      },
    })
    await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    const fresh = await alice.silent(PAST_CACHE)
    expect(await verdictOf(guard, fresh)).toMatchObject({ allowed: true })
  })

  it('E1: within the grace a spent refresh token leads to the same successor, and a second lineage never exists', async () => {
    const { refreshToken } = await signInRaw(loop)
    const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(loop, refreshToken)))
    expect(answers.map(({ status }) => status)).toEqual(new Array(50).fill(200))
    expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1)
    expect(answers[0]?.body.refresh_token).not.toBe(refreshToken)
  })

  it('E1: outside the grace a spent refresh token betrays the theft: the session ends', async () => {
    let ahead = 0
    const later = await startLoop({ now: () => Date.now() + ahead })
    try {
      const guard = await later.guard({ now: () => Date.now() + ahead })
      const { refreshToken, accessToken } = await signInRaw(later)
      const { body } = await refresh(later, refreshToken)
      expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
      ahead = 31_000
      expect((await refresh(later, refreshToken)).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
      const next = await refresh(later, String(body.refresh_token))
      expect(next.status).toBe(400)
      await eventually(
        () => verdictOf(guard, accessToken),
        (verdict) => !verdict.allowed,
      )
    } finally {
      await later.close()
    }
  })

  it('E1: another client cannot use the grace', async () => {
    const { refreshToken } = await signInRaw(loop)
    await refresh(loop, refreshToken)
    const { status, body } = await loop.token({ grant_type: 'refresh_token', client_id: 'caegis-cli', refresh_token: refreshToken })
    expect(status).toBe(400)
    expect(body).not.toHaveProperty('access_token')
  })

  it('I6: a claims nbf of the past never prompts, one of the near future is waited for, one beyond is a bad request', async () => {
    const { refreshToken } = await signInRaw(loop)
    const ask = (nbf: number) =>
      loop.token({
        grant_type: 'refresh_token',
        client_id: 'files-native',
        refresh_token: refreshToken,
        claims: JSON.stringify({ access_token: { nbf: { essential: true, value: String(nbf) } } }),
      })
    expect((await ask(1_600_000_000)).status).toBe(200)
    const soon = Math.floor(Date.now() / 1000) + 1
    const { status, body } = await ask(soon)
    expect(status).toBe(200)
    expect(claimsOf(String(body.access_token)).iat).toBeGreaterThanOrEqual(soon)
    expect((await ask(soon + 3600)).body).toMatchObject({ error: 'invalid_request' })
  })
})

describe('the fence and clocks', () => {
  let loop: Loop
  let ahead = 0
  beforeEach(async () => {
    ahead = 0
    loop = await startLoop({ now: () => Date.now() + ahead })
  })
  afterEach(() => loop.close())

  it('A4(iv): a revocation after the clock was set back still covers what was issued before', async () => {
    const guard = await loop.guard({ now: () => Date.now() })
    const { accessToken } = await signInRaw(loop)
    ahead = -3_600_000
    await loop.server.store.commit({
      tenant: loop.tenant,
      actor: system,
      async edit(context) {
        const { id } = await context.db.selectFrom('users').select('id').where('upn_key', '=', 'alice@contoso.test').executeTakeFirstOrThrow()
        context.publish({
          type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
          subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss: loop.issuer, sub: id } } },
          reason: 'test',
          cut: { kind: 'user', id, depth: 'sign-in' },
        })
      },
    })
    const cutoff = await loop.server.store.db.selectFrom('cutoffs').select('t').executeTakeFirstOrThrow()
    expect(cutoff.t).toBeGreaterThanOrEqual(claimsOf(accessToken).iat)
    await guard.close()
  })

  it('A4(v): a clock that fell behind a cutoff does not lock anybody out, and no token is issued at or before the cutoff', async () => {
    const db = loop.server.store.db
    const future = Math.floor(Date.now() / 1000) + 30
    await db.updateTable('users').set({ access_from: future }).where('upn_key', '=', 'alice@contoso.test').execute()
    const { accessToken } = await signInRaw(loop)
    expect(claimsOf(accessToken).iat).toBe(future + 1)
    expect(claimsOf(accessToken).exp).toBeLessThan(future + 5400)
  })
})

async function consumed(loop: Loop): Promise<number> {
  const rows = await loop.server.store.db.selectFrom('artifacts').select('version').where('model', '=', 'RefreshToken').execute()
  return rows.filter(({ version }) => version > 1).length
}

async function authorizeUrl(person: ReturnType<Loop['person']>): Promise<{ url: string; verifier: string }> {
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
  const url = await person.msal.getAuthCodeUrl({
    scopes: [SCOPE],
    redirectUri: 'http://localhost',
    codeChallenge: challenge,
    codeChallengeMethod: 'S256',
  })
  return { url, verifier }
}

async function freshCode(loop: Loop): Promise<{ code: string; verifier: string }> {
  const { url, verifier } = await authorizeUrl(loop.person('alice'))
  const end = await createBrowser().signIn(url, 'http://localhost', { username: 'alice@contoso.test', password: PASSWORD })
  return { code: end.searchParams.get('code') as string, verifier }
}

function redeem(loop: Loop, code: string, verifier: string) {
  return loop.token({ grant_type: 'authorization_code', client_id: 'files-native', code, code_verifier: verifier, redirect_uri: 'http://localhost' })
}

async function signInRaw(loop: Loop): Promise<{ accessToken: string; refreshToken: string }> {
  const { code, verifier } = await freshCode(loop)
  const { status, body } = await redeem(loop, code, verifier)
  expect(status).toBe(200)
  return { accessToken: String(body.access_token), refreshToken: String(body.refresh_token) }
}

function refresh(loop: Loop, refreshToken: string) {
  return loop.token({
    grant_type: 'refresh_token',
    client_id: 'files-native',
    refresh_token: refreshToken,
    scope: `${SCOPE} openid profile offline_access`,
  })
}

async function approveDevice(device: { user_code: string; verification_uri: string }): Promise<void> {
  const browser = createBrowser()
  const hidden = (text: string, name: string) => text.match(new RegExp(`name="${name}" value="([^"]*)"`))?.[1] as string
  const input = await browser.open(`${device.verification_uri}?user_code=${device.user_code}`)
  expect(input.text).toContain(device.user_code)
  const confirm = await browser.open(device.verification_uri, { xsrf: hidden(input.text, 'xsrf'), user_code: device.user_code })
  const signIn = await browser.open(device.verification_uri, { xsrf: hidden(confirm.text, 'xsrf'), user_code: device.user_code, confirm: 'yes' })
  const done = await browser.open(signIn.url.href, { username: 'alice@contoso.test', password: PASSWORD })
  expect(done.text).toContain('You are signed in')
}
