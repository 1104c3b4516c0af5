import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { ClaimsChallengeError, withClaimsChallenge } from '../src/index.ts'
import { challenge, guarded, NBF, startApi } from './api.ts'
import { CLAIMS, setup } from './fake-token.ts'

describe('a challenge is answered once', () => {
  it('I6: asks for a token with the decoded claims and sends the request again', async () => {
    await using server = await startApi(guarded)
    const { api, token } = setup([server.origin])
    const response = await api(`${server.origin}/files?x=1`)
    expect(response.status).toBe(200)
    expect(token.mock.calls.map(([{ claims }]) => claims)).toEqual([undefined, CLAIMS])
    expect(server.seen.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/files?x=1', 'Bearer dead'],
      ['/files?x=1', 'Bearer good'],
    ])
  })

  it('I6: returns the second answer as it is, a second challenge too', async () => {
    await using server = await startApi((_, response, count) => challenge(response, NBF + count))
    const { api, token } = setup([server.origin])
    const response = await api(server.origin)
    expect(response.status).toBe(401)
    expect(await response.text()).toBe('no')
    expect(response.headers.get('www-authenticate')).toContain('insufficient_claims')
    expect(server.seen).toHaveLength(2)
    expect(token).toHaveBeenCalledTimes(2)
  })

  it('I6: the same claims again end in an error that says so, not in a loop', async () => {
    await using server = await startApi((_, response) => challenge(response))
    const { api, token } = setup([server.origin])
    const error = await api(server.origin).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ClaimsChallengeError)
    expect(error).toMatchObject({ name: 'ClaimsChallengeError', code: 'challenge_loop', claims: CLAIMS })
    expect((error as Error).message).not.toMatch(/good|dead/)
    expect(server.seen).toHaveLength(2)
    expect(token).toHaveBeenCalledTimes(2)
  })

  it('a token that was refused is not sent again: a cache that claims do not get past ends in the same error', async () => {
    await using server = await startApi(guarded)
    const { api } = setup([server.origin], { token: () => 'dead' })
    await expect(api(server.origin)).rejects.toMatchObject({ code: 'challenge_loop', claims: CLAIMS })
    expect(server.seen).toHaveLength(1)
  })

  it.each([undefined, null, '', 7])('a token function that answers %j is told so; nothing is sent', async (nothing) => {
    await using server = await startApi(guarded)
    await expect(setup([server.origin], { token: () => nothing as never }).api(server.origin)).rejects.toMatchObject({ code: 'no_access_token' })
    expect(server.seen).toHaveLength(0)
    const { api } = setup([server.origin], { token: ({ claims }) => (claims ? (nothing as never) : 'dead') })
    await expect(api(server.origin)).rejects.toMatchObject({ code: 'no_access_token' })
    expect(server.seen).toHaveLength(1)
  })

  it.each([
    ['a 401 without a challenge', 401, 'Bearer realm="", error="invalid_token"'],
    ['a 401 whose challenge is malformed', 401, 'Bearer error="insufficient_claims", claims="%%%"'],
    ['a 401 whose claims are no claims request', 401, `Bearer claims="${btoa('[1]')}"`],
    ['a 403 with claims', 403, `Bearer claims="${btoa(CLAIMS)}"`],
    ['a 503 with claims', 503, `Bearer claims="${btoa(CLAIMS)}"`],
  ])('%s is returned as it is', async (_, status, header) => {
    await using server = await startApi((_seen, response) => response.writeHead(status, { 'WWW-Authenticate': header }).end('why'))
    const { api, token } = setup([server.origin])
    const response = await api(server.origin)
    expect([response.status, await response.text()]).toEqual([status, 'why'])
    expect(token).toHaveBeenCalledTimes(1)
    expect(server.seen).toHaveLength(1)
  })

  it('what token() throws comes out untouched', async () => {
    await using server = await startApi(guarded)
    const refused = Object.assign(new Error('sign in'), { name: 'InteractionRequiredAuthError', claims: '{}' })
    const { api } = setup([server.origin], {
      token: ({ claims }) => {
        if (claims) throw refused
        return 'dead'
      },
    })
    await expect(api(server.origin)).rejects.toBe(refused)
    await expect(setup([server.origin], { token: () => Promise.reject(refused) }).api(server.origin)).rejects.toBe(refused)
    expect(server.seen).toHaveLength(1)
  })
})

