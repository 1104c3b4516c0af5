import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Tls } from '@caegis/server'
import type { Random } from './random.ts'

/**
 * What can happen to requests and their answers: a request arrives twice; is carried out, and nobody hears of it; never arrives; its answer comes after later ones, late,
 * in half (broken off, or as if it were whole); it is the one that another request got; or something in between answers.
 */
export const MESSAGE_FAULTS = ['duplicate', 'lose', 'drop', 'hold', 'late', 'truncate', 'clip', 'replay', 'fail'] as const
export type MessageFault = (typeof MESSAGE_FAULTS)[number]

export interface Exchanged {
  method: string
  path: string
  asked: string
  status: number
  body: string
}

/** A proxy that ends TLS and sees whole requests. */
export interface Messages {
  port: number
  /** @param share of the requests that are hit */
  set(fault: MessageFault, share?: number): void
  /** What was swallowed or held is let go. */
  heal(): void
  /** Requests that were hit so far. */
  readonly hit: number
  /** Requests that may be hit at all; all of them when absent. */
  only: ((method: string, path: string) => boolean) | undefined
  /** What upstream answers, whoever hears of it. */
  onAnswer: ((one: Exchanged) => void) | undefined
  close(): Promise<void>
}

interface Reply {
  status: number
  headers: string[]
  body: Buffer
}

/** Milliseconds. */
const LATE = 500
const HELD = 1500
/** Headers of one hop, or that the new length makes wrong. */
const DROPPED = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length'])
const REMEMBERED = 500

/** @param port of a server with TLS on this machine */
export async function startMessages(port: number, { cert, key }: Pick<Tls, 'cert' | 'key'>, random: Random): Promise<Messages> {
  let fault: MessageFault | undefined
  let share = 1
  let hit = 0
  let changed = Promise.withResolvers<void>()
  let passed = 0
  const earlier = new Map<string, Reply>()

  const server = createServer({ cert, key, keepAliveTimeout: 60_000 }, (incoming, answer) => {
    const parts: Buffer[] = []
    incoming.on('data', (part: Buffer) => parts.push(part)).once('error', () => {})
    answer.once('error', () => {})
    incoming.once('end', () => void handle(incoming, Buffer.concat(parts), answer).catch(() => answer.destroy()))
  }).listen(0, 'localhost')
  server.on('tlsClientError', () => {})
  await once(server, 'listening')

  const messages: Messages = {
    port: (server.address() as AddressInfo).port,
    only: undefined,
    onAnswer: undefined,
    set(next, some = 1) {
      fault = next
      share = some
      turn()
    },
    heal() {
      fault = undefined
      turn()
    },
    get hit() {
      return hit
    },
    async close() {
      turn()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return messages

  function turn(): void {
    changed.resolve()
    changed = Promise.withResolvers()
  }

  async function handle(incoming: IncomingMessage, body: Buffer, answer: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = incoming
    const now = fault !== undefined && random.next() < share && messages.only?.(method, url) !== false ? fault : undefined
    if (now !== undefined) hit++
    const name = `${method} ${url}`
    switch (now) {
      case 'drop':
        // Nobody says anything, until there is somebody again who can say that it was lost.
        await changed.promise
        return void answer.destroy()
      case 'fail':
        answer.writeHead(random.pick([502, 503, 504]), { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>')
        return
      case 'replay': {
        const old = earlier.get(name)
        // What changes something is no cache's to answer; the stream's polls are its readings.
        if (!old || !(method === 'GET' || url.includes('/poll/'))) return deliver(answer, await ask(incoming, body, answer))
        // As a cache that should not be there would.
        await sleep(20)
        return deliver(answer, old)
      }
      case 'duplicate': {
        const both = [ask(incoming, body), ask(incoming, body)]
        const [reply] = await (random.next() < 0.5 ? Promise.all(both) : Promise.all(both.reverse()))
        return deliver(answer, reply as Reply)
      }
      case 'lose':
        await ask(incoming, body)
        return void answer.destroy()
    }
    const reply = await ask(incoming, body, answer)
    if (now === undefined && reply.status === 200) remember(name, reply)
    if (now === 'late') await Promise.race([sleep(random.between(50, LATE)), changed.promise])
    if (now === 'hold') {
      // Until two later ones were answered.
      const wanted = passed + 2
      const end = performance.now() + HELD
      while (passed < wanted && performance.now() < end && fault === 'hold') await sleep(10)
    }
    passed++
    if (now === 'truncate' || now === 'clip') {
      const half = reply.body.subarray(0, cutAt(reply.body))
      if (now === 'clip') return deliver(answer, { ...reply, body: half })
      answer.writeHead(reply.status, [...reply.headers, 'content-length', String(reply.body.length)])
      answer.write(half, () => answer.destroy())
      return
    }
    deliver(answer, reply)
  }

  /** Behind a line, where there are several: as if what follows had never been. */
  function cutAt(body: Buffer): number {
    const lines = [...body.toString('latin1').matchAll(/\n/g)].map(({ index }) => index + 1).filter((at) => at < body.length)
    return lines.length > 0 && random.next() < 0.7 ? random.pick(lines) : random.between(0, Math.max(0, body.length - 1))
  }

  function remember(name: string, reply: Reply): void {
    if (earlier.has(name) && random.next() < 0.5) return
    earlier.set(name, reply)
    if (earlier.size > REMEMBERED) earlier.delete(earlier.keys().next().value as string)
  }

  function deliver(answer: ServerResponse, { status, headers, body }: Reply): void {
    if (answer.destroyed) return
    answer.writeHead(status, [...headers, 'content-length', String(body.length)]).end(body)
  }

  /** @param answer whose end is the end of the request as well; absent: it is carried out whoever still waits */
  function ask({ method = 'GET', url = '/', rawHeaders }: IncomingMessage, body: Buffer, answer?: ServerResponse): Promise<Reply> {
    return new Promise((resolve, reject) => {
      // A connection for each: one that the server closes at this very moment would be a failure that nobody asked for.
      const out = request({ host: 'localhost', port, method, path: url, headers: rawHeaders, agent: false })
      answer?.once('close', () => answer.writableFinished || out.destroy())
      out.once('error', reject)
      out.once('response', (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part)).once('error', reject)
        response.once('end', () => {
          const status = response.statusCode as number
          const headers = response.rawHeaders.flatMap((name, i, all) =>
            i % 2 === 0 && !DROPPED.has(name.toLowerCase()) ? [name, all[i + 1] as string] : [],
          )
          const whole = Buffer.concat(parts)
          messages.onAnswer?.({ method, path: url, asked: body.toString(), status, body: whole.toString() })
          resolve({ status, headers, body: whole })
        })
      })
      out.end(body)
    })
  }
}
