import { mkdirSync } from 'node:fs'
import { CryptoProvider, InteractionRequiredAuthError, PublicClientApplication } from '@azure/msal-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { createFlow, type FlowOptions } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

const REDIRECT = 'http://localhost'
const READ = 'api://files/Files.Read'
const WRITE = 'api://files/Files.Write'
const APP = { displayName: 'Photo Album', redirectUris: [REDIRECT], permissions: [READ, WRITE, 'graph/User.Read'], consent: 'required' }
let moment = 0
let loop: Loop

const tenant = (album: object = {}) =>
  JSON.stringify({
    tenant: { name: 'contoso', displayName: 'Contoso' },
    users: ['alice', 'bob', 'carol', 'dora', 'erin', 'fay', 'gil', 'hal', 'ida'].map((name) => ({
      ...{ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD },
    })),
    applications: [
      {
        ...{ appId: 'files-api', displayName: 'Files', identifierUris: ['api://files'], scopes: ['Files.Read', 'Files.Write', 'Files.All'] },
        ...{ cae: true, clientSecret: SECRET },
      },
      { ...APP, appId: 'album', type: 'native', ...album },
      { ...APP, appId: 'middle', type: 'web', identifierUris: ['api://middle'], scopes: ['Use'], clientSecret: SECRET },
      { appId: 'trusted', type: 'native', redirectUris: [REDIRECT], permissions: [READ, 'api://middle/Use'] },
      { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All'] },
    ],
  })

beforeAll(async () => {
  loop = await startLoop({ tenant: tenant(), now: () => Date.now() + moment * 1000 })
})
afterAll(() => loop.close())

/** A sign-in at the album that stands where the user is asked. */
async function begin(name: string, options: FlowOptions = {}) {
  const username = `${name}@contoso.test`
  const flow = createFlow(loop, { clientId: 'album', username, scope: `${READ} openid profile`, ...options })
  const { browser } = flow
  let page = await browser.open(flow.url, undefined, REDIRECT)
  if (page.text.includes('name="password"')) page = await browser.open(page.url.href, { username, password: PASSWORD }, REDIRECT)
  const answer = async (form: Record<string, string>) => browser.open(page.url.href, form, REDIRECT)
  return { flow, page, answer }
}

/** Signed in, agreed, with tokens. */
async function agreed(name: string, options: FlowOptions = {}) {
  const { flow, answer } = await begin(name, options)
  const code = (await answer({ answer: 'accept' })).url.searchParams.get('code') ?? ''
  const { status, body } = await flow.redeem(code)
  expect({ status, error: body.error }).toEqual({ status: 200, error: undefined })
  return { flow, accessToken: String(body.access_token), refreshToken: String(body.refresh_token) }
}

const asksFor = (text: string) => [...text.matchAll(/<li>([^<]*)/g)].map(([, words]) => words)
const MISSING = { error: 'invalid_grant', suberror: 'consent_required', error_codes: [65001] }
const withdraw = async (name: string) => {
  const { value } = (await (await loop.graph('GET', `/users/${name}@contoso.test/oauth2PermissionGrants`)).json()) as {
    value: { id: string; clientId: string; scope: string; lastTokenDateTime: string | null }[]
  }
  const grant = value.find(({ clientId }) => clientId === 'album')
  expect((await loop.graph('DELETE', `/oauth2PermissionGrants/${grant?.id}`)).status).toBe(204)
  return grant
}

describe('an application that users are asked about', () => {
  it('names itself, who publishes it and each permission; the answer is remembered', async () => {
    const { flow, page, answer } = await begin('alice')
    expect(page).toMatchObject({ status: 200 })
    expect(page.url.pathname).toMatch(/^\/contoso\/consent\//)
    expect(page.text).toContain('Photo Album asks for permission')
    expect(page.text).toContain('Published by Contoso, at http://localhost. You are alice@contoso.test.')
    expect(asksFor(page.text)).toEqual([
      'Use Files in your name: Files.Read',
      'Sign you in and know who you are',
      'See your name and user name',
      'Keep this access while you are away',
    ])
    const end = await answer({ answer: 'accept' })
    const { body } = await flow.redeem(String(end.url.searchParams.get('code')))
    expect(claimsOf(String(body.access_token))).toMatchObject({ scp: 'Files.Read', aud: 'api://files' })
    expect((await flow.refresh(String(body.refresh_token))).status).toBe(200)
    const silent = createFlow(loop, { clientId: 'album', scope: flow.scope, browser: flow.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('code')).toBeTruthy()
    // Another application of the tenant asks nobody.
    const other = createFlow(loop, { clientId: 'trusted', browser: flow.browser })
    expect((await other.tokens()).accessToken).toBeTruthy()
  })

  it('hears that it was refused, with an error that is its own', async () => {
    const { flow, answer } = await begin('bob')
    const { url } = await answer({ answer: 'cancel' })
    expect(url.searchParams.get('error')).toBe('access_denied')
    expect(url.searchParams.get('error_description')).toContain('CAE65004')
    expect(url.searchParams.get('state')).toBe('a-state')
    // Nothing but the button that says so is a yes.
    const again = await begin('bob', { browser: flow.browser })
    expect((await again.answer({ answer: 'whatever' })).url.searchParams.get('error')).toBe('access_denied')
    const silent = createFlow(loop, { clientId: 'album', browser: flow.browser, more: { prompt: 'none' } })
    expect((await silent.signIn()).searchParams.get('error')).toBe('consent_required')
  })

  it('asks again for more than before, and only then', async () => {
    const { flow } = await agreed('carol')
    const { browser } = flow
    const more = await begin('carol', { browser, scope: `${READ} ${WRITE} openid` })
    expect(asksFor(more.page.text)).toContain('Use Files in your name: Files.Write')
    await more.answer({ answer: 'accept' })
    for (const scope of [`${READ} openid profile`, `${WRITE} openid`, `${READ} ${WRITE}`, 'api://files/.default openid']) {
      expect((await begin('carol', { browser, scope })).page.url.searchParams.get('code'), scope).toBeTruthy()
    }
    const graph = await begin('carol', { browser, scope: `${loop.origin}/User.Read` })
    expect(asksFor(graph.page.text)[0]).toBe('See your account in the directory')
  })

  it('asks again when the client wants that', async () => {
    const { flow } = await agreed('dora')
    const { page, answer } = await begin('dora', { browser: flow.browser, more: { prompt: 'consent' } })
    expect(page.text).toContain('asks for permission')
    expect((await answer({ answer: 'accept' })).url.searchParams.get('code')).toBeTruthy()
    // Both at once: the password first, and neither asked for twice.
    const both = await begin('dora', { browser: flow.browser, more: { prompt: 'login consent' } })
    expect(both.page.text).toContain('asks for permission')
    expect((await both.answer({ answer: 'accept' })).url.searchParams.get('code')).toBeTruthy()
  })

  it('what `.default` stands for does not grow without the user', async () => {
    const { flow, refreshToken } = await agreed('erin', { scope: 'api://files/.default openid' })
    await loop.server.apply(tenant({ permissions: [...APP.permissions, 'api://files/Files.All'] }))
    const { status, body } = await flow.refresh(refreshToken)
    expect({ status, body }).toMatchObject({ status: 400, body: MISSING })
    const again = await begin('erin', { browser: flow.browser, scope: 'api://files/.default openid' })
    expect(asksFor(again.page.text)).toContain('Use Files in your name: Files.All')
  })

  it('an application that it is asked for from now on loses what it has', async () => {
    const flow = createFlow(loop, { clientId: 'trusted', username: 'ida@contoso.test' })
    const { refreshToken, accessToken } = await flow.tokens()
    const asked = { client_id: 'files-api', client_secret: SECRET, token: accessToken }
    const isActive = async () => {
      const answer = await fetch(`${loop.authority}/oauth2/v2.0/introspect`, { method: 'POST', body: new URLSearchParams(asked) })
      return ((await answer.json()) as { active: boolean }).active
    }
    expect(await isActive()).toBe(true)
    const text = JSON.parse(tenant()) as { applications: Record<string, unknown>[] }
    Object.assign(text.applications.find(({ appId }) => appId === 'trusted') as object, { consent: 'required' })
    await loop.server.apply(JSON.stringify(text))
    expect((await flow.refresh(refreshToken)).body).toMatchObject(MISSING)
    expect(await isActive()).toBe(false)
    await loop.server.apply(tenant())
    // What was taken away from the applications concerns who signed in until now.
    moment += 2
  })
})

describe('consent that is withdrawn', () => {
  it('ends the application with an answer that tells it to ask, and is asked for at the next sign-in', async () => {
    const { flow, refreshToken } = await agreed('fay')
    expect(await withdraw('fay')).toMatchObject({ scope: `${READ} openid profile`, lastTokenDateTime: expect.any(String) })
    expect(await flow.refresh(refreshToken)).toMatchObject({ status: 400, body: MISSING })
    moment += 2
    const { page, answer } = await begin('fay', { browser: flow.browser })
    expect(page.text).toContain('asks for permission')
    expect((await answer({ answer: 'accept' })).url.searchParams.get('code')).toBeTruthy()
    // What was withdrawn stays dead, with or without a new consent.
    expect((await flow.refresh(refreshToken)).status).toBe(400)
  })

  it('before the first token ends it too: the code is worth nothing', async () => {
    const { flow, answer } = await begin('gil')
    const code = String((await answer({ answer: 'accept' })).url.searchParams.get('code'))
    expect(await withdraw('gil')).toMatchObject({ lastTokenDateTime: null })
    expect(await flow.redeem(code)).toMatchObject({ status: 400, body: MISSING })
  })

  it('reaches msal-node as what needs the user', async () => {
    const browser = createBrowser()
    const msal = new PublicClientApplication({
      auth: { clientId: 'album', authority: loop.authority, knownAuthorities: [new URL(loop.authority).host] },
      system: { protocolMode: 'OIDC' },
    } as ConstructorParameters<typeof PublicClientApplication>[0])
    const { verifier, challenge } = await new CryptoProvider().generatePkceCodes()
    const asked = { scopes: [READ], redirectUri: REDIRECT }
    const url = await msal.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: 'S256' })
    const signIn = await browser.open(url)
    const page = await browser.open(signIn.url.href, { username: 'hal@contoso.test', password: PASSWORD })
    const end = await browser.open(page.url.href, { answer: 'accept' }, REDIRECT)
    const { account } = await msal.acquireTokenByCode({ ...asked, code: String(end.url.searchParams.get('code')), codeVerifier: verifier })
    await withdraw('hal')
    const error = await msal.acquireTokenSilent({ account: account as never, scopes: [READ], forceRefresh: true }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InteractionRequiredAuthError)
    expect(error).toMatchObject({ errorCode: 'invalid_grant', subError: 'consent_required', errorNo: 65001 })
  })
})

describe('nobody else can answer', () => {
  it("not by another site's form, nor from another browser, nor after the session has ended", async () => {
    const { flow, page } = await begin('ida')
    const forged = await fetch(page.url, { method: 'POST', body: new URLSearchParams({ answer: 'accept' }) })
    expect(forged.status).toBe(400)
    const withoutToken = await flow.browser.open(page.url.href, { answer: 'accept', csrf: 'a-guess' })
    expect(withoutToken.status).toBe(400)
    expect(withoutToken.text).toContain('asks for permission')
    await loop.graph('POST', '/users/ida@contoso.test/revokeSignInSessions')
    const ended = await flow.browser.open(page.url.href, { answer: 'accept' })
    expect(ended).toMatchObject({ status: 400, text: expect.stringContaining('expired') })
    const rows = await loop.server.store.db
      .selectFrom('grants')
      .select('consented')
      .where('app_id', '=', 'album')
      .where('user_id', '=', await idOf('ida'))
      .execute()
    expect(rows).toEqual([])
  })

  it('an API that calls on in the name of a user needs that consent too', async () => {
    const flow = createFlow(loop, { clientId: 'trusted', scope: 'api://middle/Use' })
    const { accessToken } = await flow.tokens()
    const { status, body } = await loop.token({
      ...{ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', requested_token_use: 'on_behalf_of', assertion: accessToken, scope: READ },
      ...{ client_id: 'middle', client_secret: SECRET },
    })
    expect({ status, body }).toMatchObject({ status: 400, body: MISSING })
  })
})

const idOf = async (name: string) => ((await (await loop.graph('GET', `/users/${name}@contoso.test`)).json()) as { id: string }).id

describe.skipIf(!hasChromium())('in Chromium, without scripts', () => {
  let chromium: Chromium
  beforeAll(async () => {
    chromium = await startChromium()
  })
  afterAll(() => chromium.close())

  it('the page keeps its policy, and both buttons work', async () => {
    const { context, faults, pages } = await chromium.window({ javaScriptEnabled: false, viewport: { width: 420, height: 900 } })
    const page = await context.newPage()
    await context.route('http://localhost/**', (route) => route.fulfill({ body: 'the application' }))
    const { url } = createFlow(loop, { clientId: 'album', scope: `${READ} ${WRITE} openid profile` })
    await page.goto(url)
    await page.fill('#username', 'hal@contoso.test')
    await page.fill('#password', PASSWORD)
    moment += 2
    await page.click('button')
    await page.waitForURL(/\/consent\//)
    const { SHOTS } = process.env
    if (SHOTS) {
      mkdirSync(SHOTS, { recursive: true })
      await page.screenshot({ path: `${SHOTS}/consent.png` })
    }
    expect(pages.at(-1)?.headers()['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.waitForURL(/localhost\/\?.*error=access_denied/)
    await page.goto(url)
    await page.getByRole('button', { name: 'Accept' }).click()
    await page.waitForURL(/localhost\/\?.*code=/)
    expect(faults).toEqual([])
    await context.close()
  })
})
