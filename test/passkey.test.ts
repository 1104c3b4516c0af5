import type { CDPSession, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createAuthenticator, type Lies, optionsOf } from './authenticator.ts'
import { type Chromium, hasChromium, startChromium, type Window } from './chromium.ts'
import { createFlow } from './flow.ts'
import { claimsOf, type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'

const UPN = 'alice@contoso.test'
let loop: Loop
let chromium: Chromium
let window: Window
let page: Page
let cdp: CDPSession
let recovery: string[]

const isThere = hasChromium()
beforeAll(async () => {
  if (!isThere) return
  loop = await startLoop()
  chromium = await startChromium()
  window = await chromium.window()
  page = await window.context.newPage()
  cdp = await window.context.newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true } as const
  await cdp.send('WebAuthn.addVirtualAuthenticator', { options })
}, 60_000)
afterAll(async () => {
  await chromium?.close()
  await loop?.close()
})

const events = async () =>
  (await loop.server.store.db.selectFrom('events').selectAll().orderBy('seq').execute()).map((row) => ({ at: row.at, ...JSON.parse(row.payload) }))

/** Begins a sign-in in the window; the code comes back on an address that nobody listens at. */
async function begin() {
  const flow = createFlow(loop, { more: { prompt: 'login' } })
  await page.goto(flow.url)
  return flow
}
const press = async (name: string) => page.getByRole('button', { name }).click()
async function codeOf(work: () => Promise<void>): Promise<string> {
  const back = page.waitForRequest((request) => request.url().startsWith('http://localhost/'))
  await work()
  return new URL((await back).url()).searchParams.get('code') as string
}
const withPassword = async () => {
  await page.fill('#username', UPN)
  await page.fill('#password', PASSWORD)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}
const passkeyForm = 'form[data-passkey]'

