import { describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { behindProxy } from './gateway-suite.ts'
import { createHolder } from './holder.ts'
import { claimsOf, eventually } from './loop.ts'
import { ask, bearer, has, NGINX, type Seen, startGateway, startNginx } from './proxies.ts'

describe.skipIf(!has(NGINX))('the gateway behind nginx', () => {
  const behind = behindProxy(startNginx)

  it('E4: an answer that a proxy is told to keep is asked for again all the same', async () => {
    const cached = await startNginx(behind.ports, [
      [
        'proxy_pass http://caegis/auth/nginx;',
        'proxy_pass http://caegis/auth/nginx;\n proxy_cache answers;\n proxy_cache_key $http_authorization;\n proxy_cache_valid any 10m;',
      ],
    ])
    try {
      const token = await behind.loop.person('alice').signIn()
      const status = async () => (await ask(cached.port, '/controlplane/manage', { headers: bearer(token) })).status
      expect([await status(), await status()]).toEqual([200, 200])
      await behind.loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      expect(await eventually(status, (got) => got !== 200)).toBe(401)
    } finally {
      await cached.close()
    }
  })

  it('E7: a token that is bound to a key comes through with a proof for what the client asked, a nonce where one is asked for, and never as a bearer token', async () => {
    const { loop, ports } = behind
    const [holder, thief] = [createHolder(), createHolder()]
    const flow = createFlow(loop)
    const endpoint = `${loop.authority}/oauth2/v2.0/token`
    const form = { grant_type: 'authorization_code', client_id: 'files-native', code: await flow.code(), code_verifier: flow.verifier }
    const given = await fetch(endpoint, {
      ...{ method: 'POST', headers: { dpop: holder.proof('POST', endpoint) } },
      body: new URLSearchParams({ ...form, redirect_uri: 'http://localhost' }),
    })
    const { access_token: token } = (await given.json()) as { access_token: string }
    const through = (port: number, origin = `http://127.0.0.1:${port}`) => {
      const url = `${origin}/controlplane/manage`
      const show = (dpop?: string, scheme = 'DPoP', more: Record<string, string> = {}) =>
        ask(port, '/controlplane/manage?x=1', { headers: { authorization: `${scheme} ${token}`, ...(dpop ? { dpop } : {}), ...more } })
      return { show, proof: (more: object = {}, by = holder, method = 'GET', to = url) => by.proof(method, to, { token, ...more }) }
    }
    const plain = through(behind.port)
    const proof = plain.proof()
    const got = await plain.show(proof)
    expect(got.status).toBe(200)
    expect((JSON.parse(got.body) as Seen).environ).toMatchObject({ HTTP_CAEGIS_USER: claimsOf(token).oid })
    for (const wrong of [
      proof,
      undefined,
      plain.proof({}, thief),
      plain.proof({}, holder, 'POST'),
      // What the proxy asks of the gateway is not what the client asked of the proxy.
      plain.proof({}, holder, 'GET', `http://127.0.0.1:${ports.gateway}/auth/nginx`),
    ]) {
      const refused = await plain.show(wrong)
      expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^DPoP .*error="invalid_dpop_proof"/)])
    }
    const bearer = await plain.show(plain.proof(), 'Bearer')
    expect([bearer.status, bearer.headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^DPoP .*error="invalid_token"/)])
    // A proof that another API has seen is not good here because somebody says that this were the other one.
    const elsewhere = plain.proof({}, holder, 'GET', 'http://other.example/controlplane/manage')
    expect((await plain.show(elsewhere, 'DPoP', { host: 'other.example' })).status).toBe(401)
    expect((await plain.show(plain.proof(), 'DPoP', { host: 'other.example' })).status).toBe(200)

    const known = await startGateway(loop, ['--origin', 'https://api.example, https://api.example:8443'])
    const front = await startNginx({ ...ports, gateway: known.port })
    try {
      for (const [origin, status] of [
        ['https://api.example', 200],
        ['https://api.example:8443', 200],
        ['http://api.example', 401],
        [undefined, 401],
      ] as const) {
        const named = through(front.port, origin)
        expect([origin, (await named.show(named.proof())).status]).toEqual([origin, status])
      }
    } finally {
      await front.close()
      known.program.signal('SIGTERM')
      await known.program.ended
    }

    const secret = { CAEGIS_DPOP_NONCE_SECRET: 'a secret that all gateways have in common' }
    const { port, program } = await startGateway(loop, undefined, undefined, secret)
    const proxy = await startNginx({ ...ports, gateway: port })
    try {
      const asking = through(proxy.port)
      const denied = await asking.show(asking.proof())
      expect([denied.status, denied.headers['www-authenticate']]).toEqual([401, expect.stringContaining('error="use_dpop_nonce"')])
      const nonce = denied.headers['dpop-nonce']
      expect(denied.headers['access-control-expose-headers']).toContain('DPoP-Nonce')
      expect((await asking.show(asking.proof({ nonce }))).status).toBe(200)
    } finally {
      await proxy.close()
      program.signal('SIGTERM')
      await program.ended
    }
  })

  it('E4: while nothing can be known, nginx makes a 500 of the 503, and a 401 without a challenge where that was asked for', async () => {
    // Nobody listens there: what was revoked is never known.
    const nowhere = { issuer: 'http://127.0.0.1:1/contoso/v2.0', data: behind.loop.data }
    const token = await behind.loop.person('alice').signIn()
    for (const [options, status] of [
      [[], 500],
      [['--unavailable', '401'], 401],
    ] as const) {
      const { port, program } = await startGateway(nowhere, [...options], '"event":"listening"')
      const proxy = await startNginx({ ...behind.ports, gateway: port })
      const got = await ask(proxy.port, '/controlplane/manage', { headers: bearer(token) })
      expect(got.status).toBe(status)
      expect(got.headers['www-authenticate'] ?? '').not.toContain('claims')
      expect((await ask(port, '/readyz')).status).toBe(503)
      expect((await ask(port, '/healthz')).status).toBe(200)
      await proxy.close()
      program.signal('SIGTERM')
      expect(await program.ended).toMatchObject({ code: 0 })
    }
    expect(behind.application.seen).toEqual([])
  })
})
