import { join } from 'node:path'
import type { Server as TlsServer } from 'node:tls'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { createAddresses } from './addresses.ts'
import { createAdmission } from './admission.ts'
import { findConsole, registerConsole } from './console.ts'
import { createDialer } from './dialer.ts'
import { applyTenantFile } from './directory/apply.ts'
import type { Warning } from './directory/plan/warnings.ts'
import { parseTenantFile } from './directory/tenant-file.ts'
import { registerGlobalRevocation } from './graph/global-revocation.ts'
import { registerGraph } from './graph/routes.ts'
import { startHousekeeping } from './housekeeping.ts'
import { openIntelligence } from './intelligence.ts'
import { html, send } from './issuer/answer.ts'
import { welcomePage } from './issuer/pages.ts'
import { registerIssuer } from './issuer/routes.ts'
import { createThrottle } from './issuer/throttle.ts'
import { type LdapRoom, startLdap } from './ldap/start.ts'
import { followCertificate, readPair } from './life/certificate.ts'
import { createLife } from './life/life.ts'
import { createListener } from './life/listener.ts'
import { reload } from './life/reload.ts'
import { createLog, type Log } from './log.ts'
import { registerScim } from './scim/routes.ts'
import type { Settings } from './settings.ts'
import { createHolds } from './signals/holds.ts'
import { registerSignals } from './signals/routes.ts'
import { registerAccount } from './signin/account.ts'
import { registerConsent } from './signin/consent.ts'
import { registerSignIn } from './signin/routes.ts'
import { createLeaseFile } from './store/lease-file.ts'
import { createLeaseTable } from './store/lease-table.ts'
import { createLeases } from './store/leases.ts'
import { createLimits } from './store/limits.ts'
import { createSecrets } from './store/secrets.ts'
import { createStore, type Store } from './store/store.ts'
import { createTenants, issuerOf } from './tenants.ts'
import { localTls } from './tls.ts'
import { registerUpstream } from './upstream/routes.ts'

export interface ServerOptions {
  settings: Settings
  /** Milliseconds; the machine's clock, and that of the embedded store. */
  now?: () => number
  /** Another clock than PostgreSQL's own, in milliseconds: for tests that go through days. */
  storeClock?: () => number
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
  /** Puts in force what of other settings can change while it runs, all of it or nothing. @throws CaegisError `invalid_settings` */
  reload(settings: Settings): void
  /** Says that it goes, lets what is under way come to its end, then gives everything back: in this order, so that nothing is lost and nobody is cut off. */
  close(): Promise<void>
}

