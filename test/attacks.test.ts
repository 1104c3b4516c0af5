import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { raw } from './forge.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: '<img src=x onerror=alert(1)>"\'' },
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write'], cae: true, clientSecret: SECRET },
    { appId: 'nested-api', identifierUris: ['api://files/nested'], scopes: ['Nested.Read'] },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE], displayName: '</p><script>alert(1)</script>' },
    { appId: 'other-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE, 'api://files/nested/Nested.Read'] },
    { appId: 'spa', type: 'spa', redirectUris: ['http://localhost:8445/'], permissions: [SCOPE] },
    {
      appId: 'portal',
      type: 'web',
      redirectUris: ['https://portal.test/in'],
      permissions: ['graph/User.ReadWrite.All', SCOPE],
      clientSecret: SECRET,
    },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
  ],
})

/** Milliseconds by which the clock of {@link withClock} is ahead. */
let ahead = 0
let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ tenant: TENANT })
})
afterAll(() => loop.close())

/** Runs with a server whose clock can be moved. */
async function withClock(work: (own: Loop) => Promise<void>): Promise<void> {
  ahead = 0
  const own = await startLoop({ tenant: TENANT, now: () => Date.now() + ahead })
  try {
    await work(own)
  } finally {
    await own.close()
    ahead = 0
  }
}

const daemon = (form: Record<string, string>, clientId = 'nightly') =>
  loop.token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, ...form })

/** Where an authorization request ends without anybody signing in: a page, or the redirect back. */
const authorize = async (more: Record<string, string | undefined>, options = {}) => {
  const { url } = createFlow(loop, { ...options, more })
  const response = await fetch(url, { redirect: 'manual', headers: { accept: 'text/html' } })
  return { status: response.status, location: response.headers.get('location') ?? '', text: await response.text(), headers: response.headers }
}

