import type { Guard } from '@caegis/guard'
import { parseChallenges, readClaimsChallenge } from '@caegis/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { createHolder, type Holder } from './holder.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const CAPABLE = { claims: '{"access_token":{"xms_cc":{"values":["cp1"]}}}' }
const DAEMON = { grant_type: 'client_credentials', client_secret: SECRET, scope: 'api://files/.default' }
const FILES = 'https://files.test/42'

describe('tokens that are bound to a key (RFC 9449)', () => {
  let loop: Loop
  let guard: Guard
  let endpoint: string
  const holder = createHolder()
  const thief = createHolder()
  beforeAll(async () => {
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso' },
        users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD }],
        applications: [
          {
            ...{ appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
            permissions: ['api://mail/Mail.Read'],
          },
          { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
          { appId: 'files-spa', type: 'spa', redirectUris: ['https://files.test/spa'], permissions: [SCOPE] },
          { appId: 'bound-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE], dpopBoundAccessTokens: true },
          { appId: 'bound-nightly', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'], dpopBoundAccessTokens: true },
          { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Application.ReadWrite.All', 'api://files/.default'] },
        ],
      }),
    })
    endpoint = `${loop.authority}/oauth2/v2.0/token`
    guard = await loop.guard({ origin: 'https://files.test' })
  })
  afterAll(() => loop.close())

  /** A POST to the token endpoint with one proof, none, or any text in its place. */
  async function token(form: Record<string, string>, shown: Holder | string | undefined = holder) {
    const proof = typeof shown === 'object' ? shown.proof('POST', endpoint) : shown
    const headers = proof === undefined || proof === '' ? {} : { dpop: proof }
    const response = await fetch(endpoint, { method: 'POST', headers, body: new URLSearchParams(form) })
    return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, unknown> }
  }
  async function codeForm(clientId = 'files-native', more: Record<string, string> = {}) {
    const flow = createFlow(loop, { clientId, more })
    const [code, redirect_uri] = [await flow.code(), 'http://localhost']
    return { grant_type: 'authorization_code', client_id: clientId, code, code_verifier: flow.verifier, redirect_uri, ...CAPABLE }
  }
  async function signIn(shown: Holder = holder) {
    const { status, body } = await token(await codeForm(), shown)
    expect(status).toBe(200)
    return { access: String(body.access_token), refresh: String(body.refresh_token), body }
  }
  const refresh = (refresh_token: string, shown?: Holder | string, more: Record<string, string> = {}) =>
    token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token, ...CAPABLE, ...more }, shown)
  const call = (access: string, shown: Holder = holder) =>
    guard.check({
      method: 'GET',
      url: '/42',
      headers: { authorization: `DPoP ${access}`, dpop: shown.proof('GET', FILES, { token: access }) },
    })

  it('the metadata say with which algorithms; a page may send the proof and read the nonce', async () => {
    const metadata = (await (await fetch(`${loop.issuer}/.well-known/openid-configuration`)).json()) as Record<string, unknown>
    expect(metadata.dpop_signing_alg_values_supported).toEqual(['ES256', 'RS256', 'PS256', 'EdDSA'])
    const asking = { origin: 'https://files.test', 'access-control-request-method': 'POST', 'access-control-request-headers': 'dpop' }
    const preflight = await fetch(endpoint, { method: 'OPTIONS', headers: asking })
    expect(preflight.headers.get('access-control-allow-headers')).toMatch(/dpop/i)
    const refused = await fetch(endpoint, {
      ...{ method: 'POST', headers: { origin: 'https://files.test', dpop: holder.proof('POST', endpoint, { nonce: 'old' }) } },
      body: new URLSearchParams({ grant_type: 'refresh_token', client_id: 'files-spa', refresh_token: 'none' }),
    })
    expect(refused.headers.get('access-control-allow-origin')).toBe('https://files.test')
    expect(refused.headers.get('access-control-expose-headers')).toMatch(/dpop-nonce/i)
    expect([refused.status, refused.headers.get('dpop-nonce'), await refused.json()]).toMatchObject([
      400,
      expect.stringMatching(/^[\w-]{43}$/),
      { error: 'use_dpop_nonce', error_codes: [5002721] },
    ])
  })

  it('a code gives one, which its API takes with a proof only, and introspection and userinfo know', async () => {
    const { access, body } = await signIn()
    expect(body.token_type).toBe('DPoP')
    expect(claimsOf(access).cnf).toEqual({ jkt: holder.jkt })
    expect(await call(access)).toMatchObject({ allowed: true })
    // E7
    expect(await verdictOf(guard, access)).toMatchObject({ allowed: false, code: 'token_bound', status: 401 })
    expect(await call(access, thief)).toMatchObject({ allowed: false, code: 'invalid_dpop_proof' })
    const introspected = await fetch(`${loop.authority}/oauth2/v2.0/introspect`, {
      ...{ method: 'POST', body: new URLSearchParams({ client_id: 'files-api', client_secret: SECRET, token: access }) },
    })
    expect(await introspected.json()).toMatchObject({ active: true, token_type: 'DPoP', cnf: { jkt: holder.jkt } })

    // Without an API it is one for userinfo.
    const flow = createFlow(loop, { scope: 'openid profile' })
    const given = await token({
      ...{ grant_type: 'authorization_code', client_id: 'files-native', code: await flow.code() },
      ...{ code_verifier: flow.verifier, redirect_uri: 'http://localhost' },
    })
    const own = String(given.body.access_token)
    const userinfo = `${loop.authority}/openid/userinfo`
    const ask = (authorization: string, dpop?: string) => fetch(userinfo, { headers: { authorization, ...(dpop ? { dpop } : {}) } })
    const proof = holder.proof('GET', userinfo, { token: own })
    expect(await (await ask(`DPoP ${own}`, proof)).json()).toMatchObject({ preferred_username: 'alice@contoso.test' })
    expect((await ask(`DPoP ${own}`, proof)).status).toBe(401)
    expect((await ask(`DPoP ${own}`, thief.proof('GET', userinfo, { token: own }))).status).toBe(401)
    expect((await ask(`Bearer ${own}`)).status).toBe(401)
    expect((await ask(`DPoP ${own}`, holder.proof('GET', userinfo, { token: own }))).status).toBe(200)
  })

  it('from the sign-in to a new token after a revocation: the challenge is one for such clients', async () => {
    const { access, refresh: first } = await signIn()
    expect(await call(access)).toMatchObject({ allowed: true })
    const revoked = await fetch(`${loop.authority}/oauth2/v2.0/revoke`, {
      ...{ method: 'POST', body: new URLSearchParams({ client_id: 'files-native', token: access }) },
    })
    expect(revoked.status).toBe(200)
    const denied = await eventually(
      () => call(access),
      (verdict) => !verdict.allowed,
    )
    const header = denied.allowed ? '' : denied.headers['WWW-Authenticate']
    const [challenge, ...more] = parseChallenges(header ?? '')
    expect(more).toEqual([])
    expect(challenge).toMatchObject({ scheme: 'dpop' })
    expect(Object.fromEntries(challenge?.parameters ?? [])).toMatchObject({ error: 'insufficient_claims', algs: 'ES256 RS256 PS256 EdDSA' })
    const { claims = '' } = readClaimsChallenge(header) ?? {}
    // Whoever copied the refresh token gets nothing for the challenge, and spends nothing.
    expect((await refresh(first, thief, { claims })).status).toBe(400)
    const next = await refresh(first, holder, { claims })
    expect(next).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
    expect(claimsOf(String(next.body.access_token))).toMatchObject({ cnf: { jkt: holder.jkt } })
    expect(await call(String(next.body.access_token))).toMatchObject({ allowed: true })
    expect(await call(access)).toMatchObject({ allowed: false, code: 'revoked' })
  })

  it('E1: a copied refresh token is worth nothing without the key, fresh or within the grace', async () => {
    const { refresh: first } = await signIn()
    const none = async (spent: string) => {
      for (const shown of [thief, '', thief.proof('POST', endpoint, { nonce: '' })]) {
        const { status, body } = await refresh(spent, shown)
        expect([status, body.error, body.access_token, body.refresh_token]).toEqual([400, 'invalid_grant', undefined, undefined])
      }
    }
    await none(first)
    const next = await refresh(first)
    expect(next.status).toBe(200)
    expect(next.body.refresh_token).not.toBe(first)
    await none(first)
    const again = await refresh(first)
    expect([again.status, again.body.refresh_token]).toEqual([200, next.body.refresh_token])
    // A parallel burst of the holder's has one successor, and every answer is bound.
    const burst = await Promise.all(Array.from({ length: 8 }, () => refresh(String(next.body.refresh_token))))
    expect(new Set(burst.map(({ body }) => body.refresh_token)).size).toBe(1)
    for (const { body } of burst) expect(claimsOf(String(body.access_token)).cnf).toEqual({ jkt: holder.jkt })
  })

  it('a proof is good once, also many times at once, and for a refusal too', async () => {
    const daemon = { ...DAEMON, client_id: 'nightly' }
    const proof = holder.proof('POST', endpoint)
    const answers = await Promise.all(Array.from({ length: 8 }, () => token(daemon, proof)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400, 400, 400, 400, 400])
    expect(answers.find(({ status }) => status === 400)?.body).toMatchObject({ error: 'invalid_dpop_proof', error_codes: [5002720] })
    const { refresh: first } = await signIn()
    const wrong = thief.proof('POST', endpoint)
    expect((await refresh(first, wrong)).body.error).toBe('invalid_grant')
    expect((await refresh(first, wrong)).body.error).toBe('invalid_dpop_proof')
    expect((await refresh(first)).status).toBe(200)
  })

  it('a proof is for this endpoint and for now, or holds a nonce of ours', async () => {
    const daemon = { ...DAEMON, client_id: 'nightly' }
    const now = Math.floor(Date.now() / 1000)
    for (const wrong of [
      holder.proof('GET', endpoint),
      holder.proof('POST', `${loop.authority}/oauth2/v2.0/revoke`),
      holder.proof('POST', 'https://else.test/oauth2/v2.0/token'),
      'rubbish',
    ]) {
      expect((await token(daemon, wrong)).body).toMatchObject({ error: 'invalid_dpop_proof' })
    }
    const old = await token(daemon, holder.proof('POST', endpoint, { iat: now - 600 }))
    expect(old.body).toMatchObject({ error: 'use_dpop_nonce' })
    const nonce = old.headers.get('dpop-nonce') as string
    expect((await token(daemon, holder.proof('POST', endpoint, { iat: now - 600, nonce }))).status).toBe(200)
    expect((await token(daemon, holder.proof('POST', endpoint, { nonce: `${nonce}x` }))).body).toMatchObject({ error: 'use_dpop_nonce' })
    // A new one comes along before the client needs it.
    expect((await token(daemon)).headers.get('dpop-nonce')).toMatch(/^[\w-]{43}$/)
  })

  it('device code, client credentials and on-behalf-of give them too', async () => {
    const { body: begun } = await (async () => {
      const response = await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
        ...{ method: 'POST', body: new URLSearchParams({ client_id: 'files-native', scope: `openid ${SCOPE}` }) },
      })
      return { body: (await response.json()) as { device_code: string; user_code: string; verification_uri: string } }
    })()
    const browser = createBrowser()
    const xsrf = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
    const input = await browser.open(begun.verification_uri)
    const confirm = await browser.open(begun.verification_uri, { xsrf: xsrf(input.text), user_code: begun.user_code })
    const next = await browser.open(begun.verification_uri, { xsrf: xsrf(confirm.text), user_code: begun.user_code, confirm: 'yes' })
    if (next.text.includes('name="password"')) await browser.open(next.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    const device = await token({ grant_type: 'device_code', client_id: 'files-native', device_code: begun.device_code })
    expect(device.body).toMatchObject({ token_type: 'DPoP' })
    expect(claimsOf(String(device.body.access_token)).cnf).toEqual({ jkt: holder.jkt })
    expect((await refresh(String(device.body.refresh_token), thief)).status).toBe(400)
    const daemon = await token({ ...DAEMON, client_id: 'nightly' })
    expect(daemon.body).toMatchObject({ token_type: 'DPoP' })
    expect(await call(String(daemon.body.access_token))).toMatchObject({ allowed: true })
    // The API that calls on has a key of its own.
    const api = createHolder()
    const trade = {
      ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_id: 'files-api', client_secret: SECRET },
      ...{ requested_token_use: 'on_behalf_of', scope: 'api://mail/Mail.Read', assertion: (await signIn()).access },
    }
    const proof = api.proof('POST', endpoint)
    const traded = await token(trade, proof)
    expect(traded.body).toMatchObject({ token_type: 'DPoP' })
    expect(claimsOf(String(traded.body.access_token))).toMatchObject({ aud: 'api://mail', cnf: { jkt: api.jkt } })
    expect((await token(trade, proof)).body).toMatchObject({ error: 'invalid_dpop_proof' })
    const plain = await token(trade, '')
    expect(plain.body).toMatchObject({ token_type: 'Bearer' })
    expect(claimsOf(String(plain.body.access_token))).not.toHaveProperty('cnf')
  })

  it('a code that was asked for with a key (dpop_jkt) is worth nothing to another', async () => {
    const bound = () => codeForm('files-native', { dpop_jkt: holder.jkt })
    expect((await token(await bound(), thief)).status).toBe(400)
    expect((await token(await bound(), '')).body).toMatchObject({ error: 'invalid_dpop_proof' })
    expect((await token(await bound())).status).toBe(200)
  })

  it('an application that is registered for them gets no others, and what it held before ends when it becomes one', async () => {
    const refused = { status: 400, body: { error: 'invalid_dpop_proof', error_codes: [5002720] } }
    const form = await codeForm('bound-native')
    expect(await token(form, '')).toMatchObject(refused)
    // Nothing was spent by it.
    const { status, body } = await token(form)
    expect(status).toBe(200)
    const again = { grant_type: 'refresh_token', client_id: 'bound-native', refresh_token: String(body.refresh_token) }
    expect(await token(again, '')).toMatchObject(refused)
    expect((await token(again)).status).toBe(200)
    expect(await token({ ...DAEMON, client_id: 'bound-nightly' }, '')).toMatchObject(refused)
    expect((await token({ ...DAEMON, client_id: 'bound-nightly' })).status).toBe(200)

    const shown = async () => (await (await loop.graph('GET', '/applications/files-native')).json()) as Record<string, unknown>
    expect(await shown()).toMatchObject({ dpopBoundAccessTokens: false })
    const before = await token(await codeForm(), '')
    const bearer = String(before.body.access_token)
    expect(await verdictOf(guard, bearer)).toMatchObject({ allowed: true })
    expect((await loop.graph('PATCH', '/applications/files-native', { dpopBoundAccessTokens: true })).status).toBe(204)
    expect(await shown()).toMatchObject({ dpopBoundAccessTokens: true })
    await eventually(
      () => verdictOf(guard, bearer),
      (verdict) => !verdict.allowed,
    )
    expect((await refresh(String(before.body.refresh_token))).status).toBe(400)
    expect((await token(await codeForm(), '')).body).toMatchObject({ error: 'invalid_dpop_proof' })
    expect((await token(await codeForm())).status).toBe(200)
  })

  it('the admin API takes them, by its own name', async () => {
    const { body } = await token({ ...DAEMON, client_id: 'nightly', scope: `${loop.origin}/.default` })
    const access = String(body.access_token)
    const url = `${loop.origin}/v1.0/applications/files-native`
    const ask = async (authorization: string, dpop?: string) => (await fetch(url, { headers: { authorization, ...(dpop ? { dpop } : {}) } })).status
    expect(await ask(`DPoP ${access}`, holder.proof('GET', url, { token: access }))).toBe(200)
    expect(await ask(`DPoP ${access}`, holder.proof('GET', url.replace('localhost', 'else.test'), { token: access }))).toBe(401)
    expect(await ask(`DPoP ${access}`, thief.proof('GET', url, { token: access }))).toBe(401)
    expect(await ask(`Bearer ${access}`)).toBe(401)
  })
})
