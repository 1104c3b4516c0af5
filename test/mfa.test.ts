import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Browser, createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, startLoop } from './loop.ts'

const ALICE = { username: 'alice@contoso.test', password: PASSWORD }
let ahead = 0
/** Milliseconds, while the clock stands still: a slow machine gets no further guess by waiting. */
let standing: number | undefined
const now = () => (standing ?? Date.now()) + ahead * 1000
let loop: Loop
let account: string
let secret: string
let recovery: string[]

beforeAll(async () => {
  loop = await startLoop({ now })
  account = `${loop.authority}/account`
})
afterAll(() => loop.close())

const codeNow = (key = secret) => new TOTP({ secret: Secret.fromBase32(key) }).generate({ timestamp: now() })
/** A code that nobody has used yet. */
const nextCode = () => {
  ahead += 60
  return codeNow()
}
const events = async () =>
  (await loop.server.store.db.selectFrom('events').selectAll().orderBy('seq').execute()).map((row) => JSON.parse(row.payload))
const codesOf = (text: string) => [...text.matchAll(/<li>([A-Z0-9-]+)<\/li>/g)].map((match) => match[1] as string)

async function openAccount(browser: Browser, code?: () => string) {
  const page = await browser.open(account)
  if (!page.text.includes('name="password"')) return page
  const half = await browser.open(page.url.href, ALICE)
  return code && half.text.includes('name="code"') ? browser.open(half.url.href, { code: code() }) : half
}

/** Signs in as far as the question for a code. */
async function firstFactor(browser = createBrowser()) {
  const flow = createFlow(loop, { browser, more: { prompt: 'login' } })
  // Nobody listens at the client: whoever gets there too early is told where, and with what.
  const page = await browser.open(flow.url, undefined, 'http://localhost')
  expect(page.url.href).toContain('/signin/')
  const half = await browser.open(page.url.href, ALICE, 'http://localhost')
  expect(half.url.href).toContain('/signin/')
  expect(half.text).toContain('name="code"')
  return { browser, url: half.url.href }
}

it('an authenticator app is registered on the account page, by a code of it, and the log tells', async () => {
  const browser = createBrowser()
  expect((await openAccount(browser)).text).toContain('Not set up')
  const setup = await browser.open(account, { action: 'begin' })
  expect(setup.text).toContain('<svg')
  secret = setup.text.match(/class="key">([A-Z2-7 ]+)</)?.[1]?.replaceAll(' ', '') as string
  const wrong = await browser.open(account, { action: 'confirm', code: '000000' })
  expect(wrong).toMatchObject({ status: 401, text: expect.stringContaining('The code is wrong') })
  const done = await browser.open(account, { action: 'confirm', code: codeNow() })
  recovery = codesOf(done.text)
  expect(recovery).toHaveLength(10)
  expect((await events()).at(-1)).toMatchObject({ credential_type: 'app', change_type: 'create', initiating_entity: 'user' })
  const rows = await loop.server.store.db.selectFrom('factors').selectAll().execute()
  expect(rows.map(({ sealed }) => Buffer.from(sealed).toString('latin1')).join()).not.toContain(secret)

  // The session proved a password only: it may not take away what it did not prove.
  expect((await browser.open(account, { action: 'remove' })).text).toContain('name="password"')
  // The code that served to register serves nothing else.
  const { browser: next, url } = await firstFactor()
  expect((await next.open(url, { code: codeNow() })).status).toBe(401)
})

it('sign-in asks for the code, the token names both factors and the instant of the first', async () => {
  await expect(createFlow(loop).signIn()).rejects.toThrow(/Enter a code/)
  const { browser, url } = await firstFactor()
  const before = Math.floor(now() / 1000)
  const resume = await browser.submit(url, { code: nextCode() })
  expect(resume).toContain('/oauth2/v2.0/authorize/')
  const silent = createFlow(loop, { browser })
  await browser.signIn(resume, 'http://localhost', ALICE)
  const { accessToken } = await silent.tokens()
  const { amr, auth_time: authTime } = claimsOf(accessToken)
  expect(amr).toEqual(['pwd', 'otp', 'mfa'])
  expect(authTime).toBeLessThanOrEqual(before)
})