/** Wires the rooms: store, directory, issuer, signals, and the admin API in front of them. */
export async function createServer({ settings: first, now = Date.now, storeClock, log = createLog(first.logLevel) }: ServerOptions): Promise<Server> {
  // A copy: what can be reloaded changes in it.
  const settings = { ...first }
  const { origin } = settings
  const secrets = createSecrets(settings.keySecret.value)
  if (settings.keySecret.from === 'file')
    log.warn('private keys are sealed with a secret that lies in the data folder; set CAEGIS_KEY_SECRET to keep it elsewhere')
  const store = await createStore({ file: join(settings.data, 'caegis.db'), database: settings.database, now, clock: storeClock, log })
  const keeper = settings.database ? createLeaseTable({ store, log }) : createLeaseFile(join(settings.data, 'caegis.lock'), log)
  const leases = createLeases({ keeper, log })
  const addresses = createAddresses(settings.trustedProxies)
  const addressOf = (request: FastifyRequest) => addresses.of(request.socket.remoteAddress, request.headers['x-forwarded-for'])
  const dialer = createDialer({ allow: () => settings.dialAllow })
  // Only where it is asked for: nobody else should load its client.
  const bus = settings.nats && (await import('./signals/nats.ts')).connectNats(settings.nats, log)
  const intelligence = await openIntelligence(settings, { log, now })
  const tls = settings.tls.kind === 'own' ? await localTls(settings.data, now()) : undefined
  const app = Fastify({
    logger: false,
    bodyLimit: 1024 * 1024,
    // Milliseconds until all of a request must be there, were it a million ranges. Fastify switches node's own bound off: who sends a byte now and then would stay for ever.
    requestTimeout: 120_000,
    routerOptions: { caseSensitive: false, maxParamLength: 512 },
    forceCloseConnections: true,
    ...(tls ? { https: { cert: tls.cert, key: tls.key } } : {}),
    ...(settings.tls.kind === 'files' ? { https: readPair(settings.tls) } : {}),
  } as object) as unknown as FastifyInstance

  const certificate = settings.tls.kind === 'files' ? followCertificate(app.server as unknown as TlsServer, settings.tls, log) : undefined
  const listener = createListener(app, settings)
  const life = createLife(app, { settings, store, log, stopListening: listener.stop })
  const { drain, load, onFence } = life
  const holds = createHolds({ most: settings.heldPolls, onEnd: drain.onEnd })
  // The guards of the server's own doors, its streams and what it hears from others go by the store's clock, as all that is issued does.
  const time = () => store.clock() * 1000
  const tenants = createTenants({ settings, store, leases, secrets, dialer, intelligence, bus, holds, onFence, log, now: time })
  const { find } = tenants
  const housekeeping = startHousekeeping({ store, leases, tenants, log, retention: settings.retention, logRetention: settings.logRetention })
  let ldap: LdapRoom | undefined
  const admission = createAdmission({ origin, store, find, addressOf, ldapOf: async (tenant) => ldap?.statusOf(tenant) })

  let closed: Promise<void> | undefined
  let closing = false
  let listening = false
  app.setErrorHandler((error: Error & { statusCode?: number; code?: string }, request, reply) => {
    if (error.code === 'overloaded') return load.refuse(request, reply)
    const status = error.statusCode ?? (error.code === 'busy' ? 503 : 500)
    // What is still under way at the end has lost its asker, and then the database.
    if (status >= 500 && !closing && error.code !== 'store_unavailable')
      log.error('a request failed', { name: error.name, message: error.message, stack: error.stack })
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
  life.show({ tenants, leases, holds })

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
      admit: admission.receiver,
    }),
  )
  await app.register(async (scope) =>
    registerUpstream(scope, { push: async (tenant, upstream, request) => (await find(tenant))?.upstreams.push(upstream, request) }),
  )
  await app.register(async (scope) => registerGlobalRevocation(scope, { log, admit: admission.caller, spend: createLimits(store).spend }))
  await app.register(async (scope) =>
    registerScim(scope, { origin, log, admit: admission.caller, nameOf: async (name) => (await find(name))?.tenant.name }),
  )
  await app.register(
    async (scope) =>
      void registerGraph(scope, {
        origin,
        log,
        admit: admission.caller,
        tag: (context, text) => secrets.digest(`graph ${context}`, text),
        onEnd: drain.onEnd,
      }),
  )

  return {
    origin,
    ...(tls ? { caFile: tls.caFile } : {}),
    store,
    async apply(text, onStep) {
      const onWarning = ({ kind, name, reason }: Warning) => log.warn('the tenant file says something in vain', { [kind]: name, reason })
      const options = { onWarning, ...(onStep ? { onStep } : {}) }
      const tenant = await applyTenantFile(store, secrets, parseTenantFile(text), (name) => issuerOf(origin, name), options)
      const found = await find(tenant)
      await Promise.all([found?.guard.ready(), found?.streamGuard.ready(), found?.renamed()])
      await found?.upstreams.changed()
      return { tenant, issuer: found?.tenant.issuer as string }
    },
    async listen() {
      for (const { guard, streamGuard } of await tenants.openAll()) await Promise.all([guard.ready(), streamGuard.ready()])
      ldap = await startLdap({ ldap: settings.ldap, store, leases, secrets, log, now, find })
      await listener.listen()
      listening = true
      await tenants.listen()
      log.info('listening', { origin, host: settings.host, port: settings.port })
    },
    tidy: housekeeping.tidy,
    reload: (next) => reload({ settings, addresses, certificate, log }, next),
    close: () => (closed ??= close()),
  }

  async function close(): Promise<void> {
    // Of a start that failed, nobody has to notice.
    if (listening) await drain.run()
    await ldap?.close()
    await housekeeping.close()
    // First: another server takes over what this one did alone.
    await leases.close()
    closing = true
    const over = app.close()
    listener.end()
    await over
    await tenants.close()
    await bus?.close()
    await dialer.close()
    await store.close()
    await intelligence.close()
    certificate?.close()
    life.close()
  }
}
