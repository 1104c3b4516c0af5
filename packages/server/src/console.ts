import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

const TYPES: Record<string, string> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}
const gzipped = promisify(gzip)
const brotli = promisify(brotliCompress)
const COMPRESS = {
  // The best quality would have the first visitor wait for seconds, and be a twelfth smaller.
  br: (content: Buffer) => brotli(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  gzip: (content: Buffer) => gzipped(content),
}
/** What stands in the built page where each answer has a nonce of its own. */
const NONCE = '__NONCE__'

interface Asset {
  type: string
  content: Buffer
  compressed: Partial<Record<keyof typeof COMPRESS, Promise<Buffer>>>
}

/** Where the built console lies; `undefined` where it was not built or not installed. */
export function findConsole(): string | undefined {
  try {
    const folder = join(dirname(fileURLToPath(import.meta.resolve('@caegis/console/package.json'))), 'dist')
    return existsSync(join(folder, 'index.html')) ? folder : undefined
  } catch {
    return undefined
  }
}

/**
 * Serves the admin console at `/` and under `/console`: one page, whose script and style are allowed by what stands here and by nothing else. The files are read once,
 * so what is asked for is looked up in a list and never in the file system; their names change with their content.
 */
export function registerConsole(app: FastifyInstance, folder: string): void {
  const page = readFileSync(join(folder, 'index.html'), 'utf8')
  const assets = new Map<string, Asset>()
  for (const name of readdirSync(join(folder, 'assets'))) {
    const content = readFileSync(join(folder, 'assets', name))
    assets.set(name, { type: TYPES[extname(name)] ?? 'application/octet-stream', content, compressed: {} })
  }

  const serve = async (_request: FastifyRequest, reply: FastifyReply) => {
    const nonce = randomBytes(16).toString('base64url')
    return reply
      .headers({
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
        'content-security-policy': policy(nonce),
        'cross-origin-opener-policy': 'same-origin',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
      })
      .send(page.replaceAll(NONCE, nonce))
  }
  for (const url of ['/', '/console', '/console/*']) app.get(url, serve)

  app.get('/assets/:name', async (request, reply) => {
    const asset = assets.get((request.params as { name: string }).name)
    if (!asset) return reply.callNotFound()
    reply.headers({
      'content-type': asset.type,
      'cache-control': 'public, max-age=31536000, immutable',
      vary: 'accept-encoding',
      'x-content-type-options': 'nosniff',
    })
    const accepted = String(request.headers['accept-encoding'] ?? '')
    const encoding = /\bbr\b/.test(accepted) ? 'br' : /\bgzip\b/.test(accepted) ? 'gzip' : undefined
    if (encoding === undefined) return reply.send(asset.content)
    asset.compressed[encoding] ??= COMPRESS[encoding](asset.content)
    return reply.header('content-encoding', encoding).send(await asset.compressed[encoding])
  })
}

/** Style elements of the components bear the nonce. Nothing is framed, nothing comes from elsewhere, and nothing is sent elsewhere. */
function policy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ')
}
