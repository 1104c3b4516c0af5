import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, type ConsoleWindow, openConsole } from './console.ts'
import { type Loop, startLoop } from './loop.ts'
import { createReceiver, SIGNALS_TENANT, startEndpoint } from './signals-tenant.ts'

const PATIENT = { timeout: 20_000 }

describe.skipIf(!hasChromium())('streams, on the screen', () => {
  let loop: Loop
  let chromium: Chromium
  let window: ConsoleWindow
  let endpoint: Awaited<ReturnType<typeof startEndpoint>>
  let answer = 400
  let id: string
  beforeAll(async () => {
    loop = await startLoop({ tenant: SIGNALS_TENANT, environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    chromium = await startChromium()
    endpoint = await startEndpoint(loop.data, () => answer)
    id = await createReceiver(loop, 'mail-api').create({
      delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url, authorization_header: 'Bearer secret' },
    })
    await createReceiver(loop).create()
    for (const name of ['alice', 'bob']) await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)
    window = await openConsole(chromium, loop, { path: '/streams' })
  })
  afterAll(async () => {
    await chromium?.close()
    endpoint?.close()
    await loop?.close()
  })
  const main = () => window.page.getByRole('main')
  const textOf = (role: 'table' | 'dialog') => window.page.getByRole(role).last().innerText()

  it('are listed with how each is doing, those in trouble first', async () => {
    const { page } = window
    const rows = main().getByRole('row')
    await expect
      .poll(() => rows.nth(1).innerText(), PATIENT)
      .toMatch(/mail-api[\s\S]*2 dead letters[\s\S]*Push[\s\S]*up to date[\s\S]*0%[\s\S]*never/)
    expect(await rows.nth(2).innerText()).toMatch(/files-api[\s\S]*Poll[\s\S]*2 events/)
    expect(await axe(page)).toEqual([])
    await page.getByText('In trouble').click()
    await expect.poll(() => rows.count(), PATIENT).toBe(2)
    expect(page.url()).toMatch(/\?show=trouble$/)
    await page.getByLabel('Search by receiver').fill('nobody')
    await page.getByRole('heading', { name: 'No stream is like that' }).waitFor()
  })

  it('show what one receiver got, found by user and state, and what each SET said', async () => {
    const { page, goto } = window
    await goto(`/streams/${id}`)
    const rows = main().getByRole('row')
    await expect.poll(() => rows.count(), PATIENT).toBe(3)
    await page.getByRole('combobox', { name: 'User' }).click()
    await page.getByRole('option', { name: /Alice/ }).click()
    await expect.poll(() => rows.count(), PATIENT).toBe(2)
    expect(page.url()).toMatch(/\?user=[0-9a-f-]{36}$/)
    expect(await rows.nth(1).innerText()).toMatch(/Session revoked[\s\S]*Not taken[\s\S]*Alice/)
    expect(await axe(page)).toEqual([])
    await page.getByRole('link', { name: 'Session revoked' }).click()
    const claims = page.getByRole('region', { name: 'Claims' })
    await claims.waitFor()
    expect(JSON.parse(await claims.locator('pre').innerText())).toMatchObject({ iss: loop.issuer, aud: 'api://mail' })
    expect(await page.getByRole('region', { name: 'Header' }).innerText()).toContain('secevent+jwt')
    expect(await textOf('dialog')).toMatch(/Given up after .* it could not read the event/)
    expect(await axe(page)).toEqual([])
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await expect.poll(() => page.evaluate('document.activeElement.textContent'), PATIENT).toBe('Session revoked')
    expect(await page.content()).not.toContain('Bearer secret')
  })

  it('send dead letters once more, one or all, when the receiver is mended', async () => {
    const { page, goto } = window
    await goto(`/streams/${id}?tab=letters`)
    await page.getByRole('button', { name: 'Redeliver event 1' }).waitFor()
    expect(await textOf('table')).toMatch(/it could not read the event/)
    answer = 202
    await page.getByRole('button', { name: 'Redeliver event 1' }).click()
    await page.getByText('1 event goes out once more.').waitFor()
    await expect.poll(() => main().getByRole('row').count(), PATIENT).toBe(2)
    await page.getByRole('button', { name: 'Redeliver all' }).click()
    expect(await textOf('dialog')).toMatch(/1 dead letter/)
    await page.getByRole('dialog').getByRole('button', { name: 'Redeliver all' }).click()
    await page.getByRole('heading', { name: 'There is no dead letter' }).waitFor()
    await expect.poll(() => endpoint.pushed.length, PATIENT).toBe(4)
  })

  it('are verified, and what came of it is said', async () => {
    const { page } = window
    await page.getByRole('button', { name: 'Verify' }).click()
    await page.getByText('Verified: the receiver has acknowledged the event.').waitFor()
  })

  it('are paused, resumed, disabled and deleted, and what that does is said before', async () => {
    const { page, faults } = window
    const confirm = async (name: string) => {
      const dialog = page.getByRole('dialog')
      await dialog.getByRole('button', { name }).click()
      await dialog.waitFor({ state: 'hidden' })
    }
    await page.getByRole('button', { name: 'Pause' }).click()
    expect(await textOf('dialog')).toContain('gets nothing until you resume the stream')
    await confirm('Pause')
    await main().getByText('Paused').waitFor()
    await page.getByRole('button', { name: 'Resume' }).click()
    await main().getByText('In order').waitFor()
    const more = async (name: string) => {
      await page.getByRole('button', { name: 'More actions' }).click()
      await page.getByRole('menuitem', { name }).click()
    }
    await more('Disable')
    await confirm('Disable')
    await main().getByText('Disabled', { exact: true }).waitFor()
    expect(await axe(page)).toEqual([])
    await more('Delete')
    const remove = page.getByRole('dialog').getByRole('button', { name: 'Delete' })
    expect(await remove.isDisabled()).toBe(true)
    await page.getByLabel('Type mail-api to go on').fill('mail-api')
    await confirm('Delete')
    await expect.poll(() => new URL(page.url()).pathname, PATIENT).toMatch(/\/streams$/)
    await expect.poll(() => main().getByRole('row').count(), PATIENT).toBe(2)
    expect(await main().getByRole('table').innerText()).not.toContain('mail-api')
    expect(faults).toEqual([])
  })
})
