import { createHash } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import { readClaimsChallenge } from '@caegis/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Checker, Guard } from '../src/guard.ts'
import type { KeySource } from '../src/keys.ts'
import type { Allowed, Denied, Verdict } from '../src/verdict.ts'
import { type Caller, createCaller, type Served } from './serving.ts'
import { cutoff, ISSUER, jwkOf, mint, otherEc, START, signJws, startGuard } from './tokens.ts'

/** What a handler answers: text, or a stream of it. What it throws is for the framework's own error handler. */
export type Answer = string | ReadableStream<Uint8Array>

export interface Site {
  guard: Checker
  /** Guards `/write` in addition, or alone. */
  writers: Checker
  /** Described to everybody, at `/.well-known/oauth-protected-resource/files`. */
  described: Pick<Guard, 'metadata'>
  /** Behind the guard, every path but these two. Gets `undefined` where there is no verdict: at `/open`. */
  handler(auth: Allowed | undefined): Answer | Promise<Answer>
}

/**
 * Every adapter answers as its framework would be used: CORS in front of it (`Access-Control-Allow-Origin: *`, `Access-Control-Expose-Headers: X-Trace`, 204 for
 * a preflight), `/open` beside it, and an error handler that answers 500 and the error's message.
 */
export interface Adapter {
  name: string
  version?: 1 | 2
  serve(site: Site): Promise<Served>
}

const RESOURCE = 'https://api.test/files'
export const CORS = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'X-Trace' }
export const isPreflight = (method: string | undefined, asked: unknown) => method === 'OPTIONS' && typeof asked === 'string'

