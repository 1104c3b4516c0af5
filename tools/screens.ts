/**
 * Takes a picture of every screen of the console, in both themes and at two widths, into docs/screens: `node --conditions=caegis-source tools/screens.ts [name...]`.
 * What is on them is real: a server, guards, a receiver that fails, people who sign in. Pictures change when a screen does; look at them before you commit them.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startChromium } from '../test/chromium.ts'
import { openConsole } from '../test/console.ts'
import { screensOf } from '../test/console-places.ts'
import { startWorld } from '../test/console-world.ts'

const FOLDER = join(import.meta.dirname, '..', 'docs', 'screens')
const SIZES = [
  { width: 1440, name: 'wide' },
  { width: 390, name: 'narrow' },
]

const wanted = process.argv.slice(2)
mkdirSync(FOLDER, { recursive: true })
const world = await startWorld()
const chromium = await startChromium()
try {
  const places = (await screensOf(world)).filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  for (const scheme of ['light', 'dark'] as const) {
    for (const { width, name: size } of SIZES) {
      const { page, goto, close } = await openConsole(chromium, world.loop, { width, scheme })
      for (const { name, path } of places) {
        await goto(path)
        await page.getByRole('status', { name: 'Loading' }).first().waitFor({ state: 'hidden' })
        // A moment for what is drawn after it was loaded.
        await page.waitForTimeout(700)
        await page.screenshot({ path: join(FOLDER, `${name}-${size}-${scheme}.png`), fullPage: size === 'narrow' })
        process.stdout.write(`${name}-${size}-${scheme}.png\n`)
      }
      await close()
    }
  }
} finally {
  await chromium.close()
  await world.close()
}
process.exit(0)
