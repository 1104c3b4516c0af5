import { afterAll, beforeAll, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, startLoop, verdictOf } from './loop.ts'

const UPN = 'alice@contoso.test'
let ahead = 0
let loop: Loop
let account: string
/** What alice's password is now. */
let password = PASSWORD

beforeAll(async () => {
  loop = await startLoop({ now: () => Date.now() + ahead * 1000 })
  account = `${loop.authority}/account`
})
afterAll(() => loop.close())

/** A session of alice's in a browser of its own, and what an application got from it. */
async function session(browser = createBrowser()) {
  const flow = createFlow(loop, { browser })
  const end = await browser.signIn(flow.url, 'http://localhost', { username: UPN, password })
  const { status, body } = await flow.redeem(end.searchParams.get('code') as string)
  expect(status).toBe(200)
  return { browser, flow, accessToken: String(body.access_token), refreshToken: String(body.refresh_token) }
}
const change = (browser: ReturnType<typeof createBrowser>, next: string, old = password) =>
  browser.open(account, { action: 'new-password', old, new: next, again: next })
const lastEvent = async () => {
  const row = await loop.server.store.db.selectFrom('events').selectAll().orderBy('seq', 'desc').executeTakeFirstOrThrow()
  return { type: row.type, ...JSON.parse(row.payload) }
}

it('A10: a changed password ends everything of the user but the session that changed it, with its applications', async () => {
  const guard = await loop.guard()
  const mine = await session()
  const other = await session()
  expect((await verdictOf(guard, mine.accessToken)).allowed).toBe(true)
  await mine.browser.open(account)
  const done = await change(mine.browser, 'the second password')
  expect(done).toMatchObject({ status: 200, text: expect.stringContaining('Your password was changed') })
  password = 'the second password'
  expect(await lastEvent()).toMatchObject({
    type: expect.stringContaining('credential-change'),
    ...{ credential_type: 'password', change_type: 'update', initiating_entity: 'user' },
  })

  // Access tokens of everybody are asked for again; only one of the sessions gets an answer.
  for (const { accessToken } of [mine, other])
    await eventually(
      () => verdictOf(guard, accessToken),
      ({ allowed }) => !allowed,
    )
  const refused = await other.flow.refresh(other.refreshToken)
  expect(refused).toMatchObject({ status: 400, body: { error: 'interaction_required' } })
  const fresh = await mine.flow.refresh(mine.refreshToken)
  expect(fresh.status).toBe(200)
  expect((await verdictOf(guard, String(fresh.body.access_token))).allowed).toBe(true)
  // It is the second after the cutoff that the tokens name, and another application of the session is not asked either.
  expect(claimsOf(String(fresh.body.access_token)).auth_time).toBe((await lastEvent()).event_timestamp + 1)
  expect(await createFlow(loop, { browser: mine.browser, more: { prompt: 'none' } }).code()).toEqual(expect.any(String))
  const silent = await createFlow(loop, { browser: other.browser, more: { prompt: 'none' } }).signIn()
  expect(silent.searchParams.get('error')).toBe('login_required')
  expect((await mine.browser.open(account)).text).toContain('Your account')

  await expect(createFlow(loop).signIn()).rejects.toThrow(/password is wrong/)
  await session()
})

it('A10: what had ended before the change stays dead in the session that changed it', async () => {
  const mine = await session()
  const spent = mine.refreshToken
  const { body } = await mine.flow.refresh(spent)
  const grant = Buffer.from(`${claimsOf(mine.accessToken).oid}\nfiles-native`).toString('base64url')
  expect((await loop.graph('DELETE', `/oauth2PermissionGrants/${grant}`)).status).toBe(204)
  await mine.browser.open(account)
  expect((await change(mine.browser, 'the third password')).status).toBe(200)
  password = 'the third password'
  expect((await mine.flow.refresh(String(body.refresh_token))).status).toBe(400)
  // The session itself goes on.
  expect(await createFlow(loop, { browser: mine.browser, more: { prompt: 'none' } }).code()).toEqual(expect.any(String))
  // A token that was replaced is still the sign of a theft.
  const again = await session(mine.browser)
  const next = await again.flow.refresh(again.refreshToken)
  expect((await change(again.browser, 'the fourth password')).status).toBe(200)
  password = 'the fourth password'
  ahead += 31
  expect((await again.flow.refresh(again.refreshToken)).status).toBe(400)
  expect((await again.flow.refresh(String(next.body.refresh_token))).status).toBe(400)
})