describe('who may ask for what', () => {
  it('the permissions that a web application has for its users are not its own', async () => {
    for (const scope of [`${loop.origin}/.default`, `${loop.origin}/User.ReadWrite.All`, 'api://files/.default', SCOPE]) {
      const { status, body } = await daemon({ scope }, 'portal')
      expect({ status, error: body.error }).toEqual({ status: 400, error: 'unauthorized_client' })
    }
    expect((await daemon({ scope: `${loop.origin}/.default` })).status).toBe(200)
    expect((await daemon({ scope: 'ssf.read ssf.manage' }, 'files-api')).status).toBe(200)
  })

  it('`resource` names no audience beyond what the scopes say', async () => {
    for (const resource of ['api://mail', loop.origin, `${loop.authority}/ssf`, 'api://files']) {
      for (const scope of [undefined, 'openid', 'api://files/.default']) {
        if (resource === 'api://files' && scope === 'api://files/.default') continue
        const { status, body } = await daemon({ resource, ...(scope === undefined ? {} : { scope }) })
        expect({ resource, scope, status, error: body.error }).toEqual({ resource, scope, status: 400, error: 'invalid_target' })
      }
      for (const scope of ['openid', `${SCOPE} openid`]) {
        if (resource === 'api://files' && scope !== 'openid') continue
        const { location } = await authorize({ resource, scope })
        expect(new URL(location).searchParams.get('error'), `${resource} ${scope}`).toBe('invalid_target')
      }
    }
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    for (const resource of ['api://mail', loop.origin]) expect((await flow.refresh(refreshToken, { resource })).status).toBe(400)
    for (const resource of ['api://mail', loop.origin]) {
      const other = createFlow(loop)
      expect((await other.redeem(await other.code(), { resource })).status).toBe(400)
    }
  })

  it('no token names an API of which the application may do nothing any more', () =>
    withClock(async (loop) => {
      const flow = createFlow(loop, { clientId: 'other-native' })
      const { refreshToken } = await flow.tokens()
      const { db } = loop.server.store
      const set = (permissions: string[]) =>
        db
          .updateTable('applications')
          .set({ permissions: JSON.stringify(permissions) })
          .where('app_id', '=', 'other-native')
          .execute()
      const { permissions } = await db.selectFrom('applications').select('permissions').where('app_id', '=', 'other-native').executeTakeFirstOrThrow()
      await set([])
      for (const form of [{}, { scope: SCOPE }, { scope: 'openid' }]) {
        const { status, body } = await flow.refresh(refreshToken, form as Record<string, string>)
        expect({ status, error: body.error }).toEqual({ status: 400, error: expect.stringMatching(/^invalid_(scope|target)$/) })
      }
      await set(JSON.parse(permissions))
      // Nothing was spent by the refusals: the grace is over, and the token still opens the door.
      ahead = 40_000
      expect(await flow.refresh(refreshToken)).toMatchObject({ status: 200 })
    }))

  it('a permission that was withdrawn from a daemon ends at the admin API with the next call', async () => {
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const call = () => fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${token}` } })
    expect((await call()).status).toBe(200)
    const { db } = loop.server.store
    const row = db.updateTable('applications').where('app_id', '=', 'nightly')
    await row.set({ permissions: '["api://files/.default"]' }).execute()
    expect((await call()).status).toBe(403)
    await row.set({ permissions: '["graph/User.ReadWrite.All","api://files/.default"]' }).execute()
    expect((await call()).status).toBe(200)
  })

  it('scopes are one API, exact, permitted', async () => {
    for (const scope of [
      `${SCOPE} api://mail/Mail.Read`,
      `${SCOPE} ${loop.origin}/User.Read`,
      `${SCOPE} ssf.read`,
      'api://files/Files.Write',
      'api://files/',
      'api://files',
      'api://files//Files.Read',
      'api://FILES/Files.Read',
      'api://files/files.read',
      'api://files/nested/Nested.Read',
      'api://mail/.default',
      'ssf.read',
      'Files.Read',
      'api://files/Files.Read\u0000',
      'api://files/Files.Read,api://files/Files.Write',
    ]) {
      const { location, status } = await authorize({ scope })
      const error = location.startsWith('http://localhost') ? new URL(location).searchParams.get('error') : `${status} ${location}`
      expect(`${scope}: ${error}`).toBe(`${scope}: invalid_scope`)
    }
    const nested = createFlow(loop, { clientId: 'other-native', scope: 'api://files/nested/Nested.Read' })
    expect(claimsOf((await nested.tokens()).accessToken)).toMatchObject({ aud: 'api://files/nested', scp: 'Nested.Read' })
    const odd = createFlow(loop, { scope: `  openid\t${SCOPE}   offline_access ` })
    expect(claimsOf((await odd.tokens()).accessToken)).toMatchObject({ aud: 'api://files', scp: 'Files.Read' })
  })

  it('a refresh token and a code are worth nothing to another client', async () => {
    const flow = createFlow(loop)
    const { refreshToken } = await flow.tokens()
    expect((await flow.refresh(refreshToken, { client_id: 'other-native' })).body).toMatchObject({ error: 'invalid_grant', suberror: 'bad_token' })
    await flow.refresh(refreshToken)
    // Within the grace the successor is not shown to a stranger either.
    const stranger = await flow.refresh(refreshToken, { client_id: 'other-native' })
    expect(stranger.status).toBe(400)
    expect(JSON.stringify(stranger.body)).not.toMatch(/eyJ|refresh_token"/)
    const second = createFlow(loop)
    expect((await second.redeem(await second.code(), { client_id: 'other-native' })).status).toBe(400)
  })

  it('a code works once, also when it is redeemed many times at once', async () => {
    const flow = createFlow(loop)
    const code = await flow.code()
    const answers = await Promise.all(Array.from({ length: 20 }, () => flow.redeem(code)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.every(({ status }) => status === 200 || status === 400)).toBe(true)
    // It was used twice, so what came of it is gone (RFC 6749 section 4.1.2).
    const won = answers.find(({ status }) => status === 200)
    expect((await flow.refresh(String(won?.body.refresh_token))).status).toBe(400)
  })
})

