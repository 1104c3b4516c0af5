import { createGuard, type Guard, type Source } from '@caegis/guard'
import type { Subject } from '@caegis/protocol'
import { createPusher, createTransmitter, type Holds, type LaneState, type Transmitter } from '@caegis/ssf/transmitter'
import { createAuthorCheck } from './access/author.ts'
import { createBook } from './access/book.ts'
import { HORIZON } from './access/lifetime.ts'
import { createReevaluation } from './access/reevaluate.ts'
import { createWhatIf } from './access/what-if.ts'
import { dialFetch } from './dial-fetch.ts'
import { createDialer, type Dialer } from './dialer.ts'
import { findApplications, listApis } from './directory/application.ts'
import { createApplications } from './directory/applications.ts'
import { createCaeSwitch } from './directory/cae-switch.ts'
import { createContexts } from './directory/contexts.ts'
import { createDeltas } from './directory/deltas.ts'
import { createDevices } from './directory/devices.ts'
import { createDirectory } from './directory/directory.ts'
import { createFactors } from './directory/factors.ts'
import { createGroups } from './directory/groups.ts'
import { createLocations } from './directory/locations.ts'
import { ensureOwnPages } from './directory/own-pages.ts'
import { createPolicies } from './directory/policies.ts'
import { createProvisioning } from './directory/provisioning.ts'
import { createReevaluations } from './directory/reevaluations.ts'
import { createRisk } from './directory/risk.ts'
import { createRiskSettings } from './directory/risk-settings.ts'
import { createTenantFiles } from './directory/tenant-files.ts'
import { createUpstreamRegistry } from './directory/upstreams.ts'
import type { Geo } from './geo.ts'
import type { Admitted } from './graph/caller.ts'
import type { Signals } from './graph/signals.ts'
import { createIssuer, type Issuer } from './issuer/issuer.ts'
import { keySourceOf, loadKeys } from './issuer/keys.ts'
import { factsOf, verifyAccessToken } from './issuer/presented.ts'
import { apiResources, graphResource, signalsResource } from './issuer/resources.ts'
import type { Tenant } from './issuer/tenant.ts'
import type { Log } from './log.ts'
import { createAudits } from './logs/audits.ts'
import { createSignIns } from './logs/sign-ins.ts'
import type { Intelligence } from './risk/intelligence.ts'
import type { Settings } from './settings.ts'
import { createDeliveries, type Deliveries } from './signals/deliveries.ts'
import { createDeliveryList } from './signals/delivery-list.ts'
import { type Bus, publishFleet } from './signals/fleet.ts'
import { createHops } from './signals/hops.ts'
import { createInspection } from './signals/inspection.ts'
import { createOwnSource } from './signals/own-source.ts'
import { PUBLISHED } from './signals/published.ts'
import { createRenewal } from './signals/renewal.ts'
import { allEvaluate, allLive } from './signals/routes.ts'
import { shareSource } from './signals/share-source.ts'
import { createStreamStore } from './signals/stream-store.ts'
import { createArtifacts } from './store/artifacts.ts'
import type { Leases } from './store/leases.ts'
import { createLoader } from './store/loader.ts'
import type { Secrets } from './store/secrets.ts'
import type { Store } from './store/store.ts'
import { createAct } from './upstream/act.ts'
import { createUpstreams, MAX_ANSWER, type Upstreams } from './upstream/upstreams.ts'

/** Everything that serves one tenant. */
export interface TenantRooms {
  tenant: Tenant & Pick<Admitted['tenant'], 'provisioning' | 'usual'>
  /** Pages show the name that it has by now. */
  renamed(): Promise<void>
  issuer: Issuer
  transmitter: Transmitter
  deliveries: Deliveries
  signals: Signals
  /** The transmitters that this tenant listens to. */
  upstreams: Upstreams
  /** Of the admin API. */
  guard: Guard
  /** Of the stream endpoints: it stands outside what cuts off the whole tenant. */
  streamGuard: Guard
}

export interface Tenants {
  /** By name (any case: MSAL lowers it) or id; opened at the first call. */
  find(nameOrId: string): Promise<TenantRooms | undefined>
  /** Opens all that there are: their guards follow the log, their push streams are served. */
  openAll(): Promise<TenantRooms[]>
  /** From now on upstreams are listened to, those of tenants that are opened later, too: another process may make one at any time. */
  listen(): Promise<void>
  /** For each that is open, whether what guards this server's own doors knows what was revoked. */
  inSync(): boolean[]
  close(): Promise<void>
}

export interface TenantsOptions {
  settings: Settings
  store: Store
  /** What one server at a time does. */
  leases: Leases
  secrets: Secrets
  dialer: Dialer
  intelligence: Intelligence & Pick<Geo, 'countryOf'>
  /** The broker of guard fleets. */
  bus: Bus | undefined
  /** Of the polls that this process holds. */
  holds: Holds
  /** Told what the fence said of each attempt. */
  onFence(outcome: string): void
  log: Log
  now: () => number
}

