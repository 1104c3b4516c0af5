import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Listen } from '../config.ts'
import { type Json, parse } from '../http.ts'

export interface Request {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** As it came. */
  text: string
  /** As JSON, when it is. */
  json: unknown
  /** Aborts when the other side has gone. */
  gone: AbortSignal
}

export interface Reply {
  status: number
  headers?: Record<string, string>
  body?: Json | Json[]
}

export interface Listener {
  origin: string
  close(): Promise<void>
}

const MAX_BYTES = 1024 * 1024

/** An HTTPS listener whose handler works with values. */
export async function listen({ cert, key, host, port, origin }: Listen, answer: (request: Request) => Promise<Reply>): Promise<Listener> {
  const server = createServer({ cert, key }, (incoming, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const parts: Buffer[] = []
    let size = 0
    incoming.on('data', (part: Buffer) => {
      size += part.length
      if (size > MAX_BYTES) incoming.destroy()
      else parts.push(part)
    })
    incoming.once('end', async () => {
      const { pathname, searchParams } = new URL(incoming.url ?? '/', 'https://suite')
      const text = Buffer.concat(parts).toString('utf8')
      const { method = 'GET', headers } = incoming
      const request = { method, path: pathname, query: searchParams, headers, text, json: parse(text), gone: gone.signal }
      const { status, headers: more, body } = await answer(request).catch((): Reply => ({ status: 500 }))
      const type = body === undefined ? {} : { 'content-type': 'application/json' }
      response.writeHead(status, { 'cache-control': 'no-store', ...type, ...more }).end(body === undefined ? undefined : JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  return {
    origin: origin ?? `https://localhost:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
