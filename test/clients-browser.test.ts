import { readFileSync } from 'node:fs'
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { localTls } from '@caegis/server'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDirectory } from '../packages/server/src/directory/directory.ts'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'
import { claimsOf, freePort, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'

const MSAL = join(dirname(createRequire(import.meta.url).resolve('@azure/msal-browser/package.json')), 'lib')
const page = (script: string) => `<!doctype html><html><head><title>page</title></head><body><script src="${script}"></script></body></html>`

/** An application of its own origin: a page with MSAL, and the page to which popups and frames come back. */
const FILES: Record<string, () => [type: string, body: string]> = {
  '/': () => ['text/html', page('/msal.js')],
  '/back': () => ['text/html', page('/bridge.js').replace('</body>', '<script>msalRedirectBridge.broadcastResponseToMainFrame()</script></body>')],
  '/msal.js': () => ['text/javascript', readFileSync(join(MSAL, 'msal-browser.min.js'), 'utf8')],
  '/bridge.js': () => ['text/javascript', readFileSync(join(MSAL, 'redirect-bridge/msal-redirect-bridge.min.js'), 'utf8')],
}

describe.skipIf(!hasChromium())('unmodified @azure/msal-browser', () => {
  let loop: Loop
  let chromium: Chromium
  let origin: string
  /** The same pages without TLS. */
  let plain: string
  const servers: { close(): void; closeAllConnections(): void }[] = []
  beforeAll(async () => {
    const ports = [await freePort(), await freePort()] as const
    origin = `https://localhost:${ports[0]}`
    plain = `http://localhost:${ports[1]}`
    loop = await startLoop({
      tenant: JSON.stringify({
        tenant: { name: 'contoso' },
        users: [{ userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD }],
        applications: [
          { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
          { appId: 'files-spa', type: 'spa', redirectUris: [`${origin}/back`], permissions: [SCOPE] },
          { appId: 'second-spa', type: 'spa', redirectUris: [`${origin}/back`, `${plain}/back`], permissions: [SCOPE] },
        ],
      }),
    })
    const { cert, key } = await localTls(loop.data, Date.now())
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      const [type, body] = FILES[String(request.url).split(/[?#]/)[0] as string]?.() ?? ['text/plain', '']
      response.writeHead(200, { 'content-type': type }).end(body)
    }
    for (const [at, server] of [createServer({ cert, key }, handle), createPlainServer(handle)].entries()) {
      servers.push(server)
      await new Promise<void>((resolve) => server.listen(ports[at], 'localhost', resolve))
    }
    chromium = await startChromium()
  })
  afterAll(async () => {
    await chromium?.close()
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
    await loop?.close()
  })

  /** What the page's own script would do. */
  async function createClient(page: Page, clientId: string, home = origin): Promise<void> {
    await page.goto(`${home}/`)
    const settings = {
      auth: {
        clientId,
        authority: loop.authority,
        knownAuthorities: [new URL(loop.origin).host],
        redirectUri: `${home}/back`,
        clientCapabilities: ['cp1'],
      },
      system: { protocolMode: 'OIDC' },
    }
    await page.evaluate(async (given) => {
      const { msal } = window as any
      ;(window as any).client = new msal.PublicClientApplication(given)
      await (window as any).client.initialize()
    }, settings as any)
  }

  /** What came of a call of the client, errors too. */
  const ask = (page: Page, call: string, request: object) =>
    page.evaluate(
      ([name, given]) =>
        (window as any).client[name as string](given).then(
          (result: any) => ({ token: result.accessToken, username: result.account?.username, fromCache: result.fromCache }),
          (error: any) => ({ error: error.errorCode, name: error.name }),
        ),
      [call, request] as const,
    ) as Promise<{ token?: string; username?: string; fromCache?: boolean; error?: string; name?: string }>

  async function signIn(page: Page) {
    const opened = page.context().waitForEvent('page')
    const signedIn = ask(page, 'loginPopup', { scopes: [SCOPE] })
    const popup = await opened
    await popup.getByLabel('User name').fill('alice@contoso.test')
    await popup.getByLabel('Password').fill(PASSWORD)
    await popup.getByRole('button', { name: 'Sign in' }).click()
    return signedIn
  }

  it('signs in in a popup, and another application of the same browser silently in a frame, until the session is revoked', async () => {
    const { context, faults } = await chromium.window()
    const first = await context.newPage()
    await createClient(first, 'files-spa')
    const result = await signIn(first)
    expect(result).toMatchObject({ username: 'alice@contoso.test', token: expect.any(String) })
    expect(claimsOf(String(result.token))).toMatchObject({ aud: 'api://files', azp: 'files-spa', xms_cc: ['cp1'] })
    await expect.poll(() => context.pages().length).toBe(1)

    // Nobody is asked anything: the frame finds the session at the issuer.
    const second = await context.newPage()
    await createClient(second, 'second-spa')
    const silent = await ask(second, 'ssoSilent', { scopes: [SCOPE], loginHint: 'alice@contoso.test' })
    expect(silent).toMatchObject({ username: 'alice@contoso.test', token: expect.any(String) })
    expect(claimsOf(String(silent.token))).toMatchObject({ azp: 'second-spa', sid: claimsOf(String(result.token)).sid })
    expect(faults).toEqual([])

    const { sub } = claimsOf(String(result.token))
    const directory = createDirectory(loop.server.store, loop.tenant, loop.issuer)
    await directory.revokeSessions({ kind: 'system', reason: 'test' }, String(sub))
    expect(await ask(second, 'ssoSilent', { scopes: [SCOPE], loginHint: 'alice@contoso.test' })).toMatchObject({
      ...{ name: 'InteractionRequiredAuthError', error: 'login_required' },
    })
    await context.close()
  })

  it('a frame finds nobody where the page is of another site, and without TLS it is: the page has to ask by a popup or a redirect', async () => {
    const { context } = await chromium.window()
    const other = await context.newPage()
    await createClient(other, 'second-spa')
    expect(await signIn(other)).toMatchObject({ username: 'alice@contoso.test' })
    await createClient(other, 'second-spa', plain)
    expect(await ask(other, 'ssoSilent', { scopes: [SCOPE], loginHint: 'alice@contoso.test' })).toMatchObject({
      ...{ name: 'InteractionRequiredAuthError', error: 'login_required' },
    })
    await context.close()
  })
})
