import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer as createHttps, type Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createGuard, type Guard, type GuardOptions } from '@caegis/guard'
import { fleet } from '@caegis/guard/fleet'
import { createGateway } from '@caegis/guard/gateway'
import { type GuardedRequest, protect } from '@caegis/guard/node'
import { createServer, localTls, readSettings, type Server } from '@caegis/server'
import { createReceiver, nodeHandler, type ReceivedEvent, type Receiver } from '@caegis/ssf/receiver'
import { trustLocalCa } from '../../packages/cli/src/trust.ts'
import { type Callers, createCallers, PASSWORD, SCOPE, SECRET } from '../../test/loop.ts'
import { createNats, FOLLOWER, type Nats, PUBLISHER } from '../../test/nats.ts'
import { type Postgres, startPostgres } from '../../test/postgres.ts'
import { freePorts, temporaryFolder } from '../../test/process.ts'
import { type Frames, startFrames } from './frames.ts'
import { type Link, startLink } from './link.ts'
import type { Random } from './random.ts'
import type { Watched } from './watch.ts'
import { startWire, type Wire } from './wire.ts'

/** Seconds: small, so that real ones pass quickly. */
export const BOUND = 2
export const TRUST = 4
const SPREAD = 1

export type StoreKind = 'sqlite' | 'postgres'
export const PEOPLE = 40
export const nameOf = (person: number) => `p${person}@contoso.test`

const TENANT = JSON.stringify({
  tenant: { name: 'contoso' },
  users: Array.from({ length: PEOPLE }, (_, i) => ({ userPrincipalName: nameOf(i), displayName: `Person ${i}`, password: PASSWORD })),
  groups: [{ displayName: 'staff' }],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    {
      appId: 'nightly',
      type: 'daemon',
      clientSecret: SECRET,
      permissions: ['graph/User.ReadWrite.All', 'graph/Group.ReadWrite.All', 'api://files/.default'],
    },
  ],
})

/** One party's way to the broker. */
export interface Broker {
  wire: Wire
  frames: Frames
}

/** What a receiver's handlers were given. */
export interface Heard {
  txn: string
  user: string
}

export interface World extends Pick<Callers, 'origin' | 'issuer' | 'authority' | 'token' | 'daemonToken'> {
  store: StoreKind
  /** The one behind the links; and the one that is asked past them, which may be the same. */
  server: Server
  truth: Server
  links: Record<'guard' | 'fleet' | 'receiver' | 'token' | 'admin' | 'api' | 'push', Link>
  brokers: Record<'server' | 'guard', Broker>
  database: Wire | undefined
  guards: Watched[]
  /** One more guard, over the link of the first two. */
  newcomer(): Guard
  receivers: Record<'push' | 'poll', { receiver: Receiver; heard: Heard[] }>
  /** Responses of the API that go on until their caller may do so no more: open ones. */
  streams: Set<string>
  heal(): void
  close(): Promise<void>
}

/** Servers, guards, receivers and an API in this process, a database and a broker beside it, and a proxy between every two of them. */
export async function startWorld(store: StoreKind, random: Random): Promise<World> {
  const ends: (() => unknown)[] = []
  const close = async () => {
    for (const end of ends.splice(0).reverse()) await end()
  }
  try {
    return await build(store, random, ends, close)
  } catch (error) {
    await close()
    throw error
  }
}

