import { afterEach, describe, expect, it } from 'vitest'
import { createDiscovery } from '../src/discovery.ts'
import { createGuard } from '../src/guard.ts'
import { createJwksKeys } from '../src/jwks.ts'
import type { KeySource } from '../src/keys.ts'
import { silent } from '../src/log.ts'
import { AUDIENCE, ec, head, ISSUER, jwkOf, mint, otherEc, outcome, request, START, startGuard } from './tokens.ts'

/** An issuer behind a fetch that counts, and whose answers the test changes. */
function createIssuer() {
  const state = {
    keys: [jwkOf(ec, 'k1')] as object[],
    metadata: { issuer: ISSUER, jwks_uri: `${ISSUER}/keys`, authorization_endpoint: `${ISSUER}/authorize` } as Record<string, unknown>,
    fetches: 0,
    down: false,
    gate: undefined as Promise<void> | undefined,
  }
  const fetch = (async (url: string, init: RequestInit) => {
    expect(init.redirect).toBe('error')
    expect(init.signal).toBeInstanceOf(AbortSignal)
    if (url.endsWith('/.well-known/openid-configuration')) {
      if (state.down) return new Response('x', { status: 500 })
      return Response.json(state.metadata)
    }
    state.fetches++
    // What is answered is what held when it was asked.
    const { keys, down } = state
    await state.gate
    if (down) throw new TypeError('fetch failed')
    return Response.json({ keys })
  }) as unknown as typeof globalThis.fetch
  return { state, fetch }
}

const opened: KeySource[] = []
afterEach(() => {
  for (const keys of opened.splice(0)) keys.close()
})

function open(fetch: typeof globalThis.fetch, refreshEvery?: number) {
  const clock = { seconds: 0 }
  const discovery = createDiscovery({ issuer: ISSUER, fetch })
  const more = refreshEvery === undefined ? {} : { refreshEvery }
  const keys = createJwksKeys({ issuer: ISSUER, discovery, fetch, monotonic: () => clock.seconds * 1000, log: silent, ...more })
  opened.push(keys)
  return { keys, clock }
}

