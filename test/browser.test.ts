import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Demo, startDemo } from '../packages/cli/src/demo/demo.ts'
import { PAGE_FOLDER } from '../packages/cli/src/demo/page.ts'
import { DEMO } from '../packages/cli/src/demo/tenant.ts'
import { type Chromium, hasChromium, startChromium, type Window } from './chromium.ts'
import { temporaryFolder } from './process.ts'

/** Where pictures of the pages go, for whoever wants to look at them. */
const SHOTS = process.env.CAEGIS_SHOTS

describe.skipIf(!hasChromium())('the pages in a real browser', () => {
  const folder = temporaryFolder()
  let demo: Demo
  let chromium: Chromium
  beforeAll(async () => {
    if (!existsSync(join(PAGE_FOLDER, 'index.html'))) {
      const built = spawnSync('npx', ['vite', 'build'], { cwd: join(PAGE_FOLDER, '..'), encoding: 'utf8' })
      if (built.status !== 0) throw new Error(`the sample page cannot be built: ${built.stderr}`)
    }
    demo = await startDemo({ data: folder.path, ports: { server: 0, api: 0, page: 0 }, logLevel: 'error' })
    chromium = await startChromium()
  })
  afterAll(async () => {
    await chromium?.close()
    await demo?.close()
    folder.remove()
  })

  const [alice, bob] = [() => demo.facts.users[0], () => demo.facts.users[1]] as [() => Person, () => Person]

  /** A request to the admin API as the daemon of the sample tenant. */
  async function graph(method: string, path: string, body?: object): Promise<void> {
    const { origin } = demo.facts
    const form = { grant_type: 'client_credentials', client_id: DEMO.daemon, client_secret: demo.secrets.nightly, scope: `${origin}/.default` }
    const token = await fetch(`${origin}/${DEMO.tenant}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    const { access_token: bearer } = (await token.json()) as { access_token: string }
    const response = await fetch(`${origin}/v1.0${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    expect(response.ok).toBe(true)
  }

  async function openPage({ context }: Window): Promise<Page> {
    const page = await context.newPage()
    await page.goto(demo.facts.spa)
    return page
  }

  /** Calls the API and waits for what came of it. */
  async function call(page: Page, outcome: string): Promise<void> {
    await page.getByTestId('call').click()
    await page.getByTestId('outcome').filter({ hasText: outcome }).waitFor()
  }

  /** No page was without a policy, none broke one, and nothing was thrown: but for the answers with which access ends. */
  function expectClean({ faults, pages }: Window): void {
    expect(pages.length).toBeGreaterThan(0)
    for (const response of pages) {
      const policy = response.headers()['content-security-policy']
      expect(policy, response.url()).toMatch(/default-src '(none|self)'/)
      expect(policy, response.url()).not.toContain("'unsafe-")
    }
    const others = faults.filter((fault) => !/^Failed to load resource: the server responded with a status of 40[01]/.test(fault))
    expect(others).toEqual([])
  }

  it('signs in, calls, is challenged after a revocation, signs in again, and the call is repeated by itself', async () => {
    const window = await chromium.window()
    const page = await openPage(window)
    await shot(page, 'page-welcome')
    await page.getByTestId('sign-in').click()
    await page.getByLabel('User name').waitFor()
    await shot(page, 'sign-in')
    await fillIn(page, alice())
    await page.getByTestId('user').filter({ hasText: 'Alice' }).waitFor()
    await call(page, '200 allowed')
    await shot(page, 'page-allowed')

    await graph('POST', `/users/${alice().username}/revokeSignInSessions`)
    await page.getByTestId('call').click()
    // The call is challenged, and the page goes away to the issuer.
    await page.getByLabel('Password').waitFor()
    expect(new URL(page.url()).pathname).toMatch(/^\/contoso\/signin\//)
    await fillIn(page, alice())
    await page.getByTestId('outcome').filter({ hasText: '200 allowed' }).waitFor()
    const log = page.getByTestId('log')
    expect(await log.textContent()).toMatch(/200 allowed.*Signed in again, the call is repeated.*401 challenged/s)
    await shot(page, 'page-journal')
    expectClean(window)
    await window.context.close()
  })

  it('while calls go on every second, a revocation leads to the sign-in by itself; a disabled user is told so there', async () => {
    const window = await chromium.window()
    const page = await openPage(window)
    await page.getByTestId('sign-in').click()
    await fillIn(page, bob())
    await page.getByTestId('auto').check()
    await page.getByTestId('outcome').filter({ hasText: '200 allowed' }).waitFor()
    await graph('PATCH', `/users/${bob().username}`, { accountEnabled: false })
    await page.getByLabel('Password').waitFor()
    await fillIn(page, bob())
    expect(await page.getByRole('alert').textContent()).toMatch(/disabled/)
    await shot(page, 'sign-in-disabled')
    await graph('PATCH', `/users/${bob().username}`, { accountEnabled: true })
    await fillIn(page, bob())
    await page.getByTestId('outcome').filter({ hasText: '200 allowed' }).waitFor()
    expectClean(window)
    await window.context.close()
  })

  it('signs out, and somebody else signs in', async () => {
    const window = await chromium.window()
    const page = await openPage(window)
    await page.getByTestId('sign-in').click()
    await fillIn(page, alice())
    await call(page, '200 allowed')

    await page.getByTestId('sign-out').click()
    await page.getByRole('button', { name: 'Sign out' }).waitFor()
    await shot(page, 'sign-out')
    await page.getByRole('button', { name: 'Sign out' }).click()
    // Back on the page, nobody is signed in, and the session at the issuer is gone too.
    await page.getByTestId('sign-in').click()
    await fillIn(page, bob())
    await page.getByTestId('user').filter({ hasText: 'Bob' }).waitFor()
    await call(page, '200 allowed')
    expectClean(window)
    await window.context.close()
  })

  it("staying signed in keeps alice's session; bob signs in beside it when he is asked to", async () => {
    const window = await chromium.window()
    const page = await openPage(window)
    await page.getByTestId('sign-in').click()
    await fillIn(page, alice())
    await call(page, '200 allowed')
    // The page forgets, the issuer does not.
    await page.evaluate(() => sessionStorage.clear())
    await page.reload()
    await page.getByTestId('sign-in').click()
    await page.getByTestId('user').filter({ hasText: 'Alice' }).waitFor()

    const url = new URL(`${demo.facts.origin}/${DEMO.tenant}/oauth2/v2.0/authorize`)
    const asked = { client_id: DEMO.spa, response_type: 'code', redirect_uri: demo.facts.spa, scope: `openid ${DEMO.scope}`, prompt: 'login' }
    const pkce = { code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256' }
    url.search = new URLSearchParams({ ...asked, ...pkce, login_hint: bob().username }).toString()
    const other = await window.context.newPage()
    await other.goto(url.href)
    expect(await other.getByLabel('User name').inputValue()).toBe(bob().username)
    await other.getByLabel('Password').fill(bob().password)
    const answer = other.waitForRequest((request) => request.url().startsWith(`${demo.facts.spa}?`))
    await other.getByRole('button', { name: 'Sign in' }).click()
    expect(new URL((await answer).url()).searchParams.get('code')).toMatch(/./)
    await other.close()
    // Alice's token was issued before, and nobody has taken it back.
    await call(page, '200 allowed')
    // From now on the browser's session is bob's.
    await page.evaluate(() => sessionStorage.clear())
    await page.reload()
    await page.getByTestId('sign-in').click()
    await page.getByTestId('user').filter({ hasText: 'Bob' }).waitFor()
    await call(page, '200 allowed')
    await window.context.close()
  })

  it('gives a wrong password the same answer whether the user is known or not', async () => {
    const window = await chromium.window()
    const answers: object[] = []
    for (const username of [alice().username, 'nobody@contoso.test']) {
      const page = await openPage(window)
      await page.getByTestId('sign-in').click()
      await page.getByLabel('Password').waitFor()
      const posted = page.waitForResponse((response) => response.request().method() === 'POST' && response.url().includes('/signin/'))
      await fillIn(page, { username, password: 'not the password' })
      const response = await posted
      const { 'content-length': _length, date: _date, ...headers } = await response.allHeaders()
      await page.getByRole('alert').waitFor()
      // Each page's form has a token and a challenge of its own, and its own time.
      const own = /(name="(?:csrf|challenge)" value="|data-now="|&quot;challenge&quot;:&quot;)[^"&]*/g
      const text = (await page.content()).replaceAll(username, 'X').replace(own, '$1')
      answers.push({ status: response.status(), headers, text })
      expect(await page.getByLabel('User name').inputValue()).toBe(username)
      expect(await page.getByLabel('Password').inputValue()).toBe('')
      await shot(page, 'sign-in-wrong')
      await page.close()
    }
    expect(answers[0]).toMatchObject({ status: 401, text: expect.stringContaining('The user name or the password is wrong.') })
    expect(answers[1]).toEqual(answers[0])
    expectClean(window)
    await window.context.close()
  })

  it('signs in without JavaScript, on a device too', async () => {
    const window = await chromium.window({ javaScriptEnabled: false, viewport: { width: 390, height: 700 } })
    const { origin } = demo.facts
    const form = { client_id: DEMO.native, scope: `openid ${DEMO.scope}` }
    const begun = await fetch(`${origin}/${DEMO.tenant}/oauth2/v2.0/devicecode`, { method: 'POST', body: new URLSearchParams(form) })
    const device = (await begun.json()) as { device_code: string; user_code: string; verification_uri: string }
    const page = await window.context.newPage()
    await page.goto(device.verification_uri)
    await shot(page, 'device')
    await page.getByLabel('Code').fill('WRONG-CODE')
    await page.getByRole('button', { name: 'Continue' }).click()
    expect(await page.getByRole('alert').textContent()).toMatch(/unknown/)
    await shot(page, 'device-wrong')
    // People type what they see, in their own way.
    await page.getByLabel('Code').fill(device.user_code.toLowerCase())
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText(device.user_code).waitFor()
    await shot(page, 'device-confirm')
    await page.getByRole('button', { name: 'Yes, sign in' }).click()
    await shot(page, 'device-sign-in')
    await fillIn(page, alice())
    await page.getByText('You are signed in').waitFor()
    await shot(page, 'device-done')
    const token = await fetch(`${origin}/${DEMO.tenant}/oauth2/v2.0/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'device_code', client_id: DEMO.native, device_code: device.device_code }),
    })
    expect(token.status).toBe(200)
    expectClean(window)
    await window.context.close()
  })

  it('every page that is shown when something is amiss has a policy too', async () => {
    const window = await chromium.window()
    const page = await window.context.newPage()
    const base = `${demo.facts.origin}/${DEMO.tenant}`
    for (const path of [
      '/oauth2/v2.0/authorize',
      '/oauth2/v2.0/authorize?client_id=nobody',
      '/signin/unknown',
      '/oauth2/v2.0/logout',
      '/oauth2/v2.0/logout/success',
    ]) {
      const response = await page.goto(base + path)
      expect(response?.headers()['content-type'], path).toMatch(/^text\/html/)
      await shot(page, `amiss${path.replace(/\W+/g, '-')}`)
    }
    expectClean(window)
    await window.context.close()
  })
})

interface Person {
  username: string
  password: string
}

async function fillIn(page: Page, { username, password }: Person): Promise<void> {
  await page.getByLabel('User name').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

async function shot(page: Page, name: string): Promise<void> {
  if (SHOTS === undefined) return
  mkdirSync(SHOTS, { recursive: true })
  // A picture that is taken while the page changes may fail, and is not what is tested.
  await page.screenshot({ path: join(SHOTS, `${name}.png`) }).catch(() => {})
}
