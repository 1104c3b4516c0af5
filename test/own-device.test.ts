import { randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createDevices, MOST_OWN } from '../packages/server/src/directory/devices.ts'
import { type Chromium, hasChromium, startChromium, type Window } from './chromium.ts'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'
import { setPolicies } from './policies-of.ts'

const ALICE = 'alice@contoso.test'
const SHOTS = process.env.CAEGIS_SHOTS
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: ['admin', 'alice', 'bob', 'carol'].map((one) => ({ userPrincipalName: `${one}@contoso.test`, displayName: one, password: PASSWORD })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Device.ReadWrite.All', 'graph/AuditLog.Read.All'] },
  ],
})

let loop: Loop
let ahead = 0
beforeAll(async () => {
  loop = await startLoop({ tenant: TENANT, now: () => Date.now() + ahead })
})
afterAll(() => loop?.close())

const account = () => `${loop.authority}/account`
const graphJson = async (path: string) => (await (await loop.graph('GET', path)).json()) as Record<string, any>
const patch = async (id: string, body: object) => expect((await loop.graph('PATCH', `/devices/${id}`, body)).status).toBe(204)
const ownOf = async (user: string) =>
  loop.server.store.db
    .selectFrom('devices')
    .innerJoin('users', (join) => join.onRef('users.id', '=', 'devices.user_id').onRef('users.tenant', '=', 'devices.tenant'))
    .select(['devices.id', 'devices.display_name as name', 'devices.deleted_at as gone'])
    .where('users.upn', '=', `${user}@contoso.test`)
    .orderBy('devices.created_at')
    .execute()

