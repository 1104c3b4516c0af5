import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, type ConsoleWindow, openConsole } from './console.ts'
import { startWorld, type World } from './console-world.ts'
import { createFlow } from './flow.ts'

describe.skipIf(!hasChromium())('the sign-ins', () => {
  let world: World
  let chromium: Chromium
  let window: ConsoleWindow
  beforeAll(async () => {
    world = await startWorld()
    chromium = await startChromium()
    window = await openConsole(chromium, world.loop, { path: '/sign-ins' })
  })
  afterAll(async () => {
    await chromium?.close()
    await world?.close()
  })
  const rows = () => window.page.getByRole('table', { name: 'Decisions, newest first' }).getByRole('row')
  const blocked = async () => {
    const { db } = world.loop.server.store
    return db.selectFrom('sign_ins').select(['id', 'correlation']).where('outcome', '=', 'blocked').executeTakeFirstOrThrow()
  }

  it('finds the decision that blocked somebody by filters in the address, which can be sent to somebody else', async () => {
    const { page, goto } = window
    expect(await axe(page)).toEqual([])
    await page.getByRole('combobox', { name: 'Result' }).click()
    await page.getByRole('option', { name: 'Blocked by policy' }).click()
    await rows().filter({ hasText: 'frank@contoso.test' }).getByText('A policy blocks the access.').waitFor()
    await expect.poll(() => rows().count(), { timeout: 20_000 }).toBe(2)
    await page.getByLabel('Address').fill('198.51.100.7')
    await page.getByRole('heading', { name: 'No decision is like that' }).waitFor()
    expect(new URL(page.url()).search).toBe('?outcome=blocked&address=198.51.100.7')
    const frank = await world.userId('frank')
    await goto(`/sign-ins?user=${frank}&app=files-native&address=203.0.113.9&since=1h`)
    await rows().filter({ hasText: '203.0.113.9' }).first().waitFor()
    for (const row of (await rows().allTextContents()).slice(1)) expect(row).toContain('frank@contoso.test')
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await rows().filter({ hasText: 'carol@contoso.test' }).first().waitFor()
    expect(new URL(page.url()).search).toBe('')
  })

  it('leads from the number on the page that stopped somebody to every policy, with what was met and what was not', async () => {
    const { page } = window
    const { id, correlation } = await blocked()
    const box = page.getByLabel('Why was I blocked?')
    await box.fill('00000000-1111-2222-3333-444444444444')
    await box.press('Enter')
    await page.getByText('No decision and no change has this number.').waitFor()
    await box.fill(` ${correlation} `)
    await box.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Sign-in of frank@contoso.test' }).waitFor()
    expect(page.url()).toBe(`${world.loop.origin}/console/contoso/sign-ins/${id}`)
    const policy = page.getByRole('listitem').filter({ has: page.getByRole('heading', { level: 3, name: 'Support works from the office' }) })
    for (const text of [
      'Not satisfied',
      'It applied, and stood in the way.',
      'Users and groups: met',
      'Locations: met',
      'It blocks, whatever is brought.',
    ])
      await policy.getByText(text).first().waitFor()
    const other = page.getByRole('listitem').filter({ has: page.getByRole('heading', { level: 3, name: 'A second factor for engineering' }) })
    await other.getByText('Users and groups: not met').waitFor()
    await page.getByRole('region', { name: 'From where' }).getByText('203.0.113.9').waitFor()
    await page.getByRole('region', { name: 'Token' }).getByText('No token was given out.').waitFor()
    expect(await axe(page)).toEqual([])
  })

  it('leads from the number of a change to its proof', async () => {
    const { page, goto } = window
    await goto('/sign-ins')
    await page.getByLabel('Why was I blocked?').fill(world.txn)
    await page.getByRole('button', { name: 'Find out' }).click()
    await page.waitForURL(`${world.loop.origin}/console/contoso/revocations/${world.txn}`)
  })

  it('shows what is decided meanwhile by itself, where it is one of those that are looked for, and the token that came of it', async () => {
    const { page, goto, faults } = window
    const dave = await world.userId('dave')
    await goto(`/sign-ins?user=${dave}`)
    await rows().nth(1).waitFor()
    const before = await rows().count()
    await createFlow(world.loop, { username: 'erin@contoso.test', capable: true }).tokens()
    await createFlow(world.loop, { username: 'dave@contoso.test', capable: true }).tokens()
    await expect.poll(() => rows().count(), { timeout: 20_000 }).toBe(before + 1)
    expect((await rows().allTextContents()).join()).not.toContain('erin')
    await rows().nth(1).getByRole('link').click()
    const token = page.getByRole('region', { name: 'Token' })
    for (const text of ['Long-lived', 'On: it can be taken back at any time', /^(in \d+ hours|tomorrow|in 1 day)$/])
      await token.getByText(text).waitFor()
    await token.getByRole('button', { name: 'Copy Token id' }).waitFor()
    await page.getByRole('link', { name: 'All sign-ins' }).click()
    await page.getByRole('switch', { name: 'Live' }).click()
    const shown = await rows().count()
    await createFlow(world.loop, { username: 'dave@contoso.test' }).tokens()
    await page.getByRole('switch', { name: 'Live' }).click()
    await expect.poll(() => rows().count(), { timeout: 20_000 }).toBeGreaterThan(shown)
    expect(faults).toEqual([])
  })
})
