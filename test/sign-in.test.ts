import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { authorize, createFlow } from './flow.ts'
import { HOSTILE_TENANT } from './hostile-tenant.ts'
import { type Loop, PASSWORD, startLoop } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ tenant: HOSTILE_TENANT })
})
afterAll(() => loop.close())

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
      const { status, location } = await authorize(loop, { redirect_uri: redirect })
      expect(`${redirect}: ${status} ${location}`).toBe(`${redirect}: 400 `)
    }
    expect((await authorize(loop, { redirect_uri: 'http://localhost:12345' })).status).toBe(303)
    // Only native applications have that freedom.
    expect((await authorize(loop, { redirect_uri: 'http://localhost:9999/', client_id: 'spa' })).status).toBe(400)
  })

  it('needs PKCE with S256, a code, and one value of each parameter', async () => {
    const back = async (more: Record<string, string | undefined>) => {
      const { location, status } = await authorize(loop, more)
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
    const broken = await authorize(loop, { redirect_uri: undefined, error_description: evil, client_id: evil })
    for (const { text } of [signIn, wrong, device, broken])
      expect(text.replace(/<script src="\/assets\/signin.js"[^<>]*><\/script>/, '')).not.toMatch(/<script|<img/)
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

  it('select_account lets people choose among the accounts of their browser; a hint is a choice already', async () => {
    const browser = createBrowser()
    const ask = (more: Record<string, string> = {}) => browser.open(createFlow(loop, { browser, more: { prompt: 'select_account', ...more } }).url)
    // Nobody has signed in here before.
    expect((await ask()).text).toContain('name="password"')
    await createFlow(loop, { browser }).tokens()
    const page = await ask()
    expect(page.text).toContain('Choose an account')
    expect(page.text).toContain('value="alice@contoso.test"')
    expect(page.text).not.toContain('name="password"')
    expect((await ask({ login_hint: 'bob@contoso.test' })).text).toMatch(/name="username"[^>]*value="bob@contoso.test"/)

    const choose = async (pick: string, csrf?: string) => {
      const { url } = await ask()
      return browser.open(url.href, { pick, ...(csrf === undefined ? {} : { csrf }) }).catch(() => undefined)
    }
    expect((await choose('alice@contoso.test', 'guess'))?.status).toBe(400)
    expect((await choose(''))?.text).toMatch(/name="username"[^>]*value=""/)
    const other = await choose('bob@contoso.test')
    expect(other?.text).toMatch(/name="username"[^>]*value="bob@contoso.test"/)
    // The one that is signed in goes on without a password, to the application.
    const mine = await ask()
    const resume = await browser.submit(mine.url.href, { pick: 'alice@contoso.test' })
    const end = await browser.signIn(resume, 'http://localhost', { username: 'nobody', password: 'nothing' })
    expect(end.searchParams.get('code')).toEqual(expect.any(String))

    // Not after a revocation: then the choice leads to the password.
    const late = await ask()
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    const again = await browser.open(await browser.submit(late.url.href, { pick: 'alice@contoso.test' }))
    expect(again.text).toContain('name="password"')
    // Strangers' browsers know nobody.
    expect((await createBrowser().open(createFlow(loop, { more: { prompt: 'select_account' } }).url)).text).not.toContain('alice')
  })
})
