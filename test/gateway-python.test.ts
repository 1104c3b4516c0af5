import { join } from 'node:path'
import { IDENTITY_HEADERS } from '@caegis/guard/gateway'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claimsOf, eventually, type Loop, SECRET, startLoop } from './loop.ts'
import { killPrograms } from './process.ts'
import { ask, bearer, type Daemon, FASTAPI, has, NGINX, startGateway, startNginx, startPython } from './proxies.ts'

describe.skipIf(!has(FASTAPI) || !has(NGINX))('a FastAPI application', () => {
  let loop: Loop
  const daemons: Daemon[] = []
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(async () => {
    for (const one of daemons) await one.close()
    await killPrograms()
    await loop?.close()
  })
  const kept = async (daemon: Promise<Daemon>) => {
    daemons.push(await daemon)
    return daemon
  }
  const revoke = () => loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')

  it('behind nginx and the gateway: knows the user, refuses what is revoked, and takes nobody else for the gateway', async () => {
    const { port: gateway } = await startGateway(loop)
    const application = await kept(startPython('behind_gateway', { GATEWAY: `http://127.0.0.1:${gateway}` }))
    const { port } = await kept(startNginx({ gateway, application: application.port }))
    const token = await loop.person('alice').signIn()
    const manage = (headers: Record<string, string> = bearer(token), to = port) => ask(to, '/controlplane/manage', { headers })

    expect(await ask(port, '/ping')).toMatchObject({ status: 200, body: '{"status":"ok"}' })
    expect((await manage({})).status).toBe(401)
    const { oid, tid, scp } = claimsOf(token)
    const got = await manage()
    expect(got.status).toBe(200)
    expect(JSON.parse(got.body)).toMatchObject({ user: { oid, tid, scp } })

    // E4: whoever finds a way past the proxy has everything but the signature.
    const spoofed = Object.fromEntries(IDENTITY_HEADERS.flatMap((name) => [name, name.replaceAll('-', '_')].map((one) => [one, 'mallory'])))
    expect((await manage(spoofed, application.port)).status).toBe(401)
    expect((await manage(bearer(token), application.port)).status).toBe(401)
    expect((await manage({ ...bearer(token), 'caegis-assertion': token }, application.port)).status).toBe(401)
    expect((await manage({ ...bearer(token), ...spoofed })).status).toBe(200)

    expect((await revoke()).status).toBe(200)
    const denied = await eventually(manage, ({ status }) => status !== 200)
    expect(denied.status).toBe(401)
    expect(denied.headers['www-authenticate']).toContain('insufficient_claims')
  })

  it('with introspection: refuses what is revoked, at once or when its cache lets it', async () => {
    const env = {
      ...{ INTROSPECTION_URL: `${loop.authority}/oauth2/v2.0/introspect`, CLIENT_ID: 'files-api', CLIENT_SECRET: SECRET },
      CA_FILE: join(loop.data, 'tls', 'ca.pem'),
    }
    const plain = await kept(startPython('with_introspection', env))
    const caching = await kept(startPython('with_introspection', { ...env, CACHE: '30' }))
    const token = await loop.person('alice').signIn()
    const status = async (to: Daemon, headers: Record<string, string> = bearer(token)) =>
      (await ask(to.port, '/controlplane/manage', { headers })).status
    expect((await ask(plain.port, '/ping')).status).toBe(200)
    expect([await status(plain), await status(caching)]).toEqual([200, 200])
    for (const headers of [{}, bearer('x'), bearer(await loop.daemonToken('nightly', `${loop.origin}/.default`))])
      expect(await status(plain, headers)).toBe(401)
    expect(await status(plain, bearer(await loop.daemonToken('nightly', 'api://files/.default')))).toBe(403)
    await revoke()
    expect(await status(plain)).toBe(401)
    // What the cache costs: the documentation says so.
    expect(await status(caching)).toBe(200)
  })
})
