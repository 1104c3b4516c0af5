import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Demo, startDemo } from '../packages/cli/src/demo/demo.ts'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, type ConsoleWindow, openConsole } from './console.ts'

const LATER = { timeout: 20_000 }

describe.skipIf(!hasChromium())('Conditional Access in the console', () => {
  const data = mkdtempSync(join(tmpdir(), 'caegis-console-access-'))
  let demo: Demo
  let chromium: Chromium
  let admin: ConsoleWindow
  beforeAll(async () => {
    demo = await startDemo({ data, ports: { server: 0, api: 0, page: 0 }, logLevel: 'silent' })
    chromium = await startChromium()
    const { username: userName, password } = demo.facts.admin
    admin = await openConsole(chromium, demo.facts, { path: '/locations', userName, password })
  })
  afterEach(() => expect(admin.faults.splice(0)).toEqual([]))
  afterAll(async () => {
    await chromium?.close()
    await demo?.close()
    rmSync(data, { recursive: true, force: true })
  })

  it('makes a location of ranges pasted by the thousand: counted, duplicates and mistakes by their line', async () => {
    const { page } = admin
    await page.getByRole('link', { name: 'New location' }).first().click()
    await page.getByLabel('Name').fill('Branches')
    const lines = Array.from({ length: 100_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}/32`)
    const ranges = page.getByRole('textbox', { name: 'IP ranges' })
    const paste = (text: string) =>
      ranges.evaluate((field, pasted) => {
        ;(field as HTMLTextAreaElement).select()
        const clipboardData = new DataTransfer()
        clipboardData.setData('text/plain', pasted)
        field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
      }, text)
    await paste([...lines.slice(0, 50_000), '10.0.0.1/32', 'not an address', ...lines.slice(50_000), '2001:db8::/32'].join('\n'))
    await page.getByText('100,001 ranges').waitFor()
    await page.getByText('100,000 IPv4, 1 IPv6').waitFor()
    expect(await page.getByRole('status').filter({ hasText: 'duplicate' }).textContent()).toContain('1 duplicate left out')
    await page.getByText('3 entries are no IP addresses or ranges').waitFor()
    expect(await page.getByRole('listitem').filter({ hasText: 'Line 50,002' }).first().textContent()).toContain('not')
    // With mistakes nothing is sent.
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Mend or remove the lines below').waitFor()
    expect(await axe(page)).toEqual([])
    await paste([...lines.slice(0, 3000), '2001:db8::/32'].join('\n'))
    await page.getByText('3,001 ranges').waitFor()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { level: 1, name: 'Branches' }).waitFor()
    await page.getByText('3,001 ranges').waitFor()
    await page.getByText('No enforced policy looks at it').waitFor()
  })

  it('makes a location of countries that are found by name, and keeps what was not saved', async () => {
    const { page } = admin
    await admin.goto('/locations/new')
    await page.getByLabel('Name').fill('Nordic')
    await page.getByLabel('Countries', { exact: true }).check()
    const countries = page.getByRole('combobox', { name: 'Countries and regions' })
    for (const name of ['Norway', 'Sweden']) {
      await countries.fill(name)
      await page.getByRole('option', { name: new RegExp(name) }).click()
    }
    await countries.press('Escape')
    await page.getByLabel('Include addresses of no known country').check()
    expect(await axe(page)).toEqual([])
    // Away by a link and back: nothing is lost.
    await page.getByRole('link', { name: 'Named locations' }).click()
    await page.getByRole('heading', { level: 1, name: 'Named locations' }).waitFor()
    await page.getByRole('link', { name: 'New location' }).first().click()
    await page.getByText('Unsaved changes').waitFor()
    expect(await page.getByLabel('Name').inputValue()).toBe('Nordic')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { level: 1, name: 'Nordic' }).waitFor()
    const stored = await demo.server.store.db.selectFrom('locations').select('body').where('name', '=', 'Nordic').executeTakeFirstOrThrow()
    expect(JSON.parse(stored.body)).toMatchObject({ countriesAndRegions: ['NO', 'SE'], includeUnknownCountriesAndRegions: true })
  })

  it('says which name is taken, exports all locations and takes them back', async () => {
    const { page } = admin
    await admin.goto('/locations/new')
    await page.getByLabel('Name').fill('Nordic')
    await page.getByRole('textbox', { name: 'IP ranges' }).fill('192.0.2.0/24')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('There is a named location of that name already.').waitFor()
    await page.getByRole('button', { name: 'Discard changes' }).click()
    admin.faults.splice(0)

    await admin.goto('/locations')
    await expect.poll(() => page.getByRole('row').count(), LATER).toBe(3)
    expect(await page.getByRole('row', { name: /Nordic/ }).textContent()).toContain('Norway, Sweden, unknown countries')
    expect(await axe(page)).toEqual([])
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export all' }).click()])
    const { value } = JSON.parse(readFileSync(await file.path(), 'utf8'))
    expect(value.map((one: { displayName: string }) => one.displayName).sort()).toEqual(['Branches', 'Nordic'])
    expect(value.find((one: { ipRanges?: object[] }) => one.ipRanges).ipRanges).toHaveLength(3001)

    const nordic = value.find((one: { displayName: string }) => one.displayName === 'Nordic')
    const given = [
      { ...nordic, countriesAndRegions: ['DK'] },
      { '@odata.type': '#microsoft.graph.ipNamedLocation', displayName: 'Depot', ipRanges: ['198.51.100.0/24'] },
    ]
    const give = (content: string) =>
      page.locator('input[type=file]').setInputFiles({ name: 'locations.json', mimeType: 'application/json', buffer: Buffer.from(content) })
    await give(JSON.stringify([{ displayName: 'Bad', ipRanges: ['somewhere'] }]))
    await page.getByText('/0/ipRanges/0').waitFor()
    await give(JSON.stringify({ value: given }))
    const dialog = page.getByRole('dialog')
    await dialog.getByText('New: Depot').waitFor()
    await dialog.getByText('Replaced: Nordic').waitFor()
    await dialog.getByRole('button', { name: 'Import' }).click()
    await expect.poll(() => page.getByRole('row').count(), LATER).toBe(4)
    await expect.poll(() => page.getByRole('row', { name: /Nordic/ }).textContent(), LATER).toContain('Denmark')
  })
})
