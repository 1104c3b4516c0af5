import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, openConsole } from './console.ts'
import { type Loop, PASSWORD, startLoop } from './loop.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop()
})
afterAll(() => loop?.close())

describe('the console is handed out', () => {
  it.each(['/', '/console', '/console/contoso/users/1'])('at %s, allowed to run what the server hands out and nothing else', async (path) => {
    const answers = await Promise.all([fetch(`${loop.origin}${path}`), fetch(`${loop.origin}${path}`)])
    const nonces = await Promise.all(
      answers.map(async (answer) => {
        expect(answer.status).toBe(200)
        expect(answer.headers.get('cache-control')).toBe('no-store')
        const policy = answer.headers.get('content-security-policy') ?? ''
        const [, nonce = ''] = policy.match(/style-src 'self' 'nonce-([\w-]{22})'/) ?? []
        expect(policy).toBe(
          `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
        )
        const text = await answer.text()
        expect(text).toContain(`nonce="${nonce}"`)
        expect(text).not.toMatch(/__NONCE__|<script(?![^>]*src=)|<style/)
        return nonce
      }),
    )
    expect(nonces[0]).not.toBe(nonces[1])
  })

  it('with files that never change under their names, compressed as asked', async () => {
    const page = await (await fetch(`${loop.origin}/`)).text()
    const [, script = ''] = page.match(/src="(\/assets\/[^"]+\.js)"/) ?? []
    const texts = await Promise.all(
      ['br', 'gzip', 'identity'].map(async (encoding) => {
        const answer = await fetch(`${loop.origin}${script}`, { headers: { 'accept-encoding': encoding } })
        expect(answer.headers.get('content-encoding')).toBe(encoding === 'identity' ? null : encoding)
        expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
        expect(answer.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
        return answer.text()
      }),
    )
    expect(new Set(texts).size).toBe(1)
  })

  it.each(['nothing.js', '..%2findex.html', '%2e%2e%2fpackage.json', '__proto__', 'index.html'])('and not %s', async (name) => {
    expect((await fetch(`${loop.origin}/assets/${name}`)).status).toBe(404)
  })
})

describe.skipIf(!hasChromium())('the console', () => {
  let chromium: Chromium
  beforeAll(async () => {
    chromium = await startChromium()
  })
  afterAll(() => chromium?.close())

  it('signs in at our own issuer and comes back to where somebody was going', async () => {
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/users?q=alice' })
    await expect.poll(() => page.getByRole('row').count()).toBe(2)
    expect(page.url()).toBe(`${loop.origin}/console/contoso/users?q=alice`)
    expect(await page.getByRole('link', { name: 'Alice' }).getAttribute('href')).toMatch(/^\/console\/contoso\/users\/[0-9a-f-]{36}$/)
    expect(faults).toEqual([])
    await close()
  })

  it('asks for the tenant where the address names none, and remembers it; nobody is signed in for another tenant', async () => {
    const { context, faults } = await chromium.window()
    const page = await context.newPage()
    await page.goto(`${loop.origin}/`)
    expect(await axe(page)).toEqual([])
    await page.getByLabel('Name of the tenant').fill('Con toso')
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('A name has 2 to 40').waitFor()
    await page.getByLabel('Name of the tenant').fill('Contoso')
    await page.keyboard.press('Enter')
    await page.getByLabel('User name').fill('admin@contoso.test')
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${loop.origin}/console/contoso`)
    await page.getByRole('button', { name: 'Account of Admin' }).waitFor()
    await page.goto(`${loop.origin}/`)
    await page.waitForURL(`${loop.origin}/console/contoso`)
    expect(faults).toEqual([])
    await page.goto(`${loop.origin}/console/fabrikam`)
    await page.getByText('there is no tenant with this name').waitFor()
    await context.close()
  })

  it('signs out here and at the issuer', async () => {
    const { page, close } = await openConsole(chromium, loop, { path: '/users' })
    await page.getByRole('button', { name: 'Account of Admin' }).click()
    await page.getByRole('menuitem', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
    await page.goto(`${loop.origin}/console/contoso/users`)
    await page.getByLabel('User name').waitFor()
    await close()
  })

  it('is found by keyboard alone: a link leads past the navigation, every entry is reached, and focus is seen', async () => {
    const { page, close } = await openConsole(chromium, loop, { path: '/users' })
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the content')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('New user')
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Search by name or sign-in name')
    await close()
  })
})
