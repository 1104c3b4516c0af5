import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import type { GuardRequest } from '../src/credentials.ts'
import { createGateway, type GatewayOptions, IDENTITY_HEADERS } from '../src/gateway/index.ts'
import { readPath } from '../src/gateway/path.ts'
import { compileRoutes, parseRoute, type RouteMap } from '../src/gateway/routes.ts'
import { ec, head, mint, otherEc, START, signJws, startGuard } from './tokens.ts'

const cases = JSON.parse(readFileSync(new URL('vectors/forward-auth.json', import.meta.url), 'utf8')) as {
  description: string
  in: { method: string; path: string; headers: Record<string, string> }
  want: { method: string; url: string; address: string }
}[]

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

const TRUSTED = ['127.0.0.1', '::1']

async function start(options: Partial<GatewayOptions> = {}, ofGuard: Parameters<typeof startGuard>[0] = {}) {
  const { guard, clocks, sink } = startGuard({ trustedProxies: TRUSTED, ...ofGuard })
  const asked: GuardRequest[] = []
  const spy: GatewayOptions['guard'] = {
    status: guard.status,
    require: (requirement) => guard.require(requirement),
    check: (request) => {
      asked.push(request)
      return guard.check(request)
    },
  }
  const assertion = { issuer: 'http://127.0.0.1:9000', audience: 'files' }
  const gateway = createGateway({ guard: spy, trustedProxies: TRUSTED, assertion, now: clocks.now, ...options })
  const server = createServer(gateway.handle).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = (path: string, headers: Record<string, string | string[]> = {}, method = 'GET') =>
    new Promise<{ status: number; headers: IncomingHttpHeaders; body: Record<string, unknown> }>((resolve, reject) => {
      httpRequest({ host: '127.0.0.1', port, path, headers, method, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }))
      })
        .on('error', reject)
        .end()
    })
  const nginx = (target: string, headers: Record<string, string | string[]> = {}, method = 'GET') =>
    ask('/auth/nginx', { 'x-original-uri': target, 'x-original-method': method, 'x-original-host': 'files.example', ...headers })
  const caddy = (target: string, headers: Record<string, string | string[]> = {}, method = 'GET') =>
    ask('/auth/caddy', { 'x-forwarded-uri': target, 'x-forwarded-method': method, 'x-forwarded-host': 'files.example', ...headers })
  return { ask, nginx, caddy, asked, clocks, sink }
}

const bearer = (token = mint()) => ({ authorization: `Bearer ${token}` })

describe('tokens that are bound', () => {
  const { kty, crv, x, y } = otherEc.publicKey.export({ format: 'jwk' })
  const sha = (text: string) => createHash('sha256').update(text).digest('base64url')
  const token = mint({ cnf: { jkt: sha(JSON.stringify({ crv, kty, x, y })) } })
  const proof = (claims: Record<string, unknown> = {}) =>
    signJws(
      { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } },
      { jti: randomUUID(), htm: 'DELETE', htu: 'https://files.example/a/b', iat: START, ath: sha(token), ...claims },
      otherEc.privateKey,
    )
  const shown = (dpop?: string) => ({ authorization: `DPoP ${token}`, ...(dpop === undefined ? {} : { dpop }) })

  it.each(['nginx', 'caddy'] as const)('E7: behind %s a proof is for what the proxy was asked, and the token is nobody’s without', async (proxy) => {
    const { [proxy]: through } = await start()
    const ask = (dpop?: string, more: Record<string, string> = {}) => through('/a/b?c=d', { ...shown(dpop), ...more }, 'DELETE')
    expect((await ask(proof())).status).toBe(200)
    for (const wrong of [
      undefined,
      proof({ htm: 'GET' }),
      proof({ htu: 'https://files.example/a' }),
      proof({ htu: 'https://files.example/auth/nginx' }),
      proof({ htu: 'https://else.example/a/b' }),
      proof({ htu: 'http://files.example/a/b' }),
    ]) {
      const refused = await ask(wrong)
      expect([refused.status, refused.body.code, refused.headers['www-authenticate']]).toEqual([
        401,
        'invalid_dpop_proof',
        expect.stringMatching(/^DPoP /),
      ])
    }
    expect((await ask(proof({ htu: 'http://files.example/a/b' }), { 'x-forwarded-proto': 'http' })).status).toBe(200)
    const bearer = await ask(proof(), { authorization: `Bearer ${token}` })
    expect([bearer.status, bearer.body.code]).toEqual([401, 'token_bound'])
  })

  it('the nonce of the next proof comes along, and pages may read it', async () => {
    const { caddy } = await start({}, { nonceSecret: 'a secret that all gateways have in common' })
    const refused = await caddy('/a/b', shown(proof()), 'DELETE')
    expect([refused.status, refused.body.code]).toEqual([401, 'use_dpop_nonce'])
    expect(refused.headers['access-control-expose-headers']).toBe('WWW-Authenticate, DPoP-Nonce')
    expect((await caddy('/a/b', shown(proof({ nonce: refused.headers['dpop-nonce'] })), 'DELETE')).status).toBe(200)
  })

  it('the certificate of the proxy’s connection is not the client’s', async () => {
    const { nginx } = await start()
    const refused = await nginx('/a/b', bearer(mint({ cnf: { 'x5t#S256': sha('a certificate') } })))
    expect([refused.status, refused.body.code]).toEqual([401, 'token_bound'])
  })
})