it('a code is good once, also when it comes many times at once', async () => {
  const halves = await Promise.all(Array.from({ length: 4 }, () => firstFactor()))
  const code = nextCode()
  const ends = await Promise.all(halves.map(({ browser, url }) => browser.submit(url, { code })))
  expect(ends.filter((end) => end.includes('/authorize/'))).toHaveLength(1)
  // A step that is not the next one is no code.
  const { browser, url } = await firstFactor()
  const old = codeNow()
  ahead += 90
  expect((await browser.open(url, { code: old })).status).toBe(401)
})

it('A3(d): a sign-in whose first factor was proved before a revocation is refused at the second', async () => {
  const { browser, url } = await firstFactor()
  ahead += 6
  await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
  ahead += 25
  const refused = await browser.open(url, { code: nextCode() })
  expect(refused).toMatchObject({ status: 401, text: expect.stringContaining('Your access changed meanwhile') })
  expect(refused.text).toContain('name="password"')
  // The same code is not spent: nothing was proved by it.
  const again = await browser.open(url, ALICE)
  expect(await browser.submit(again.url.href, { code: codeNow() })).toContain('/authorize/')
})

it('a recovery code stands in for the app once; new ones replace them; wrong codes are throttled apart from the password', async () => {
  const one = await firstFactor()
  expect(await one.browser.submit(one.url, { code: (recovery[0] as string).toLowerCase() })).toContain('/authorize/')
  const two = await firstFactor()
  expect((await two.browser.open(two.url, { code: recovery[0] as string }, 'http://localhost')).status).toBe(401)

  const browser = createBrowser()
  expect((await openAccount(browser, nextCode)).text).toContain('9 left')
  const renewed = codesOf((await browser.open(account, { action: 'codes' })).text)
  expect(renewed).toHaveLength(10)
  expect((await two.browser.open(two.url, { code: recovery[1] as string }, 'http://localhost')).status).toBe(401)
  standing = Date.now()
  const statuses: number[] = []
  for (let tries = 0; tries < 9; tries++) statuses.push((await two.browser.open(two.url, { code: '000000' }, 'http://localhost')).status)
  expect(statuses.at(-1)).toBe(429)
  expect((await two.browser.open(two.url, { code: renewed[0] as string }, 'http://localhost')).status).toBe(429)
  standing = undefined
  // A browser that signed her in before is not hindered.
  const known = await firstFactor(browser)
  expect(await known.browser.submit(known.url, { code: nextCode() })).toContain('/authorize/')
})

it('a form of another page does nothing; the app is removed by who proved it, and sign-in asks for it no more', async () => {
  const browser = createBrowser()
  await openAccount(browser, nextCode)
  const forged = await browser.open(account, { action: 'remove', csrf: 'guess' })
  expect(forged).toMatchObject({ status: 400, text: expect.stringContaining('Registered') })
  const removed = await browser.open(account, { action: 'remove' })
  expect(removed.text).toContain('Not set up')
  expect((await events()).at(-1)).toMatchObject({ credential_type: 'app', change_type: 'delete', initiating_entity: 'user' })
  expect(claimsOf((await createFlow(loop).tokens()).accessToken).amr).toEqual(['pwd'])
})

it('the account page says so when signing in to it failed, and keeps no code in the address', async () => {
  const failed = await createBrowser().open(`${account}?error=access_denied&error_description=%3Cscript%3E`)
  expect(failed).toMatchObject({ status: 403, text: expect.stringContaining('You cannot sign in to this page now') })
  expect(failed.text).not.toContain('script')
  const back = await fetch(`${account}?code=a-code&state=x`, { redirect: 'manual' })
  expect([back.status, back.headers.get('location')]).toEqual([303, account])
})
