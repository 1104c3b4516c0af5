import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { axe, openConsole } from './console.ts'
import { type Loop, startLoop } from './loop.ts'

describe.skipIf(!hasChromium())('the console', () => {
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

  it('signs in at our own issuer and comes back to where somebody was going', async () => {
    const { page, faults, close } = await openConsole(chromium, loop, { path: '/users?q=alice' })
    await expect.poll(() => page.getByRole('row').count()).toBe(2)
    expect(page.url()).toBe(`${loop.origin}/console/contoso/users?q=alice`)
    expect(await page.getByRole('link', { name: 'Alice' }).getAttribute('href')).toMatch(/^\/console\/contoso\/users\/[0-9a-f-]{36}$/)
    expect(await axe(page)).toEqual([])
    await page.screenshot({ path: '/tmp/c1.png' })
    expect(faults).toEqual([])
    await close()
  })
})