describe('keys of the issuer, over HTTP', () => {
  it('discovers, loads, and gives challenges their authorization endpoint', async () => {
    const { fetch } = createIssuer()
    const { keys } = open(fetch)
    await keys.ready()
    expect(keys.find(ISSUER, 'k1')).toHaveLength(1)
    expect(keys.find('https://other.example', 'k1')).toHaveLength(0)
    expect(keys.authorizationUri).toBe(`${ISSUER}/authorize`)
    expect(keys.learn('https://other.example')).toBeUndefined()
  })

  it('a guard asks for an unknown kid once, waits for the answer, and knows it from then on', async () => {
    const { state, fetch } = createIssuer()
    const { keys } = open(fetch)
    await keys.ready()
    const { guard, check } = startGuard({ keys })
    state.keys.push(jwkOf(otherEc, 'k2'))
    const token = mint({}, { kid: 'k2' }, otherEc.privateKey)
    const waiting = [guard.check(request(token)), guard.check(request(token))]
    expect(waiting[0]).toBeInstanceOf(Promise)
    for (const verdict of await Promise.all(waiting)) expect(outcome(verdict)).toBe('allowed')
    expect(state.fetches).toBe(2)
    expect(outcome(check(token))).toBe('allowed')
  })

  it('unknown kids cannot hammer the issuer, and cannot keep a new key out', async () => {
    const { state, fetch } = createIssuer()
    const { keys, clock } = open(fetch)
    await keys.ready()
    const { guard } = startGuard({ keys })
    const attack = async () => {
      for (let i = 0; i < 40; i++) expect(outcome(await guard.check(request(mint({}, { kid: `made-up-${i}` }))))).toBe('token_key')
    }
    await attack()
    expect(state.fetches).toBe(1 + 4)
    // The budget is spent: refused at once, without a fetch.
    expect(guard.check(request(mint({}, { kid: 'k9' })))).not.toBeInstanceOf(Promise)
    state.keys.push(jwkOf(otherEc, 'k2'))
    const token = mint({}, { kid: 'k2' }, otherEc.privateKey)
    expect(outcome(await guard.check(request(token)))).toBe('token_key')
    clock.seconds += 10
    // Whoever's fetch it is, it brings the new key.
    await attack()
    expect(state.fetches).toBe(1 + 4 + 1)
    expect(outcome(await guard.check(request(token)))).toBe('allowed')
    clock.seconds += 3600
    await attack()
    expect(state.fetches).toBe(1 + 4 + 1 + 4)
  })

  it('junk that fails a cheaper check never makes it fetch', async () => {
    const { state, fetch } = createIssuer()
    const { keys } = open(fetch)
    await keys.ready()
    const { guard } = startGuard({ keys })
    for (const claims of [{ aud: 'x' }, { iss: 'https://x.example' }, { exp: 1 }]) await guard.check(request(mint(claims, { kid: 'k9' })))
    expect(state.fetches).toBe(1)
  })

  it('E2: changed() takes removed keys away, even when a fetch from before is under way and the next one fails', async () => {
    const { state, fetch } = createIssuer()
    const { keys } = open(fetch)
    await keys.ready()
    const [first] = keys.find(ISSUER, 'k1')
    const gate = Promise.withResolvers<void>()
    state.gate = gate.promise
    const early = keys.learn(ISSUER)
    await new Promise((resolve) => setTimeout(resolve, 10))
    state.keys = [jwkOf(otherEc, 'k2')]
    const changed = keys.changed()
    state.down = true
    gate.resolve()
    await early
    setTimeout(() => {
      state.down = false
    }, 100)
    await changed
    expect(first?.gone).toBe(true)
    expect(keys.find(ISSUER, 'k1')).toHaveLength(0)
    expect(keys.find(ISSUER, 'k2')).toHaveLength(1)
  })

  it('E2: changed() asks past caches that hold what was before, and do not care what a request says of them', async () => {
    const { state, fetch } = createIssuer()
    const cache = new Map<string, Promise<Response>>()
    const cached = (async (url: string, init: RequestInit) => {
      const answer = cache.get(url) ?? fetch(url, init)
      cache.set(url, answer)
      return (await answer).clone()
    }) as typeof globalThis.fetch
    const { keys } = open(cached)
    await keys.ready()
    for (const kid of ['k2', 'k3']) {
      state.keys = [jwkOf(otherEc, kid)]
      await keys.learn(ISSUER)
      expect(keys.find(ISSUER, kid)).toHaveLength(0)
      await keys.changed()
      expect(keys.find(ISSUER, kid)).toHaveLength(1)
    }
    expect(keys.find(ISSUER, 'k1')).toHaveLength(0)
  })

  it('keys that the issuer stops publishing go at the regular refresh', async () => {
    const { state, fetch } = createIssuer()
    const { keys } = open(fetch, 5)
    await keys.ready()
    state.keys = [jwkOf(otherEc, 'k2')]
    for (let i = 0; i < 200 && keys.find(ISSUER, 'k1').length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(keys.find(ISSUER, 'k1')).toHaveLength(0)
  })

  it('keeps what it has when an answer holds no keys or cannot be read', async () => {
    const { state, fetch } = createIssuer()
    const { keys } = open(fetch)
    await keys.ready()
    state.keys = []
    await keys.learn(ISSUER)
    state.keys = Array.from({ length: 20_000 }, (_, i) => jwkOf(ec, `k${i}`))
    await keys.learn(ISSUER)
    expect(keys.find(ISSUER, 'k1')).toHaveLength(1)
    expect(keys.find(ISSUER, 'k7')).toHaveLength(0)
  })

  it('passes over keys that are no use: symmetric, other curves, broken; and never holds a private one', async () => {
    const { state, fetch } = createIssuer()
    const { privateKey } = ec
    state.keys = [
      { kty: 'oct', k: 'c2VjcmV0', kid: 'a' },
      { kty: 'EC', crv: 'P-384', x: 'x', y: 'y', kid: 'b' },
      { kty: 'EC', crv: 'P-256', x: '!', y: 'y', kid: 'c' },
      7 as never,
    ]
    state.keys.push({ ...privateKey.export({ format: 'jwk' }), kid: 'k1' })
    const { keys } = open(fetch)
    await keys.ready()
    for (const kid of ['a', 'b', 'c']) expect(keys.find(ISSUER, kid)).toHaveLength(0)
    expect(keys.find(ISSUER, 'k1')).toHaveLength(1)
  })

  it('ready() outlasts an issuer that is down at first, and ends when closed', async () => {
    const { state, fetch } = createIssuer()
    state.down = true
    const { keys } = open(fetch)
    setTimeout(() => {
      state.down = false
    }, 50)
    await keys.ready()
    expect(keys.find(ISSUER, 'k1')).toHaveLength(1)
    state.down = true
    const other = open(fetch).keys
    const waiting = other.ready()
    setTimeout(() => other.close(), 20)
    await expect(waiting).rejects.toMatchObject({ code: 'guard_closed' })
  })

  it('refuses metadata of another issuer, and plain http', async () => {
    const { state, fetch } = createIssuer()
    const read = () => createDiscovery({ issuer: ISSUER, fetch }).read()
    state.metadata = { ...state.metadata, issuer: 'https://evil.example' }
    await expect(read()).rejects.toMatchObject({ code: 'discovery_failed' })
    state.metadata = { issuer: ISSUER, jwks_uri: 'http://id.example/keys' }
    await expect(read()).rejects.toMatchObject({ code: 'discovery_failed' })
  })

  it('a guard is ready when keys and revocations both are', async () => {
    const { state, fetch } = createIssuer()
    state.down = true
    const { keys } = open(fetch)
    const { guard, sink } = startGuard({ keys, hydrate: false })
    let ready = false
    const waiting = guard.ready().then(() => {
      ready = true
    })
    sink.synced(head(0, 1))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(ready).toBe(false)
    state.down = false
    await waiting
  })
})

it('I7: a guard to which no key has come yet does not know whose token is good, and says that; later it refuses those of unknown keys', async () => {
  const { state, fetch } = createIssuer()
  state.down = true
  const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, events: 'none', fetch, now: () => START * 1000 })
  const check = async (token: string) => guard.check(request(token))
  expect(guard.status().hydrated).toBe(true)
  expect(await check(mint())).toMatchObject({ allowed: false, status: 503, code: 'not_ready' })
  state.down = false
  await guard.ready()
  expect(await check(mint())).toMatchObject({ allowed: true })
  expect(await check(mint({ jti: 'j-2' }, { kid: 'unknown' }))).toMatchObject({ allowed: false, status: 401, code: 'token_key' })
  await guard.close()
})