describe('what proxies ask', () => {
  it.each(cases)('$description', async ({ in: { method, path, headers }, want }) => {
    const { ask, asked } = await start({ routes: { '/ping': { public: true } } })
    expect((await ask(path, { ...headers, ...bearer() }, method)).status).toBe(200)
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({ method: want.method, url: want.url, socket: { remoteAddress: '127.0.0.1' } })
    expect(String((asked[0] as { headers: Record<string, string> }).headers['x-forwarded-for'])).toMatch(new RegExp(`${want.address}$`))
    expect((await ask(path, headers, method)).status).toBe(401)
    // What a proxy must say is what makes it the question.
    for (const name of Object.keys(headers).filter((one) => /^x-(original|forwarded)-(uri|method|host)$/.test(one) && want.url !== one)) {
      const family = path.includes('traefik') || path.includes('caddy') ? 'x-forwarded' : path.includes('envoy') ? 'none' : 'x-original'
      if (!name.startsWith(family)) continue
      const { [name]: _, ...rest } = headers
      expect([400, 403]).toContain((await ask(path, { ...rest, ...bearer() }, method)).status)
      const twice = { ...rest, ...bearer(), [name]: [headers[name] as string, '/ping'] }
      expect([400, 403]).toContain((await ask(path, twice, method)).status)
    }
  })

  it('a caller is known by a proxy that was named, and nobody else may ask', async () => {
    const { nginx, asked } = await start()
    await nginx('/files', bearer())
    expect(asked[0]?.socket).toBeUndefined()
    const others = await start({ trustedProxies: ['10.0.0.0/8'] })
    expect((await others.nginx('/files', bearer())).body).toMatchObject({ code: 'not_a_proxy' })
    expect(others.asked).toEqual([])
    const none = await start({ trustedProxies: [] })
    expect((await none.nginx('/files', { ...bearer(), 'x-forwarded-for': '203.0.113.9' })).status).toBe(200)
    expect(none.asked[0]?.socket).toBeUndefined()
  })

  it('a token in the original query is refused', async () => {
    const { caddy } = await start()
    expect((await caddy(`/files?access_token=${mint()}`, bearer())).status).toBe(400)
  })

  it('nothing else is answered, and no answer may be kept', async () => {
    const { ask, nginx } = await start()
    for (const path of ['/', '/auth/', '/auth/envoy', '/auth/toString', '/auth/nginx/x', '/authnginx', '/readyz/'])
      expect((await ask(path)).status).toBe(404)
    for (const got of [await nginx('/a'), await nginx('/a', bearer()), await nginx('/a/../b'), await ask('/readyz'), await ask('/')]) {
      expect(got.headers['cache-control']).toBe('no-store')
    }
  })
})