describe.skipIf(!isThere)('passkeys', () => {
  it('one is registered on the account page; recovery codes come with the first, and the log tells', async () => {
    await page.goto(`${loop.authority}/account`)
    await withPassword()
    await page.fill('#name', 'Laptop of "Alice" <1>')
    await press('Add a passkey')
    await page.getByText('Your recovery codes').first().waitFor()
    recovery = await page.locator('.codes li').allTextContents()
    expect(recovery).toHaveLength(10)
    expect((await events()).at(-1)).toMatchObject({
      ...{ credential_type: 'fido2-platform', change_type: 'create', initiating_entity: 'user', friendly_name: 'Laptop of "Alice" <1>' },
    })
    const row = await loop.server.store.db.selectFrom('users').select(['valid_from', 'access_from']).where('upn', '=', UPN).executeTakeFirstOrThrow()
    expect(row.access_from).toBeGreaterThan(0)
    // Of depth access: nobody is signed out.
    expect(row.valid_from).toBe(0)
  })

  it('signs in alone, without a user name, as two factors; the counter and the day of use are kept', async () => {
    const flow = await begin()
    const code = await codeOf(() => press('Use a passkey'))
    const { body } = await flow.redeem(code)
    expect(claimsOf(String(body.access_token))).toMatchObject({ amr: ['fido', 'mfa'] })
    const used = await loop.server.store.db.selectFrom('factors').select('last_used_at').where('kind', '=', 'passkey').executeTakeFirstOrThrow()
    expect(used.last_used_at).toBeGreaterThan(0)
    // It suffices for the account page, which the password alone no longer opens.
    await page.goto(`${loop.authority}/account`)
    await page.getByText('Laptop of "Alice" <1>').waitFor()
  })

  it('is asked for after the password, and a recovery code stands in for it', async () => {
    const flow = await begin()
    await withPassword()
    await page.getByRole('heading', { name: 'Use your passkey' }).waitFor()
    const { body } = await flow.redeem(await codeOf(() => press('Use a passkey')))
    expect(claimsOf(String(body.access_token))).toMatchObject({ amr: ['pwd', 'fido', 'mfa'] })

    const browser = createBrowser()
    const scripted = createFlow(loop, { browser })
    await expect(scripted.signIn()).rejects.toThrow(/Use your passkey/)
    const person = { username: UPN, password: PASSWORD, code: () => recovery[0] as string }
    const end = await browser.signIn(createFlow(loop, { browser }).url, 'http://localhost', person)
    expect(end.searchParams.get('code')).toEqual(expect.any(String))
  })

  it('is good for one page of one origin, once', async () => {
    /** Answers the page's own challenge, as it would be sent, with what the test makes of it. */
    const answer = () =>
      page.evaluate(
        async ({ selector }) => {
          const form = document.querySelector(selector) as HTMLFormElement
          const options = JSON.parse(form.dataset.options as string)
          const api = PublicKeyCredential as unknown as { parseRequestOptionsFromJSON(given: object): PublicKeyCredentialRequestOptions }
          const credential = (await navigator.credentials.get({ publicKey: api.parseRequestOptionsFromJSON(options) })) as PublicKeyCredential
          const field = (name: string) => (form.querySelector(`[name=${name}]`) as HTMLInputElement).value
          return { csrf: field('csrf'), challenge: field('challenge'), passkey: JSON.stringify(credential.toJSON()), url: location.href }
        },
        { selector: passkeyForm },
      )
    const post = async ({ url, ...form }: Record<string, string>) => {
      const response = await window.context.request.post(url as string, { form, maxRedirects: 0, ignoreHTTPSErrors: true })
      return response.status()
    }

    await begin()
    const first = await answer()
    const changed = (edit: (credential: any) => void) => {
      const credential = JSON.parse(first.passkey)
      edit(credential)
      return { ...first, passkey: JSON.stringify(credential) }
    }
    const clientData = (edit: (data: any) => void) =>
      changed((credential) => {
        const data = JSON.parse(Buffer.from(credential.response.clientDataJSON, 'base64url').toString())
        edit(data)
        credential.response.clientDataJSON = Buffer.from(JSON.stringify(data)).toString('base64url')
      })
    // A page of its own for each: every try uses up its challenge.
    expect(await post(clientData((data) => (data.origin = 'https://evil.test')))).toBe(401)
    // That challenge is spent now, whatever comes with it.
    expect(await post(first)).toBe(401)

    await begin()
    const second = await answer()
    // Another sign-in's challenge, of the same browser.
    expect(await post({ ...second, challenge: first.challenge, passkey: first.passkey })).toBe(401)
    expect(await post({ ...second, csrf: first.csrf })).toBe(400)
    expect(await post(second)).toBe(303)

    await begin()
    const third = await answer()
    expect(await post(third)).toBe(303)
    expect(await post(third)).not.toBe(303)
    for (const passkey of ['', '{}', 'x'.repeat(20_000), '[]', '{"id":1}']) {
      await begin()
      expect(await post({ ...(await answer()), passkey })).toBe(401)
    }
  })

  it('comes together with the proof of the browser, where that is registered as a device: for which the passkey is asked first', async () => {
    const without = createBrowser()
    const first = await without.open(`${loop.authority}/account`)
    // The password alone registers nothing for somebody who has more.
    expect((await without.open(first.url.href, { username: UPN, password: PASSWORD })).text).toContain('Use your passkey')
    // This window signed in with both.
    await page.goto(`${loop.authority}/account`)
    await press('Register this browser')
    await page.getByText('This browser was registered').waitFor()
    const flow = await begin()
    const { body } = await flow.redeem(await codeOf(() => press('Use a passkey')))
    const { id } = await loop.server.store.db.selectFrom('devices').select('id').executeTakeFirstOrThrow()
    expect(claimsOf(String(body.access_token))).toMatchObject({ deviceid: id, amr: ['fido', 'mfa'] })
  })

  it('nothing on these pages runs but the one script, and nothing breaks a policy', async () => {
    expect(window.faults.filter((fault) => !fault.includes('ERR_CONNECTION_REFUSED'))).toEqual([])
    for (const response of window.pages) expect(response.headers()['content-security-policy']).toContain("frame-ancestors 'none'")
  })
})

