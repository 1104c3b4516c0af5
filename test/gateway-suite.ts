import { IDENTITY_HEADERS } from '@caegis/guard/gateway'
import { readClaimsChallenge } from '@caegis/protocol'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createDirectory } from '../packages/server/src/directory/directory.ts'
import { claimsOf, eventually, type Loop, startLoop } from './loop.ts'
import { killPrograms } from './process.ts'
import { ask, bearer, type Daemon, type Ports, type Seen, startApplication, startGateway } from './proxies.ts'

export interface Behind {
  loop: Loop
  ports: Ports
  /** The proxy's. */
  port: number
  application: Daemon & { seen: Seen[] }
}

const ENVIRON = IDENTITY_HEADERS.map((name) => `HTTP_${name.toUpperCase().replaceAll('-', '_')}`)

/** What must be true behind every proxy: the same requests, through the real one, with the example of the documentation. */
export function behindProxy(start: (ports: Ports) => Promise<Daemon>): Behind {
  const behind = {} as Behind
  let proxy: Daemon
  beforeAll(async () => {
    behind.loop = await startLoop()
    behind.application = await startApplication()
    const { port } = await startGateway(behind.loop)
    behind.ports = { gateway: port, application: behind.application.port }
    proxy = await start(behind.ports)
    behind.port = proxy.port
  })
  afterAll(async () => {
    await proxy?.close()
    await killPrograms()
    await behind.application?.close()
    await behind.loop?.close()
  })
  beforeEach(() => {
    behind.application.seen.length = 0
  })
  const get = (path: string, headers: Record<string, string> = {}) => ask(behind.port, path, { headers })
  const identityOf = ({ body }: { body: string }) => ENVIRON.map((name) => (JSON.parse(body) as Seen).environ[name] ?? '')

  it('tells the application who asks, and proves it', async () => {
    const token = await behind.loop.person('alice').signIn()
    const got = await get('/controlplane/manage?x=1', bearer(token))
    expect(got.status).toBe(200)
    const { url, environ } = JSON.parse(got.body) as Seen
    const { oid, sid, scp, tid, azp } = claimsOf(token)
    expect(url).toBe('/controlplane/manage?x=1')
    expect(environ).toMatchObject({
      HTTP_CAEGIS_USER: oid,
      HTTP_CAEGIS_SESSION: sid,
      HTTP_CAEGIS_SCOPES: scp,
      HTTP_CAEGIS_TENANT: tid,
      HTTP_CAEGIS_APP: azp,
    })
    const keys = createRemoteJWKSet(new URL(`http://127.0.0.1:${behind.ports.gateway}/.well-known/jwks.json`))
    const expected = { issuer: `http://127.0.0.1:${behind.ports.gateway}`, audience: 'api://files', typ: 'caegis-assertion+jwt' }
    const { payload } = await jwtVerify(environ.HTTP_CAEGIS_ASSERTION ?? '', keys, expected)
    expect(payload).toMatchObject({ oid, sid, scp })
    expect((payload.exp as number) - (payload.iat as number)).toBe(60)
  })

  it('lets anybody to what is public, says nothing of them there, and challenges everywhere else', async () => {
    const open = await get('/ping', bearer('rubbish'))
    expect(open.status).toBe(200)
    expect(identityOf(open)).toEqual(ENVIRON.map(() => ''))
    for (const path of ['/controlplane/manage', '/else', '/']) {
      const got = await get(path)
      expect(got.status).toBe(401)
      expect(got.headers['www-authenticate']).toMatch(/^Bearer /)
      expect(got.headers['access-control-expose-headers']).toMatch(/www-authenticate/i)
    }
    expect(behind.application.seen.map(({ url }) => url)).toEqual(['/ping'])
  })

  it('asks for the role where the method needs one', async () => {
    const token = await behind.loop.person('alice').signIn()
    expect((await ask(behind.port, '/controlplane/manage', { method: 'DELETE', headers: bearer(token) })).status).toBe(403)
    expect((await ask(behind.port, '/controlplane/manage', { method: 'POST', headers: bearer(token) })).status).toBe(200)
  })

  it('refuses a revoked token within the loop, and its challenge brings unmodified MSAL a new one', async () => {
    const { loop } = behind
    const alice = loop.person('alice')
    const token = await alice.signIn()
    expect((await get('/controlplane/manage', bearer(token))).status).toBe(200)
    expect((await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')).status).toBe(200)
    const denied = await eventually(
      () => get('/controlplane/manage', bearer(token)),
      ({ status }) => status !== 200,
    )
    expect(denied.status).toBe(401)
    const challenge = readClaimsChallenge(denied.headers['www-authenticate'])
    const refusal = await alice.silent(challenge?.claims).catch((error: unknown) => error)
    const fresh = await alice.signIn((refusal as { claims: string }).claims)
    expect((await get('/controlplane/manage', bearer(fresh))).status).toBe(200)
    expect((await get('/controlplane/manage', bearer(token))).status).toBe(401)
  })

  it('and a silent one where that is enough', async () => {
    const { loop } = behind
    const bob = loop.person('bob')
    const token = await bob.signIn()
    expect((await get('/controlplane/manage', bearer(token))).status).toBe(200)
    const directory = createDirectory(loop.server.store, loop.tenant, loop.issuer)
    await directory.update({ kind: 'system', reason: 'test' }, 'bob@contoso.test', { roles: ['admin'] })
    const denied = await eventually(
      () => get('/controlplane/manage', bearer(token)),
      ({ status }) => status !== 200,
    )
    const challenge = readClaimsChallenge(denied.headers['www-authenticate'])
    expect((await get('/controlplane/manage', bearer(await bob.silent(challenge?.claims)))).status).toBe(200)
  })

  it('E4: no spelling of a path leads past its route', async () => {
    const attempts = [
      '/ping/../controlplane/manage',
      '/ping/./../controlplane/manage',
      '/ping/%2e%2e/controlplane/manage',
      '/ping/.%2E/controlplane/manage',
      '/ping%2f..%2fcontrolplane/manage',
      '/ping/..%2fcontrolplane/manage',
      '/ping/..%5ccontrolplane/manage',
      '/ping\\..\\controlplane\\manage',
      '/ping/..;/controlplane/manage',
      '/ping/%2e%2e%3b/controlplane/manage',
      '/ping%252f..%252fcontrolplane/manage',
      '/ping/..%c0%afcontrolplane/manage',
      '/ping/%ef%bc%8e%ef%bc%8e/controlplane/manage',
      '//controlplane/manage',
      '/controlplane//manage',
      '/;/controlplane/manage',
      '/ping//',
      '/ping/',
      '/ping;x=1',
      '/ping%00',
      '/ping%0d%0ax:%20y',
      '/ping%',
      '/ping%zz',
      '/ping#/controlplane/manage',
      '/PING',
      '/CONTROLPLANE/manage',
      '/%63ontrolplane/manage',
      '/%2563ontrolplane/manage',
      '/controlplane/manage/',
      '/controlplane/manage?/ping',
      '/controlplane/manage#/ping',
      'http://localhost/controlplane/manage',
    ]
    for (const path of attempts) {
      const { status } = await get(path)
      expect([path, [400, 401, 403, 404].includes(status)]).toEqual([path, true])
    }
    expect(behind.application.seen).toEqual([])
    // Not all is refused: what is spelled in a way that everybody reads alike is the route's.
    for (const path of ['/ping', '/%70ing', '/ping?next=/../controlplane/manage']) expect((await get(path)).status).toBe(200)
  })

  it('E4: nor one that has a token, to what asks for more', async () => {
    const token = await behind.loop.daemonToken('nightly', 'api://files/.default')
    expect(claimsOf(token).scp ?? '').not.toContain('Files.Read')
    expect((await get('/anything', bearer(token))).status).toBe(200)
    behind.application.seen.length = 0
    const attempts = [
      '/controlplane/manage',
      '/controlplane',
      '/controlplane/',
      '/CONTROLPLANE/manage',
      '/ControlPlane;a=b/manage',
      '/controlplane./manage',
      '/controlplane%20/manage',
      '/%63ontrolplane/manage',
      '/%EF%BD%83ontrolplane/manage',
      '/anything/../controlplane/manage',
      '/anything/..%2fcontrolplane/manage',
      '//controlplane/manage',
    ]
    for (const path of attempts) expect([path, [400, 403].includes((await get(path, bearer(token))).status)]).toEqual([path, true])
    expect(behind.application.seen).toEqual([])
  })

  it("E4: no header of the client is taken for the proxy's or the gateway's", async () => {
    const asIfOpen = {
      ...{ 'x-original-uri': '/ping', 'x-original-method': 'GET', 'x-forwarded-uri': '/ping', 'x-forwarded-method': 'GET', 'x-rewrite-url': '/ping' },
      ...{ 'x-original-url': '/ping', X_Original_URI: '/ping', X_Forwarded_Uri: '/ping' },
    }
    expect((await get('/controlplane/manage', asIfOpen)).status).toBe(401)
    expect(behind.application.seen).toEqual([])

    const token = await behind.loop.person('alice').signIn()
    const names = IDENTITY_HEADERS.flatMap((name) => [name, name.replaceAll('-', '_'), name.toUpperCase().replace('-', '_')])
    for (const name of names) {
      const open = await get('/ping', { [name]: 'mallory' })
      expect([name, open.status, identityOf(open)]).toEqual([name, 200, ENVIRON.map(() => '')])
      const guarded = await get('/controlplane/manage', { ...bearer(token), [name]: 'mallory' })
      expect([name, guarded.status, guarded.body.includes('mallory')]).toEqual([name, 200, false])
    }
    const all = Object.fromEntries(names.map((name) => [name, 'mallory']))
    expect(identityOf(await get('/controlplane/manage', { ...bearer(token), ...all }))[0]).toBe(claimsOf(token).oid)
    // A second credential beside the first is nobody's.
    expect((await get('/controlplane/manage', { authorization: `Bearer ${token}`, 'proxy-authorization': 'Bearer x' })).status).toBe(200)
    expect((await get(`/controlplane/manage?access_token=${token}`)).status).not.toBe(200)
  })
  return behind
}
