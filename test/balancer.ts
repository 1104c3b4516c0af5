import { once } from 'node:events'
import { request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Tls } from '@caegis/server'

/** What stands in front of several servers: it ends TLS, and each request goes to one of them. */
export interface Balancer {
  port: number
  /** Where requests go from now on: all to one, those for the same path to each in turn, or by the path. */
  toward: string | ((path: string) => string)
  /** Requests that each has answered. */
  served: Map<string, number>
  /** Ends all that is under way to one of them, and sends it nothing more. */
  cut(name: string): void
  heal(name: string): void
  close(): Promise<void>
}

/** How callers are known to come from elsewhere: an address of the documentation's (RFC 5737). */
const CALLER = '198.51.100.7'

/** @param nodes the ports of the servers, by name */
export async function startBalancer({ cert, key }: Pick<Tls, 'cert' | 'key'>, nodes: Record<string, number>): Promise<Balancer> {
  const names = Object.keys(nodes)
  const turns = new Map<string, number>()
  const away = new Set<string>()
  const open = new Map<string, Set<() => void>>(names.map((name) => [name, new Set()]))
  const balancer: Omit<Balancer, 'port' | 'cut' | 'heal' | 'close'> = { toward: 'turns', served: new Map(names.map((name) => [name, 0])) }

  function choose(path: string): string[] {
    const turn = turns.get(path) ?? 0
    turns.set(path, turn + 1)
    const { toward } = balancer
    const inTurn = toward === 'turns'
    const first = inTurn ? (names[turn % names.length] as string) : typeof toward === 'string' ? toward : toward(path)
    // Whoever was told to send everything to one means it.
    const others = inTurn ? names.filter((name) => name !== first) : []
    return [first, ...others].filter((name) => !away.has(name))
  }

  function pass(incoming: IncomingMessage, body: Buffer, answer: ServerResponse, [name, ...others]: string[]): void {
    const fail = () => {
      if (answer.headersSent) answer.destroy()
      else answer.writeHead(502).end()
    }
    if (name === undefined) {
      fail()
      return
    }
    const headers = [...incoming.rawHeaders, 'x-forwarded-for', CALLER]
    // A connection for each: one that the server closes at this very moment would be a failure that only tests have.
    const out = forward({
      host: '127.0.0.1',
      port: nodes[name] as number,
      method: incoming.method as string,
      path: incoming.url as string,
      headers,
      agent: false,
    })
    const end = () => {
      out.destroy()
      fail()
    }
    const ends = open.get(name) as Set<() => void>
    ends.add(end)
    answer.once('close', () => {
      ends.delete(end)
      out.destroy()
    })
    out.once('error', ({ code }: NodeJS.ErrnoException) => {
      ends.delete(end)
      // Nothing was sent yet: another one may have it.
      if (code === 'ECONNREFUSED' && others.length > 0) pass(incoming, body, answer, others)
      else fail()
    })
    out.once('response', (response) => {
      balancer.served.set(name, (balancer.served.get(name) ?? 0) + 1)
      answer.writeHead(response.statusCode as number, response.rawHeaders)
      response.once('error', fail)
      response.once('aborted', fail)
      response.pipe(answer)
    })
    out.end(body)
  }

  const server = createServer({ cert, key }, (incoming, answer) => {
    const parts: Buffer[] = []
    incoming.on('data', (part: Buffer) => parts.push(part))
    incoming.once('end', () => pass(incoming, Buffer.concat(parts), answer, choose(String(incoming.url).split('?')[0] as string)))
    incoming.once('error', () => {})
  }).listen(0, 'localhost')
  await once(server, 'listening')

  return Object.assign(balancer, {
    port: (server.address() as AddressInfo).port,
    cut(name: string) {
      away.add(name)
      for (const end of [...(open.get(name) ?? [])]) end()
    },
    heal: (name: string) => void away.delete(name),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}