const isThere = hasChromium()
describe.skipIf(!isThere)('a browser that is registered as a device', () => {
  let chromium: Chromium
  let laptop: Window
  let phone: Window
  let laptopId: string
  let phoneId: string

  beforeAll(async () => {
    chromium = await startChromium()
    laptop = await chromium.window()
    phone = await chromium.window({ viewport: { width: 390, height: 800 } })
  }, 60_000)
  afterAll(() => chromium?.close())

  const shot = async (page: Page, name: string) => {
    if (SHOTS !== undefined) await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true }).catch(() => {})
  }
  const fill = async (page: Page, username = ALICE) => {
    await page.fill('#username', username)
    await page.fill('#password', PASSWORD)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  }
  const openAccount = async ({ context }: Window) => {
    const page = await context.newPage()
    await page.goto(account())
    if (await page.locator('#password').isVisible()) await fill(page)
    await page.getByRole('heading', { name: 'Devices' }).waitFor()
    return page
  }
  const register = async (window: Window, name: string) => {
    const page = await openAccount(window)
    await page.getByLabel('Name of this browser').fill(name)
    await page.getByRole('button', { name: 'Register this browser' }).click()
    await page.getByText('This browser was registered').waitFor()
    await page.getByText(`${name} (this browser)`).waitFor()
    return page
  }
  /** Signs in with the password, from the beginning; `between` does what is to be done on the way. */
  const signIn = async ({ context }: Window, between?: (page: Page) => Promise<void>) => {
    const flow = createFlow(loop, { capable: true, more: { prompt: 'login' } })
    const page = await context.newPage()
    const back = page.waitForRequest((request) => request.url().startsWith('http://localhost/'))
    await page.goto(flow.url)
    await fill(page)
    await between?.(page)
    const code = new URL((await back).url()).searchParams.get('code') as string
    const { body } = await flow.redeem(code)
    await page.close()
    return { flow, accessToken: String(body.access_token), refreshToken: String(body.refresh_token) }
  }
  const heldKey = (page: Page) =>
    page.evaluate(
      (issuer) =>
        new Promise<{ id: string; extractable: boolean; exported: string } | undefined>((resolve, reject) => {
          const opening = indexedDB.open('caegis', 1)
          opening.onerror = () => reject(opening.error)
          opening.onsuccess = () => {
            const asked = opening.result.transaction('devices').objectStore('devices').get(issuer)
            asked.onsuccess = async () => {
              opening.result.close()
              if (!asked.result) return resolve(undefined)
              const { id, key } = asked.result as { id: string; key: CryptoKey }
              const tries = ['jwk', 'pkcs8', 'raw'].map((format) =>
                crypto.subtle.exportKey(format as 'jwk', key).then(
                  () => format,
                  () => 'no',
                ),
              )
              resolve({ id, extractable: key.extractable, exported: (await Promise.all(tries)).join(' ') })
            }
          }
        }),
      loop.issuer,
    )

  it('is so on the account page, with a key that never leaves it; its next sign-ins carry its name, and nobody else’s do', async () => {
    const page = await openAccount(laptop)
    await shot(page, 'account-no-device')
    await page.close()
    const done = await register(laptop, 'Laptop of "Alice" <1>')
    await shot(done, 'account-registered')
    expect(await done.getByRole('button', { name: 'Register this browser' }).isVisible()).toBe(false)
    const held = await heldKey(done)
    expect(held).toMatchObject({ extractable: false, exported: 'no no no' })
    laptopId = String(held?.id)
    await done.close()

    const { accessToken, flow, refreshToken } = await signIn(laptop)
    expect(claimsOf(accessToken)).toMatchObject({ deviceid: laptopId })
    expect(claimsOf(String((await flow.refresh(refreshToken)).body.access_token))).toMatchObject({ deviceid: laptopId })
    expect(claimsOf((await signIn(phone)).accessToken)).not.toHaveProperty('deviceid')

    const known = await graphJson(`/devices/${laptopId}`)
    const user = claimsOf(accessToken).oid
    expect(known).toMatchObject({
      displayName: 'Laptop of "Alice" <1>',
      owner: user,
      isCompliant: null,
      registeredFrom: expect.stringMatching(/^(127\.0\.0\.1|::1)$/),
    })
    expect(known.approximateLastSignInDateTime).toMatch(/Z$/)
    const { value } = await graphJson(`/auditLogs/directoryAudits?$filter=targetResources/any(t:t/id eq '${laptopId}')`)
    expect(value).toMatchObject([
      { activityDisplayName: 'Add device', initiatedBy: { user: { userPrincipalName: ALICE, ipAddress: known.registeredFrom } } },
    ])
  })

  it('proves itself by the server’s clock, whatever its own says', async () => {
    await phone.context.clock.setFixedTime(Date.now() - 3_600_000)
    const page = await register(phone, 'Phone')
    phoneId = String((await heldKey(page))?.id)
    await page.close()
    expect(claimsOf((await signIn(phone)).accessToken)).toMatchObject({ deviceid: phoneId })
    expect(phoneId).not.toBe(laptopId)
  })

  it('is let in by policies as far as others say that it is compliant; losing that ends its tokens, and nothing on the user’s other devices', async () => {
    await setPolicies(loop, [
      {
        ...{ displayName: 'Compliant devices', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['compliantDevice'] } },
        conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['files-api'] } },
      },
    ])
    const flow = createFlow(loop, { more: { prompt: 'login' } })
    const stopped = await laptop.context.newPage()
    await stopped.goto(flow.url)
    await fill(stopped)
    await stopped.getByText('compliant devices only').waitFor()
    await shot(stopped, 'stopped-not-compliant')
    await stopped.close()

    for (const id of [laptopId, phoneId]) await patch(id, { isCompliant: true })
    const guard = await loop.guard()
    const [on, elsewhere] = [await signIn(laptop), await signIn(phone)]
    for (const { accessToken } of [on, elsewhere]) expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    await patch(laptopId, { isCompliant: false })
    await eventually(
      async () => (await verdictOf(guard, on.accessToken)).allowed,
      (allowed) => !allowed,
    )
    expect(await on.flow.refresh(on.refreshToken)).toMatchObject({ status: 400, body: { error_codes: [53000] } })
    expect(await verdictOf(guard, elsewhere.accessToken)).toMatchObject({ allowed: true })
    expect(await elsewhere.flow.refresh(elsewhere.refreshToken)).toMatchObject({ status: 200 })
    await setPolicies(loop, [])
    const page = await openAccount(laptop)
    await shot(page, 'account-two-devices')
    await page.close()
  })

  it('E10: a copy of its cookies is the session that it was and no more: whoever signs in with it does so from no device', async () => {
    const thief = await chromium.window()
    await thief.context.addCookies(await laptop.context.cookies())
    const silent = createFlow(loop, { more: { prompt: 'none' } })
    const page = await thief.context.newPage()
    const back = page.waitForRequest((request) => request.url().startsWith('http://localhost/'))
    await page.goto(silent.url).catch(() => {})
    const { body } = await silent.redeem(new URL((await back).url()).searchParams.get('code') as string)
    expect(claimsOf(String(body.access_token))).toMatchObject({ deviceid: laptopId })
    await page.close()
    expect(claimsOf((await signIn(thief)).accessToken)).not.toHaveProperty('deviceid')
    await thief.context.close()
  })

  it('whose device was disabled or removed says so once, and signs in without it', async () => {
    await patch(laptopId, { accountEnabled: false })
    const disabled = await signIn(laptop, async (page) => {
      await page.getByRole('heading', { name: 'This browser is disabled' }).waitFor()
      await shot(page, 'lost-disabled')
      await page.getByRole('link', { name: 'Go on without it' }).click()
    })
    expect(claimsOf(disabled.accessToken)).not.toHaveProperty('deviceid')
    await patch(laptopId, { accountEnabled: true })
    expect(claimsOf((await signIn(laptop)).accessToken)).toMatchObject({ deviceid: laptopId })

    expect((await loop.graph('DELETE', `/devices/${laptopId}`)).status).toBe(204)
    const removed = await signIn(laptop, async (page) => {
      await page.getByRole('heading', { name: 'not registered any more' }).waitFor()
      await shot(page, 'lost-removed')
      await expect.poll(() => heldKey(page), { timeout: 20_000 }).toBeUndefined()
      await page.getByRole('link', { name: 'Go on without it' }).click()
    })
    expect(claimsOf(removed.accessToken)).not.toHaveProperty('deviceid')
    // Of which it knows nothing any more.
    expect(claimsOf((await signIn(laptop)).accessToken)).not.toHaveProperty('deviceid')
  })

  it('may be registered again, renamed and removed there; what was signed in from it is signed out', async () => {
    const page = await register(laptop, 'Laptop')
    const id = String((await heldKey(page))?.id)
    expect(id).not.toBe(laptopId)
    const { accessToken } = await signIn(laptop)
    const guard = await loop.guard()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    await page.goto(account())
    const mine = page.locator(`[data-device="${id}"]`)
    await mine.getByText('Change').click()
    await shot(page, 'account-change-device')
    await mine.getByLabel('Name').fill('Old laptop')
    await mine.getByRole('button', { name: 'Rename' }).click()
    await page.getByText('Old laptop (this browser)').waitFor()
    expect(await graphJson(`/devices/${id}`)).toMatchObject({ displayName: 'Old laptop' })
    await mine.getByText('Change').click()
    await mine.getByRole('button', { name: 'Remove' }).click()
    await page.getByText('The device was removed').waitFor()
    await shot(page, 'account-removed-device')
    await eventually(
      async () => (await verdictOf(guard, accessToken)).allowed,
      (allowed) => !allowed,
    )
    await expect.poll(() => heldKey(page), { timeout: 20_000 }).toBeUndefined()
    // The session that did it was that device's: somebody signs in anew, without it.
    await page.goto(account())
    await fill(page)
    await page.getByRole('heading', { name: 'Devices' }).waitFor()
    await page.close()
  })

  it('whose key is gone signs in as any other browser, and a browser that runs no scripts has no part in it', async () => {
    const page = await phone.context.newPage()
    await page.goto(loop.origin)
    await page.evaluate(
      () =>
        new Promise<void>((resolve, reject) => Object.assign(indexedDB.deleteDatabase('caegis'), { onsuccess: () => resolve(), onerror: reject })),
    )
    await page.close()
    expect(claimsOf((await signIn(phone)).accessToken)).not.toHaveProperty('deviceid')

    const plain = await chromium.window({ javaScriptEnabled: false })
    expect(claimsOf((await signIn(plain)).accessToken)).not.toHaveProperty('deviceid')
    const without = await openAccount(plain)
    expect(await without.getByRole('button', { name: 'Register this browser' }).isVisible()).toBe(false)
    await without.locator('noscript p').waitFor()
    await shot(without, 'account-no-script')
    await plain.context.close()
  })

  it('breaks no policy of its pages', () => {
    for (const { faults, pages } of [laptop, phone]) {
      expect(faults.filter((fault) => !/ERR_CONNECTION_REFUSED|status of 40[03]/.test(fault))).toEqual([])
      for (const response of pages) expect(response.headers()['content-security-policy']).toContain("frame-ancestors 'none'")
    }
  })
})