export function testAdapter(adapter: Adapter): void {
  describe(`adapter: ${adapter.name}`, () => {
    let started: ReturnType<typeof startGuard>
    let checker: Checker
    let handler: Site['handler']
    let served: Served
    let caller: Caller
    let verdicts: Verdict[]

    beforeEach(async () => {
      verdicts = []
      started = startGuard({ authorizationUri: 'https://id.example/authorize', trustedProxies: ['10.0.0.0/8'] })
      checker = { check: (request) => started.guard.check(request) }
      handler = (auth) => JSON.stringify({ sub: auth?.claims.sub })
      const watched: Checker = { check: (request) => noted(checker.check(request)) }
      served = await adapter.serve({
        ...{ guard: watched, writers: started.guard.require({ scope: 'Files.Write' }), described: startGuard({ resource: RESOURCE }).guard },
        handler: (auth) => handler(auth),
      })
      caller = createCaller(served.origin, adapter.version)
    })
    afterEach(async () => {
      caller.close()
      await served.close()
    })

    const noted = (verdict: Verdict | Promise<Verdict>): Verdict | Promise<Verdict> => {
      if (verdict instanceof Promise) return verdict.then((settled) => noted(settled) as Verdict)
      verdicts.push(verdict)
      return verdict
    }
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
    const call = (path: string, headers: OutgoingHttpHeaders = {}, method = 'GET', signal?: AbortSignal) =>
      caller.call({ path, headers, method, signal })
    const nobodyLive = () => expect.poll(() => started.guard.status().live).toBe(0)

    it('lets an allowed request through, with the verdict on it', async () => {
      expect(await call('/files', bearer(mint()))).toMatchObject({ status: 200, text: '{"sub":"alice"}' })
      expect(await call('/files', bearer(mint({ sub: 'bob' })))).toMatchObject({ status: 200, text: '{"sub":"bob"}' })
    })

    it('leaves alone what is not behind it', async () => {
      expect(await call('/open')).toMatchObject({ status: 200, text: '{}' })
      expect(verdicts).toEqual([])
    })

    it.each([
      ['no token', {}, 401, 'token_missing'],
      ['another scheme', { authorization: 'Basic YTpi' }, 401, 'token_missing'],
      ['no JWT', bearer('x'), 401, 'token_malformed'],
      ['another audience', bearer(mint({ aud: 'other' })), 401, 'token_audience'],
      ['an expired one', bearer(mint({ exp: START - 600 })), 401, 'token_expired'],
      ['an unknown key', bearer(mint({}, { kid: 'k9' })), 401, 'token_key'],
      ['a revoked one', bearer(mint({ sub: 'carol', oid: 'carol' })), 401, 'revoked'],
      ['a revoked one of a client that can be challenged', bearer(mint({ sub: 'carol', oid: 'carol', xms_cc: ['cp1'] })), 401, 'revoked'],
    ])('answers %s as the guard says, and never calls the handler', async (_, headers, status, code) => {
      started.sink.merge([cutoff('user', 'carol', START)])
      handler = () => {
        throw new Error('called')
      }
      for (const method of ['GET', 'POST', 'OPTIONS', 'HEAD']) {
        const answer = await call('/files', headers, method)
        const denied = verdicts.pop() as Denied
        expect(answer.status).toBe(status)
        expect(denied.code).toBe(code)
        for (const [name, value] of Object.entries(denied.headers)) expect(answer.headers[name.toLowerCase()]).toBe(value)
        expect(answer.headers['content-type']).toContain('application/json')
        expect(answer.headers['retry-after']).toBeUndefined()
        if (method === 'HEAD') expect(answer.text).toBe('')
        else expect(JSON.parse(answer.text)).toEqual(denied.body)
      }
    })

    it('refuses a token in the URL, and all that comes before it is ready or after its end', async () => {
      expect(await call(`/files?access_token=${mint()}`, bearer(mint()))).toMatchObject({ status: 400 })
      await started.guard.close()
      expect(await call('/files', bearer(mint()))).toMatchObject({ status: 503 })
    })

    // The client of HTTP/2 refuses to send two.
    it.skipIf(adapter.version === 2)('sees a second Authorization line', async () => {
      const { status } = await call('/files', { authorization: [`Bearer ${mint()}`, 'Bearer x'] as never })
      expect([400, 401]).toContain(status)
    })

    it('a page of another origin can read the challenge, beside what else it may read', async () => {
      started.sink.merge([cutoff('user', 'alice', START)])
      const { status, headers } = await call('/files', bearer(mint({ xms_cc: ['cp1'] })))
      expect(status).toBe(401)
      expect(readClaimsChallenge(headers['www-authenticate'] ?? null)).toMatchObject({
        nbf: START + 1,
        authorizationUri: 'https://id.example/authorize',
      })
      expect(headers['access-control-allow-origin']).toBe('*')
      expect(headers['access-control-expose-headers']?.split(/, */)).toEqual(['X-Trace', 'WWW-Authenticate'])
      expect((await call('/files', bearer(mint({ sub: 'bob', oid: 'bob' })))).headers['access-control-expose-headers']).toBe('X-Trace')
    })

    it('and the nonce of the next proof', async () => {
      started = startGuard({ origin: 'https://api.test', nonceSecret: 'a secret that all replicas have in common' })
      const { token, proof } = boundToken('GET', 'https://api.test/files')
      const { status, text, headers } = await call('/files', { authorization: `DPoP ${token}`, dpop: proof })
      expect([status, JSON.parse(text).code]).toEqual([401, 'use_dpop_nonce'])
      expect(headers['dpop-nonce']).toMatch(/^[\w-]{43}$/)
      expect(headers['access-control-expose-headers']?.split(/, */)).toEqual(['X-Trace', 'WWW-Authenticate', 'DPoP-Nonce'])
    })

    it('says to everybody what the API is, at the one path of RFC 9728', async () => {
      const path = '/.well-known/oauth-protected-resource/files'
      const answer = await call(`${path}?x=1`)
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, '*'])
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
      expect(JSON.parse(answer.text)).toMatchObject({ resource: RESOURCE, authorization_servers: [ISSUER] })
      expect(await call(path, {}, 'HEAD')).toMatchObject({ status: 200, text: '' })
      expect(verdicts).toEqual([])
      expect((await call('/files', {}, 'GET')).status).toBe(401)
      for (const [other, method] of [
        [path, 'POST'],
        [`${path}/x`, 'GET'],
        ['/.well-known/oauth-protected-resource', 'GET'],
      ] as const)
        expect((await call(other, {}, method)).text).not.toContain(RESOURCE)
    })

    it('a preflight is answered by what stands in front; every other OPTIONS is guarded like any method', async () => {
      expect(await call('/files', { origin: 'https://app.example', 'access-control-request-method': 'GET' }, 'OPTIONS')).toMatchObject({
        status: 204,
      })
      expect(verdicts).toEqual([])
      expect(await call('/files', {}, 'OPTIONS')).toMatchObject({ status: 401 })
      handler = (auth) => String(auth?.signal.aborted)
      expect(await call('/files', bearer(mint()), 'HEAD')).toMatchObject({ status: 200, text: '' })
      await nobodyLive()
    })

    it('takes derived guards, which may ask for more', async () => {
      const denied = await call('/write', bearer(mint({ scp: 'Files.Read' })))
      expect([denied.status, JSON.parse(denied.text).code]).toEqual([403, 'insufficient_scope'])
      expect(denied.headers['www-authenticate']).toContain('scope="Files.Write"')
      expect(await call('/write', bearer(mint({ scp: 'Files.Write' })))).toMatchObject({ status: 200, text: '{"sub":"alice"}' })
      expect(await call('/write')).toMatchObject({ status: 401 })
    })

    it('D6: hands on who the connection comes from, and believes no header of it', async () => {
      const rules = (range: string) => [
        { version: 1, since: 0 },
        { policies: [{ id: 'office-only', include: 'All', exclude: ['office'] }] },
        { location: { id: 'office', kind: 'ip', trusted: true } },
        { ranges: [range] },
      ]
      const from = (forwarded: string) => call('/files', { ...bearer(mint({ capolids_latebind: ['office-only'] })), 'x-forwarded-for': forwarded })
      started.sink.rules(rules('127.0.0.1'))
      expect((await from('203.0.113.9')).status).toBe(200)
      started.sink.rules(rules('203.0.113.9'))
      const denied = await from('203.0.113.9')
      expect([denied.status, JSON.parse(denied.text).code]).toEqual([401, 'location'])
      // The same header, from a proxy of ours.
      started = startGuard({ trustedProxies: ['127.0.0.1'] })
      started.sink.rules(rules('203.0.113.9'))
      expect((await from('203.0.113.9')).status).toBe(200)
      expect((await from('198.51.100.1, 203.0.113.9')).status).toBe(200)
      expect((await from('203.0.113.9, 198.51.100.1')).status).toBe(401)
    })

    it('waits where a key must be fetched first', async () => {
      started = startGuard({ keys: lateKeys() })
      expect(await call('/files', bearer(mint({}, { kid: 'k2' }, otherEc.privateKey)))).toMatchObject({ status: 200, text: '{"sub":"alice"}' })
      expect(await call('/files', bearer(mint({}, { kid: 'k3' }, otherEc.privateKey)))).toMatchObject({ status: 401 })
    })

    it('a guard that fails lets nobody through', async () => {
      checker = { check: () => Promise.reject(new Error('no such luck')) }
      expect(await call('/files', bearer(mint()))).toMatchObject({ status: 500, text: 'no such luck' })
    })

    it('what the handler throws goes to the error handler, and the verdict is let go', async () => {
      handler = (auth) => {
        expect(auth?.signal.aborted).toBe(false)
        throw new Error('mine')
      }
      expect(await call('/files', bearer(mint()))).toMatchObject({ status: 500, text: 'mine' })
      handler = async (auth) => {
        expect(auth?.signal.aborted).toBe(false)
        throw new Error('mine, later')
      }
      expect(await call('/files', bearer(mint()))).toMatchObject({ status: 500, text: 'mine, later' })
      await nobodyLive()
    })

    it('E3: a stream ends when its token does; the one beside it goes on', async () => {
      handler = (auth) => streamUntilAbort((auth as Allowed).signal)
      const ended = call('/files', bearer(mint()))
      const bob = new AbortController()
      const bystander = call('/files', bearer(mint({ sub: 'bob', oid: 'bob', sid: 's-2' })), 'GET', bob.signal)
      await expect.poll(() => started.guard.status().live).toBe(2)
      started.sink.merge([cutoff('user', 'alice', START)])
      expect(await ended).toMatchObject({ status: 200, text: 'begun ended' })
      expect(started.guard.status().live).toBe(1)
      bob.abort()
      await bystander
      await nobodyLive()
    })

    it('E3: an answer that breaks off is not watched any more', async () => {
      handler = (auth) => {
        expect(auth?.signal.aborted).toBe(false)
        return new ReadableStream({ pull: (controller) => controller.error(new Error('broken')) })
      }
      await call('/files', bearer(mint())).catch(() => {})
      expect(verdicts.map(({ allowed }) => allowed)).toEqual([true])
      await nobodyLive()
    })

    it('E3: who leaves is not watched any more, whether the answer has begun or not', async () => {
      const asked = Promise.withResolvers<Allowed>()
      handler = (auth) => {
        expect(auth?.signal.aborted).toBe(false)
        asked.resolve(auth as Allowed)
        return new Promise<never>(() => {})
      }
      const leaving = new AbortController()
      const gone = call('/files', bearer(mint()), 'GET', leaving.signal)
      await asked.promise
      expect(started.guard.status().live).toBe(1)
      leaving.abort()
      await gone
      await nobodyLive()
    })

    it('E3: who has left while a key was fetched is not watched at all', async () => {
      const fetching = Promise.withResolvers<void>()
      const fetched = Promise.withResolvers<void>()
      const learned = lateKeys(async () => {
        fetching.resolve()
        await fetched.promise
      })
      started = startGuard({ keys: learned })
      const asked = Promise.withResolvers<Allowed>()
      handler = (auth) => {
        asked.resolve(auth as Allowed)
        return 'nobody hears this'
      }
      const leaving = new AbortController()
      const gone = call('/files', bearer(mint({}, { kid: 'k2' }, otherEc.privateKey)), 'GET', leaving.signal)
      await fetching.promise
      leaving.abort()
      await gone
      await expect.poll(() => served.open).toBe(0)
      fetched.resolve()
      await expect.poll(() => verdicts.length).toBe(1)
      // Some frameworks do not ask the handler any more.
      const auth = await Promise.race([asked.promise, new Promise<undefined>((resolve) => setTimeout(resolve, 20))])
      if (auth) expect(auth.signal.reason).toMatchObject({ code: 'released' })
      expect(started.guard.status().live).toBe(0)
    })

    it('E3: many requests over one connection leave nothing behind', async () => {
      handler = (auth) => String(auth?.signal.aborted)
      const token = bearer(mint())
      for (let i = 0; i < 50; i++) expect((await call('/files', token)).text).toBe('false')
      expect(served.connections).toBe(1)
      await nobodyLive()
    })
  })
}

/** A key that is not there before `wait` has ended. */
function lateKeys(wait = () => new Promise<void>((resolve) => setImmediate(resolve))): KeySource {
  const { keys } = startGuard()
  return {
    ...keys,
    async learn() {
      await wait()
      keys.replace(ISSUER, { keys: [jwkOf(otherEc, 'k2')] })
    },
  }
}

/** A token that is bound to a key, and a proof by that key for one request. */
function boundToken(htm: string, htu: string): { token: string; proof: string } {
  const { crv, kty, x, y } = otherEc.publicKey.export({ format: 'jwk' })
  const jkt = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
  const token = mint({ cnf: { jkt } })
  const ath = createHash('sha256').update(token).digest('base64url')
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }
  return { token, proof: signJws(header, { htm, htu, ath, iat: START, jti: 'p-1' }, otherEc.privateKey) }
}

function streamUntilAbort(signal: AbortSignal): ReadableStream<Uint8Array> {
  const text = (some: string) => new TextEncoder().encode(some)
  return new ReadableStream({
    start(controller) {
      controller.enqueue(text('begun'))
      signal.addEventListener('abort', () => {
        controller.enqueue(text(' ended'))
        controller.close()
      })
    },
  })
}