/** Seconds without a call after which a guard's stream is dropped: its replica is gone, and would hold back long-lived tokens for good (rule I5). */
const GUARD_IDLE = 300

/** Milliseconds for which an upstream may hold a poll. */
const HELD = 90_000

/** Opens tenants, each with rooms of its own: keys, directory, issuer, streams, guard. */
export function createTenants({ settings, store, leases, secrets, dialer, intelligence, bus, holds, onFence, log, now }: TenantsOptions): Tenants {
  const { origin } = settings
  const { countryOf } = intelligence
  const opened = new Map<string, Promise<TenantRooms>>()
  const named = new Map<string, TenantRooms>()
  let listening = false

  async function open(id: string, name: string, displayName: string): Promise<TenantRooms> {
    const issuer = issuerOf(origin, name)
    const base = `${origin}/${name}`
    const keys = await loadKeys(store, secrets, id, settings.keyRotation)
    await store.db.updateTable('tenants').set({ issuer }).where('id', '=', id).execute()
    await ensureOwnPages(store, id, { origin, base })
    const deliveries: Deliveries = createDeliveries(store, id, (limit) => streams.firstStreams(limit))
    const streams = createStreamStore(store, secrets, id, issuer, deliveries.record, HORIZON)
    const directory = createDirectory(store, id, issuer, (sids) => void provided.tellClients(sids))
    const book = createBook(store, id)
    const signIns = createSignIns(store, id)
    const tenant: Tenant & Pick<Admitted['tenant'], 'provisioning' | 'usual'> = {
      ...{ id, name, displayName, issuer, base, keys },
      artifacts: createArtifacts(id, secrets),
      directory,
      factors: createFactors(store, secrets, id, issuer),
      groups: createGroups(store, id),
      deltas: createDeltas(store, id),
      devices: createDevices(store, id),
      policies: createPolicies(store, id),
      locations: createLocations(store, id),
      contexts: createContexts(store, id),
      caeSwitch: createCaeSwitch(store, id),
      risk: createRisk(store, id, issuer, directory),
      riskSettings: createRiskSettings(store, id, intelligence.given),
      intelligence,
      upstreams: createUpstreamRegistry(store, secrets, id, issuer),
      tenantFiles: createTenantFiles(store, secrets, id, issuer, directory),
      signIns,
      audits: createAudits(store, id),
      applications: createApplications(store, id, secrets),
      book,
      wouldBlock: createAuthorCheck(store, id, book, countryOf),
      whatIf: createWhatIf(store, id, book, signIns, countryOf),
      reevaluations: createReevaluations(store, id),
      provisioning: createProvisioning(store, id),
      usual: { lifetimes: settings.lifetimes, logRetention: settings.logRetention },
      countryOf,
      ownGuard: { live: true, addresses: true, countries: settings.countryDb !== undefined },
      application: createLoader((appIds) => findApplications(store.db, id, appIds)),
      async readToken(text) {
        const claims = await verifyAccessToken(store, tenant, text)
        return claims && factsOf(claims)
      },
      resources: async () => [graphResource(origin), signalsResource(`${base}/ssf`), ...apiResources(await listApis(store.db, id))],
    }
    const transmission = {
      ...{ issuer, now, log, store: streams, base: `${base}/ssf`, jwksUri: `${base}/discovery/v2.0/keys` },
      sign: async (payload: object, header: { typ: string; alg: 'ES256' | 'RS256' }) => keys.sign(payload, header),
      maxStaleness: settings.maxStaleness,
      horizon: HORIZON,
      guardInactivityTimeout: GUARD_IDLE,
      push: true as const,
      legacyDraft: settings.legacyDraft,
      events: PUBLISHED,
      // The log names people by the issuer's own id; receivers know them by their address.
      async subjectOf(subject: Subject): Promise<Subject | undefined> {
        const user = subject.format === 'email' ? await tenant.directory.user(String(subject.email)) : undefined
        return user && { format: 'iss_sub', iss: issuer, sub: user.id }
      },
      onAhead: createRenewal(store, id, log),
      holds: { enter: (receiver: string, end: () => void) => holds.enter(`${id} ${receiver}`, end) },
    }
    const own = shareSource(createOwnSource({ store, secrets, tenant: id, issuer, api: origin, horizon: HORIZON, log }))
    const guardOf = (audience: string, source: Source) =>
      createGuard({
        ...{ issuer, now, log, audience, source, horizon: HORIZON, clientId: 'caegis' },
        country: tenant.countryOf,
        origin,
        keys: keySourceOf(issuer, keys),
        authorizationUri: `${base}/oauth2/v2.0/authorize`,
      })
    /** Back-channel logout: once, without anybody waiting for it. The token is worth nothing to who should not have it, and is in no log all the same. */
    const tell = (uri: string, body: string) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      dialer.send({ url: uri, headers, body, maxBody: 1024, signal: AbortSignal.timeout(10_000) }).then(
        ({ status }) => status !== 200 && status !== 204 && log.warn('a client did not take a logout token', { tenant: name, status }),
        (error: Error & { code?: string }) => log.warn('a client could not be told of a sign-out', { tenant: name, code: error.code ?? error.name }),
      )
    }
    const transmitter = createTransmitter(transmission)
    const provided = createIssuer(tenant, {
      ...{ store, secrets, log, tell, onFence },
      lifetimes: settings.lifetimes,
      loopLimit: settings.loopLimit,
      async guardsOf(appId) {
        const { epoch, asOf } = await store.position(id)
        const found = await streams.listStreams(appId)
        return {
          live: allLive(found, asOf, settings.maxStaleness, epoch),
          addresses: allEvaluate(found, 'ip'),
          countries: allEvaluate(found, 'country'),
        }
      },
    })
    const upstreams = createUpstreams({
      ...{ store, log, now, tenant, registry: tenant.upstreams },
      act: createAct({ store, log, tenant, directory: tenant.directory }),
      hold: (begin) => leases.hold(`upstreams ${id}`, begin),
      connect() {
        const way = createDialer({ allow: () => settings.dialAllow, connections: 4 })
        return { fetch: dialFetch(way, { maxBody: MAX_ANSWER + 1, patience: HELD }), close: way.close }
      },
    })
    const inspection = createInspection(store, id)
    const { committedAt, countDeadLetters } = inspection
    // Each by the node that holds the lease: two pushers would deliver everything twice, and could turn the order of two events about one subject around.
    const pushing = leases.hold(`push ${id}`, () => {
      const pusher = createPusher({ ...transmission, send: (request) => dialer.send(request) })
      return { close: pusher.close, report: pusher.status }
    })
    const { sign, onAhead } = transmission
    if (bus) leases.hold(`fleet ${id}`, () => publishFleet({ ...{ bus, issuer, log, store: streams, sign, onAhead }, keys: () => keys.public }))
    leases.hold(`reevaluation ${id}`, () => {
      const reevaluation = createReevaluation({ store, tenant: id, book: tenant.book, log })
      // What an earlier process has left goes on.
      reevaluation.start()
      return reevaluation
    })
    if (listening) upstreams.run().catch((error: Error) => log.error('upstreams cannot be looked at', { tenant: id, message: error.message }))
    const lanes = async () => ((await pushing.report()) ?? []) as LaneState[]
    const hops = createHops({ store, tenant: id, streams, lanes, committedAt, countDeadLetters, maxStaleness: settings.maxStaleness })
    return {
      tenant,
      async renamed() {
        tenant.displayName = (await directory.organization.read()).displayName
      },
      upstreams,
      issuer: provided,
      transmitter,
      deliveries,
      signals: {
        ...{ transmitter, lanes, streams, deliveries, inspection, hops, maxStaleness: settings.maxStaleness },
        deliveryList: createDeliveryList(store, id, issuer, settings.legacyDraft),
      },
      guard: guardOf(origin, own.everything),
      streamGuard: guardOf(`${base}/ssf`, own.streams),
    }
  }

  async function find(nameOrId: string): Promise<TenantRooms | undefined> {
    const key = nameOrId.toLowerCase()
    if (!/^[a-z0-9-]{2,40}$/.test(key)) return undefined
    // Neither a name nor an id ever means another tenant.
    const met = named.get(key)
    if (met) return met
    const row = await store.db
      .selectFrom('tenants')
      .select(['id', 'name', 'display_name'])
      .where((eb) => eb.or([eb('name', '=', key), eb('id', '=', key)]))
      .executeTakeFirst()
    if (!row) return undefined
    const opening = opened.get(row.id) ?? open(row.id, row.name, row.display_name)
    opened.set(row.id, opening)
    // What failed once may work the next time; it must not be remembered.
    opening.then(
      (rooms) => named.set(key, rooms),
      () => opened.delete(row.id),
    )
    return opening
  }

  async function openAll(): Promise<TenantRooms[]> {
    const rows = await store.db.selectFrom('tenants').select('id').execute()
    return Promise.all(rows.map(async ({ id }) => (await find(id)) as TenantRooms))
  }

  return {
    find,
    openAll,
    async listen() {
      listening = true
      for (const { upstreams } of await openAll()) await upstreams.run()
    },
    inSync: () => [...new Set(named.values())].map(({ guard, streamGuard }) => guard.status().inSync && streamGuard.status().inSync),
    async close() {
      for (const one of opened.values()) {
        await one
          .then(async ({ guard, streamGuard, deliveries, upstreams, tenant }) => {
            await Promise.all([guard.close(), streamGuard.close(), upstreams.close()])
            // While the database is away, each of them says so; what they hold is put off all the same, and tried once more at the very end.
            await Promise.allSettled([deliveries.close(), tenant.signIns.flush(), tenant.audits.flush()])
          })
          .catch(() => {})
      }
    },
  }
}

export function issuerOf(origin: string, name: string): string {
  return `${origin}/${name}/v2.0`
}