describe('E10: a device is registered by who has just signed in, for themselves, and not without end', () => {
  interface Lies {
    csrf?: string
    aud?: string
    nonce?: string
    typ?: string
    key?: CryptoKey
    jwk?: object
  }
  const enter = async (user: string) => {
    const browser = createBrowser()
    const page = await browser.open(account())
    const inside = await browser.open(page.url.href, { username: `${user}@contoso.test`, password: PASSWORD })
    const csrf = inside.text.match(/name="csrf" value="([^"]*)"/)?.[1] as string
    return { browser, csrf }
  }
  const make = async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256')
    const { kty, crv, x, y } = (await exportJWK(publicKey)) as Record<string, string>
    return {
      key: privateKey,
      jwk: { kty, crv, x, y } as Record<string, string>,
      id: `browser-${await calculateJwkThumbprint({ kty, crv, x, y } as never)}`,
    }
  }
  type Made = Awaited<ReturnType<typeof make>>
  type Inside = Awaited<ReturnType<typeof enter>>
  const wordOf = (made: Made, csrf: string, lies: Lies = {}) =>
    new SignJWT({ nonce: lies.nonce ?? csrf })
      .setProtectedHeader({ alg: 'ES256', typ: lies.typ ?? 'device-key+jwt', jwk: (lies.jwk ?? made.jwk) as never })
      .setAudience(lies.aud ?? loop.issuer)
      .setIssuedAt(Math.floor((Date.now() + ahead) / 1000))
      .setExpirationTime(Math.floor((Date.now() + ahead) / 1000) + 120)
      .sign(lies.key ?? made.key)
  const proofOf = ({ id, key }: Made) => {
    const now = Math.floor((Date.now() + ahead) / 1000)
    return new SignJWT({ iss: id, sub: id, aud: loop.issuer, iat: now, exp: now + 120, jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256', typ: 'device+jwt' })
      .sign(key)
  }
  const add = async ({ browser, csrf }: Inside, made: Made, lies: Lies = {}, before = '') => {
    const form = { action: 'add-device', name: 'x', device_assertion: before, device_key: await wordOf(made, csrf, lies), csrf: lies.csrf ?? csrf }
    const { status, text, url } = await browser.open(account(), form)
    return `${status} ${url.pathname.includes('/signin/') ? 'signs in' : (text.match(/role="(?:alert|status)">([^<]+)</)?.[1] ?? '')}`
  }

  it('not by another site’s form, nor with a key that did not sign for this very page', async () => {
    const [bob, carol] = [await enter('bob'), await enter('carol')]
    const [made, other] = [await make(), await make()]
    for (const lies of [
      { csrf: '' },
      { csrf: carol.csrf, nonce: carol.csrf },
      { nonce: carol.csrf },
      { aud: 'https://elsewhere.test/v2.0' },
      { typ: 'device+jwt' },
      { key: other.key },
      { jwk: { ...made.jwk, crv: 'P-384' } },
      { jwk: { kty: 'oct', k: 'AAAA' } },
    ] as Lies[])
      expect(`${JSON.stringify(lies)} ${await add(bob, made, lies)}`).toMatch(/ 400 /)
    expect(await ownOf('bob')).toEqual([])
    expect(await add(bob, made)).toMatch(/^200 This browser was registered/)
    // The same key twice, or for somebody else.
    expect(await add(bob, made)).toMatch(/^400 /)
    expect(await add(carol, made)).toMatch(/^400 /)
    expect(await ownOf('bob')).toMatchObject([{ id: made.id }])
    expect(await ownOf('carol')).toEqual([])
  })

  it('nobody renames or removes another’s, or what the organization registered', async () => {
    const [bob, carol] = [await enter('bob'), await enter('carol')]
    const [mine] = await ownOf('bob')
    const id = String(mine?.id)
    const { jwk } = await make()
    const managed = await loop.graph('POST', '/devices', { displayName: 'Managed', publicKey: jwk, owner: 'bob@contoso.test' })
    const { id: theirs } = (await managed.json()) as { id: string }
    for (const [who, what] of [
      [carol, id],
      [bob, theirs],
      [bob, 'nobody'],
    ] as const)
      for (const action of ['rename-device', 'remove-device'])
        expect((await who.browser.open(account(), { csrf: who.csrf, action, id: what, name: 'y' })).status).toBe(400)
    expect(await ownOf('bob')).toMatchObject([
      { id, name: 'x', gone: null },
      { id: theirs, name: 'Managed', gone: null },
    ])
    expect((await bob.browser.open(account(), { csrf: bob.csrf, action: 'rename-device', id, name: ' ' })).status).toBe(400)
    expect((await bob.browser.open(account(), { csrf: bob.csrf, action: 'rename-device', id, name: 'z' })).status).toBe(200)
  })

  it('not by a policy that forbids it', async () => {
    const carol = await enter('carol')
    await setPolicies(loop, [
      {
        ...{ displayName: 'No devices', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['mfa'] } },
        conditions: { users: { includeUsers: ['All'] }, applications: { includeUserActions: ['urn:user:registerdevice'] } },
      },
    ])
    expect(await add(carol, await make())).toMatch(/^400 A second factor is needed/)
    await setPolicies(loop, [])
  })

  it('a browser that is somebody else’s device stays that one, and one that was disabled gets no second life by a new key', async () => {
    const [bob, carol] = [await enter('bob'), await enter('carol')]
    const made = await make()
    expect(await add(bob, made)).toMatch(/^200 /)
    expect(await add(carol, await make(), {}, await proofOf(made))).toMatch(/^400 Somebody else who uses this browser/)
    await patch(made.id, { accountEnabled: false })
    expect(await add(bob, await make(), {}, await proofOf(made))).toMatch(/^400 An administrator disabled/)
    expect((await loop.graph('DELETE', `/devices/${made.id}`)).status).toBe(204)
    expect(await add(bob, await make(), {}, await proofOf(made))).toMatch(/^200 /)
  })

  it('what proved itself with the password is what the sign-in is from, whatever steps come after it', async () => {
    const bob = await enter('bob')
    const made = await make()
    expect(await add(bob, made)).toMatch(/^200 /)
    await loop.server.store.db.updateTable('users').set({ password_expired: 1 }).where('upn', '=', 'bob@contoso.test').execute()
    const flow = createFlow(loop)
    const page = await flow.browser.open(flow.url)
    const next = await flow.browser.open(page.url.href, { username: 'bob@contoso.test', password: PASSWORD, device_assertion: await proofOf(made) })
    expect(next.text).toContain('Your password has to be changed')
    const password = { action: 'new-password', new: `${PASSWORD} 2`, again: `${PASSWORD} 2` }
    const end = await flow.browser.open(next.url.href, password, 'http://localhost')
    const { body } = await flow.redeem(String(end.url.searchParams.get('code')))
    expect(claimsOf(String(body.access_token))).toMatchObject({ deviceid: made.id })
    const { password: old } = await loop.server.store.db.selectFrom('users').select('password').where('upn', '=', ALICE).executeTakeFirstOrThrow()
    await loop.server.store.db.updateTable('users').set({ password: old }).where('upn', '=', 'bob@contoso.test').execute()
  })

  it('who is stopped for want of a device may sign in anew from there', async () => {
    const { browser } = await enter('carol')
    await setPolicies(loop, [
      {
        ...{ displayName: 'Compliant devices', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['compliantDevice'] } },
        conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['files-api'] } },
      },
    ])
    const stopped = await browser.open(createFlow(loop).url)
    expect(stopped.text).toContain('compliant devices only')
    const again = await browser.open(stopped.url.href, { restart: 'yes' })
    expect(again.text).toContain('name="password"')
    await setPolicies(loop, [])
  })

  it(`no more than ${MOST_OWN}, also when they are removed again`, async () => {
    const carol = await enter('carol')
    const row = await loop.server.store.db.selectFrom('users').select('id').where('upn', '=', 'carol@contoso.test').executeTakeFirstOrThrow()
    const devices = createDevices(loop.server.store, loop.tenant)
    const self = { kind: 'holder', user: row.id } as const
    for (let made = 0; made < MOST_OWN; made++) {
      const { id, jwk } = await make()
      await devices.register(self, { id, displayName: 'one of many', publicKey: jwk as never, from: '' })
      if (made % 2 === 0) await devices.remove(self, id)
    }
    expect(await add(carol, await make())).toMatch(/^400 You have registered as many/)
    ahead += 25 * 3_600_000
    const tomorrow = await enter('carol')
    expect(await add(tomorrow, await make())).toMatch(/^200 /)
  })

  it('not on a page that was left open: ten minutes later somebody signs in first', async () => {
    const bob = await enter('bob')
    expect((await bob.browser.open(account())).text).toContain('Register this browser')
    ahead += 11 * 60_000
    expect(await add(bob, await make())).toBe('200 signs in')
    const left = await enter('bob')
    ahead += 11 * 60_000
    const { text } = await left.browser.open(account())
    expect(text).toContain('Sign in again to register this browser')
    expect(text).not.toContain('data-register')
  })
})
