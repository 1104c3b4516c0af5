import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { type ConsoleWindow, openConsole } from './console.ts'
import { startWorld, type World } from './console-world.ts'

/** How a page is found that is about one thing, and where its deletion begins. */
const THINGS: { kind: string; path(world: World): Promise<string>; open(page: Page): Promise<void> }[] = [
  { kind: 'applications', path: async () => '/applications/files-spa', open: (page) => page.getByRole('button', { name: 'Delete' }).click() },
  {
    kind: 'users',
    path: async () => '/users/heidi@contoso.test',
    async open(page) {
      await page.getByRole('button', { name: 'More' }).click()
      await page.getByRole('menuitem', { name: 'Delete user' }).click()
    },
  },
  {
    kind: 'groups',
    path: async ({ firstId }) => `/groups/${await firstId('/groups')}`,
    open: (page) => page.getByRole('button', { name: 'Delete' }).click(),
  },
  {
    kind: 'devices',
    path: async ({ firstId }) => `/devices/${await firstId('/devices')}`,
    open: (page) => page.getByRole('button', { name: 'Delete' }).click(),
  },
  {
    kind: 'policies',
    path: async ({ firstId }) => `/policies/${await firstId('/identity/conditionalAccess/policies')}`,
    open: (page) => page.getByRole('button', { name: 'Delete' }).click(),
  },
  {
    kind: 'locations',
    path: async ({ firstId }) => `/locations/${await firstId("/identity/conditionalAccess/namedLocations?$filter=displayName eq 'Nordics'")}`,
    open: (page) => page.getByRole('button', { name: 'Delete' }).click(),
  },
  {
    kind: 'streams',
    path: async ({ firstId }) => `/streams/${await firstId('/caegis/streams')}`,
    async open(page) {
      await page.getByRole('button', { name: 'More actions' }).click()
      await page.getByRole('menuitem', { name: 'Delete' }).click()
    },
  },
]

/** Milliseconds after which a page has asked anew for what an event was about. */
const HEARD = 1000

describe.skipIf(!hasChromium())('whatever is deleted', () => {
  let world: World
  let chromium: Chromium
  let admin: ConsoleWindow
  beforeAll(async () => {
    world = await startWorld()
    chromium = await startChromium()
    admin = await openConsole(chromium, world.loop)
  })
  afterAll(async () => {
    await chromium?.close()
    await world?.close()
  })

  it.for(THINGS)('is not asked for again, though its page hears of its end before the answer is there: $kind', async ({ kind, path, open }) => {
    const { page, walk, faults } = admin
    const before = faults.length
    await walk(await path(world))
    await open(page)
    const dialog = page.getByRole('dialog')
    const typed = dialog.getByRole('textbox')
    if ((await typed.count()) > 0) await typed.fill(String(/Type (.+) to go on/.exec(await dialog.innerText())?.[1]))
    let deleted = 0
    await page.route('**/v1.0/**', async (route) => {
      if (route.request().method() !== 'DELETE') return route.continue()
      const response = await route.fetch()
      deleted = response.status()
      await new Promise((resolve) => setTimeout(resolve, HEARD))
      await route.fulfill({ response })
    })
    await dialog.locator('button[type=submit]').click()
    await expect.poll(() => new URL(page.url()).pathname, { timeout: 20_000 }).toBe(`/console/contoso/${kind}`)
    await dialog.waitFor({ state: 'hidden' })
    await page.unroute('**/v1.0/**')
    expect(deleted).toBe(204)
    expect(faults.slice(before)).toEqual([])
  })
})
