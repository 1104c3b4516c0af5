import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'
import type { Chromium, Window } from './chromium.ts'
import { type Loop, PASSWORD, type startLoop } from './loop.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export interface ConsoleOptions {
  /** Where to go, under `/console/contoso`. */
  path?: string
  userName?: string
  password?: string
  width?: number
  scheme?: 'light' | 'dark'
}

export interface ConsoleWindow extends Window {
  page: Page
  /** Goes to another address of the console as a person does who typed it. */
  goto(path: string): Promise<void>
  /** Goes to another screen as a link leads there, without loading the page anew. */
  walk(path: string): Promise<void>
  close(): Promise<void>
}

/** The console in a window of its own, signed in through the issuer's own pages. */
export async function openConsole(
  chromium: Chromium,
  { origin }: Pick<Loop, 'origin'> | Awaited<ReturnType<typeof startLoop>>,
  { path = '', userName = 'admin@contoso.test', password = PASSWORD, width = 1440, scheme = 'light' }: ConsoleOptions = {},
): Promise<ConsoleWindow> {
  const height = width < 500 ? 844 : 900
  const window = await chromium.window({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' })
  const page = await window.context.newPage()
  await page.goto(`${origin}/console/contoso${path}`)
  await page.getByLabel('User name').fill(userName)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  // The issuer's pages have a heading too.
  await page.getByRole('button', { name: /^Account of / }).waitFor()
  await page.getByRole('heading', { level: 1 }).waitFor()
  return {
    ...window,
    page,
    async goto(next) {
      await page.goto(`${origin}/console/contoso${next}`)
      await page.getByRole('heading', { level: 1 }).waitFor()
    },
    async walk(next) {
      await page.evaluate((to) => {
        document.querySelector('h1')?.setAttribute('data-left', '')
        history.pushState(null, '', to)
      }, `/console/contoso${next}`)
      await page.locator('h1:not([data-left])').waitFor()
    },
    close: () => window.context.close(),
  }
}

/** What axe finds that is serious or worse, in words; nothing, in a page that everybody can use. */
export async function axe(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE)
  const { violations } = await page.evaluate(async () => {
    interface Found {
      violations: { id: string; impact: string; help: string; nodes: { target: string[]; failureSummary: string }[] }[]
    }
    return (globalThis as unknown as { axe: { run(options: object): Promise<Found> } }).axe.run({ resultTypes: ['violations'] })
  })
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${help} (${target.join(' ')}) ${failureSummary}`))
}
