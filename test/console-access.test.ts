import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Demo, startDemo } from '../packages/cli/src/demo/demo.ts'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, type ConsoleWindow, openConsole } from './console.ts'

const LATER = { timeout: 30_000 }
const OFFICE_ONLY = 'Files from the office only'

describe.skipIf(!hasChromium())('Conditional Access in the console', () => {
  const data = mkdtempSync(join(tmpdir(), 'caegis-console-access-'))
  let demo: Demo
  let chromium: Chromium
  let admin: ConsoleWindow
  /** The sample page, in the browser of alice. */
  let app: Page
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
    const lines = Array.from({ length: 20_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}/32`)
    const ranges = page.getByRole('textbox', { name: 'IP ranges' })
    const paste = (text: string) =>
      ranges.evaluate((field, pasted) => {
        ;(field as HTMLTextAreaElement).select()
        const clipboardData = new DataTransfer()
        clipboardData.setData('text/plain', pasted)
        field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
      }, text)
    await paste([...lines.slice(0, 10_000), '10.0.0.1/32', 'not an address', ...lines.slice(10_000), '2001:db8::/32'].join('\n'))
    await page.getByText('20,001 ranges').waitFor()
    await page.getByText('20,000 IPv4, 1 IPv6').waitFor()
    expect(await page.getByRole('status').filter({ hasText: 'duplicate' }).textContent()).toContain('1 duplicate left out')
    await page.getByText('3 entries are no IP addresses or ranges').waitFor()
    expect(await page.getByRole('listitem').filter({ hasText: 'Line 10,002' }).first().textContent()).toContain('not')
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

  it('makes a location policy in the editor: the next call of the sample page is refused, and the log says by what', async () => {
    const { page } = admin
    // Alice is at home, signed in and at work.
    app = await (await chromium.window()).context.newPage()
    const { username, password } = demo.facts.users[0] as { username: string; password: string }
    await app.goto(demo.facts.spa)
    await app.getByTestId('sign-in').click()
    await app.getByLabel('User name').fill(username)
    await app.getByLabel('Password', { exact: true }).fill(password)
    await app.getByRole('button', { name: 'Sign in' }).click()
    await app.getByTestId('call').click()
    await app.getByTestId('outcome').filter({ hasText: '200 allowed' }).waitFor()

    await admin.goto('/locations/new')
    await page.getByLabel('Name').fill('Office')
    await page.getByRole('textbox', { name: 'IP ranges' }).fill('192.0.2.0/24')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { level: 1, name: 'Office' }).waitFor()

    await page.getByRole('link', { name: 'Policies' }).click()
    await page.getByRole('link', { name: 'New policy' }).first().click()
    await page.getByRole('button', { name: 'Begin with an empty policy' }).click()
    await page.getByLabel('Name').fill(OFFICE_ONLY)
    await page.getByRole('radio', { name: 'On', exact: true }).check()
    await pick('Users', 'alice', /Alice/)
    await pick('Applications', 'Files', /^Files\s*files-api$/)
    await part('Locations')
    await page.getByLabel('Look at where they are').check({ force: true })
    await pick('Locations that are left out', 'Office', 'Office')
    await page.getByRole('radio', { name: 'is blocked' }).check()
    expect(await axe(page)).toEqual([])
    await page.getByRole('button', { name: 'Create policy' }).click()
    await page.getByRole('heading', { level: 1, name: OFFICE_ONLY }).waitFor()
    // Whoever was let in before is decided again, and the page follows that to its end.
    await page.getByText('In force, also for those who were signed in').waitFor()

    await app.getByTestId('call').click()
    await app.getByText('a policy of your organization does not allow this access now').waitFor()
    const record = await lastOfAlice()
    expect(record).toMatchObject({ status: { errorCode: 53003 }, conditionalAccessStatus: 'failure' })
    expect(record.appliedConditionalAccessPolicies).toContainEqual(expect.objectContaining({ displayName: OFFICE_ONLY, result: 'failure' }))
  })

  it('says what would happen to somebody, by which policy and why not by others; the question stands in the address', async () => {
    const { page } = admin
    await admin.goto('/what-if')
    await pick('User', 'alice', /Alice/)
    await pick('Application', 'Files', /^Files\s*files-api$/)
    await page.getByLabel('IP address').fill('203.0.113.9')
    await page.getByRole('button', { name: 'What would happen?' }).click()
    await page.getByText('Would be blocked').waitFor()
    await page.getByText(`By: ${OFFICE_ONLY}`).waitFor()
    await page.getByText('1 policy applies').waitFor()
    expect(await axe(page)).toEqual([])
    await page.getByLabel('IP address').fill('192.0.2.7')
    await page.reload()
    await page.getByText('Would be let in').waitFor()
    await page.getByText('The location is not one that it is for').waitFor()
  })

  it('lets her in again as soon as her place is one of the ranges, and out when it is not; turned off from the list, it asks nothing of her', async () => {
    const { page } = admin
    await edit('192.0.2.0/24\n127.0.0.0/8\n::1/128')
    await expect.poll(answer, LATER).toBe('200 allowed')
    await edit('192.0.2.0/24')
    await expect.poll(answer, LATER).toBe('refused by policy')

    await page.getByRole('link', { name: 'Policies' }).click()
    await page.getByRole('button', { name: `Actions for ${OFFICE_ONLY}` }).click()
    await page.getByRole('menuitem', { name: 'Turn off' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Who: Alice').waitFor()
    await dialog.getByText('From: Any location (except Office)').waitFor()
    await dialog.getByRole('button', { name: 'Turn off' }).click()
    await page.getByRole('row', { name: OFFICE_ONLY }).getByText('Off', { exact: true }).waitFor()
    expect(await axe(page)).toEqual([])
    await expect.poll(answer, LATER).toBe('200 allowed')
  })

  it('begins with a template, tries the draft on the sign-ins that were and on one that is made up, and only reports at first', async () => {
    const { page } = admin
    await admin.goto('/policies/new')
    expect(await axe(page)).toEqual([])
    await page.getByRole('button', { name: /^Require multifactor authentication for all users/ }).click()
    await page.getByRole('button', { name: 'Look at the last sign-ins' }).click()
    await page.getByText(/^Of the last \d+ sign-ins: \d+ would be asked for more/).waitFor()
    await page.getByRole('tab', { name: 'What if' }).click()
    const aside = page.getByRole('complementary')
    await pick('User', 'bob', /Bob/)
    await pick('Application', 'Files', /^Files\s*files-api$/)
    await aside.getByRole('button', { name: 'What would happen?' }).click()
    await aside.getByText('First: Multifactor authentication').waitFor()
    await aside.getByText('This draft').waitFor()
    // The draft changes, and what was asked is asked again.
    await pick('Users that are left out', 'bob', /Bob/)
    await aside.getByText('The user is not among those that it is about').waitFor()
    expect(await axe(page)).toEqual([])
    await page.getByRole('button', { name: 'Create policy' }).click()
    await page.getByRole('heading', { level: 1, name: 'Require multifactor authentication for all users' }).waitFor()
    await page.getByText('nothing had to be decided again').waitFor()
    await page.getByRole('link', { name: 'Policies' }).click()
    const row = page.getByRole('row', { name: /Require multifactor/ })
    await row.getByText('Report only').waitFor()
    await row.getByText(/would be asked for more/).waitFor()
  })

  it('shows each mistake at its field, its own and the server`s; takes over JSON that is pasted', async () => {
    const { page } = admin
    await admin.goto('/policies/new?from=empty')
    await page.getByRole('button', { name: 'Create policy' }).click()
    await page.getByText(/things to mend/).waitFor()
    await page.getByText('must include users, groups, roles or guests').first().waitFor()
    expect(await page.getByLabel('Name').getAttribute('aria-invalid')).toBe('true')
    await part('Device filter')
    await page.getByLabel('Look at the device').check({ force: true })
    await page.getByRole('textbox', { name: 'Rule' }).fill('device.colour -eq "red"')
    await page.getByText('is not a property of a device, at character 1').first().waitFor()
    expect(await axe(page)).toEqual([])

    await page.getByText('JSON', { exact: true }).click()
    const json = page.getByRole('textbox', { name: 'Policy as Microsoft Graph writes it' })
    const pasted = {
      ...{ displayName: 'Pasted', state: 'disabled', grantControls: { operator: 'OR', builtInControls: ['mfa'] } },
      conditions: { users: { includeUsers: ['11111111-1111-4111-8111-111111111111'] }, applications: { includeApplications: ['All'] } },
    }
    await json.fill(JSON.stringify({ ...pasted, grantControls: { operator: 'OR', termsOfUse: ['x'] } }))
    await page.getByText('Not taken over: it has mistakes.').waitFor()
    await page.getByText('/grantControls/termsOfUse').waitFor()
    await json.fill(JSON.stringify(pasted))
    await page.getByText('Form', { exact: true }).click()
    expect(await page.getByLabel('Name').inputValue()).toBe('Pasted')
    await page.getByRole('button', { name: 'Create policy' }).click()
    await page.getByText('11111111-1111-4111-8111-111111111111: there is no such user').waitFor()
    // Mended, it is wrong no more.
    await pick('Users', 'bob', /Bob/)
    expect(admin.faults.splice(0)).toEqual([expect.stringContaining('400')])
    await page.getByRole('button', { name: 'Discard changes' }).click()
  })

  it('asks twice whoever would keep themselves out, and explains that somebody else was first', async () => {
    const { page } = admin
    await admin.goto('/policies/new?from=empty')
    await page.getByLabel('Name').fill('Nobody at all')
    await page.getByRole('radio', { name: 'On', exact: true }).check()
    await page.getByRole('radio', { name: 'All users' }).check()
    await page.getByRole('radio', { name: 'All applications' }).check()
    await page.getByRole('radio', { name: 'is blocked' }).check()
    await page.getByRole('button', { name: 'Create policy' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('this policy would keep you out of the admin API').waitFor()
    expect(await dialog.getByRole('button', { name: 'Keep me out, save it' }).isDisabled()).toBe(true)
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    expect(await stored('Nobody at all')).toBeUndefined()
    await page.getByRole('button', { name: 'Discard changes' }).click()
    expect(admin.faults.splice(0)).toEqual([expect.stringContaining('409')])

    const { id } = (await stored(OFFICE_ONLY)) as { id: string }
    await admin.goto(`/policies/${id}`)
    await page.getByLabel('Description').fill('Mine')
    const other = await admin.context.newPage()
    await other.goto(`${demo.facts.origin}/console/contoso/policies/${id}`)
    await other.getByLabel('Name').fill(`${OFFICE_ONLY}, as before`)
    await other.getByRole('button', { name: 'Save' }).click()
    await other.getByRole('heading', { level: 1, name: 'as before' }).waitFor()
    await other.close()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Somebody else has changed it meanwhile').waitFor()
    await page.getByText('What they changed: Name and state.').waitFor()
    expect(await axe(page)).toEqual([])
    expect(admin.faults.splice(0)).toEqual([expect.stringContaining('412')])
    await page.getByRole('button', { name: 'Save mine over theirs' }).click()
    await expect.poll(async () => (await stored(OFFICE_ONLY))?.body, LATER).toContain('Mine')
  })

  const stored = (name: string) =>
    demo.server.store.db.selectFrom('policies').select(['id', 'body']).where('name', '=', name).where('deleted_at', 'is', null).executeTakeFirst()

  /** The newest record of Alice's in the sign-in log, as the admin API tells it. */
  async function lastOfAlice() {
    const { username, password } = demo.facts.admin
    const person = createPerson({
      ...{
        authority: `${demo.facts.origin}/contoso`,
        clientId: 'caegis-cli',
        scopes: [`${demo.facts.origin}/AuditLog.Read.All`],
        username,
        password,
      },
    })
    const filter = encodeURIComponent("userPrincipalName eq 'alice@contoso.test'")
    const response = await fetch(`${demo.facts.origin}/v1.0/auditLogs/signIns?$top=1&$filter=${filter}`, {
      headers: { authorization: `Bearer ${await person.signIn()}` },
    })
    return (await response.json()).value[0]
  }

  /** What the sample page makes of one call: what the API answers, or that the issuer lets nobody in. */
  async function answer(): Promise<string> {
    await app.goto(demo.facts.spa)
    const signIn = app.getByTestId('sign-in')
    const call = app.getByTestId('call')
    await signIn.or(call).first().waitFor()
    if (await signIn.isVisible()) await signIn.click()
    const refused = app.getByText('a policy of your organization does not allow this access now')
    await call.or(refused).first().waitFor()
    if (await call.isVisible()) await call.click()
    // A challenge is no answer yet: the page is on its way to the issuer.
    const outcome = app.getByTestId('outcome').filter({ hasText: /^(200|403)/ })
    await outcome.or(refused).first().waitFor()
    return (await refused.isVisible()) ? 'refused by policy' : ((await outcome.textContent()) ?? '').trim()
  }

  /** Gives the office other ranges, in the console. */
  async function edit(ranges: string) {
    const { page } = admin
    await admin.goto('/locations')
    await page.getByRole('link', { name: 'Office', exact: true }).click()
    await page.getByText('1 policy looks at this location').waitFor()
    await page.getByRole('textbox', { name: 'IP ranges' }).fill(ranges)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('In force, also for those who were signed in').waitFor()
  }

  /** Opens a part of the editor. */
  async function part(name: string) {
    const button = admin.page.getByRole('button', { name: new RegExp(`^${name}`) })
    if ((await button.getAttribute('aria-expanded')) === 'false') await button.click()
  }

  /** A list that was just opened may still find its place on a busy machine: whoever misses tries again, as a person would. */
  async function pick(label: string, text: string, option: string | RegExp) {
    const field = admin.page.getByRole('combobox', { name: label, exact: true })
    for (let tries = 1; ; tries++) {
      await field.fill(text)
      const missed = await admin.page
        .getByRole('option', { name: option })
        .click({ timeout: 5000 })
        .catch((error: unknown) => error)
      if (missed === undefined) break
      if (tries === 3) throw missed
      await field.press('Escape')
      await field.fill('')
    }
    await field.press('Escape')
  }
})