async function build(store: StoreKind, random: Random, ends: (() => unknown)[], close: () => Promise<void>): Promise<World> {
  const folder = temporaryFolder()
  ends.push(() => folder.remove())
  const tls = await localTls(folder.path, Date.now())
  trustLocalCa(folder.path)
  const [nats, postgres]: [Nats, Postgres | undefined] = await Promise.all([createNats(), store === 'postgres' ? startPostgres() : undefined])
  ends.push(
    () => nats.close(),
    () => postgres?.close(),
  )
  const brokerOf = async (): Promise<Broker> => {
    const wire = await startWire(Number(new URL(nats.url).port), random)
    const frames = await startFrames(wire.port, random)
    ends.push(
      () => frames.close(),
      () => wire.close(),
    )
    return { wire, frames }
  }
  const brokers = { server: await brokerOf(), guard: await brokerOf() }
  const database = postgres && (await startWire(postgres.port, random))
  ends.push(() => database?.close())
  const url = await postgres?.database()

  const first = await freePorts(2)
  const origin = `https://localhost:${first}`
  const start = async (name: string, port: number, through: number | undefined): Promise<Server> => {
    const data = name === 'truth' ? folder.path : join(folder.path, name)
    mkdirSync(data, { recursive: true })
    const settings = readSettings({
      ...{ CAEGIS_DATA: data, CAEGIS_ORIGIN: origin, CAEGIS_PORT: String(port), CAEGIS_LOG: 'silent', CAEGIS_LOOP_LIMIT: '9999999' },
      ...{ CAEGIS_DIAL_ALLOW: 'localhost', CAEGIS_KEY_SECRET: SECRET },
      ...{ CAEGIS_TLS_CERT: join(folder.path, 'cert.pem'), CAEGIS_TLS_KEY: join(folder.path, 'key.pem') },
      ...{ NATS_URL: `nats://localhost:${brokers.server.frames.port}`, NATS_USER: PUBLISHER.user, NATS_PASSWORD: PUBLISHER.pass },
      ...(url && { DATABASE_URL: at(url, through) }),
    })
    const server = await createServer({ settings: { ...settings, maxStaleness: BOUND } })
    ends.push(() => server.close())
    if (name === 'truth') await server.apply(TENANT)
    await server.listen()
    return server
  }
  writeFileSync(join(folder.path, 'cert.pem'), tls.cert)
  writeFileSync(join(folder.path, 'key.pem'), tls.key, { mode: 0o600 })
  const truth = await start('truth', first, undefined)
  const server = database ? await start('other', first + 1, database.port) : truth
  const port = database ? first + 1 : first
  const callers = createCallers(origin, `${origin}/contoso/v2.0`)
  const { issuer } = callers
  const link = async (to: number) => {
    const made = await startLink(to, tls, random)
    ends.push(() => made.close())
    return made
  }
  const names = ['guard', 'fleet', 'receiver', 'token', 'admin'] as const
  const toServer = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await link(port)] as const))) as Record<
    (typeof names)[number],
    Link
  >

  const guardOf = (through: Link, more: Partial<GuardOptions> = {}) =>
    createGuard({
      ...{ issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET, fetch: through.fetch },
      ...{ maxStaleness: BOUND, trustStale: TRUST - SPREAD, trustStaleSpread: SPREAD, trustedProxies: ['127.0.0.1', '::1'] },
      ...more,
    })
  const broker = { servers: `nats://localhost:${brokers.guard.frames.port}`, user: FOLLOWER.user, pass: FOLLOWER.pass }
  const guards: Watched[] = [
    { name: 'strict', guard: guardOf(toServer.guard, { staleness: 'strict' }), strict: true },
    { name: 'lenient', guard: guardOf(toServer.guard), strict: false },
    { name: 'fleet', guard: guardOf(toServer.fleet, { staleness: 'strict', fleet: fleet(broker) }), strict: true },
  ]
  ends.push(() => Promise.all(guards.map(({ guard }) => guard.close())))

  const streams = new Set<string>()
  const api = createApi(tls, (guards[0] as Watched).guard, streams)
  const apiPort = await listening(api, ends)
  const receivers = {} as World['receivers']
  const pushed = createHttps({ cert: tls.cert, key: tls.key })
  const push = await link(await listening(pushed, ends))
  for (const name of ['push', 'poll'] as const) {
    const heard: Heard[] = []
    const through = name === 'push' ? fetch : toServer.receiver.fetch
    const receiver = createReceiver({
      transmitter: issuer,
      credentials: { clientId: 'mail-api', clientSecret: SECRET },
      delivery:
        name === 'poll'
          ? 'poll'
          : { push: { endpointUrl: `https://localhost:${push.wire.port}/ssf`, authorizationHeader: 'Bearer of-the-receiver' } },
      ...{ description: name, waitSeconds: 1, fetch: through },
      timing: { timeout: 4000, grace: 3000, backoff: [100, 1000], retry: [100, 1000] },
      on: {
        '*': (event: ReceivedEvent) => {
          const { subject, txn } = event as { subject: { sub?: string }; txn?: string }
          heard.push({ txn: txn ?? '', user: subject.sub ?? '' })
        },
      },
    })
    if (name === 'push') pushed.on('request', nodeHandler(receiver))
    receivers[name] = { receiver, heard }
    ends.push(() => receiver.close())
    await receiver.start()
  }
  await Promise.all(guards.map(({ guard }) => guard.ready()))
  const links = { ...toServer, push, api: await link(apiPort) }
  return {
    ...callers,
    ...{ store, server, truth, links, brokers, database, guards, receivers, streams, close },
    newcomer: () => guardOf(toServer.guard, { staleness: 'strict' }),
    heal() {
      for (const one of Object.values(links)) one.heal()
      for (const { wire, frames } of Object.values(brokers)) {
        wire.heal()
        frames.heal()
      }
      database?.heal()
    },
  }
}

/** The same database at another port of this machine. */
function at(url: string, port: number | undefined): string {
  const changed = new URL(url)
  if (port !== undefined) {
    changed.hostname = 'localhost'
    changed.port = String(port)
  }
  return changed.href
}

/** `/files` for whoever may, `/stream` for as long as they may, and what a proxy asks of the gateway. */
function createApi({ cert, key }: { cert: string; key: string }, guard: Guard, streams: Set<string>): HttpsServer {
  const guarded = protect(guard)
  const gateway = createGateway({
    ...{ guard, trustedProxies: ['127.0.0.1', '::1'] },
    assertion: { issuer: 'urn:gateway', audience: 'urn:application' },
  })
  return createHttps({ cert, key }, (request, response) => {
    if (request.url?.startsWith('/auth/')) return gateway.handle(request, response)
    guarded(request, response, () => {
      if (!request.url?.startsWith('/stream')) return void response.setHeader('content-type', 'application/json').end('{"files":[]}')
      const name = request.url
      streams.add(name)
      response.write('.')
      const { signal } = (request as GuardedRequest).auth
      const over = () => {
        streams.delete(name)
        response.destroy()
      }
      if (signal.aborted) over()
      else signal.addEventListener('abort', over, { once: true })
      response.once('close', () => streams.delete(name))
    })
  })
}

async function listening(server: HttpsServer, ends: (() => unknown)[]): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  ends.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
