import { existsSync } from 'node:fs'
import { type BrowserContext, type BrowserContextOptions, chromium, type Response } from 'playwright-core'

const PROGRAM = '/usr/bin/chromium'
const MISSING = `${PROGRAM} is missing: install the package chromium (sudo apt-get install chromium)`

/** Playwright's own list, which ours takes the place of, and the suggestions under the address bar: two pages more for each window, a quarter of all that Chromium computes. */
const WITHOUT = [
  ...['AvoidUnnecessaryBeforeUnloadCheckSync', 'DestroyProfileOnBrowserClose', 'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable', 'LensOverlay'],
  ...['MediaRouter', 'PaintHolding', 'ThirdPartyStoragePartitioning', 'AvoidCorsURLLoaderRestartOnRedirect', 'OptimizationHints'],
  ...['NetworkTimeServiceQuerying', 'AimEnabled', 'PreconnectToSearch', 'WebUIOmniboxPopup', 'WebUIOmniboxAimPopup'],
]

/** Whether the tests can use a browser. On a developer's machine it may be missing, and what needs it is skipped with a line that says so; in CI it may not. */
export function hasChromium(): boolean {
  if (existsSync(PROGRAM)) return true
  if (process.env.CI) throw new Error(MISSING)
  process.stdout.write(`skipped: ${MISSING}\n`)
  return false
}

/** A browser window of its own, with everything that went wrong in it. */
export interface Window {
  context: BrowserContext
  /** Errors of pages and of the console; refused by a policy, not found, thrown. */
  faults: string[]
  /** HTML answers, in order. */
  pages: Response[]
}

export interface Chromium {
  window(options?: BrowserContextOptions): Promise<Window>
  close(): Promise<void>
}

/** Starts the system's own Chromium, headless. */
export async function startChromium(): Promise<Chromium> {
  const browser = await chromium.launch({
    executablePath: PROGRAM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // Beforehand: asked at each connection, as a context's own switch has it, Chromium gives up on a busy machine (ERR_TOO_MANY_RETRIES).
      '--ignore-certificate-errors',
      `--disable-features=${WITHOUT.join(',')}`,
    ],
  })
  return {
    async window(options = {}) {
      const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options })
      context.setDefaultTimeout(30_000)
      const faults: string[] = []
      const pages: Response[] = []
      context.on('weberror', (error) => faults.push(error.error().message))
      context.on('console', (message) => {
        if (message.type() === 'error') faults.push(`${message.text()} (${message.location().url})`)
      })
      context.on('response', (response) => {
        if (response.headers()['content-type']?.startsWith('text/html')) pages.push(response)
      })
      return { context, faults, pages }
    },
    close: () => browser.close(),
  }
}
