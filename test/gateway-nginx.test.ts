import { describe, expect, it } from 'vitest'
import { behindProxy } from './gateway-suite.ts'
import { eventually } from './loop.ts'
import { ask, bearer, has, NGINX, startGateway, startNginx } from './proxies.ts'

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
