import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGuard, type Guard, type GuardOptions } from '@caegis/guard'
import { createServer, readSettings, type Server, type Settings, type SettingsInput } from '@caegis/server'
import { createPerson, type Person, type PersonOptions } from '../packages/cli/src/demo/person.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { createDatabase } from './postgres.ts'
import { freePorts, storeBeside } from './process.ts'

export const PASSWORD = 'correct horse battery'
export const SECRET = 'a-secret-that-is-long-enough-for-a-test'
export const SCOPE = 'api://files/Files.Read'

/** The tenant of the tests: two people and an admin, an API, a client of each kind. */
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: [
    { userPrincipalName: 'admin@contoso.test', displayName: 'Admin', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', displayName: 'Alice', password: PASSWORD },
    { userPrincipalName: 'bob@contoso.test', displayName: 'Bob', password: PASSWORD },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'api://files/.default'] },
  ],
})

export interface LoopOptions {
  /** Milliseconds; the server's clock. */
  now?: () => number
  settings?: Partial<Settings>
  environment?: SettingsInput
  /** A tenant file (YAML) instead of the usual one. */
  tenant?: string
  data?: string
}

/** Who calls an issuer, whatever serves it. */
export interface Callers {
  origin: string
  issuer: string
  authority: string
  /** A guard for `api://files` that follows the server; ready. */
  guard(options?: Partial<GuardOptions>): Promise<Guard>
  person(name: 'alice' | 'bob' | 'admin', options?: Partial<PersonOptions>): Person
  /** A request to the admin API as the daemon `nightly`. */
  graph(method: string, path: string, body?: unknown): Promise<Response>
  /** A token by client credentials, straight from the token endpoint. */
  daemonToken(clientId: string, scope: string): Promise<string>
  /** A POST to the token endpoint. */
  token(form: Record<string, string>): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }>
}

export interface Loop extends Callers {
  server: Server
  settings: Settings
  data: string
  /** Tenant id. */
  tenant: string
  close(): Promise<void>
}

/** Starts a real server over TLS on a free port with data of its own; everything that it made is closed with it. */
export async function startLoop(options: LoopOptions = {}): Promise<Loop> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), 'caegis-test-'))
  const port = await freePort()
  const settings = {
    ...readSettings({ CAEGIS_DATA: data, CAEGIS_PORT: String(port), CAEGIS_LOG: 'silent', ...(await storeOf(data)), ...options.environment }),
    ...options.settings,
  }
  const server = await createServer({ settings, ...(options.now ? { now: options.now, storeClock: options.now } : {}) })
  const { tenant, issuer } = await server.apply(options.tenant ?? TENANT)
  await server.listen()
  trustLocalCa(data)
  const callers = createCallers(server.origin, issuer)
  return {
    ...{ server, settings, data, tenant, ...callers },
    async close() {
      await callers.close()
      await server.close()
      if (options.data === undefined) rmSync(data, { recursive: true, force: true })
    },
  }
}

/** @returns also what closes the guards that were made */
export function createCallers(origin: string, issuer: string): Callers & { close(): Promise<void> } {
  const authority = issuer.slice(0, -'/v2.0'.length)
  const guards: Guard[] = []

  const token: Callers['token'] = async (form) => {
    const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    return { status: response.status, body: (await response.json()) as Record<string, unknown>, headers: response.headers }
  }
  const daemonToken: Callers['daemonToken'] = async (clientId, scope) => {
    const { status, body } = await token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, scope })
    if (status !== 200) throw new Error(`the token endpoint answered ${status} ${JSON.stringify(body)}`)
    return String(body.access_token)
  }

  return {
    ...{ origin, issuer, authority, token, daemonToken },
    async guard(more = {}) {
      const guard = createGuard({ issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET, ...more })
      guards.push(guard)
      await guard.ready()
      return guard
    },
    person: (name, more = {}) =>
      createPerson({
        ...{
          authority,
          clientId: name === 'admin' ? 'caegis-cli' : 'files-native',
          scopes: [name === 'admin' ? `${origin}/User.ReadWrite.All` : SCOPE],
        },
        ...{ username: `${name}@contoso.test`, password: PASSWORD },
        ...more,
      }),
    async graph(method, path, body) {
      return fetch(`${origin}/v1.0${path}`, {
        method,
        headers: {
          authorization: `Bearer ${await daemonToken('nightly', `${origin}/.default`)}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    },
    async close() {
      for (const guard of guards) await guard.close()
    },
  }
}

/**
 * `npm run test:postgres` names a server: each data folder has a database of its own there, and the whole suite stores in it, commands on the folder included.
 * Otherwise it is the embedded one.
 */
export async function storeOf(data: string): Promise<SettingsInput> {
  const server = process.env.CAEGIS_TEST_POSTGRES
  const file = join(data, 'store.json')
  if (server && !existsSync(file)) {
    mkdirSync(data, { recursive: true, mode: 0o700 })
    writeFileSync(file, JSON.stringify({ DATABASE_URL: await createDatabase(server), CAEGIS_KEY_SECRET: SECRET }))
  }
  return storeBeside(data)
}

/** Stops the next transaction of the fence at its door: the decision is taken, nothing has left yet. */
export function holdNextMint(loop: Loop): { held: Promise<void>; release(): void } {
  const { store } = loop.server
  const real = store.transaction
  const held = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  store.transaction = async (lock, work) => {
    // Leases and guesses have transactions too.
    if (!('tenant' in lock) || lock.also === undefined) return real(lock, work)
    store.transaction = real
    held.resolve()
    await gate.promise
    return real(lock, work)
  }
  return { held: held.promise, release: () => gate.resolve() }
}

/** What a guard says of a bearer token. */
export async function verdictOf(guard: Guard, token: string) {
  return guard.check({ headers: { authorization: `Bearer ${token}` } })
}

/** Asks until the answer is right; fails with the last one after five seconds, or after more where programs have to start first. */
export async function eventually<T>(ask: () => T | Promise<T>, right: (answer: T) => boolean, what = 'it', within = 5000): Promise<T> {
  const end = Date.now() + within
  for (;;) {
    const answer = await ask()
    if (right(answer)) return answer
    if (Date.now() > end) throw new Error(`${what} did not come true: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The claims of a token, unverified. */
export function claimsOf(token: string): Record<string, unknown> & { iat: number; exp: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString())
}

export function freePort(): Promise<number> {
  return freePorts(1)
}
