import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { formatChallenge } from '@caegis/protocol'
import { build, type Rollup } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chromium, hasChromium, startChromium } from './chromium.ts'

const CLIENT = fileURLToPath(new URL('../packages/client/src/index.ts', import.meta.url))
const HEADER = formatChallenge({ authorizationUri: 'https://login.example/authorize', claims: { nbf: 1 } })

describe.skipIf(!hasChromium())('@caegis/client in a real browser', () => {
  let chromium: Chromium
  let page: string
  let api: string
  let stranger: string
  const servers: Server[] = []
  const seen: { who: string; path: string; authorization: string | undefined }[] = []

  async function listen(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    const server = createServer(handle)
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
    return `http://localhost:${(server.address() as AddressInfo).port}`
  }

  /** Allows a page of any origin everything, as somebody who collects tokens would. */
  function welcome(who: string, answer: (request: IncomingMessage, response: ServerResponse) => void) {
    return (request: IncomingMessage, response: ServerResponse) => {
      response.setHeader('Access-Control-Allow-Origin', '*')
      response.setHeader('Access-Control-Allow-Headers', 'authorization, content-type')
      response.setHeader('Access-Control-Expose-Headers', 'WWW-Authenticate')
      if (request.method === 'OPTIONS') return void response.end()
      seen.push({ who, path: String(request.url), authorization: request.headers.authorization })
      answer(request, response)
    }
  }

  beforeAll(async () => {
    const built = (await build({
      configFile: false,
      logLevel: 'silent',
      resolve: { conditions: ['caegis-source', 'module', 'browser', 'production'] },
      build: { write: false, lib: { entry: CLIENT, formats: ['iife'], name: 'caegis' } },
    })) as Rollup.RollupOutput[]
    const [chunk] = built[0]?.output ?? []
    page = await listen((request, response) => {
      if (request.url === '/client.js') response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(chunk?.code)
      else response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>page</title><script src="/client.js"></script>')
    })
    stranger = await listen(welcome('stranger', (_, response) => response.writeHead(401, { 'WWW-Authenticate': HEADER }).end()))
    api = await listen(
      welcome('api', ({ url, headers }, response) => {
        if (url === '/away') response.writeHead(307, { Location: `${stranger}/take` }).end()
        else if (url === '/here') response.writeHead(307, { Location: '/files' }).end()
        else if (headers.authorization === 'Bearer good') response.end('files')
        else response.writeHead(401, { 'WWW-Authenticate': HEADER }).end()
      }),
    )
    chromium = await startChromium()
  })
  afterAll(async () => {
    await chromium?.close()
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
  })

  it('answers challenges, by redirects within the origin too; E6: no redirect carries the token to another', async () => {
    const { context } = await chromium.window()
    const tab = await context.newPage()
    await tab.goto(page)
    const answers = await tab.evaluate(async (origin) => {
      const { withClaimsChallenge } = (window as any).caegis
      const call = withClaimsChallenge(fetch.bind(window), {
        origins: [origin],
        token: ({ claims }: { claims?: string }) => (claims ? 'good' : 'dead'),
      })
      const all: unknown[] = []
      for (const path of ['/files', '/here', '/away']) all.push((await call(origin + path)).status)
      const form = new FormData()
      form.append('a', 'b')
      all.push(await (await call(`${origin}/files`, { method: 'POST', body: form })).text())
      all.push(await (await call(new Request(`${origin}/files`, { method: 'POST', body: 'text' }))).text())
      return all
    }, api)
    expect(answers).toEqual([200, 200, 401, 'files', 'files'])
    expect(seen.filter(({ who }) => who === 'stranger')).toEqual([{ who: 'stranger', path: '/take', authorization: undefined }])
    expect(seen.filter(({ path }) => path === '/away').map(({ authorization }) => authorization)).toEqual(['Bearer dead'])
    await context.close()
  })
})