it('A10: a refresh that races with the change dies in another session and lives in the acting one', async () => {
  for (let round = 0; round < 3; round++) {
    const mine = await session()
    const other = await session()
    await mine.browser.open(account)
    const next = `password of round ${round}`
    const race = async (one: typeof mine) => {
      let { refreshToken } = one
      let accessToken = one.accessToken
      let status = 200
      for (let step = 0; step < 4 && status === 200; step++) {
        const answer = await one.flow.refresh(refreshToken)
        status = answer.status
        if (status === 200) [refreshToken, accessToken] = [String(answer.body.refresh_token), String(answer.body.access_token)]
      }
      return { refreshToken, accessToken, status }
    }
    const [ours, theirs, done] = await Promise.all([race(mine), race(other), change(mine.browser, next)])
    expect(done.status).toBe(200)
    password = next
    const t = (await lastEvent()).event_timestamp
    expect(ours.status).toBe(200)
    expect((await mine.flow.refresh(ours.refreshToken)).status).toBe(200)
    expect(claimsOf(theirs.accessToken).iat).toBeLessThanOrEqual(t)
    expect((await other.flow.refresh(theirs.refreshToken)).status).toBe(400)
  }
})

it('a revocation that comes between the page and the change wins', async () => {
  const mine = await session()
  const page = await mine.browser.open(account)
  expect(page.text).toContain('Your account')
  // The old password has been verified; the revocation gets in before the change does.
  const { store } = loop.server
  const { commit } = store
  store.commit = async (edit) => {
    if (edit.actor.kind === 'holder') {
      store.commit = commit
      expect((await loop.graph('POST', `/users/${UPN}/revokeSignInSessions`)).status).toBe(200)
    }
    return commit(edit)
  }
  const done = await change(mine.browser, 'a thief set this one')
  expect(done.text).toContain('name="username"')
  const silent = await createFlow(loop, { browser: mine.browser, more: { prompt: 'none' } }).signIn()
  expect(silent.searchParams.get('error')).toBe('login_required')
})

it('a new password is refused when it is short, long, not repeated, the user name or the old one; guesses of the old one are throttled', async () => {
  const { browser } = await session()
  await browser.open(account)
  const form = await browser.open(account, { action: 'password' })
  expect(form.text).toContain('name="old"')
  const set = async (fields: Record<string, string>) => {
    const page = await browser.open(account, { action: 'new-password', old: password, again: fields.new ?? '', ...fields })
    return `${page.status} ${page.text.match(/role="alert">([^<]*)</)?.[1]}`
  }
  for (const next of ['', 'short', 'x'.repeat(257)]) expect(await set({ new: next })).toBe('400 A password has 8 to 256 characters.')
  expect(await set({ new: 'a new password', again: 'another one' })).toMatch(/400 .*not the same/)
  expect(await set({ new: UPN.toUpperCase() })).toMatch(/400 Your user name/)
  expect(await set({ new: password })).toMatch(/400 That is the password you have/)
  expect(
    (await browser.open(account, { action: 'new-password', old: password, new: 'a new password', again: 'a new password', csrf: 'guess' })).status,
  ).toBe(400)
  const wrong: string[] = []
  // Waits double, so they outgrow any machine.
  for (let tries = 0; tries < 40 && !wrong.at(-1)?.startsWith('429'); tries++) wrong.push(await set({ new: 'a new password', old: 'wrong' }))
  expect(wrong[0]).toBe('401 The old password is wrong.')
  expect(wrong.at(-1)).toMatch(/429 Too many tries/)
  ahead += 901
  await session()
})

