import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
}

/** Where the built sample page lies in a checkout. */
export const PAGE_FOLDER = fileURLToPath(new URL('../../../../examples/spa/dist', import.meta.url))

/**
 * Serves the sample single-page app. The port is opened before anything is known that the page needs; `configure` gives it that.
 * Plain http on loopback, as the page's redirect URI says.
 */
export async function startPage(port: number): Promise<{ origin: string; configure(config: object): void; close(): Promise<void> }> {
  let config = '{}'
  let connect = ''
  const server: Server = createServer(async (request, response) => {
    const path = normalize(decodeURI((request.url ?? '/').split('?')[0] as string).replace(/^\/+/, ''))
    if (path === 'config.json') {
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(config)
      return
    }
    const file = path === '.' || path === '' ? 'index.html' : path
    if (file.startsWith('..')) {
      response.writeHead(404).end()
      return
    }
    try {
      const content = await readFile(join(PAGE_FOLDER, file))
      response
        .writeHead(200, {
          'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
          'content-security-policy': `default-src 'self'; connect-src 'self' ${connect}; frame-src 'self' ${connect}; base-uri 'none'; object-src 'none'; frame-ancestors 'self'`,
          'x-content-type-options': 'nosniff',
        })
        .end(content)
    } catch {
      response
        .writeHead(404, { 'content-type': 'text/plain' })
        .end('Not found. The sample page is built by "npm ci"; "npm run build -w @caegis/example-spa" builds it again.')
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, 'localhost', resolve)
  })
  const address = server.address()
  const actual = typeof address === 'object' && address ? address.port : port
  return {
    origin: `http://localhost:${actual}`,
    configure(given) {
      config = JSON.stringify(given)
      const { authority, api } = given as { authority: string; api: string }
      connect = `${new URL(authority).origin} ${new URL(api).origin}`
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
