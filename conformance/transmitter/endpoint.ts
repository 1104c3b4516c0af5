import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Listen } from '../config.ts'

export interface Pushed {
  method: string | undefined
  headers: IncomingHttpHeaders
  body: string
  /** Milliseconds. */
  at: number
}

/** The suite's own receiver: takes every push (RFC 8935) with an empty 202. */
export interface Endpoint {
  url: string
  pushed: Pushed[]
  close(): Promise<void>
}

const MAX_BYTES = 1024 * 1024

export async function openEndpoint({ cert, key, host, port, origin }: Listen): Promise<Endpoint> {
  const path = `/push/${randomUUID()}`
  const pushed: Pushed[] = []
  const server = createServer({ cert, key }, (request, response) => {
    const parts: Buffer[] = []
    let size = 0
    request.on('data', (part: Buffer) => {
      size += part.length
      if (size > MAX_BYTES) request.destroy()
      else parts.push(part)
    })
    request.on('end', () => {
      if (request.url !== path) return void response.writeHead(404).end()
      pushed.push({ method: request.method, headers: request.headers, body: Buffer.concat(parts).toString('utf8'), at: Date.now() })
      response.writeHead(202).end()
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  const base = origin ?? `https://localhost:${(server.address() as AddressInfo).port}`
  return {
    url: `${base}${path}`,
    pushed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