describe('the answers', () => {
  it('E4: every identity header is there, always', async () => {
    const { caddy } = await start({ routes: { '/ping': { public: true } } })
    const names = (headers: IncomingHttpHeaders) => Object.keys(headers).filter((name) => name.startsWith('caegis-'))
    const open = await caddy('/ping', bearer())
    expect(names(open.headers).sort()).toEqual([...IDENTITY_HEADERS].sort())
    for (const name of IDENTITY_HEADERS) expect(open.headers[name]).toBe('')
    expect(names((await caddy('/files', bearer())).headers).sort()).toEqual([...IDENTITY_HEADERS].sort())
  })

  it('carry text of any kind as one line of ASCII', async () => {
    const { caddy } = await start()
    const name = 'Zoë, "O;Neil" 100%\r\nx: y 猫\ud800'
    const { headers } = await caddy('/files', bearer(mint({ name, roles: ['a b', 'c'], scp: 'Files.Read Files.Write', acrs: ['c1'] })))
    const elsewhere = await caddy('/files', bearer(mint({ scope: 'A B', scp: ['B', 'C D'], client_id: undefined, cid: 'okta' })))
    expect(elsewhere.headers).toMatchObject({ 'caegis-scopes': 'B C%20D A', 'caegis-app': 'okta' })
    expect(headers['caegis-name']).toMatch(/^[\x21-\x7e]+$/)
    expect(decodeURIComponent(String(headers['caegis-name']))).toBe(name.toWellFormed())
    expect(headers).toMatchObject({
      'caegis-roles': 'a%20b c',
      'caegis-scopes': 'Files.Read Files.Write',
      'caegis-acrs': 'c1',
      'caegis-user': 'alice',
    })
  })

  it('the assertion lives a minute, is for the application alone, and is made anew in time', async () => {
    const { caddy, ask, clocks } = await start()
    const token = mint()
    const first = String((await caddy('/files', bearer(token))).headers['caegis-assertion'])
    expect(decodeProtectedHeader(first)).toMatchObject({ alg: 'ES256', typ: 'caegis-assertion+jwt' })
    expect(decodeJwt(first)).toMatchObject({ iss: 'http://127.0.0.1:9000', aud: 'files', sub: 'alice', sid: 's-1', iat: START, exp: START + 60 })
    expect(decodeJwt(first)).not.toHaveProperty('jti')
    expect((await ask('/.well-known/jwks.json')).body).toMatchObject({ keys: [{ kid: decodeProtectedHeader(first).kid }] })
    clocks.pass(29)
    expect((await caddy('/files', bearer(token))).headers['caegis-assertion']).toBe(first)
    clocks.pass(1)
    expect(decodeJwt(String((await caddy('/files', bearer(token))).headers['caegis-assertion'])).iat).toBe(START + 30)
    const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
    expect(() => createGateway({ guard: {} as never, assertion: { issuer: 'a', audience: 'b', key } })).toThrow(TypeError)
    const shared = await start({ assertion: { issuer: 'a', audience: 'b', key: ec.privateKey } })
    const { x, y } = ec.publicKey.export({ format: 'jwk' })
    expect((await shared.ask('/.well-known/jwks.json')).body).toMatchObject({ keys: [{ x, y }] })
  })

  it('ask for what a route needs', async () => {
    const routes: RouteMap = { '/s': { scope: 'A B' }, '/r': { roles: ['x', 'y'] }, '/c': { acrs: ['c1'] }, '/m': { maxAge: 300 } }
    const { caddy } = await start({ routes })
    const get = async (path: string, claims: object) => {
      const { status, headers } = await caddy(path, bearer(mint({ ...claims })))
      return [status, headers['www-authenticate']] as const
    }
    expect((await get('/s', { scp: 'B A C' }))[0]).toBe(200)
    expect(await get('/s', { scp: 'A' })).toEqual([403, expect.stringContaining('error="insufficient_scope"')])
    expect((await get('/r', { roles: ['y'] }))[0]).toBe(200)
    expect((await get('/r', { roles: ['z'] }))[0]).toBe(403)
    expect((await get('/c', { acrs: ['c1', 'c2'] }))[0]).toBe(200)
    expect(await get('/c', {})).toEqual([401, expect.stringContaining('acr_values="c1"')])
    expect(await get('/c', { xms_cc: ['cp1'] })).toEqual([401, expect.stringContaining('error="insufficient_claims"')])
    expect((await get('/m', { auth_time: START - 300 }))[0]).toBe(200)
    expect(await get('/m', { auth_time: START - 301 })).toEqual([401, expect.stringContaining('max_age="300"')])
    expect((await get('/m', {}))[0]).toBe(401)
  })

  it('fit what nginx knows, and say 401 for 503 only where that was asked for', async () => {
    const { nginx, caddy } = await start()
    expect([(await nginx('/a/../b')).status, (await caddy('/a/../b')).status]).toEqual([403, 400])
    const { guard } = startGuard({ hydrate: false })
    const plain = await start({ guard })
    expect((await plain.nginx('/a', bearer())).status).toBe(503)
    expect((await plain.ask('/readyz')).status).toBe(503)
    const kind = await start({ guard, unavailable: 401 })
    const got = await kind.nginx('/a', bearer())
    expect([got.status, got.headers['www-authenticate']]).toEqual([401, 'Bearer error="temporarily_unavailable"'])
  })

  it('say that nothing can be known when a strict guard has lost its source, and only then', async () => {
    const { guard, clocks, sink } = startGuard({ trustedProxies: TRUSTED, staleness: 'strict' })
    const [plain, kind] = [await start({ guard }), await start({ guard, unavailable: 401 })]
    const ask = async () => {
      const answers = [await plain.nginx('/a', bearer()), await plain.caddy('/a', bearer()), await kind.nginx('/a', bearer())]
      return answers.map(({ status, body, headers }) => [status, body.code, headers['www-authenticate']])
    }
    const fine = Array(3).fill([200, undefined, undefined])
    const lost = [503, 503, 401].map((status) => [status, 'out_of_sync', status === 401 ? 'Bearer error="temporarily_unavailable"' : undefined])
    expect(await ask()).toEqual(fine)
    sink.outOfSync('the connection is lost')
    expect(await ask()).toEqual(lost)
    expect(await plain.ask('/readyz')).toMatchObject({ status: 200, body: { ready: true, inSync: false } })
    sink.synced(head(1, START))
    expect(await ask()).toEqual(fine)
    // Nobody says anything any more.
    clocks.pass(31)
    expect(await ask()).toEqual(lost)
    sink.synced(head(2, clocks.seconds))
    expect(await ask()).toEqual(fine)
  })

  it('tell figures where that was asked for, and to no client: a proxy asks for verdicts alone', async () => {
    expect((await (await start()).ask('/metrics')).status).toBe(404)
    const { guard } = startGuard({ trustedProxies: TRUSTED })
    const gateway = createGateway({ guard, metrics: true, trustedProxies: TRUSTED, assertion: { issuer: 'a', audience: 'b' } })
    const server = createServer(gateway.handle).listen(0, '127.0.0.1')
    servers.push(server)
    await once(server, 'listening')
    const at = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, init)
    const asked = { 'x-original-uri': '/metrics', 'x-original-method': 'GET', 'x-original-host': 'files.example', 'x-forwarded-for': '192.0.2.1' }
    expect((await at('/auth/nginx', { headers: asked })).status).toBe(401)
    expect((await at('/auth/envoy/metrics', { headers: { 'x-forwarded-for': '192.0.2.1' } })).status).toBe(401)
    expect((await at('/metrics', { method: 'POST' })).status).toBe(404)
    const answer = await at('/metrics')
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
      ...[200, 'text/plain; version=0.0.4; charset=utf-8', 'no-store'],
    ])
    expect(await answer.text()).toContain('code="token_missing"} 2\n')
  })

  it('let a preflight pass only where that was asked for', async () => {
    const question = { origin: 'https://spa.example', 'access-control-request-method': 'PUT' }
    expect((await (await start()).caddy('/files', question, 'OPTIONS')).status).toBe(401)
    const { caddy } = await start({ preflight: true })
    expect((await caddy('/files', question, 'OPTIONS')).status).toBe(200)
    expect((await caddy('/files', { origin: 'https://spa.example' }, 'OPTIONS')).status).toBe(401)
    expect((await caddy('/files', question, 'GET')).status).toBe(401)
    expect((await caddy('/a/../b', question, 'OPTIONS')).status).toBe(400)
  })
})