describe('A6: the client waits for the second that the challenge names', () => {
  it.each([
    ['not when it has come', NBF, undefined],
    ['as long as it is ahead', NBF - 0.75, 750],
    ['at most 2 s: more is a clock fault', NBF - 3600, 2000],
  ])('%s', async (_, clock, waited) => {
    await using server = await startApi(guarded)
    const order: string[] = []
    const wait = vi.fn(async () => void order.push('wait'))
    const { api } = setup([server.origin], {
      now: () => clock * 1000,
      wait,
      token: ({ claims }) => {
        order.push(claims ? 'claims' : 'cache')
        return claims ? 'good' : 'dead'
      },
    })
    expect((await api(server.origin)).status).toBe(200)
    if (waited === undefined) expect(wait).not.toHaveBeenCalled()
    else expect(wait).toHaveBeenCalledWith(waited, expect.any(AbortSignal))
    expect(order).toEqual(waited === undefined ? ['cache', 'claims'] : ['cache', 'wait', 'claims'])
  })

  it('gives up waiting when the caller does', async () => {
    await using server = await startApi(guarded)
    const stop = new AbortController()
    const { api, token } = setup([server.origin], { now: () => 0, log: { info: () => setTimeout(() => stop.abort(new Error('enough'))) } })
    await expect(api(server.origin, { signal: stop.signal })).rejects.toThrow('enough')
    expect(token).toHaveBeenCalledTimes(1)
  })
})

describe('E6: tokens go to the named origins only', () => {
  it('another origin is fetched without a token, and its challenge is not answered', async () => {
    await using server = await startApi(guarded)
    await using stranger = await startApi((_, response) => challenge(response))
    const { api, token } = setup([server.origin])
    const response = await api(`${stranger.origin}/x`)
    expect(response.status).toBe(401)
    expect(stranger.seen.map(({ authorization }) => authorization)).toEqual([undefined])
    expect(token).not.toHaveBeenCalled()
  })

  it('another origin gets body and stream as they were given', async () => {
    await using stranger = await startApi((seen, response) => response.end(seen.body))
    const { api } = setup(['https://api.example'])
    const body = new Blob(['flow']).stream()
    expect(await (await api(stranger.origin, { method: 'POST', body, duplex: 'half' } as RequestInit)).text()).toBe('flow')
    expect(await (await api(new Request(stranger.origin, { method: 'POST', body: 'text' }))).text()).toBe('text')
  })

  it.each([301, 302, 303, 307, 308])('a %i to another origin does not carry the token, and what answers there is not obeyed', async (status) => {
    await using stranger = await startApi((_, response) => challenge(response))
    await using server = await startApi((_, response) => response.writeHead(status, { Location: `${stranger.origin}/take` }).end())
    const { api, token } = setup([server.origin])
    const response = await api(server.origin)
    expect(response.status).toBe(401)
    expect(server.seen[0]?.authorization).toBe('Bearer dead')
    expect(stranger.seen).toEqual([expect.objectContaining({ path: '/take', authorization: undefined })])
    expect(token).toHaveBeenCalledTimes(1)
  })

  it('a redirect that waits for the second token gets it as little as the first', async () => {
    await using stranger = await startApi((_, response) => challenge(response))
    await using server = await startApi((seen, response) =>
      seen.authorization === 'Bearer good' ? response.writeHead(307, { Location: `${stranger.origin}/take` }).end() : challenge(response),
    )
    const { api } = setup([server.origin])
    expect((await api(server.origin)).status).toBe(401)
    expect(server.seen.map(({ authorization }) => authorization)).toEqual(['Bearer dead', 'Bearer good'])
    expect(stranger.seen).toEqual([expect.objectContaining({ path: '/take', authorization: undefined })])
  })

  it('whatever way a URL is written, only one of the named origin gets a token', async () => {
    const asked: string[] = []
    const sent = (async (input: RequestInfo | URL, init?: RequestInit) => {
      const url = new URL(input instanceof Request ? input.url : String(input))
      const bearer = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined)).has('authorization')
      if (bearer) asked.push(url.origin)
      // A blob's URL borrows the name of an origin.
      expect(bearer).toBe(url.protocol === 'https:' && url.origin === 'https://api.example')
      return new Response()
    }) as typeof fetch
    const api = withClaimsChallenge(sent, { origins: ['https://api.example'], token: () => 'secret' })
    const scheme = fc.constantFrom('https:', 'HTTPS:', 'http:', 'ws:', 'ftp:', 'blob:https:')
    const slashes = fc.constantFrom('//', '/\\', '\\\\', '/', '///')
    const user = fc.constantFrom('', 'api.example@', 'a:b@', 'api.example%2f@')
    const host = fc.constantFrom(
      'api.example',
      'API.Example',
      'api.example.',
      'api.example.evil.test',
      'evil.test',
      'xn--api.example',
      'api.exam\tple',
      'api%2eexample',
      '10.0.0.1',
    )
    const port = fc.constantFrom('', ':', ':443', ':0443', ':80', ':8443')
    const rest = fc.constantFrom('', '/', '/x', '/@evil.test', '?@evil.test', '#@evil.test', '\\@evil.test', '@evil.test')
    await fc.assert(
      fc.asyncProperty(scheme, slashes, user, host, port, rest, async (...parts) => {
        // Most of these are no URL, or none that fetch takes: nothing is sent then.
        const url = parts.join('')
        await api(url).catch((error: Error) => {
          if (error.name === 'AssertionError') throw error
        })
      }),
      { numRuns: 1000 },
    )
    expect(asked.length).toBeGreaterThan(20)
  })

  it('the same machine under another name is another origin', async () => {
    await using server = await startApi((seen, response) => {
      if (seen.path === '/') response.writeHead(307, { Location: `http://localhost:${port}/here` }).end()
      else challenge(response)
    })
    const { port } = new URL(server.origin)
    const { api } = setup([server.origin])
    expect((await api(server.origin)).status).toBe(401)
    expect(server.seen.slice(1).every(({ authorization }) => authorization === undefined)).toBe(true)
  })

  it('a redirect within the origin is followed with the token, and its challenge answered', async () => {
    await using server = await startApi((seen, response) => {
      if (seen.path === '/old') response.writeHead(307, { Location: '/new' }).end()
      else guarded(seen, response)
    })
    const { api } = setup([server.origin])
    expect((await api(`${server.origin}/old`)).status).toBe(200)
    expect(server.seen.map(({ path }) => path)).toEqual(['/old', '/new', '/old', '/new'])
  })

  it('an order that was redirected is not placed twice', async () => {
    await using server = await startApi((seen, response) => {
      if (seen.path === '/orders') response.writeHead(303, { Location: '/orders/1' }).end()
      else challenge(response)
    })
    const { api, token } = setup([server.origin])
    expect((await api(`${server.origin}/orders`, { method: 'POST', body: 'one' })).status).toBe(401)
    expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /orders', 'GET /orders/1'])
    expect(token).toHaveBeenCalledTimes(1)
  })

  it('an object that names another URL when asked again gets no token there', async () => {
    await using server = await startApi(guarded)
    await using stranger = await startApi((_, response) => response.end())
    let asked = 0
    const shifty = { toString: () => (asked++ === 0 ? server.origin : stranger.origin) }
    const { api } = setup([server.origin])
    await api(shifty as string)
    expect(server.seen).toHaveLength(2)
    expect(stranger.seen).toHaveLength(0)
  })

  it('blob: URLs borrow the name of an origin, and get nothing', async () => {
    const { api, token } = setup(['https://api.example'], {})
    await expect(api('blob:https://api.example/1')).rejects.toThrow()
    expect(token).not.toHaveBeenCalled()
  })
})

