import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createServer, localTls, readSettings, type Server, type SettingsInput } from '@caegis/server'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { type Balancer, startBalancer } from './balancer.ts'
import { type Callers, createCallers, PASSWORD, SCOPE, SECRET } from './loop.ts'
import { type Postgres, query, startPostgres } from './postgres.ts'
import { freePorts, temporaryFolder } from './process.ts'

const daemon = (appId: string, ...permissions: string[]) => ({ ...{ appId, type: 'daemon', clientSecret: SECRET, permissions } })

/** One of each that these tests need. */
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: ['admin', 'second', 'alice', 'bob', 'carol', 'dave', 'erin'].map((name) => ({
    ...{ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD },
    ...(name === 'admin' || name === 'second' ? { roles: ['admin'] } : {}),
  })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'album', displayName: 'Photo Album', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE], consent: 'required' },
    daemon(
      'nightly',
      'graph/User.ReadWrite.All',
      'graph/Policy.ReadWrite.ConditionalAccess',
      'graph/SecurityEvents.ReadWrite.All',
      'api://files/.default',
    ),
    daemon('watcher', 'graph/SecurityEvents.Read.All', 'graph/AuditLog.Read.All'),
  ],
})

export type Name = 'a' | 'b'
const NAMES = ['a', 'b'] as const

/** Two servers over one PostgreSQL, behind one origin. */
export interface Pair extends Callers {
  balancer: Balancer
  postgres: Postgres
  /** The database of both. */
  url: string
  /** Sets the database's clock forward or back, by seconds. */
  shift(seconds: number): Promise<void>
  close(): Promise<void>
}

/** Both in the process of the test. */
export interface ServerPair extends Pair {
  a: Server
  b: Server
}

interface World extends Pair {
  settingsOf(name: Name): SettingsInput
}

async function createWorld(environment: SettingsInput, durable: boolean): Promise<World> {
  const folder = temporaryFolder()
  const postgres = await startPostgres({ durable })
  const url = await postgres.database()
  const tls = await localTls(folder.path, Date.now())
  trustLocalCa(folder.path)
  const first = await freePorts(NAMES.length)
  const ports = { a: first, b: first + 1 }
  const balancer = await startBalancer(tls, ports)
  const origin = `https://localhost:${balancer.port}`
  const callers = createCallers(origin, `${origin}/contoso/v2.0`)
  return {
    ...callers,
    ...{ balancer, postgres, url },
    settingsOf(name) {
      const data = join(folder.path, name)
      mkdirSync(data)
      return {
        ...{ CAEGIS_DATA: data, CAEGIS_ORIGIN: origin, CAEGIS_PORT: String(ports[name]), CAEGIS_HOST: '127.0.0.1', CAEGIS_LOG: 'silent' },
        ...{ CAEGIS_TLS: 'off', CAEGIS_TRUSTED_PROXIES: '127.0.0.1', CAEGIS_KEY_SECRET: SECRET, DATABASE_URL: url, CAEGIS_DIAL_ALLOW: 'localhost' },
        ...environment,
      }
    },
    async shift(seconds) {
      const body = `select extract(epoch from clock_timestamp())::float8 + ${seconds}`
      await query(url, `create or replace function caegis_clock() returns double precision language sql volatile as '${body}'`)
    },
    async close() {
      await callers.close()
      await balancer.close()
      await postgres.close()
      folder.remove()
    },
  }
}

export interface PairOptions {
  environment?: SettingsInput
  /** Seconds by which each machine's own clock is wrong. */
  skew?: Record<Name, number>
  /** What the database has acknowledged outlives its end. */
  durable?: boolean
}

export async function startPair({ environment = {}, skew = { a: 0, b: 0 }, durable = false }: PairOptions = {}): Promise<ServerPair> {
  const world = await createWorld(environment, durable)
  const make = (name: Name) => createServer({ settings: readSettings(world.settingsOf(name)), now: () => Date.now() + skew[name] * 1000 })
  const a = await make('a')
  await a.apply(TENANT)
  const b = await make('b')
  for (const one of [a, b]) await one.listen()
  return {
    ...{ ...world, a, b },
    // The last to go is the database.
    async close() {
      await Promise.all([a.close(), b.close()])
      await world.close()
    },
  }
}