describe('E4: methods', () => {
  it('that an application may read otherwise than the proxy are refused where another route is asked for more', async () => {
    const routes: RouteMap = { '/files/**': { scope: 'Files.Read' }, 'DELETE /files/**': { roles: ['Files.Admin'] }, '/ping': { public: true } }
    const { nginx, caddy } = await start({ routes })
    const reader = bearer(mint({ scp: 'Files.Read' }))
    expect((await nginx('/files/a', reader, 'DELETE')).status).toBe(403)
    expect((await caddy('/files/a', reader, 'POST')).status).toBe(200)
    for (const name of ['X-HTTP-Method-Override', 'x-http-method', 'X-Method-Override']) {
      for (const value of ['DELETE', 'delete', ' Delete ', 'PATCH, DELETE']) {
        const { status, body } = await caddy('/files/a', { ...reader, [name]: value }, 'POST')
        expect([status, body.code]).toEqual([400, 'method_ambiguous'])
      }
      expect((await caddy('/files/a', { ...reader, [name]: 'PATCH' }, 'POST')).status).toBe(200)
      expect((await caddy('/ping', { [name]: 'DELETE' }, 'POST')).status).toBe(200)
      expect((await caddy('/files/a', { ...reader, [name]: 'PATCH,'.repeat(4) }, 'POST')).status).toBe(400)
    }
  })
})

