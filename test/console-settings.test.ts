import { recover } from '@caegis/server'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, openConsole } from './console.ts'
import { log, STOPPED } from './emergency.ts'
import { claimsOf, eventually, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'

const DAEMON = { grant_type: 'client_credentials', client_id: 'nightly', scope: 'api://files/.default' }

describe.skipIf(!hasChromium())('settings', () => {
  let loop: Loop
  let chromium: Chromium
  beforeAll(async () => {
    loop = await startLoop()
    chromium = await startChromium()
  })
  afterAll(async () => {
    await chromium?.close()
    await loop?.close()
  })

  const dialog = (page: Page) => page.getByRole('dialog')

  it('say how long tokens live, what the tenant is called and for how long logs are kept', async () => {
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/settings' })
    const ordinary = page.getByRole('group', { name: 'Ordinary tokens' })
    await ordinary.getByLabel('From').fill('95')
    await page.getByText('It must not begin after its end.').waitFor()
    expect(await page.getByRole('button', { name: 'Save lifetimes' }).isDisabled()).toBe(true)
    await ordinary.getByLabel('From').fill('6')
    await ordinary.getByLabel('To').fill('6')
    await page.getByRole('button', { name: 'Save lifetimes' }).click()
    await page.getByRole('button', { name: "Use the server's lifetimes" }).waitFor()
    const token = await loop.person('bob', { capabilities: [] }).signIn()
    expect(claimsOf(token).exp - claimsOf(token).iat).toBe(360)
    await page.getByRole('button', { name: "Use the server's lifetimes" }).click()
    await page.getByRole('button', { name: "Use the server's lifetimes" }).waitFor({ state: 'detached' })
    expect(await ordinary.getByLabel('To').inputValue()).toBe('90')

    await page.getByLabel('Display name').fill('Contoso Ltd')
    await page.keyboard.press('Enter')
    await page.getByText('Saved').first().waitFor()
    await page.getByLabel('Days').fill('31')
    await page.getByText('A whole number from 7 to 30.').waitFor()
    await page.getByLabel('Days').fill('8')
    await page.getByRole('button', { name: 'Save retention' }).click()
    const row = () => loop.server.store.db.selectFrom('tenants').select(['display_name', 'log_retention']).executeTakeFirstOrThrow()
    await expect.poll(row, { timeout: 20_000 }).toEqual({ display_name: 'Contoso Ltd', log_retention: 8 })
    expect(await axe(page)).toEqual([])
    expect(faults).toEqual([])
    await close()
  })

  it('rotate the signing keys, and remove one: what it signed is refused, and this console goes on with a new token', async () => {
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/settings/keys' })
    const guard = await loop.guard()
    const token = await loop.person('alice').signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const rows = page.getByRole('table', { name: 'Signing keys' }).getByRole('row')
    await expect.poll(() => rows.count(), { timeout: 20_000 }).toBe(3)
    await page.getByRole('button', { name: 'Rotate keys' }).click()
    await dialog(page).getByText('Nothing ends by this').waitFor()
    await dialog(page).getByRole('button', { name: 'Rotate keys' }).click()
    await expect.poll(() => rows.filter({ hasText: 'Next' }).count(), { timeout: 20_000 }).toBe(2)
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })

    const signing = rows.filter({ hasText: 'ES256' }).filter({ hasText: 'Signs' })
    const id = String(await signing.locator('code').textContent())
    await signing.getByRole('button', { name: `Remove key ${id}` }).click()
    const button = dialog(page).getByRole('button', { name: 'Remove' })
    expect(await button.isDisabled()).toBe(true)
    await dialog(page).getByLabel(`Type ${id} to go on`).fill(id)
    expect(await axe(page)).toEqual([])
    await button.click()
    await expect.poll(() => page.getByText(id).count(), { timeout: 20_000 }).toBe(0)
    await expect.poll(() => rows.count(), { timeout: 20_000 }).toBe(4)
    await eventually(
      () => verdictOf(guard, token),
      (verdict) => !verdict.allowed,
    )
    expect(await page.getByText('Your access has ended').count()).toBe(0)
    // Its own token was of that key: it is told so, and answers.
    expect(faults.filter((one) => !one.includes('401'))).toEqual([])
    await close()
  })

  it('listen to another transmitter, turn a detection off, and show where people come from', async () => {
    const { page, goto, faults, close } = await openConsole(chromium, loop, { path: '/settings/upstreams' })
    await page.getByRole('button', { name: 'Add a transmitter' }).click()
    await dialog(page).getByRole('textbox', { name: 'Issuer', exact: true }).fill('https://idp.example.com')
    await dialog(page).getByLabel('Display name').fill('Identity Inc.')
    await dialog(page).getByRole('textbox', { name: 'Client id' }).fill('caegis')
    await dialog(page)
      .getByLabel(/^Client secret/)
      .fill('the-secret-of-there')
    await dialog(page).getByRole('combobox', { name: 'Domains' }).fill('contoso.test')
    await page.keyboard.press('Enter')
    expect(await axe(page)).toEqual([])
    await dialog(page).getByRole('button', { name: 'Listen' }).click()
    await page.getByRole('region', { name: 'Identity Inc.' }).getByText('contoso.test').waitFor()
    expect(await page.content()).not.toContain('the-secret-of-there')
    await page.getByRole('button', { name: 'Edit Identity Inc.' }).click()
    await dialog(page).getByLabel('Display name').fill('Identity Ltd.')
    await dialog(page).getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Delete Identity Ltd.' }).click()
    await dialog(page).getByRole('button', { name: 'Delete' }).click()
    await page.getByText('No other transmitter is listened to').waitFor()

    await goto('/settings/detections')
    await page.getByRole('switch', { name: 'Detection Password spray' }).press('Space')
    await dialog(page).getByRole('button', { name: 'Turn off' }).click()
    await expect.poll(() => page.getByRole('switch', { name: 'Detection Password spray' }).isChecked(), { timeout: 20_000 }).toBe(false)

    await goto('/settings/provisioning')
    await page.getByText(`${loop.authority}/scim/v2`).waitFor()
    await page.getByText('No LDAP directory is followed').waitFor()
    expect(faults).toEqual([])
    await close()
  })

  it('stop the tenant: the sample API refuses, the console shows how far it came, and the emergency account lifts it', async () => {
    const guard = await loop.guard()
    const token = await loop.person('alice').signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/settings/stop' })
    await page.getByText('Receivers that are told').waitFor()
    await page.getByRole('button', { name: 'Stop contoso' }).click()
    await dialog(page).getByText('3 users cannot sign in').waitFor()
    const button = dialog(page).getByRole('button', { name: 'Stop everything' })
    await dialog(page).getByLabel('Type contoso to go on').fill('Contoso')
    expect(await button.isDisabled()).toBe(true)
    await dialog(page).getByLabel('Type contoso to go on').fill('contoso')
    await page.keyboard.press('Enter')

    await page.getByRole('heading', { level: 1, name: 'contoso is stopped' }).waitFor()
    // The guards of this file so far, and this one.
    await page.getByText(/^(\d+) of \1 receivers? that (is|are) listening/).waitFor()
    expect(await page.getByRole('table', { name: 'Receivers' }).getByText('Has it').count()).toBeGreaterThan(0)
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false, status: 401, code: 'revoked' })
    // What has ended is said by the page itself, and nothing lies over it.
    expect(await page.getByRole('dialog').count()).toBe(0)
    expect(await axe(page)).toEqual([])
    expect((await loop.token({ ...DAEMON, client_secret: SECRET })).body).toMatchObject(STOPPED.body)

    // On the host, and then on the screen.
    const { username, password } = await recover({ data: loop.data, database: loop.settings.database, tenant: 'contoso', log })
    await page.getByRole('button', { name: 'Sign in as the emergency account' }).click()
    await page.getByLabel('User name').fill(username)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('Every token from before is refused').waitFor()
    expect(await axe(page)).toEqual([])
    await page.getByRole('button', { name: 'Resume the tenant' }).click()
    await dialog(page).getByRole('button', { name: 'Resume the tenant' }).click()
    await page.getByRole('button', { name: 'Stop contoso' }).waitFor()
    // What died stays dead; who signs in anew is let in.
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
    expect(await verdictOf(guard, await loop.person('alice').signIn())).toMatchObject({ allowed: true })
    expect(faults.filter((one) => !one.includes('401'))).toEqual([])
    await close()
  })
})