it('a daemon gets no token for nothing', async () => {
  for (const form of [{}, { scope: 'openid' }, { scope: '' }, { scope: 'offline_access' }]) {
    expect((await daemon(form as Record<string, string>)).status).toBe(400)
  }
})

describe('what has expired', () => {
  it('is a refusal, never a failure: code, sign-in page, refresh token, session', () =>
    withClock(async (loop) => {
      const flow = createFlow(loop)
      const { refreshToken } = await flow.tokens()
      const other = createFlow(loop)
      const code = await other.code()
      const third = createFlow(loop)
      const page = await third.browser.open(third.url)
      ahead = 62_000
      expect(await other.redeem(code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
      ahead = 3_700_000
      const late = await third.browser.open(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })
      expect(late.status).toBe(400)
      expect(late.text).toContain('has expired')
      ahead = 91 * 24 * 3_600_000
      expect(await flow.refresh(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
      const again = await flow.browser.open(flow.url)
      expect(again.status).toBe(200)
      expect(again.text).toContain('name="password"')
    }))
})

describe('a clock that fell behind', () => {
  it('A4(v): locks nobody out after a revocation, and the next revocation covers what was proved meanwhile', () =>
    withClock(async (loop) => {
      const flow = createFlow(loop)
      ahead = 3_600_000
      await flow.tokens()
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      ahead = 0
      const second = createFlow(loop)
      const { refreshToken } = await second.tokens()
      expect((await second.refresh(refreshToken)).status).toBe(200)
      // Proved, nothing minted yet.
      const third = createFlow(loop)
      const code = await third.code()
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      expect(await third.redeem(code)).toMatchObject({ status: 400, body: { error_codes: [50173] } })
      expect(await second.refresh(refreshToken)).toMatchObject({ status: 400 })
    }))
})

describe('paths, headers, bodies', () => {
  const form = () =>
    new URLSearchParams({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: 'api://files/.default' }).toString()

  it('an escaped path does not lead to another endpoint, and no answer repeats a URL', async () => {
    for (const path of [
      '/contoso/oauth2/v2.0/authorize/..%2ftoken',
      '/contoso/oauth2/v2.0/device/..%2ftoken',
      '/contoso/oauth2/v2.0/authorize/..%2f..%2f..%2fopenid%2fuserinfo',
      '/contoso/oauth2/v2.0/authorize/%2e%2e%2ftoken',
      '/contoso/oauth2/v2.0/authorize/x%3fy',
      '/contoso//oauth2/v2.0/token',
      '//contoso/oauth2/v2.0/token',
      '/contoso%2foauth2/v2.0/token',
      '/contoso/oauth2/v2.0/token/',
      '/nope/oauth2/v2.0/token',
      '/con%00toso/oauth2/v2.0/token',
      '/unknown',
    ]) {
      const answer = await raw(loop.origin, `${path}?access_token=abcdefabcdefabcdef`, {
        method: 'POST',
        headers: ['content-type', 'application/x-www-form-urlencoded'],
        body: form(),
      })
      expect(`${path}: ${answer.status}`).toBe(`${path}: 404`)
      expect(answer.body).not.toContain('abcdef')
    }
    for (const path of ['/CONTOSO/OAuth2/v2.0/TOKEN', `/${loop.tenant}/oauth2/v2.0/token`, `/${loop.tenant.toUpperCase()}/oauth2/v2.0/token`]) {
      const answer = await raw(loop.origin, path, { method: 'POST', headers: ['content-type', 'Application/X-WWW-Form-Urlencoded'], body: form() })
      expect(answer.status).toBe(200)
      expect(claimsOf(JSON.parse(answer.body).access_token).iss).toBe(loop.issuer)
    }
  })

  it('nothing is taken from Host and forwarding headers', async () => {
    const spoof = [
      'x-forwarded-host',
      'evil.test',
      'x-forwarded-proto',
      'http',
      'x-forwarded-for',
      '203.0.113.9',
      'forwarded',
      'for=203.0.113.9;host=evil.test',
    ]
    const metadata = await raw(loop.origin, '/contoso/v2.0/.well-known/openid-configuration', { headers: spoof })
    expect(metadata.body).not.toContain('evil.test')
    expect(JSON.parse(metadata.body)).toMatchObject({ issuer: loop.issuer, token_endpoint: `${loop.authority}/oauth2/v2.0/token` })
    const { url } = createFlow(loop)
    const page = await raw(loop.origin, url.slice(loop.origin.length), { headers: spoof })
    expect(page.status).toBe(303)
    expect(String(page.headers.location)).toMatch(/^\/contoso\/signin\/|^https:\/\/localhost:\d+\/contoso\/signin\//)
    const answer = await raw(loop.origin, '/contoso/oauth2/v2.0/token', {
      method: 'POST',
      headers: [...spoof, 'content-type', 'application/x-www-form-urlencoded'],
      body: form(),
    })
    expect(claimsOf(JSON.parse(answer.body).access_token)).toMatchObject({ iss: loop.issuer, ipaddr: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) })
  })

  it('bombs in claims, forms and JSON are refused at once', async () => {
    const deep = `{"access_token":${'{"a":'.repeat(1200)}1${'}'.repeat(1200)}}`
    for (const claims of [
      'x'.repeat(50_000),
      `{"access_token":${'['.repeat(4000)}${']'.repeat(4000)}}`,
      '[]',
      'null',
      '{"access_token":{"nbf":{"value":"1e9"}}}',
      '{"access_token":[]}',
    ]) {
      expect(await daemon({ scope: 'api://files/.default', claims })).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    }
    expect(await daemon({ scope: 'api://files/.default', claims: deep })).toMatchObject({ status: 200 })
    expect((await daemon({ scope: 'api://files/.default', claims: '{"__proto__":{"access_token":{"xms_cc":{"values":["cp1"]}}}}' })).status).toBe(200)
    const large = await fetch(`${loop.authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams({ claims: 'x'.repeat(70_000) }) })
    expect(large.status).toBe(413)
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const patch = (body: string, type = 'application/json') =>
      fetch(`${loop.origin}/v1.0/users/alice@contoso.test`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${token}`, 'content-type': type },
        body,
      })
    for (const body of [
      '['.repeat(100_000),
      `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
      '{"__proto__":{"accountEnabled":false}}',
      '{"constructor":{}}',
      '"x"',
      'null',
      '',
      '{',
    ]) {
      expect((await patch(body)).status).toBe(400)
    }
    expect((await patch('x'.repeat(2_000_000))).status).toBe(413)
    expect((await patch('a=b', 'application/x-www-form-urlencoded')).status).toBe(415)
    expect((await patch('accountEnabled', 'text/plain')).status).toBe(400)
  })

  it('a page of another origin cannot redeem, and the admin API shares nothing with any', async () => {
    const flow = createFlow(loop, { clientId: 'spa', redirectUri: 'http://localhost:8445/' })
    const body = new URLSearchParams({
      ...{
        grant_type: 'authorization_code',
        client_id: 'spa',
        code: await flow.code(),
        code_verifier: flow.verifier,
        redirect_uri: 'http://localhost:8445/',
      },
    })
    const from = (origin: string) => fetch(`${loop.authority}/oauth2/v2.0/token`, { method: 'POST', headers: { origin }, body })
    for (const origin of ['https://evil.test', 'null', 'http://localhost:8446', 'http://localhost:8445.evil.test']) {
      const refused = await from(origin)
      expect(refused.status).toBe(400)
      expect(refused.headers.get('access-control-allow-origin')).toBeNull()
    }
    const good = await from('http://localhost:8445')
    expect(good.status).toBe(200)
    expect(good.headers.get('access-control-allow-origin')).toBe('http://localhost:8445')
    expect(good.headers.get('access-control-allow-credentials')).toBeNull()
    const users = await fetch(`${loop.origin}/v1.0/users`, { headers: { origin: 'https://evil.test' } })
    expect(users.headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('the authorization request', () => {
  it('leads back to registered places only; a loopback address may differ in its port', async () => {
    for (const redirect of [
      'https://evil.test/',
      'http://localhost.evil.test',
      'http://localhost@evil.test',
      'http://evil.test#http://localhost',
      'http://localhost/../x',
      'http://localhost/x',
      'http://localhost?x=1',
      'https://localhost',
      'http://127.0.0.1',
      'http://user@localhost',
      'http://localhost\\@evil.test',
      'javascript:alert(1)',
      'data:text/html,x',
      '//localhost',
    ]) {
      const { status, location } = await authorize({ redirect_uri: redirect })
      expect(`${redirect}: ${status} ${location}`).toBe(`${redirect}: 400 `)
    }
    expect((await authorize({ redirect_uri: 'http://localhost:12345' })).status).toBe(303)
    // Only native applications have that freedom.
    expect((await authorize({ redirect_uri: 'http://localhost:9999/', client_id: 'spa' })).status).toBe(400)
  })

  it('needs PKCE with S256, a code, and one value of each parameter', async () => {
    const back = async (more: Record<string, string | undefined>) => {
      const { location, status } = await authorize(more)
      return location.startsWith('http://localhost') ? new URL(location.replace('#', '?')).searchParams.get('error') : status
    }
    expect(await back({ code_challenge: undefined, code_challenge_method: undefined })).toBe('invalid_request')
    expect(await back({ code_challenge_method: 'plain' })).toBe('invalid_request')
    expect(await back({ code_challenge_method: undefined })).toBe('invalid_request')
    expect(await back({ code_challenge: 'short' })).toBe('invalid_request')
    expect(await back({ response_type: 'token' })).toMatch(/unsupported_response_type|unauthorized_client/)
    expect(await back({ response_type: 'code id_token' })).toMatch(/unsupported_response_type|unauthorized_client/)
    expect(await back({ response_type: 'none' })).toMatch(/unsupported_response_type|unauthorized_client/)
    expect(await back({ response_mode: 'jwt' })).toMatch(/unsupported_response_mode|invalid_request/)
    expect(await back({ request: 'e30.e30.' })).toMatch(/request_not_supported/)
    const { url } = createFlow(loop)
    const twice = await fetch(`${url}&redirect_uri=${encodeURIComponent('https://evil.test/')}`, { redirect: 'manual' })
    expect(twice.headers.get('location') ?? '').toMatch(/^(http:\/\/localhost\/\?error=invalid_request.*)?$/)
    for (const form of [{ code_verifier: 'a'.repeat(43) }, { code_verifier: '' }, { redirect_uri: 'http://localhost:1' }]) {
      const flow = createFlow(loop)
      expect((await flow.redeem(await flow.code(), form as Record<string, string>)).status).toBe(400)
    }
  })

  it('shows nothing as markup: tenant, application, hint, user code, error', async () => {
    const evil = '"><script>alert(1)</script>'
    const flow = createFlow(loop, { more: { login_hint: evil } })
    const signIn = await flow.browser.open(flow.url)
    expect(signIn.text).toContain('name="password"')
    const wrong = await flow.browser.open(signIn.url.href, { username: evil, password: 'x' })
    expect(wrong.status).toBe(401)
    const device = await createBrowser().open(`${loop.authority}/oauth2/v2.0/device?user_code=${encodeURIComponent(evil)}`)
    const broken = await authorize({ redirect_uri: undefined, error_description: evil, client_id: evil })
    for (const { text } of [signIn, wrong, device, broken]) expect(text).not.toMatch(/<script|<img/)
    const response = await fetch(signIn.url)
    for (const { headers } of [broken, response]) {
      const policy = headers.get('content-security-policy')
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).not.toContain('unsafe')
    }
  })
})

describe('browser sessions', () => {
  it('a sign-in page works only in the browser that asked for it', async () => {
    const victim = createFlow(loop)
    const page = await victim.browser.open(victim.url)
    const stranger = await createBrowser().open(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })
    expect(stranger).toMatchObject({ status: 400, text: expect.stringContaining('has expired') })
    // Another half-done sign-in's cookie does not help.
    const attacker = createFlow(loop)
    await attacker.browser.open(attacker.url)
    expect(await attacker.browser.open(page.url.href, { username: 'alice@contoso.test', password: PASSWORD })).toMatchObject({ status: 400 })
  })

  it('cookies are for this host, unseen by scripts, not sent by other sites, and new after a sign-in', async () => {
    const flow = createFlow(loop)
    const response = await fetch(flow.url, { redirect: 'manual' })
    const set = response.headers.getSetCookie()
    expect(set.length).toBeGreaterThan(0)
    for (const cookie of set) {
      expect(cookie).toMatch(/httponly/i)
      expect(cookie).toMatch(/secure/i)
      expect(cookie).toMatch(/samesite=lax/i)
      expect(cookie).not.toMatch(/domain=/i)
    }
  })

  it('prompt=none finds no session after a revocation, and a sign-out must be confirmed on the page', async () => {
    const flow = createFlow(loop)
    await flow.tokens()
    const silent = createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } })
    expect(await silent.code()).toEqual(expect.any(String))

    const page = await flow.browser.open(`${loop.authority}/oauth2/v2.0/logout`)
    expect(page.text).toContain('Sign out of')
    for (const form of [{ logout: 'yes' }, { logout: 'yes', xsrf: 'guess' }]) {
      expect((await flow.browser.open(`${loop.authority}/oauth2/v2.0/logout/confirm`, form as Record<string, string>)).status).toBe(400)
    }
    expect(await createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } }).code()).toEqual(expect.any(String))
    const away = await fetch(`${loop.authority}/oauth2/v2.0/logout?post_logout_redirect_uri=https://evil.test/&client_id=files-native`, {
      redirect: 'manual',
    })
    expect(away.status).toBe(400)

    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    const end = await createFlow(loop, { browser: flow.browser, more: { prompt: 'none' } }).signIn()
    expect(end.searchParams.get('error')).toBe('login_required')
  })

  it('A3(e): userinfo takes no revoked token, no token of an API, and none of a disabled user', async () => {
    const info = (token: string) => fetch(`${loop.authority}/openid/userinfo`, { headers: { authorization: `Bearer ${token}` } })
    const flow = createFlow(loop, { scope: 'openid profile' })
    const { accessToken } = await flow.tokens()
    expect((await info(accessToken)).status).toBe(200)
    expect((await info((await createFlow(loop).tokens()).accessToken)).status).toBe(401)
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    expect((await info(accessToken)).status).toBe(401)
    const second = await createFlow(loop, { scope: 'openid profile' }).tokens()
    await loop.graph('PATCH', '/users/alice@contoso.test', { accountEnabled: false })
    expect((await info(second.accessToken)).status).toBe(401)
    await loop.graph('PATCH', '/users/alice@contoso.test', { accountEnabled: true })
  })
})

it('two Authorization lines at the admin API are refused', async () => {
  const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
  const answer = await raw(loop.origin, '/v1.0/users', { headers: ['authorization', `Bearer ${token}`, 'authorization', `Bearer ${token}`] })
  expect(answer.status).toBe(400)
})

it('a guard of the API sees no difference: tokens without any scope do not exist', async () => {
  const guard = await loop.guard()
  const { accessToken } = await createFlow(loop).tokens()
  expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true, claims: { scp: 'Files.Read' } })
})
