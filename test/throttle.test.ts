import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Browser, createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

// The clock stands still: a slow machine gets no further guess by waiting.
const started = Date.now()
let ahead = 0
let loop: Loop
beforeAll(async () => {
  loop = await startLoop({ now: () => started + ahead * 1000, environment: { CAEGIS_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' } })
})
afterAll(() => loop.close())

/** One try on a page of its own. */
async function guess(username: string, password: string, browser: Browser = createBrowser()) {
  const page = await browser.open(createFlow(loop, { browser }).url)
  const response = await browser.open(page.url.href, { username, password })
  return {
    status: response.status,
    text: response.text.replaceAll(username, 'NAME').replace(/(csrf" value=|challenge" value=|data-options=)"[^"]*"/g, ''),
  }
}

it('an account is throttled after five wrong passwords, whoever it is; a right one waits too, and a browser that its holder used before does not', async () => {
  const own = createBrowser()
  expect((await createFlow(loop, { browser: own }).signIn()).searchParams.get('code')).toEqual(expect.any(String))

  const known: unknown[] = []
  const unknown: unknown[] = []
  for (let tries = 0; tries < 7; tries++) {
    known.push(await guess('alice@contoso.test', 'wrong'))
    unknown.push(await guess('nobody@contoso.test', 'wrong'))
  }
  expect(known).toMatchObject([...Array(6).fill({ status: 401 }), { status: 429 }])
  // Status and text are the same for a user who does not exist.
  expect(unknown).toEqual(known)
  expect(await guess('alice@contoso.test', PASSWORD)).toMatchObject({ status: 429, text: expect.stringContaining('Too many tries') })

  expect(await guess('bob@contoso.test', 'wrong')).toMatchObject({ status: 401 })
  const again = await createFlow(loop, { browser: own, more: { prompt: 'login' } }).signIn()
  expect(again.searchParams.get('code')).toEqual(expect.any(String))

  // Nobody is locked out for good: the wait is bounded, and a right password ends it.
  ahead += 901
  const fresh = await createFlow(loop).signIn()
  expect(fresh.searchParams.get('code')).toEqual(expect.any(String))
  for (let tries = 0; tries < 5; tries++) expect((await guess('alice@contoso.test', 'wrong')).status).toBe(401)
})

it('many guesses at once are no way around it, and the count outlives the guess', async () => {
  const all = await Promise.all(Array.from({ length: 12 }, () => guess('bob@contoso.test', 'wrong')))
  // Five are free, and the sixth starts the wait.
  expect(all.filter(({ status }) => status === 401)).toHaveLength(6)
  expect(all.filter(({ status }) => status === 429)).toHaveLength(6)
  const rows = await loop.server.store.db.selectFrom('throttles').selectAll().execute()
  expect(rows.length).toBeGreaterThan(0)
  expect(JSON.stringify(rows)).not.toMatch(/bob|127\.0\.0\.1|::1/)
})

it('an address that guesses at many accounts waits at all of them', async () => {
  ahead += 3600
  expect((await guess('one@contoso.test', 'wrong')).status).toBe(401)
  // As after 98 more of the kind, each at another account.
  const { db } = loop.server.store
  const later = (eb: any) => ({ failures: eb('failures', '+', 98) })
  await db
    .updateTable('throttles')
    .set(later)
    .where('at', '>=', Math.floor(started / 1000) + ahead)
    .execute()
  expect((await guess('two@contoso.test', 'wrong')).status).toBe(401)
  expect((await guess('three@contoso.test', 'wrong')).status).toBe(401)
  expect((await guess('another@contoso.test', 'wrong')).status).toBe(429)
  ahead += 3600
  expect((await guess('another@contoso.test', 'wrong')).status).toBe(401)
})

it('a form that this server did not make proves nothing, with the right cookie and the right password', async () => {
  const browser = createBrowser()
  const page = await browser.open(createFlow(loop, { browser }).url)
  for (const csrf of ['', 'guess']) {
    const refused = await browser.open(page.url.href, { username: 'admin@contoso.test', password: PASSWORD, csrf })
    expect(refused).toMatchObject({ status: 400, text: expect.stringContaining('has expired') })
  }
  // That of another sign-in neither.
  const other = createBrowser()
  const theirs = (await other.open(createFlow(loop, { browser: other }).url)).text.match(/name="csrf" value="([^"]*)"/)?.[1] as string
  expect((await browser.open(page.url.href, { username: 'admin@contoso.test', password: PASSWORD, csrf: theirs })).status).toBe(400)
})

it('secrets of clients are throttled by address, at each endpoint that takes them; nobody locks a client out', async () => {
  const ask = async (path: string, secret: string, { client = 'files-api', from = '192.0.2.7', basic = false } = {}) => {
    const form = { token: 'x', grant_type: 'client_credentials', scope: 'ssf.read' }
    const response = await fetch(`${loop.authority}/oauth2/v2.0/${path}`, {
      method: 'POST',
      headers: { 'x-forwarded-for': from, ...(basic ? { authorization: `Basic ${btoa(`${client}:${secret}`)}` } : {}) },
      body: new URLSearchParams(basic ? form : { ...form, client_id: client, client_secret: secret }),
    })
    return { status: response.status, body: await response.text(), wait: response.headers.get('retry-after') }
  }
  const statuses: number[] = []
  for (let tries = 0; tries < 12; tries++) {
    const path = ['token', 'introspect', 'revoke'][tries % 3] as string
    statuses.push((await ask(path, 'wrong secret', { basic: tries % 2 === 1 })).status)
  }
  expect(statuses).toEqual([...Array(11).fill(401), 429])
  for (const path of ['token', 'introspect', 'revoke']) {
    const refused = await ask(path, SECRET)
    expect(refused).toMatchObject({ status: 429, wait: expect.stringMatching(/^\d+$/) })
    expect(refused.body).not.toContain(SECRET)
  }
  // The client itself comes from elsewhere; other clients of the address are not hindered, and no user there either.
  expect((await ask('token', SECRET, { from: '192.0.2.8' })).status).toBe(200)
  expect((await ask('token', SECRET, { client: 'mail-api' })).status).toBe(200)
  ahead += 301
  expect((await ask('token', SECRET)).status).toBe(200)
})

it('many secrets at once are no way around it, nor is a good one of one’s own; many who know theirs do not hinder each other', async () => {
  const ask = async (secret: string, { client = 'files-api', from = '192.0.2.17' } = {}) => {
    const form = { grant_type: 'client_credentials', scope: 'ssf.read', client_id: client, client_secret: secret }
    const request = { method: 'POST', headers: { 'x-forwarded-for': from }, body: new URLSearchParams(form) }
    return (await fetch(`${loop.authority}/oauth2/v2.0/token`, request)).status
  }
  const count = (all: number[], one: number) => all.filter((status) => status === one).length
  const wrong = await Promise.all(Array.from({ length: 30 }, (_, at) => ask(`wrong secret ${at}`)))
  expect([count(wrong, 401), count(wrong, 429)]).toEqual([11, 19])
  // At many clients, too, by somebody who knows the secret of one; each of them has had its share already.
  const from = '192.0.2.18'
  const clients = Array.from({ length: 70 }, (_, at) => ask('wrong secret', { client: `client-${at}`, from }))
  const mine = Array.from({ length: 20 }, () => ask(SECRET, { client: 'mail-api', from }))
  expect(count(await Promise.all(clients), 401)).toBeLessThanOrEqual(51)
  await Promise.all(mine)
  expect(await ask(SECRET, { client: 'mail-api', from })).toBe(429)

  const good = await Promise.all(Array.from({ length: 60 }, () => ask(SECRET, { from: '192.0.2.19' })))
  expect(count(good, 200)).toBe(60)
  ahead += 1000
})

it('what was right once and is taken back is a guess again', async () => {
  const ask = async (secret: string) => {
    const form = { grant_type: 'client_credentials', scope: `${loop.origin}/.default`, client_id: 'nightly', client_secret: secret }
    const request = { method: 'POST', headers: { 'x-forwarded-for': '192.0.2.20' }, body: new URLSearchParams(form) }
    return (await fetch(`${loop.authority}/oauth2/v2.0/token`, request)).status
  }
  expect(await ask(SECRET)).toBe(200)
  const { db } = loop.server.store
  const rows = await db.selectFrom('credentials').selectAll().where('app_id', '=', 'nightly').execute()
  await db.deleteFrom('credentials').where('app_id', '=', 'nightly').execute()
  await db
    .updateTable('applications')
    .set((eb) => ({ version: eb('version', '+', 1) }))
    .where('app_id', '=', 'nightly')
    .execute()
  const statuses: number[] = []
  for (let tries = 0; tries < 12; tries++) statuses.push(await ask(SECRET))
  expect(statuses).toEqual([...Array(11).fill(401), 429])
  await db.insertInto('credentials').values(rows).execute()
  ahead += 1000
})

it('codes of devices are throttled by address', async () => {
  const device = `${loop.authority}/oauth2/v2.0/device`
  const browser = createBrowser()
  await browser.open(device)
  const guessCode = () => browser.open(device, { user_code: 'ABCD-EFGH' })
  const statuses: number[] = []
  for (let tries = 0; tries < 12; tries++) statuses.push((await guessCode()).status)
  expect(statuses.slice(0, 11)).toEqual(Array(11).fill(200))
  expect(statuses.at(-1)).toBe(429)
  ahead += 301
  expect((await browser.open(device)).status).toBe(200)
  expect((await guessCode()).text).toContain('The code is unknown')
  ahead += 1000
  // At once, too.
  const { text } = await browser.open(device)
  const csrf = text.match(/name="xsrf" value="([^"]*)"/)?.[1]
  expect(csrf ?? text).toEqual(expect.any(String))
  const all = await Promise.all(Array.from({ length: 30 }, () => guessCode()))
  expect(all.filter(({ status }) => status === 429)).toHaveLength(19)
})