describe('passkeys that lie', () => {
  let tenant: Loop
  let account: string
  beforeAll(async () => {
    tenant = await startLoop()
    account = `${tenant.authority}/account`
  })
  afterAll(() => tenant.close())
  const bob = { username: 'bob@contoso.test', password: PASSWORD }
  const site = () => ({ origin: tenant.origin, rpId: new URL(tenant.origin).hostname })

  it('are not registered: a wrong origin, another site, no user verification, another challenge, the answer of a sign-in', async () => {
    const browser = createBrowser()
    const page = await browser.open(account)
    await browser.open(page.url.href, bob)
    const add = async (lies: Lies) => {
      const offer = optionsOf((await browser.open(account)).text)
      return (await browser.open(account, { action: 'add-passkey', name: 'x', passkey: createAuthenticator(site()).create(offer, lies) })).status
    }
    for (const lies of [
      { origin: 'https://evil.test' },
      { rpId: 'evil.test' },
      { userVerified: false },
      { challenge: 'AAAA' },
      { type: 'webauthn.get' },
    ] as Lies[])
      expect(`${JSON.stringify(lies)} ${await add(lies)}`).toBe(`${JSON.stringify(lies)} 400`)
    // What another page offered is good there only; what is right is good once.
    const offered = await browser.open(account)
    const key = createAuthenticator(site())
    const passkey = key.create(optionsOf(offered.text))
    const challenge = offered.text.match(/name="challenge" value="([^"]*)"/)?.[1] as string
    const other = createBrowser()
    await other.open((await other.open(account)).url.href, { username: 'admin@contoso.test', password: PASSWORD })
    expect((await other.open(account, { action: 'add-passkey', name: 'x', passkey, challenge })).status).toBe(400)
    expect(await add({})).toBe(200)
    expect(await tenant.server.store.db.selectFrom('factors').select('name').where('kind', '=', 'passkey').execute()).toHaveLength(1)
  })

  it('do not sign in: a wrong origin, another site, no user verification, another key, another user, a counter that fell back', async () => {
    const browser = createBrowser()
    const key = createAuthenticator(site())
    const person = { ...bob, username: 'alice@contoso.test' }
    await browser.open((await browser.open(account)).url.href, person)
    const offer = optionsOf((await browser.open(account)).text)
    expect((await browser.open(account, { action: 'add-passkey', name: 'x', passkey: key.create(offer, { counter: 10 }) })).text).toContain(
      'recovery codes',
    )

    const admin = await tenant.server.store.db.selectFrom('users').select('id').where('upn', '=', 'admin@contoso.test').executeTakeFirstOrThrow()
    const use = async (lies: Lies, half = false) => {
      const fresh = createBrowser()
      let page = await fresh.open(createFlow(tenant, { browser: fresh }).url)
      if (half) page = await fresh.open(page.url.href, person)
      const passkey = key.get(optionsOf(page.text), lies)
      const end = await fresh.submit(page.url.href, { passkey })
      return end.includes('/oauth2/v2.0/authorize/') ? 'in' : 'out'
    }
    for (const half of [false, true]) {
      for (const lies of [
        { origin: 'https://evil.test' },
        { rpId: 'evil.test' },
        { userVerified: false },
        { challenge: 'AAAA' },
        { type: 'webauthn.create' },
        { forged: true },
        { counter: 5 },
        ...(half ? [] : [{ userHandle: admin.id }, { userHandle: 'nobody' }, { userHandle: '' }]),
      ] as Lies[])
        expect(`${half} ${JSON.stringify(lies)} ${await use({ counter: half ? 200 : 100, ...lies }, half)}`).toMatch(/ out$/)
      expect(await use({ counter: half ? 300 : 150 }, half)).toBe('in')
      // The same counter again: a copy of the key.
      expect(await use({ counter: half ? 300 : 150 }, half)).toBe('out')
    }
  })

  it('A3(d): a passkey of somebody who was disabled or whose passkey was removed signs nobody in', async () => {
    const passwordProfile = { password: PASSWORD, forceChangePasswordNextSignIn: false }
    const made = await tenant.graph('POST', '/users', {
      userPrincipalName: 'carol@contoso.test',
      displayName: 'Carol',
      accountEnabled: true,
      passwordProfile,
    })
    expect(made.status).toBe(201)
    const browser = createBrowser()
    const key = createAuthenticator(site())
    await browser.open((await browser.open(account)).url.href, { username: 'carol@contoso.test', password: PASSWORD })
    const offer = optionsOf((await browser.open(account)).text)
    const codes = await browser.open(account, { action: 'add-passkey', name: 'x', passkey: key.create(offer) })
    expect(codes.text).toContain('recovery codes')
    const use = async () => {
      const fresh = createBrowser()
      const page = await fresh.open(createFlow(tenant, { browser: fresh }).url)
      const answer = await fresh.open(page.url.href, { passkey: key.get(optionsOf(page.text)) }).catch(() => ({ status: 303, text: '' }))
      return `${answer.status} ${answer.text.match(/role="alert">([^<]*)</)?.[1] ?? ''}`
    }
    const carol = '/users/carol@contoso.test'
    await tenant.graph('PATCH', carol, { accountEnabled: false })
    expect(await use()).toMatch(/^401 Your account is disabled/)
    await tenant.graph('PATCH', carol, { accountEnabled: true })
    // The session that registered it proved a password only, which is not enough any more.
    expect((await browser.open(account)).text).toContain('name="password"')
    const again = createBrowser()
    const page = await again.open(account)
    const inside = await again.open(page.url.href, { passkey: key.get(optionsOf(page.text)) })
    expect(inside.text).toContain('Your account')
    const id = inside.text.match(/name="id" value="([^"]*)"/)?.[1] as string
    expect((await again.open(account, { action: 'remove-passkey', id })).text).toContain('The passkey was removed')
    expect(await use()).toMatch(/^401 That passkey is not registered here/)
    const events = await tenant.server.store.db.selectFrom('events').select('payload').orderBy('seq', 'desc').limit(1).execute()
    expect(JSON.parse(events[0]?.payload as string)).toMatchObject({ credential_type: 'fido2-roaming', change_type: 'delete' })
    // With the last of them the recovery codes are gone too.
    expect((await createFlow(tenant, { username: 'carol@contoso.test' }).signIn()).searchParams.get('code')).toEqual(expect.any(String))
  })

  it('an administrator sees what there is of a user and takes away what was lost; nobody sees a secret', async () => {
    const name = { username: 'bob@contoso.test', password: PASSWORD }
    const users = `/users/${name.username}/authentication`
    const loopOf = await startLoop({ tenant: METHODS })
    const browser = createBrowser()
    const page = `${loopOf.authority}/account`
    await browser.open((await browser.open(page)).url.href, name)
    const key = createAuthenticator({ origin: loopOf.origin, rpId: new URL(loopOf.origin).hostname })
    const offer = optionsOf((await browser.open(page)).text)
    await browser.open(page, { action: 'add-passkey', name: 'Lost key', passkey: key.create(offer) })

    const listed = await (await loopOf.graph('GET', `${users}/methods`)).json()
    expect(listed.value.map((one: any) => one['@odata.type'])).toEqual([
      '#microsoft.graph.passwordAuthenticationMethod',
      expect.stringMatching(/fido2|recovery/),
      expect.stringMatching(/fido2|recovery/),
    ])
    const lost = listed.value.find((one: any) => one.displayName === 'Lost key')
    expect(Object.keys(lost).sort()).toEqual(['@odata.type', 'createdDateTime', 'displayName', 'id', 'lastUsedDateTime'])
    // Of another kind, of another user, of nobody.
    for (const path of [
      `${users}/softwareOathMethods/${lost.id}`,
      `/users/alice@contoso.test/authentication/methods/${lost.id}`,
      `${users}/methods/x`,
    ])
      expect((await loopOf.graph('DELETE', path)).status).toBe(404)
    expect((await loopOf.graph('PATCH', `/users/${name.username}`, { displayName: 'Bob' })).status).toBe(403)

    const done = await loopOf.graph('DELETE', `${users}/fido2Methods/${lost.id}`)
    expect(done.status).toBe(204)
    const row = await loopOf.server.store.db.selectFrom('events').select(['txn', 'payload']).orderBy('seq', 'desc').executeTakeFirstOrThrow()
    expect(row.txn).toBe(done.headers.get('caegis-txn'))
    expect(JSON.parse(row.payload)).toMatchObject({ credential_type: 'fido2-roaming', change_type: 'delete', initiating_entity: 'admin' })
    expect(await loopOf.server.store.db.selectFrom('factors').selectAll().execute()).toEqual([])
    expect((await createFlow(loopOf, { username: name.username }).signIn()).searchParams.get('code')).toEqual(expect.any(String))
    await loopOf.close()
  })
})

const METHODS = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: ['alice', 'bob'].map((name) => ({ userPrincipalName: `${name}@contoso.test`, password: PASSWORD })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read'] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/UserAuthenticationMethod.ReadWrite.All'] },
  ],
})