describe('E6: the challenge must point to the configured issuer', () => {
  it.each([
    ['its own origin', 'https://id.example', 'https://id.example/contoso/oauth2/v2.0/authorize', 200],
    ['one of several', ['https://sts.example/', 'https://id.example/contoso/v2.0'], 'https://id.example/authorize', 200],
    ['another host', 'https://id.example', 'https://id.example.evil.test/authorize', 401],
    ['another port', 'https://id.example', 'https://id.example:444/authorize', 401],
    ['plain http', 'https://id.example', 'http://id.example/authorize', 401],
    ['no URL at all', 'https://id.example', '', 401],
  ])('%s', async (_, issuer, uri, status) => {
    await using server = await startApi((seen, response) => (seen.authorization === 'Bearer good' ? response.end() : challenge(response, NBF, uri)))
    const { api } = setup([server.origin], { issuer })
    expect((await api(server.origin)).status).toBe(status)
  })
})

const half = { duplex: 'half' } as RequestInit

describe('a body that flows by only once', () => {
  async function* lines() {
    yield Buffer.from('one ')
    yield Buffer.from('two')
  }

  it.each<[string, () => BodyInit, string]>([
    ['a stream', () => new Blob(['flow']).stream(), 'flow'],
    ['an async iterable', () => lines() as never, 'one two'],
  ])('%s is sent once: the token is fetched, the error says so, and the next try does', async (_, body, want) => {
    await using server = await startApi(guarded)
    let cached = 'dead'
    const { api } = setup([server.origin], {
      token: ({ claims }) => {
        if (claims) cached = 'good'
        return cached
      },
    })
    const upload = () => api(server.origin, { method: 'POST', body: body(), ...half })
    await expect(upload()).rejects.toMatchObject({ name: 'ClaimsChallengeError', code: 'body_spent', claims: CLAIMS })
    expect(server.seen.map(({ body }) => body)).toEqual([want])
    expect(await (await upload()).text()).toBe(want)
    expect(server.seen).toHaveLength(2)
  })
})

