import { setTimeout as pause } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { authorize, type Caller } from '../src/graph/caller.ts'
import type { GraphError } from '../src/graph/errors.ts'
import { createSse, type Source, type SseOptions } from '../src/graph/sse.ts'

let app: FastifyInstance
afterEach(() => app?.close())

/** A server whose only answer is an event stream; the caller's rights and token are the test's own. */
async function serve(source: Source, options: SseOptions = {}) {
  const rights = { permissions: ['graph/.default'], access: new AbortController() }
  const caller = {
    tenant: { id: 't', application: async () => ({ enabled: true, permissions: rights.permissions }) },
    signal: () => rights.access.signal,
    claims: { idtyp: 'app', roles: ['SecurityEvents.Read.All'], azp: 'a', iat: 1 },
  } as unknown as Caller
  const sse = createSse(options)
  app = Fastify({ forceCloseConnections: true })
  app.setErrorHandler((error: GraphError, _request, reply) => reply.code(error.status ?? 500).send({ error: error.message }))
  app.get('/', (_request, reply) => sse.send(caller, reply, () => authorize(caller, 'SecurityEvents.Read.All'), source))
  const url = await app.listen({ port: 0 })
  return { url, rights }
}

const until = async (true_: () => boolean) => {
  for (let i = 0; i < 500 && !true_(); i++) await pause(10)
  expect(true_()).toBe(true)
}

describe('an event stream', () => {
  it('begins at once, keeps the connection alive while nothing happens, and says each message as the standard wants it', async () => {
    let say: (() => void) | undefined
    const said = new Promise<void>((resolve) => {
      say = resolve
    })
    const { url } = await serve(
      async function* (signal, beat) {
        yield [{ id: 'a:1' }]
        const quiet = beat()
        await new Promise((resolve) => quiet.addEventListener('abort', resolve))
        expect(signal.aborted).toBe(false)
        yield []
        await said
        yield [
          { id: 'a:2', event: 'event', data: { text: 'two\nlines\r' } },
          { event: 'gap', data: {} },
        ]
      },
      { heartbeat: 20 },
    )
    const { body } = await fetch(url)
    let text = ''
    for await (const bytes of body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(bytes).toString()
      if (text.endsWith('\n:\n\n')) say?.()
    }
    expect(text).toBe('retry: 1000\n\nid: a:1\n\n:\n\nid: a:2\nevent: event\ndata: {"text":"two\\nlines\\r"}\n\nevent: gap\ndata: {}\n\n')
  })

  it('ends with a word that the client should come back when the process goes, and not all clients at once', async () => {
    const ends = new Set<() => void>()
    const onEnd = (end: () => void) => {
      ends.add(end)
      return () => void ends.delete(end)
    }
    const { url } = await serve(
      async function* (signal) {
        yield [{ id: 'a:1' }]
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      },
      { onEnd },
    )
    const { body } = await fetch(url)
    let text = ''
    for await (const bytes of body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(bytes).toString()
      if (text.includes('a:1')) for (const end of ends) end()
    }
    const retry = text.match(/^retry: 1000\n\nid: a:1\n\n: .+\nretry: (\d+)\n\n$/)?.[1]
    expect(Number(retry)).toBeGreaterThan(0)
    await until(() => ends.size === 0)
  })

  it('E9: produces no faster than its client reads, and ends its source when the client goes', async () => {
    let produced = 0
    let over = false
    const { url } = await serve(async function* () {
      try {
        for (;;) {
          yield [{ data: { filler: 'x'.repeat(10_000) } }]
          produced++
        }
      } finally {
        over = true
      }
    })
    const gone = new AbortController()
    const { body } = await fetch(url, { signal: gone.signal })
    const reader = (body as ReadableStream).getReader()
    await reader.read()
    let before = -1
    // Buffers on the way fill up; then nothing moves.
    for (let still = 0; still < 20; still = produced === before ? still + 1 : 0) {
      before = produced
      await pause(20)
    }
    expect(produced).toBeLessThan(5000)
    await reader.read()
    gone.abort()
    await until(() => over)
  })

  it('ends when the access of the token ends, and its source with it', async () => {
    let over = false
    const { url, rights } = await serve(async function* (signal) {
      try {
        yield [{ id: '1' }]
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        yield [{ data: { secret: true } }]
      } finally {
        over = true
      }
    })
    const response = await fetch(url)
    const reader = (response.body as ReadableStream).getReader()
    await reader.read()
    rights.access.abort()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      rest += Buffer.from(value).toString()
    }
    expect(rest).not.toContain('secret')
    await until(() => over)
  })

  it('says nothing more once the caller may not hear it', async () => {
    const { url, rights } = await serve(async function* () {
      yield [{ id: '1' }]
      await pause(20)
      rights.permissions = []
      yield [{ data: { secret: true } }]
    })
    expect(await (await fetch(url)).text()).toBe('retry: 1000\n\nid: 1\n\n')
  })

  it('breaks off, and does not end, when its source fails', async () => {
    const { url } = await serve(async function* () {
      yield [{ id: '1' }]
      throw new Error('the store is gone')
    })
    await expect(fetch(url).then((response) => response.text())).rejects.toThrow()
  })

  it('E9: gives each tenant a number of places, and a place back when a client goes', async () => {
    const source: Source = async function* (signal) {
      yield [{ id: '1' }]
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    }
    const { url } = await serve(source, { limit: 2 })
    const gone = new AbortController()
    const [first] = await Promise.all([fetch(url, { signal: gone.signal }), fetch(url)])
    expect(first?.status).toBe(200)
    const refused = await fetch(url)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
    gone.abort()
    let status = 0
    for (let i = 0; i < 100 && status !== 200; i++) {
      await pause(10)
      status = (await fetch(url)).status
    }
    expect(status).toBe(200)
  })
})
