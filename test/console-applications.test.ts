import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, openConsole } from './console.ts'
import { createFlow } from './flow.ts'
import { eventually, type Loop, PASSWORD, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
const { kty, crv, x, y } = await exportJWK(publicKey)

const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
  ],
  applications: [
    {
      appId: 'files-api',
      displayName: 'Files',
      identifierUris: ['api://files'],
      scopes: ['Files.Read', 'Files.Write'],
      cae: true,
      clientSecret: SECRET,
    },
    { appId: 'files-native', displayName: 'Files on the desktop', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
  ],
  devices: [{ deviceId: 'laptop', displayName: "Alice's laptop", user: 'alice@contoso.test', publicKey: { kty, crv, x, y }, compliant: true }],
})

describe.skipIf(!hasChromium())('applications and devices', () => {
  let loop: Loop
  let chromium: Chromium
  beforeAll(async () => {
    loop = await startLoop({ tenant: TENANT })
    chromium = await startChromium()
  })
  afterAll(async () => {
    await chromium?.close()
    await loop?.close()
  })

  const dialog = (page: Page) => page.getByRole('dialog')
  const denied = async (guard: Awaited<ReturnType<Loop['guard']>>, token: string) =>
    eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )

  it('a daemon is made, gets a secret that is shown once, and loses everything with it', async () => {
    const guard = await loop.guard()
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/applications' })
    await page.getByRole('link', { name: 'Files', exact: true }).waitFor()
    expect(await axe(page)).toEqual([])
    await page.getByRole('button', { name: 'New application' }).click()
    await dialog(page).getByRole('textbox', { name: 'Name' }).fill('Night shift')
    await dialog(page).getByRole('radio', { name: 'Daemon' }).press('Space')
    await dialog(page).getByRole('textbox', { name: 'Client id' }).fill('night-shift')
    await dialog(page).getByRole('combobox', { name: 'Permissions' }).fill('api://files/.default')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    expect(await axe(page)).toEqual([])
    await dialog(page).getByRole('button', { name: 'Create' }).click()
    await page.getByRole('heading', { level: 1, name: 'Night shift' }).waitFor()
    expect(page.url()).toBe(`${loop.origin}/console/contoso/applications/night-shift`)
    await page.getByText('It has none, and cannot prove itself').waitFor()

    await page.getByRole('button', { name: 'Add a secret' }).click()
    await dialog(page).getByRole('textbox', { name: 'Name' }).fill('first')
    await dialog(page).getByRole('button', { name: 'Add' }).click()
    const secret = String(await dialog(page).getByLabel('Secret', { exact: true }).textContent())
    expect(secret).toMatch(/^[\w-]{40}$/)
    expect(await axe(page)).toEqual([])
    await dialog(page).getByRole('button', { name: 'I have kept it' }).click()
    await page.getByRole('cell', { name: 'first', exact: true }).waitFor()
    expect(await page.content()).not.toContain(secret)
    const form = { grant_type: 'client_credentials', client_id: 'night-shift', client_secret: secret, scope: 'api://files/.default' }
    const token = String((await loop.token(form)).body.access_token)
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })

    await page.getByRole('button', { name: 'Remove first' }).click()
    await dialog(page).getByText('It is the last one').waitFor()
    await dialog(page).getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('link', { name: 'See it arrive' }).waitFor()
    expect(await denied(guard, token)).toMatchObject({ status: 401, code: 'revoked' })

    await page.getByRole('button', { name: 'Delete', exact: true }).click()
    await dialog(page).getByLabel('Type night-shift to go on').fill('night-shift')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Applications' }).waitFor()
    await expect.poll(() => page.getByRole('link', { name: 'Night shift' }).count(), { timeout: 20_000 }).toBe(0)
    expect(faults).toEqual([])
    await close()
  })

  it('an API says what it offers and holds; who holds its roles is named; a client that is disabled is refused', async () => {
    const guard = await loop.guard()
    const token = await loop.person('alice').signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const { page, goto, faults, close } = await openConsole(chromium, loop, { path: '/applications/files-api' })
    await page.getByRole('switch', { name: 'Continuous access evaluation' }).press('Space')
    await dialog(page).getByText('Long-lived tokens for this API end now').waitFor()
    await dialog(page).getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('checkbox', { name: 'E-mail address' }).press('Space')
    await page.getByRole('button', { name: 'Save API' }).click()
    const row = () => loop.server.store.db.selectFrom('applications').selectAll().where('app_id', '=', 'files-api').executeTakeFirstOrThrow()
    await expect.poll(async () => (await row()).optional_claims, { timeout: 20_000 }).toBe('["email"]')

    await page.getByRole('combobox', { name: 'Holder' }).fill('Ali')
    await page.getByRole('option', { name: /Alice/ }).click()
    await page.getByLabel('Role', { exact: true }).fill('Auditor')
    await page.getByRole('button', { name: 'Give role' }).click()
    await page.getByRole('row', { name: /Alice.*Auditor/ }).waitFor()
    expect(await axe(page)).toEqual([])

    await goto('/applications/files-native')
    await page.getByRole('button', { name: `Withdraw ${SCOPE}` }).waitFor()
    await page.getByRole('button', { name: 'Disable' }).click()
    await dialog(page).getByText('Every token and session that this application holds ends').waitFor()
    await dialog(page).getByRole('button', { name: 'Disable' }).click()
    await page.getByRole('button', { name: 'Enable' }).waitFor()
    expect(await denied(guard, token)).toMatchObject({ status: 401, code: 'revoked' })
    await page.getByRole('button', { name: 'Enable' }).click()
    await dialog(page).getByRole('button', { name: 'Enable' }).click()
    await page.getByRole('button', { name: 'Disable' }).waitFor()
    expect(faults).toEqual([])
    await close()
  })

  it('a lost device: what was given to it is refused, and nothing that its owner has elsewhere', async () => {
    const guard = await loop.guard()
    const iat = Math.floor(Date.now() / 1000)
    const word = await new SignJWT({ iss: 'laptop', sub: 'laptop', aud: loop.issuer, iat, exp: iat + 300, jti: crypto.randomUUID() })
      .setProtectedHeader({ alg: 'ES256', typ: 'device+jwt' })
      .sign(privateKey)
    const elsewhere = (await createFlow(loop, { capable: true }).tokens()).accessToken
    const { accessToken } = await createFlow(loop, { capable: true, more: { device_assertion: word } }).tokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/devices?standing=compliant' })
    expect(await axe(page)).toEqual([])
    await page.getByRole('link', { name: "Alice's laptop" }).click()
    await page.getByRole('heading', { level: 1, name: "Alice's laptop" }).waitFor()
    await page.getByRole('table', { name: 'Who uses it' }).getByRole('link', { name: 'Alice' }).waitFor()
    expect(await axe(page)).toEqual([])
    await page.getByRole('button', { name: 'Mark not compliant' }).click()
    await dialog(page).getByText('1 user has had access on it').waitFor()
    await dialog(page).getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'Lost or stolen' }).click()
    await dialog(page).getByRole('button', { name: 'Disable' }).click()
    await page.getByRole('link', { name: 'See it arrive' }).waitFor()
    expect(await denied(guard, accessToken)).toMatchObject({ status: 401, code: 'revoked' })
    expect(await verdictOf(guard, elsewhere)).toMatchObject({ allowed: true })
    await page.getByRole('button', { name: 'Enable' }).waitFor()

    await page.getByRole('button', { name: 'Delete' }).click()
    await dialog(page).getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor()
    await page.getByText(/No device/).waitFor()
    expect(faults).toEqual([])
    await close()
  })
})
