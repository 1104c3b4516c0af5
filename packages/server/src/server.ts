import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Guard } from '@caegis/guard'
import { CaegisError } from '@caegis/protocol'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { createAddresses } from './addresses.ts'
import { findConsole, registerConsole } from './console.ts'
import { createDialer } from './dialer.ts'
import { applyTenantFile } from './directory/apply.ts'
import { parseTenantFile } from './directory/tenant-file.ts'
import { SERVER_ERRORS } from './errors.ts'
import { registerGlobalRevocation } from './graph/global-revocation.ts'
import { registerGraph } from './graph/routes.ts'
import { startHousekeeping } from './housekeeping.ts'
import { openIntelligence } from './intelligence.ts'
import { html, send } from './issuer/answer.ts'
import { welcomePage } from './issuer/pages.ts'
import { registerIssuer } from './issuer/routes.ts'
import { createThrottle } from './issuer/throttle.ts'
import { type Followed, followLdap } from './ldap/follow.ts'
import { createSync } from './ldap/sync.ts'
import { createLog, type Log } from './log.ts'
import { registerScim } from './scim/routes.ts'
import type { Settings } from './settings.ts'
import { registerSignals } from './signals/routes.ts'
import { registerAccount } from './signin/account.ts'
import { registerConsent } from './signin/consent.ts'
import { registerSignIn } from './signin/routes.ts'
import { trackSockets } from './sockets.ts'
import { createLeaseFile } from './store/lease-file.ts'
import { createLeases } from './store/leases.ts'
import { createSecrets } from './store/secrets.ts'
import { createStore, type Store } from './store/store.ts'
import { createTenants, issuerOf } from './tenants.ts'
import { localTls } from './tls.ts'
import { registerUpstream } from './upstream/routes.ts'

export interface ServerOptions {
  settings: Settings
  /** Milliseconds; the store's clock. */
  now?: () => number
  log?: Log
}

export interface Server {
  origin: string
  /** The certificate authority to trust, when the server made its own. */
  caFile?: string
  store: Store
  /** Makes a tenant's directory what a tenant file (YAML) says; `onStep` is told how far that is. @throws CaegisError `invalid_tenant_file` */
  apply(text: string, onStep?: (done: number, total: number) => void): Promise<{ tenant: string; issuer: string }>
  listen(): Promise<void>
  /** Removes what has had its time; happens by itself every half minute. */
  tidy(): Promise<void>
  close(): Promise<void>
}

