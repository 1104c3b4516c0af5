import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readClaimsChallenge } from '@caegis/protocol'
import express from 'express'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { protect as protectExpress } from '../src/adapters/express.ts'
import { protect as protectNode } from '../src/adapters/node.ts'
import type { Guard } from '../src/guard.ts'
import type { KeySource } from '../src/keys.ts'
import type { Allowed } from '../src/verdict.ts'
import { cutoff, jwkOf, mint, otherEc, START, startGuard } from './tokens.ts'

type Handler = (auth: Allowed, response: Parameters<RequestListener>[1]) => void

/** Every adapter as a request listener; the suite below knows nothing else about them. */
const adapters: Record<string, (guard: Guard, handler: Handler) => RequestListener> = {
  node: (guard, handler) => {
    const secured = protectNode(guard)
    return (request, response) => secured(request, response, () => handler((request as IncomingMessage & { auth: Allowed }).auth, response))
  },
  express: (guard, handler) => {
    const app = express()
    app.use('/files', protectExpress(guard))
    app.use((request, response) => handler(request.auth as Allowed, response))
    return app
  },
}

describe.each(Object.entries(adapters))('adapter: %s', (_, adapt) => {
  let server: Server
  let origin: string
  let started: ReturnType<typeof startGuard>
  let handler: Handler

  beforeEach(async () => {
    started = startGuard({ authorizationUri: 'https://id.example/authorize' })
    handler = (auth, response) => response.end(JSON.stringify({ sub: auth.claims.sub }))
    server = createServer(adapt(started.guard, (auth, response) => handler(auth, response)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })

  const call = (token: string, path = '/files/1', init: RequestInit = {}) =>
    fetch(origin + path, { ...init, headers: { authorization: `Bearer ${token}` } })

  it('lets an allowed request through, with the verdict on it', async () => {
    const response = await call(mint())
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ sub: 'alice' })
    expect(response.headers.get('access-control-expose-headers')).toBeNull()
  })

  it('D6: hands on who the connection comes from, and believes no header of it', async () => {
    const rules = (range: string) => [
      { version: 1, since: 0 },
      { policies: [{ id: 'office-only', include: 'All', exclude: ['office'] }] },
      { location: { id: 'office', kind: 'ip', trusted: true } },
      { ranges: [range] },
    ]
    const bound = mint({ capolids_latebind: ['office-only'] })
    const from = (forwarded: string) => fetch(`${origin}/files/1`, { headers: { authorization: `Bearer ${bound}`, 'x-forwarded-for': forwarded } })
    started.sink.rules(rules('127.0.0.1'))
    expect((await from('203.0.113.9')).status).toBe(200)
    started.sink.rules(rules('203.0.113.9'))
    const denied = await from('203.0.113.9')
    expect([denied.status, ((await denied.json()) as { code: string }).code]).toEqual([401, 'location'])
  })

  it('answers a revoked one with a challenge that a page of another origin can read', async () => {
    started.sink.merge([cutoff('user', 'alice', START)])
    const response = await call(mint({ xms_cc: ['cp1'] }))
    expect(response.status).toBe(401)
    expect(readClaimsChallenge(response.headers.get('www-authenticate'))).toMatchObject({
      nbf: START + 1,
      authorizationUri: 'https://id.example/authorize',
    })
    expect(response.headers.get('access-control-expose-headers')).toBe('WWW-Authenticate')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('content-type')).toContain('application/json')
    expect(response.headers.get('retry-after')).toBeNull()
    expect(await response.json()).toMatchObject({ error: 'insufficient_claims', code: 'revoked' })
  })

  it('never calls the handler for a denied request', async () => {
    let called = 0
    handler = (_auth, response) => {
      called++
      response.end()
    }
    expect((await fetch(`${origin}/files/1`)).status).toBe(401)
    expect((await call(mint(), '/files/1?access_token=x')).status).toBe(400)
    expect((await call(mint({ aud: 'other' }), '/files/1', { method: 'POST', body: 'x' })).status).toBe(401)
    started.sink.outOfSync('whatever')
    await started.guard.close()
    expect((await call(mint())).status).toBe(503)
    expect(called).toBe(0)
  })

  it('sees a second Authorization line, which node hides', async () => {
    const request = httpRequest(`${origin}/files/1`, {
      headers: ['Host', 'x', 'Authorization', `Bearer ${mint()}`, 'Authorization', 'Bearer x'] as never,
    })
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    expect(response.statusCode).toBe(400)
  })

  it('waits where a key must be fetched first', async () => {
    const keys: KeySource = {
      ...started.keys,
      learn: async (issuer) => {
        await new Promise((resolve) => setTimeout(resolve, 10))
        started.keys.replace(issuer, { keys: [jwkOf(otherEc, 'k2')] })
      },
    }
    const own = startGuard({ keys })
    server.removeAllListeners('request')
    server.on(
      'request',
      adapt(own.guard, (auth, response) => handler(auth, response)),
    )
    expect((await call(mint({}, { kid: 'k2' }, otherEc.privateKey))).status).toBe(200)
  })

  it('E3: a stream ends when its token does, and a finished or broken one is not watched any more', async () => {
    handler = ({ signal }, response) => {
      response.write('begun')
      signal.addEventListener('abort', () => response.end('ended'))
    }
    const streaming = await call(mint())
    const bystander = await call(mint({ sub: 'bob', oid: 'bob', sid: 's-2' }))
    expect(started.guard.status().live).toBe(2)
    started.sink.merge([cutoff('user', 'alice', START)])
    expect(await streaming.text()).toBe('begunended')
    await bystander.body?.cancel()
    for (let i = 0; i < 200 && started.guard.status().live > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(started.guard.status().live).toBe(0)

    handler = ({ signal }, response) => response.end(String(signal.aborted))
    for (let i = 0; i < 5; i++) expect(await (await call(mint({ sub: 'bob', oid: 'bob' }))).text()).toBe('false')
    for (let i = 0; i < 200 && started.guard.status().live > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(started.guard.status().live).toBe(0)
  })
})