describe('bodies are sent twice', () => {
  const form = new FormData()
  form.append('name', 'value')

  it.each<[string, (url: string) => [RequestInfo | URL, RequestInit?], string]>([
    ['text', (url) => [url, { method: 'POST', body: 'text' }], 'text'],
    ['parameters', (url) => [new URL(url), { method: 'POST', body: new URLSearchParams({ a: 'b' }) }], 'a=b'],
    ['a form', (url) => [url, { method: 'POST', body: form }], 'value'],
    ['a blob', (url) => [url, { method: 'POST', body: new Blob(['blob']) }], 'blob'],
    ['bytes', (url) => [url, { method: 'PUT', body: new TextEncoder().encode('bytes') }], 'bytes'],
    ['a request with text', (url) => [new Request(url, { method: 'POST', body: 'text' })], 'text'],
    ['a request with a stream', (url) => [new Request(url, { method: 'POST', body: new Blob(['flow']).stream(), ...half })], 'flow'],
    ['a request, its body replaced', (url) => [new Request(url, { method: 'POST', body: 'old' }), { body: 'new' }], 'new'],
  ])('%s', async (_, make, want) => {
    await using server = await startApi(guarded)
    const { api } = setup([server.origin])
    const response = await api(...make(server.origin))
    expect(response.status).toBe(200)
    expect(await response.text()).toContain(want)
    expect(server.seen).toHaveLength(2)
    expect(server.seen.every(({ body }) => body.includes(want))).toBe(true)
  })

  it('headers of a request and of the call survive, the token is added', async () => {
    await using server = await startApi(guarded)
    const { api, sent } = setup([server.origin])
    await api(new Request(server.origin, { headers: { 'X-One': '1' } }))
    await api(server.origin, { headers: { 'X-Two': '2', authorization: 'Basic forgotten' } })
    const headers = sent.mock.calls.map(([, init]) => Object.fromEntries(init?.headers as Headers))
    expect(headers[1]).toEqual({ authorization: 'Bearer good', 'x-one': '1' })
    expect(headers[3]).toEqual({ authorization: 'Bearer good', 'x-two': '2' })
  })

  it('what is kept for a second sending is let go when there is none', async () => {
    await using server = await startApi((_, response) => response.end())
    const { api } = setup([server.origin])
    const request = new Request(server.origin, { method: 'POST', body: 'text' })
    await api(request)
    expect(request.bodyUsed).toBe(true)
  })

  it('a request that was read already throws, as with fetch', async () => {
    const { api } = setup(['https://api.example'])
    const request = new Request('https://api.example', { method: 'POST', body: 'text' })
    await request.text()
    await expect(api(request)).rejects.toThrow(TypeError)
  })
})

describe('construction', () => {
  const token = () => 'x'

  it.each([
    'https://api.example',
    'https://api.example/',
    'https://api.example:8444',
    'http://localhost:8080',
    'http://127.0.0.1',
    'http://[::1]:3000',
  ])('takes %s', (origin) => {
    expect(() => withClaimsChallenge(fetch, { origins: [origin], token })).not.toThrow()
  })

  it.each([
    'http://api.example',
    'http://localhost.evil.test',
    'http://127.0.0.1.evil.test',
    'https://api.example/v1',
    'https://api.example?x',
    'https://u@api.example',
    'api.example',
    '*',
    '',
    'null',
    'ftp://localhost',
    'blob:https://api.example/1',
  ])('refuses %j', (origin) => {
    expect(() => withClaimsChallenge(fetch, { origins: [origin], token })).toThrow(TypeError)
  })

  it('refuses an empty list, a missing token function, a missing fetch, an issuer that is no URL', () => {
    expect(() => withClaimsChallenge(fetch, { origins: [], token })).toThrow(TypeError)
    expect(() => withClaimsChallenge(fetch, { origins: 'https://api.example' as never, token })).toThrow(TypeError)
    expect(() => withClaimsChallenge(fetch, { origins: ['https://api.example'] } as never)).toThrow(TypeError)
    expect(() => withClaimsChallenge(undefined as never, { origins: ['https://api.example'], token })).toThrow(TypeError)
    expect(() => withClaimsChallenge(fetch, { origins: ['https://api.example'], token, issuer: 'contoso' })).toThrow(TypeError)
  })
})

it('I8: no token and no claims in any log line', async () => {
  await using server = await startApi(guarded)
  const lines: string[] = []
  const write = (message: string, fields?: object) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const { api } = setup([server.origin], { log: { debug: write, info: write, warn: write, error: write } })
  await api(server.origin)
  expect(lines.length).toBeGreaterThan(0)
  expect(lines.join()).not.toMatch(/good|dead|access_token/)
})