it('A10: a password that an administrator set is changed before anything is issued, and the sign-in goes on with the new one', async () => {
  const bob = 'bob@contoso.test'
  const given = 'given by the admin'
  expect((await loop.graph('PATCH', `/users/${bob}`, { passwordProfile: { password: given, forceChangePasswordNextSignIn: true } })).status).toBe(204)
  const browser = createBrowser()
  const flow = createFlow(loop, { browser })
  const page = await browser.open(flow.url)
  const half = await browser.open(page.url.href, { username: bob, password: given })
  expect(half).toMatchObject({ status: 200, text: expect.stringContaining('name="new"') })
  expect(half.text).not.toContain('name="old"')
  const silent = () => createFlow(loop, { browser, more: { prompt: 'none' } }).signIn()
  expect((await silent()).searchParams.get('error')).toBe('login_required')
  // Neither the first page again nor a code gets past it.
  expect((await browser.open(half.url.href)).text).toContain('name="new"')
  expect((await browser.open(half.url.href, { code: '000000' })).status).toBe(400)
  await browser.open(half.url.href)
  for (const [next, again] of [
    [given, given],
    ['short', 'short'],
    ['one password', 'another one'],
  ] as const)
    expect((await browser.open(half.url.href, { new: next, again })).status).toBe(400)
  expect((await browser.open(half.url.href, { new: 'of his own', again: 'of his own', csrf: 'guess' })).status).toBe(400)
  expect((await silent()).searchParams.get('error')).toBe('login_required')

  await browser.open(half.url.href)
  const resume = await browser.submit(half.url.href, { new: 'of his own', again: 'of his own' })
  const end = await browser.signIn(resume, 'http://localhost', { username: bob, password: 'unused' })
  const { body } = await flow.redeem(end.searchParams.get('code') as string)
  const event = await lastEvent()
  expect(event).toMatchObject({ credential_type: 'password', initiating_entity: 'user' })
  expect(claimsOf(String(body.access_token))).toMatchObject({ auth_time: event.event_timestamp + 1, amr: ['pwd'] })
  expect((await flow.refresh(String(body.refresh_token))).status).toBe(200)
  const again = createBrowser()
  await expect(again.signIn(createFlow(loop, { browser: again }).url, 'http://localhost', { username: bob, password: given })).rejects.toThrow(
    /is wrong/,
  )
  const next = await again.signIn(createFlow(loop, { browser: again }).url, 'http://localhost', { username: bob, password: 'of his own' })
  expect(next.searchParams.get('code')).toEqual(expect.any(String))
})

it('A3(d): who waits at the page for a new password is sent back by a revocation; a tenant file can ask for the change too', async () => {
  const carol = 'carol@contoso.test'
  const users = [{ userPrincipalName: carol, password, forceChangePasswordNextSignIn: true }]
  await loop.server.apply(JSON.stringify({ tenant: { name: 'contoso' }, users }))
  const browser = createBrowser()
  const page = await browser.open(createFlow(loop, { browser }).url)
  const half = await browser.open(page.url.href, { username: carol, password })
  expect(half.text).toContain('name="new"')
  await loop.graph('POST', `/users/${carol}/revokeSignInSessions`)
  const refused = await browser.open(half.url.href, { new: 'a thief chose this', again: 'a thief chose this' })
  expect(refused).toMatchObject({ status: 401, text: expect.stringContaining('Your access changed meanwhile') })
  // An administrator may take the demand back.
  expect((await loop.graph('PATCH', `/users/${carol}`, { passwordProfile: { forceChangePasswordNextSignIn: false } })).status).toBe(204)
  const end = await createBrowser().signIn(createFlow(loop).url, 'http://localhost', { username: carol, password })
  expect(end.searchParams.get('code')).toEqual(expect.any(String))
})
