import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Browser, createBrowser } from '../packages/cli/src/demo/browser.ts'
import { authorize, createFlow } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: ['alice', 'bob', 'carol'].map((name) => ({ userPrincipalName: `${name}@contoso.test`, password: PASSWORD })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE, 'graph/User.Read'] },
    { appId: 'album', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE], consent: 'required' },
    { appId: 'spa', type: 'spa', redirectUris: ['http://localhost:8445/'], permissions: [SCOPE] },
    { appId: 'portal', type: 'web', redirectUris: ['https://portal.test/in'], permissions: [SCOPE], clientSecret: SECRET },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
  ],
})
const person = (name: string) => ({ username: `${name}@contoso.test`, password: PASSWORD })

interface Answer {
  what: string
  status: number
  headers: Headers
}

interface Page {
  browser: Browser
  url: string
  text: string
  /** What a person would type. */
  typed: Record<string, string>
}

describe('the security best current practice of OAuth 2.0 (RFC 9700)', () => {
  let loop: Loop
  /** Of bob's authenticator app. */
  let secret: string
  /** Everything that a browser was ever answered here. */
  const answers: Answer[] = []

  const recorded = () =>
    createBrowser(async (input, init) => {
      const response = await fetch(input, init)
      answers.push({ what: `${init?.method ?? 'GET'} ${input}`, status: response.status, headers: response.headers })
      return response
    })

  beforeAll(async () => {
    loop = await startLoop({ tenant: TENANT })
    const { url, text, browser } = await (PAGES.setup as (name: string) => Promise<Page>)('bob')
    secret = text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string
    const done = await browser.open(url, { code: new TOTP({ secret: Secret.fromBase32(secret) }).generate() })
    expect(done.text).toContain('recovery codes')
  })
  afterAll(() => loop.close())

  /** One walk to each page that has a form. */
  const PAGES: Record<string, (name?: string) => Promise<Page>> = {
    async 'sign-in'() {
      const browser = recorded()
      const { url, text } = await browser.open(createFlow(loop).url)
      return { browser, url: url.href, text, typed: person('alice') }
    },
    async code() {
      const browser = recorded()
      const page = await browser.open(createFlow(loop).url)
      const { url, text } = await browser.open(page.url.href, person('bob'))
      return { browser, url: url.href, text, typed: { code: '000000' } }
    },
    async consent() {
      const browser = recorded()
      const page = await browser.open(createFlow(loop, { clientId: 'album' }).url)
      const { url, text } = await browser.open(page.url.href, person('carol'))
      return { browser, url: url.href, text, typed: {} }
    },
    async account(name = 'alice') {
      const browser = recorded()
      const page = await browser.open(`${loop.authority}/account`)
      const { url, text } = await browser.open(page.url.href, person(name))
      return { browser, url: url.href, text, typed: {} }
    },
    async setup(name = 'alice') {
      const { browser, url } = await (PAGES.account as (name: string) => Promise<Page>)(name)
      const { text } = await browser.open(url, { action: 'begin' })
      return { browser, url, text, typed: { code: '000000' } }
    },
    async device() {
      const browser = recorded()
      const { url, text } = await browser.open(`${loop.authority}/oauth2/v2.0/device`)
      return { browser, url: url.href, text, typed: { user_code: await userCode() } }
    },
    async 'device, to confirm'() {
      const { browser, url, text, typed } = await (PAGES.device as () => Promise<Page>)()
      const confirm = await browser.open(url, { ...formsOf(text)[0]?.fields, ...typed })
      return { browser, url: confirm.url.href, text: confirm.text, typed: {} }
    },
    async 'sign-out'() {
      const { browser } = await (PAGES.account as () => Promise<Page>)()
      const { url, text } = await browser.open(`${loop.authority}/oauth2/v2.0/logout`)
      return { browser, url: url.href, text, typed: {} }
    },
  }

  async function userCode(): Promise<string> {
    const begun = await fetch(`${loop.authority}/oauth2/v2.0/devicecode`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'files-native', scope: `${SCOPE} openid` }),
    })
    return ((await begun.json()) as { user_code: string }).user_code
  }

  it.each(Object.keys(PAGES))('section 4.7: no form is taken without its own token: %s', async (name) => {
    const visit = PAGES[name] as () => Promise<Page>
    const strangers = formsOf((await visit()).text)
    expect(strangers.length).toBeGreaterThan(0)
    let page = await visit()
    const post = (form: Form, more: Record<string, string> = {}) =>
      page.browser.open(new URL(form.action, page.url).href, { ...form.fields, ...page.typed, ...more }, 'http://localhost')
    for (const [at, form] of formsOf(page.text).entries()) {
      const { token } = form
      const foreign = strangers[at]?.fields[token] as string
      expect(form.fields[token]).not.toBe(foreign)
      for (const value of ['', 'a-guess', foreign]) {
        const { status, text } = await post(form, { [token]: value })
        expect({ status, text }, form.button).toEqual({ status: 400, text: expect.any(String) })
      }
    }
    // With its own token the same form goes through: it was that.
    for (const at of strangers.keys()) {
      page = await visit()
      const { status } = await post(formsOf(page.text)[at] as Form)
      expect(status, name).not.toBe(400)
    }
  })

  it('section 4.7: no page of the server has a form without a token', () => {
    const folder = new URL('../packages/server/src/', import.meta.url)
    let forms = 0
    for (const file of readdirSync(folder, { recursive: true }).map(String)) {
      if (!file.endsWith('.ts')) continue
      for (const [, next] of readFileSync(new URL(file, folder), 'utf8').matchAll(/<form\b[^>]*>(.{0,60})/g)) {
        forms++
        expect(next, file).toMatch(/^(\$\{hidden\(csrf\)\}|<input type="hidden" name="(xsrf|csrf)" value="\$\{)/)
      }
    }
    expect(forms).toBeGreaterThanOrEqual(8)
  })

  it('section 4.16: no page may be framed, loads anything, runs what it was not made with, or is kept', async () => {
    // Those with forms were all visited above; these are shown when something is amiss.
    const browser = recorded()
    for (const path of [
      ...['/oauth2/v2.0/authorize', '/oauth2/v2.0/authorize?client_id=nobody', '/signin/unknown', '/consent/unknown', '/account?error=access_denied'],
      ...['/oauth2/v2.0/device?user_code=WRONG', '/oauth2/v2.0/logout', '/oauth2/v2.0/logout/success', '/oauth2/v2.0/logout?id_token_hint=x'],
    ])
      expect((await browser.open(loop.authority + path)).text, path).toMatch(/^<!doctype html>/i)
    expect((await browser.open(`${loop.origin}/`)).text).toMatch(/^<!doctype html>/i)
    const pages = answers.filter(({ headers }) => headers.get('content-type')?.startsWith('text/html'))
    expect(pages.length).toBeGreaterThan(30)
    for (const { what, headers } of pages) {
      const policy = headers.get('content-security-policy') ?? ''
      for (const part of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", 'form-action']) expect(policy, what).toContain(part)
      expect(policy, what).not.toMatch(/unsafe-|script-src [^;]*(http|\*)/)
      expect(headers.get('x-content-type-options'), what).toBe('nosniff')
      expect(headers.get('cache-control'), what).toContain('no-store')
    }
  })

  it('sections 4.2 and 2.6: no address of the server goes along as a referrer, and browsers come back by TLS only', () => {
    expect(answers.length).toBeGreaterThan(50)
    for (const { what, headers } of answers) {
      expect(headers.get('referrer-policy'), what).toBe('no-referrer')
      expect(headers.get('strict-transport-security'), what).toMatch(/max-age=\d{7,}/)
    }
  })

  it('section 4.12: no redirect repeats what was posted', () => {
    const redirects = answers.filter(({ status }) => status >= 300 && status < 400)
    expect(redirects.filter(({ what }) => what.startsWith('POST')).length).toBeGreaterThan(5)
    for (const { what, status } of redirects) expect(`${what}: ${status}`).toBe(`${what}: 303`)
  })

  it('section 4.7: cookies are bound to the host, for TLS, hidden from scripts and from other sites; a sign-in makes a new session', async () => {
    const cookies = answers.flatMap(({ headers }) => headers.getSetCookie())
    expect(cookies.length).toBeGreaterThan(20)
    for (const cookie of cookies) {
      expect(cookie).toMatch(/^__(Host|Secure)-caegis-contoso/)
      expect(cookie).toMatch(/; *secure/i)
      expect(cookie).toMatch(/; *httponly/i)
      expect(cookie).toMatch(/; *samesite=lax/i)
      expect(cookie).not.toMatch(/; *domain=/i)
      // Only what belongs to one page may have a path.
      if (/; *path=\/(;|$)/i.test(cookie)) expect(cookie).toMatch(/^__Host-/)
      else expect(cookie).toMatch(/^__Secure-caegis-contoso-(signin|resume)/)
    }
    const sessionOf = (list: string[]) => list.find((one) => /^__Host-caegis-contoso=/.test(one))?.split(';')[0]
    const before = await fetch(`${loop.authority}/oauth2/v2.0/device`)
    const planted = sessionOf(before.headers.getSetCookie())
    expect(planted).toBeTruthy()
    // A session that an attacker planted is not the one that gets signed in.
    const seen: string[] = []
    const victim = createBrowser(async (input, init) => {
      const headers = new Headers(init?.headers)
      if (!/__Host-caegis-contoso=/.test(headers.get('cookie') ?? '')) headers.append('cookie', String(planted))
      const response = await fetch(input, { ...init, headers })
      seen.push(...response.headers.getSetCookie())
      return response
    })
    await createFlow(loop, { browser: victim }).code()
    expect(sessionOf(seen.reverse())).not.toBe(planted)
    const thief = await fetch(createFlow(loop, { more: { prompt: 'none' } }).url, { redirect: 'manual', headers: { cookie: String(planted) } })
    expect(thief.headers.get('location')).toContain('error=login_required')
  })

  it('section 4.11: a request with something wrong leads nowhere else: neither to sign in nor to sign out', async () => {
    for (const more of [
      { client_id: 'nobody' },
      { client_id: undefined },
      { redirect_uri: 'https://portal.test/in/', client_id: 'portal' },
      { redirect_uri: 'https://portal.test/in?x=1', client_id: 'portal' },
      { redirect_uri: 'https://portal.test/in', client_id: 'spa' },
      { redirect_uri: 'https://PORTAL.test/in', client_id: 'portal' },
      { redirect_uri: 'http://localhost:8445/', client_id: 'portal', response_type: 'token' },
    ])
      expect(await authorize(loop, more), JSON.stringify(more)).toMatchObject({ status: 400, location: '' })
    const { idToken } = await createFlow(loop, { clientId: 'portal', redirectUri: 'https://portal.test/in' }).tokens({ client_secret: SECRET })
    const out = (query: Record<string, string>) => fetch(`${loop.authority}/oauth2/v2.0/logout?${new URLSearchParams(query)}`, { redirect: 'manual' })
    for (const uri of ['https://evil.test/', 'https://portal.test/in/', 'https://portal.test/', 'https://portal.test/in#x', '//portal.test/in']) {
      for (const hint of [{ id_token_hint: idToken }, { client_id: 'portal' }] as Record<string, string>[]) {
        const { status, headers } = await out({ ...hint, post_logout_redirect_uri: uri })
        expect(`${uri}: ${status} ${headers.get('location')}`).toBe(`${uri}: 400 null`)
      }
      // Nobody asks: the page is shown, and the address is forgotten.
      const anonymous = await out({ post_logout_redirect_uri: uri })
      expect(anonymous.headers.get('location')).toBeNull()
      expect(await anonymous.text()).not.toContain(uri)
    }
    expect((await out({ id_token_hint: idToken, post_logout_redirect_uri: 'https://portal.test/in' })).status).toBe(200)
  })

  it('section 4.4: every authorization response says which issuer it is of, an error too', async () => {
    const end = await createFlow(loop).signIn()
    expect(end.searchParams.get('iss')).toBe(loop.issuer)
    const { location } = await authorize(loop, { prompt: 'none' })
    expect(new URL(location).searchParams.get('iss')).toBe(loop.issuer)
    expect(new URL(location).searchParams.get('error')).toBe('login_required')
  })

  it('sections 2.1.2 and 2.4: no implicit grant, no passwords at the token endpoint, no tokens in a front channel', async () => {
    for (const client_id of ['files-native', 'spa', 'portal', 'nightly']) {
      const form = { grant_type: 'password', client_id, client_secret: SECRET, ...person('alice'), scope: SCOPE }
      const { status, body } = await loop.token(form)
      expect({ status, error: body.error }, client_id).toMatchObject({ status: expect.toBeOneOf([400, 401]) })
      expect(body).not.toHaveProperty('access_token')
    }
    for (const response_type of ['token', 'id_token', 'id_token token', 'code token', 'code id_token']) {
      const { location } = await authorize(loop, { response_type, nonce: 'n' })
      expect(location, response_type).not.toMatch(/access_token|id_token=|code=/)
    }
    for (const response_mode of ['web_message', 'jwt']) {
      const { status, location } = await authorize(loop, { response_mode })
      expect(status === 400 || location.includes('error='), response_mode).toBe(true)
    }
  })

  it('section 4.5: a code is bound to its client, its address and its verifier', async () => {
    const victim = createFlow(loop)
    const attacker = createFlow(loop)
    const code = await victim.code()
    // Injected into a session of the attacker's: another verifier.
    expect(await attacker.redeem(code)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    for (const form of [{ client_id: 'album' }, { redirect_uri: 'http://localhost:9' }, { code_verifier: '' }] as Record<string, string>[])
      expect((await victim.redeem(code, form)).status, JSON.stringify(form)).toBe(400)
    const plain = await victim.redeem(code, { code_challenge_method: 'plain' })
    expect(plain.body).toHaveProperty('access_token')
  })

  it('section 2.2: an access token is taken from the header alone', async () => {
    const { accessToken } = await createFlow(loop, { scope: 'openid profile' }).tokens()
    const info = `${loop.authority}/openid/userinfo`
    expect((await fetch(info, { headers: { authorization: `Bearer ${accessToken}` } })).status).toBe(200)
    expect((await fetch(`${info}?access_token=${accessToken}`)).status).toBeOneOf([400, 401])
    const admin = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    const users = `${loop.origin}/v1.0/users`
    expect((await fetch(users, { headers: { authorization: `Bearer ${admin}` } })).status).toBe(200)
    expect((await fetch(`${users}?access_token=${admin}`)).status).toBe(401)
    const streams = await loop.daemonToken('files-api', 'ssf.read')
    expect((await fetch(`${loop.authority}/ssf/streams?access_token=${streams}`)).status).toBeOneOf([400, 401])
  })

  it('section 4.15: a client alone is never taken for a user', async () => {
    const alone = claimsOf(await loop.daemonToken('nightly', 'api://files/.default'))
    expect(alone).toMatchObject({ idtyp: 'app', azp: 'nightly' })
    for (const claim of ['scp', 'sid', 'auth_time', 'amr', 'preferred_username']) expect(alone).not.toHaveProperty(claim)
    const users = await loop.server.store.db.selectFrom('users').select('id').execute()
    expect(users.map(({ id }) => id)).not.toContain(alone.sub)
  })

  it('sections 2.5 and 2.6: the metadata offer what is allowed here and nothing else', async () => {
    const metadata = (await (await fetch(`${loop.issuer}/.well-known/openid-configuration`)).json()) as Record<string, string | string[]>
    expect(metadata).toMatchObject({
      ...{ issuer: loop.issuer, response_types_supported: ['code'], code_challenge_methods_supported: ['S256'] },
      authorization_response_iss_parameter_supported: true,
    })
    expect([...(metadata.grant_types_supported as string[])].sort()).toEqual([
      ...['authorization_code', 'client_credentials', 'refresh_token'],
      ...['urn:ietf:params:oauth:grant-type:device_code', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
      'urn:ietf:params:oauth:grant-type:token-exchange',
    ])
    expect(metadata.response_modes_supported).toEqual(expect.not.arrayContaining(['web_message', 'fragment.jwt', 'query.jwt']))
    expect(metadata.token_endpoint_auth_methods_supported).toEqual(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'])
    expect(metadata.token_endpoint_auth_signing_alg_values_supported).not.toContain('none')
    expect(metadata.id_token_signing_alg_values_supported).not.toContain('none')
    for (const [name, value] of Object.entries(metadata)) if (/_endpoint$|_uri$/.test(name)) expect(value, name).toMatch(/^https:\/\//)
  })

  it('section 2.6: nothing is answered without TLS', async () => {
    const { hostname, port } = new URL(loop.origin)
    const outcome = await new Promise<string>((resolve) => {
      const outgoing = request({ hostname, port, path: '/contoso/v2.0/.well-known/openid-configuration' }, () => resolve('answered'))
      outgoing.once('error', () => resolve('refused')).end()
    })
    expect(outcome).toBe('refused')
  })
})

interface Form {
  action: string
  /** Name of the field that proves whose form it is. */
  token: string
  button: string
  fields: Record<string, string>
}

/** The forms of a page: hidden fields, and the first button. */
function formsOf(text: string): Form[] {
  return [...text.matchAll(/<form method="post"(?: action="([^"]*)")?(?: data-prove)?>([\s\S]*?)<\/form>/g)].map(([, action = '', content = '']) => {
    const fields = Object.fromEntries(
      [...content.matchAll(/<input type="hidden" name="([\w-]+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    )
    const [, pressed = '', name, value] = /<button([^>]*?name="([\w-]+)" value="([\w-]+)")?/.exec(content) ?? []
    const token = Object.keys(fields).find((one) => /^[cx]srf$/.test(one)) ?? 'no token'
    return { action, token, button: `${action}${pressed}`, fields: { ...fields, ...(name ? { [name]: String(value) } : {}) } }
  })
}