describe('E4: paths', () => {
  it.each([
    ...['', 'a', '*', 'http://x/a', '/a b', '/ä', '/a\\b', '/a#b', '/%', '/%4', '/%zz', '/%ff', '/%c0%af', '/%00', '/a%0d', '/%7f', '/%c2%85'],
    ...[
      '/.',
      '/..',
      '/a/.',
      '/a/../b',
      '/a/%2e%2e',
      '/a/%2E./b',
      '/a/..;x/b',
      '/a/.;/b',
      '/a/%2e%2e%3bx',
      '/%ef%bc%8e.',
      '/a%2fb',
      '/a%5Cb',
      '/a%ef%bc%8fb',
    ],
    ...['/.%e2%80%8b.', '/a/..::$DATA', '/%e2%80%8b/a', '/::$DATA/a'],
    ...['//', '//a', '/a//b', '/a//', '/;/a', '/a/;x/b', '/a/./', '/.../a', '/%20/a', '/%252f', '/%25%32%66', '/a%2500'],
  ])('%s is refused', (target) => {
    expect(readPath(target)).toBeUndefined()
  })

  it.each([
    ['/', [''], []],
    ['/a?b=/../c#', ['a'], ['a']],
    ['/a/', ['a', ''], ['a']],
    ['/%61B/C;d=e/', ['aB', 'C;d=e', ''], ['ab', 'c']],
    ['/100%25', ['100%'], ['100%']],
    ['/%E7%8C%AB.txt', ['猫.txt'], ['猫.txt']],
    ['/admin.%20', ['admin. '], ['admin']],
    ['/..a/b..c', ['..a', 'b..c'], ['..a', 'b..c']],
    ['/Admin%e2%80%8b/x', ['Admin\u200b', 'x'], ['admin', 'x']],
    ['/admin::$DATA', ['admin::$DATA'], ['admin']],
    ['/admin:$i30:$INDEX_ALLOCATION/x', ['admin:$i30:$INDEX_ALLOCATION', 'x'], ['admin', 'x']],
    ['/10:30/a$b', ['10:30', 'a$b'], ['10:30', 'a$b']],
    [`/${':'.repeat(16_000)}`, [':'.repeat(16_000)], [':'.repeat(16_000)]],
  ])('%s is read', (target, exact, loose) => {
    expect(readPath(target)).toEqual({ exact, loose })
  })

  it('whatever is read holds no separator, no dots and no control characters, and is read again alike', () => {
    const piece = fc.oneof(
      fc.constantFrom('/', '.', '..', '%2e', '%2F', '%5c', '%25', ';', 'a', 'B', '%00', '%c0%af', '?', '\\', '%EF%BC%8F'),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const path = readPath(`/${pieces.join('')}`)
        if (path === undefined) return
        for (const segment of [...path.exact, ...path.loose]) {
          expect(segment).not.toMatch(/[/\\\p{Cc}]/u)
          expect(['.', '..']).not.toContain(segment)
        }
        expect(path.exact.slice(0, -1)).not.toContain('')
        expect(readPath(`/${path.exact.map(encodeURIComponent).join('/')}`)).toEqual(path)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('routes', () => {
  const found = (map: RouteMap, method: string, target: string) =>
    compileRoutes(map, (requirement) => requirement)(method, readPath(target) as NonNullable<ReturnType<typeof readPath>>)

  it('the narrower one counts, whatever the order', () => {
    const map: RouteMap = {
      '/**': { scope: 'all' },
      '/files/**': { scope: 'files' },
      '/files/*': { scope: 'one' },
      '/files/logo.png': { public: true },
      'PUT,DELETE /files/*': { scope: 'write' },
      '/files/*/meta': { scope: 'meta' },
      '/end': { scope: 'end' },
      '/end/**': { scope: 'below' },
    }
    const reversed = Object.fromEntries(Object.entries(map).reverse())
    for (const routes of [map, reversed]) {
      const scope = (target: string, method = 'GET') => {
        const requirement = found(routes, method, target)
        return requirement.public ? 'public' : requirement.scope
      }
      expect([scope('/'), scope('/x/y'), scope('/files'), scope('/files/'), scope('/files/1'), scope('/files/1/2')]).toEqual(
        ['all', 'all', 'files', 'files', 'one', 'files'], //
      )
      expect([scope('/files/1/meta'), scope('/files/1', 'PUT'), scope('/files/1', 'put'), scope('/files/1/2', 'PUT')]).toEqual(
        ['meta', 'write', 'write', 'files'], //
      )
      expect([scope('/end'), scope('/END/'), scope('/end/x')]).toEqual(['end', 'end', 'below'])
      expect([scope('/files/logo.png'), scope('/files/logo.png', 'PUT')]).toEqual(['public', 'public'])
    }
  })

  it('E4: what is asked of GET is asked of HEAD, which the same handler answers, unless the map says what', () => {
    const map: RouteMap = {
      'GET /reports/**': { scope: 'Reports.Read' },
      'GET /logs': { scope: 'Logs.Read' },
      'HEAD,PUT /logs': { scope: 'Logs.Head' },
      'PUT /written': { scope: 'Write' },
    }
    for (const method of ['GET', 'HEAD', 'head']) expect(found(map, method, '/reports/1')).toEqual({ scope: 'Reports.Read' })
    expect([found(map, 'GET', '/logs'), found(map, 'HEAD', '/logs')]).toEqual([{ scope: 'Logs.Read' }, { scope: 'Logs.Head' }])
    expect([found(map, 'HEAD', '/written'), found(map, 'POST', '/reports/1')]).toEqual([{}, {}])
  })

  it('E4: what is public is so in one spelling, what is asked is asked in all', () => {
    const map: RouteMap = {
      '/ping': { public: true },
      'GET /list': { public: true },
      '/Admin/**': { scope: 'admin' },
      '/admin/Logo': { public: true },
    }
    for (const target of ['/PING', '/ping/', '/ping;a', '/ping.', '/pin', '/ping/x']) expect(found(map, 'GET', target)).toEqual({})
    expect(found(map, 'GET', '/%70ing')).toEqual({ public: true })
    for (const method of ['get', 'HEAD', 'POST']) expect(found(map, method, '/list')).toEqual({})
    for (const target of [
      '/admin',
      '/ADMIN/x',
      '/admin/',
      '/admin;a/x',
      '/admin./x',
      '/admin%20/x',
      '/admin/logo',
      '/%EF%BD%81dmin',
      '/admin::$DATA',
      '/adm%c2%adin/x',
    ]) {
      expect(found(map, 'GET', target)).toEqual({ scope: 'admin' })
    }
    expect(found(map, 'GET', '/admin/Logo')).toEqual({ public: true })
  })

  it.each(['files', '', '/a//b', '/a/../b', '/a%20b', '/a?b', '/a;b', '/a*', '/**/a', 'get /a', 'GET,/a', 'GET  /a', 'GET, PUT /a', '/a\\b'])(
    '%s is no route',
    (key) => {
      expect(parseRoute(key)).toEqual(expect.any(String))
      expect(() => compileRoutes({ [key]: { public: true } }, () => 0)).toThrow(TypeError)
    },
  )
})