/** Wires the rooms: store, directory, issuer, signals, and the admin API in front of them. */
export async function createServer({ settings, now = Date.now, log = createLog(settings.logLevel) }: ServerOptions): Promise<Server> {
  const { origin } = settings
  const secrets = createSecrets(settings.keySecret.value)
  if (settings.keySecret.from === 'file')
    log.warn('private keys are sealed with a secret that lies in the data folder; set CAEGIS_KEY_SECRET to keep it elsewhere')
  const store = await createStore({ file: join(settings.data, 'caegis.db'), now, log })
  const leases = createLeases({ keeper: createLeaseFile(join(settings.data, 'caegis.lock')), log })
  const addresses = createAddresses(settings.trustedProxies)
  const addressOf = (request: FastifyRequest) => addresses.of(request.socket.remoteAddress, request.headers['x-forwarded-for'])
  const dialer = createDialer({ allow: settings.dialAllow })
  // Only where it is asked for: nobody else should load its client.
  const bus = settings.nats && (await import('./signals/nats.ts')).connectNats(settings.nats, log)
  const intelligence = await openIntelligence(settings, { log, now })
  const tenants = createTenants({ settings, store, leases, secrets, dialer, intelligence, bus, log, now })
  const { find } = tenants
  const housekeeping = startHousekeeping({ store, leases, tenants, log, retention: settings.retention, logRetention: settings.logRetention })

  /** The server's own guard: a verdict for a request, from the tenant that its token names. */
  const admit = async (guard: Guard, audience: string, request: FastifyRequest, reply: FastifyReply) => {
    const verdict = await guard.check({
      method: request.method,
      url: request.url,
      headers: request.headers,
      rawHeaders: request.raw.rawHeaders,
      socket: request.socket,
    })
    if (!verdict.allowed) {
      void reply
        .code(verdict.status)
        .headers({ ...verdict.headers, 'access-control-expose-headers': 'WWW-Authenticate' })
        .send(verdict.body)
      return undefined
    }
    // What lasts may ask for the end of its access until then.
    reply.raw.once('close', () => verdict.release())
    const { aud } = verdict.claims
    if (aud === audience) return verdict
    return refuseToken(reply, 'token_audience', 'The token is for another part of this server.')
  }

  const tls = settings.tls.kind === 'own' ? await localTls(settings.data, now()) : undefined
  const app = Fastify({
    logger: false,
    bodyLimit: 1024 * 1024,
    // Milliseconds until all of a request must be there, were it a million ranges. Fastify switches node's own bound off: who sends a byte now and then would stay for ever.
    requestTimeout: 120_000,
    routerOptions: { caseSensitive: false, maxParamLength: 512 },
    forceCloseConnections: true,
    ...(tls ? { https: { cert: tls.cert, key: tls.key } } : {}),
    ...(settings.tls.kind === 'files' ? { https: { cert: readFileSync(settings.tls.cert), key: readFileSync(settings.tls.key) } } : {}),
  } as object) as unknown as FastifyInstance

  const endSockets = trackSockets(app.server)
  let closing = false
  let listening = false
  app.setErrorHandler((error: Error & { statusCode?: number; code?: string }, _request, reply) => {
    const status = error.statusCode ?? (error.code === 'busy' ? 503 : 500)
    // What is still under way at the end has lost its asker, and then the database.
    if (status >= 500 && !closing) log.error('a request failed', { name: error.name, message: error.message, stack: error.stack })
    return reply.code(status).send({ error: status < 500 ? 'invalid_request' : status === 503 ? 'temporarily_unavailable' : 'server_error' })
  })
  // The default answer repeats the URL, and with it what somebody put there by mistake.
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: 'not_found' }))
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('strict-transport-security', 'max-age=31536000')
  })
  const page = findConsole()
  if (page === undefined) app.get('/', async (_request, reply) => send(reply, html(200, welcomePage(origin))))
  else registerConsole(app, page)
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async () => ({
    status: 'ready',
    ...(await store.db
      .selectFrom('tenants')
      .select((eb) => eb.fn.countAll<number>().as('tenants'))
      .executeTakeFirstOrThrow()),
  }))

  await app.register(async (scope) => {
    const findIssuer = async (name: string) => (await find(name))?.issuer
    const throttle = createThrottle(store, secrets)
    registerIssuer(scope, { addressOf, findIssuer, throttle })
    const signIn = { store, secrets, addressOf, findIssuer, throttle, log }
    registerSignIn(scope, signIn)
    registerConsent(scope, signIn)
    registerAccount(scope, signIn)
  })
  await app.register(async (scope) =>
    registerSignals(scope, {
      findTransmitter: async (name) => (await find(name))?.transmitter,
      async admit(name, request, reply) {
        const found = await find(name)
        if (!found) return undefined
        const verdict = await admit(found.streamGuard, `${found.tenant.base}/ssf`, request, reply)
        if (!verdict) return undefined
        const { claims } = verdict
        const appId = String(claims.azp)
        const receiver = await found.tenant.application(appId)
        if (!receiver?.enabled) return refuseToken(reply, 'revoked', 'The application is disabled.')
        // The audience of SETs comes from the registered application, never from the request.
        return { receiver: appId, audience: receiver.identifierUris[0] ?? appId, scopes: new Set(String(claims.scp ?? '').split(' ')) }
      },
    }),
  )
  await app.register(async (scope) =>
    registerUpstream(scope, { push: async (tenant, upstream, request) => (await find(tenant))?.upstreams.push(upstream, request) }),
  )
  /** Who calls the admin API: the tenant is the one of the token. */
  const admitCaller = async (request: FastifyRequest, reply: FastifyReply) => {
    const found = await find(issuerName(request.headers.authorization, origin) ?? '-')
    if (!found) {
      void reply
        .code(401)
        .header('www-authenticate', 'Bearer')
        .send({ error: { code: 'InvalidAuthenticationToken', message: 'Access token is missing, malformed or of another issuer.' } })
      return undefined
    }
    const verdict = await admit(found.guard, origin, request, reply)
    /** Resolves when the guard has applied what was committed by now, or is late: whatever it lets in next, it knows of it. */
    const settled = async () => {
      const { seq } = await store.position(found.tenant.id)
      for (let tries = 0; tries < 200 && (found.guard.status().head?.seq ?? 0) < seq; tries++) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { tenant, signals, upstreams, renamed } = found
    const its = { tenant, signals, upstreams, renamed, settled, ldap: async () => (ldap?.tenant === tenant.id ? ldap.status() : undefined) }
    return verdict && { ...its, claims: verdict.claims, address: addressOf(request), signal: () => verdict.signal }
  }
  await app.register(async (scope) => registerGlobalRevocation(scope, { log, now, admit: admitCaller }))
  await app.register(async (scope) =>
    registerScim(scope, { origin, log, admit: admitCaller, nameOf: async (name) => (await find(name))?.tenant.name }),
  )
  await app.register(
    async (scope) =>
      void registerGraph(scope, {
        origin,
        log,
        admit: admitCaller,
        tag: (context, text) => secrets.digest(`graph ${context}`, text),
      }),
  )

  /** People of an LDAP directory, in this process: what it takes back is on its way to the guards with the commit. */
  const startLdap = async () => {
    if (!settings.ldap) return undefined
    const { config, password } = settings.ldap
    const home = await find(config.tenant)
    if (!home) throw new CaegisError('tenant_not_found', `${SERVER_ERRORS.tenant_not_found} (${config.tenant}, in the LDAP configuration)`)
    const sync = createSync({ config, store, secrets, log, tenant: home.tenant, ...(password === undefined ? {} : { password }) })
    const { name, kind, url, interval } = config
    const following = leases.hold(`ldap ${home.tenant.id} ${name}`, () => {
      const { status, close } = followLdap({ sync, log, interval, now })
      return { report: status, close }
    })
    const waiting: Followed = { state: 'waiting', lastPassAt: null, lastError: null, report: null }
    return {
      close: following.close,
      tenant: home.tenant.id,
      status: async () => ({ name, kind, url, interval, ...(((await following.report()) as Followed | undefined) ?? waiting) }),
    }
  }
  let ldap: Awaited<ReturnType<typeof startLdap>>

  return {
    origin,
    ...(tls ? { caFile: tls.caFile } : {}),
    store,
    async apply(text, onStep) {
      const tenant = await applyTenantFile(store, secrets, parseTenantFile(text), (name) => issuerOf(origin, name), onStep)
      const found = await find(tenant)
      await Promise.all([found?.guard.ready(), found?.streamGuard.ready(), found?.renamed()])
      if (listening) await found?.upstreams.run()
      return { tenant, issuer: found?.tenant.issuer as string }
    },
    async listen() {
      for (const { guard, streamGuard } of await tenants.openAll()) await Promise.all([guard.ready(), streamGuard.ready()])
      ldap = await startLdap()
      await app.listen({ port: settings.port, host: settings.host })
      listening = true
      for (const { upstreams } of await tenants.openAll()) await upstreams.run()
      log.info('listening', { origin, host: settings.host, port: settings.port })
    },
    tidy: housekeeping.tidy,
    async close() {
      await ldap?.close()
      await housekeeping.close()
      // First: another server takes over what this one did alone.
      await leases.close()
      closing = true
      const closed = app.close()
      endSockets()
      await closed
      await tenants.close()
      await bus?.close()
      await dialer.close()
      await store.close()
      await intelligence.close()
    },
  }
}

function refuseToken(reply: FastifyReply, code: string, message: string): undefined {
  void reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send({ error: 'invalid_token', code, message })
}

/** Which tenant an unverified token claims to be of: only to choose the guard that verifies it. */
function issuerName(authorization: string | undefined, origin: string): string | undefined {
  const payload = authorization?.slice(0, 16_384).split('.')[1]
  if (!payload) return undefined
  try {
    const { iss } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { iss?: unknown }
    if (typeof iss !== 'string' || !iss.startsWith(`${origin}/`)) return undefined
    return iss.slice(origin.length + 1).split('/')[0]
  } catch {
    return undefined
  }
}
