import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, openConsole } from './console.ts'
import { screensOf } from './console-places.ts'
import { startWorld, type World } from './console-world.ts'

describe.skipIf(!hasChromium())('every screen of the console', () => {
  let world: World
  let chromium: Chromium
  beforeAll(async () => {
    world = await startWorld()
    chromium = await startChromium()
  })
  afterAll(async () => {
    await chromium?.close()
    await world?.close()
  })

  it.each([
    { width: 1440, scheme: 'light' },
    { width: 390, scheme: 'dark' },
  ] as const)(
    'at $width pixels, $scheme: has a title and content, hides nothing at the side, is free of faults, and axe finds nothing serious',
    async (how) => {
      const { page, walk, faults, close } = await openConsole(chromium, world.loop, { ...how, path: '/nowhere' })
      const wrong: Record<string, unknown> = {}
      for (const { name, path } of await screensOf(world)) {
        await walk(path)
        await page.getByRole('status', { name: 'Loading' }).first().waitFor({ state: 'hidden' })
        const found = await page.evaluate(() => ({
          title: document.title,
          h1: document.querySelectorAll('h1').length,
          over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          alerts: [...document.querySelectorAll('main [role=alert]')].map((one) => one.textContent),
        }))
        const problems = [
          ...(found.title.endsWith(' · CAEgis') ? [] : [`title: ${found.title}`]),
          ...(found.h1 === 1 ? [] : [`${found.h1} h1`]),
          ...(found.over <= 0 ? [] : [`${found.over} pixels too wide`]),
          ...(await axe(page)),
          ...faults.splice(0),
        ]
        if (problems.length > 0) wrong[name] = problems
      }
      expect(wrong).toEqual({})
      await close()
    },
    240_000,
  )
})
