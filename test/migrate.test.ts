import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createGuard, type Guard } from '@caegis/guard'
import { createLog, moveToPostgres, recover, type SettingsInput } from '@caegis/server'
import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import type { Person } from '../packages/cli/src/demo/person.ts'
import { createFlow } from './flow.ts'
import { freePort, type Loop, PASSWORD, SCOPE, SECRET, startLoop } from './loop.ts'
import { type Postgres, query, startPostgres } from './postgres.ts'
import { killPrograms, runProgram, temporaryFolder } from './process.ts'
import { createReceiver, startEndpoint } from './signals-tenant.ts'

const PEOPLE = ['admin', 'alice', 'bob', 'carol', 'dave']
const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  groups: [{ displayName: 'staff' }],
  users: PEOPLE.map((name) => ({
    ...{ userPrincipalName: `${name}@contoso.test`, displayName: name, password: PASSWORD, groups: ['staff'] },
    ...(name === 'admin' ? { roles: ['admin'] } : {}),
  })),
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'mail-api', identifierUris: ['api://mail'], scopes: ['Mail.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
    { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default', 'api://files/.default'] },
  ],
  namedLocations: [
    {
      ...{ displayName: 'Elsewhere', isTrusted: false },
      ipRanges: [{ cidrAddress: '203.0.113.0/24' }],
    },
  ],
  conditionalAccessPolicies: [
    {
      ...{ displayName: 'Nobody from elsewhere', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['block'] } },
      conditions: {
        ...{ users: { includeUsers: ['All'] }, applications: { includeApplications: ['api://files'] } },
        locations: { includeLocations: ['Elsewhere'] },
      },
    },
  ],
})

type Rows = Record<string, string[]>

/** In an order of their own; numbers of 64 bits come as text from one of the clients, and blobs as text from both. */
const toRows = (rows: Record<string, unknown>[]) =>
  rows
    .map((row) => {
      const told = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value === null ? null : String(value))
      return JSON.stringify(
        Object.entries(row)
          .sort()
          .map(([name, value]) => [name, told(value)]),
      )
    })
    .sort()
const namesOf = (rows: Record<string, unknown>[]) => rows.map(({ name }) => String(name)).filter((name) => !/^(sqlite|kysely)_/.test(name))

/** Every row of every table. */
function dumpEmbedded(file: string): Rows {
  const db = new DatabaseSync(file, { readOnly: true })
  const all = (text: string) => db.prepare(text).all() as Record<string, unknown>[]
  const rows = namesOf(all("select name from sqlite_master where type = 'table'")).map((name) => [name, toRows(all(`select * from "${name}"`))])
  db.close()
  return Object.fromEntries(rows)
}

async function dumpPostgres(url: string): Promise<Rows> {
  const rows: Rows = {}
  for (const name of namesOf(await query(url, "select tablename as name from pg_tables where schemaname = 'public'")))
    rows[name] = toRows(await query(url, `select * from "${name}"`))
  return rows
}

const epochOf = (rows: Rows) => (rows.tenants?.[0] ?? '').match(/\["epoch","([\w-]+)"\]/)?.[1]
const withoutEpoch = (rows: Rows) => ({ ...rows, tenants: rows.tenants?.map((row) => row.replace(String(epochOf(rows)), '')) })

describe('an installation that moves to PostgreSQL', () => {
  const folder = temporaryFolder()
  const data = join(folder.path, 'data')
  const file = join(data, 'caegis.db')
  let port: number
  let postgres: Postgres
  let url: string
  let loop: Loop
  let guard: Guard
  let endpoint: Awaited<ReturnType<typeof startEndpoint>>
  let alice: Person
  let totp: TOTP
  const tokens: Record<string, string> = {}

  const start = async (environment: Record<string, string | undefined>) => {
    loop = await startLoop({ data, tenant: TENANT, environment: { CAEGIS_PORT: String(port), CAEGIS_DIAL_ALLOW: 'localhost', ...environment } })
  }
  const embedded = () => start({ DATABASE_URL: undefined, CAEGIS_KEY_SECRET: undefined })
  const there = () => ({ DATABASE_URL: url, CAEGIS_KEY_SECRET_FILE: join(data, 'key-secret') })
  const migrate = () => runProgram(['migrate', '--from', 'sqlite', '--data', data, '--json'], { env: there() })
  const log = createLog('silent')
  const refused = (more: SettingsInput) =>
    moveToPostgres({ input: { CAEGIS_DATA: data, ...there(), ...more }, log }).then(
      () => 'done',
      (error) => error,
    )
  const copyOf = (name: string) => {
    const path = join(folder.path, name)
    mkdirSync(path)
    cpSync(file, join(path, 'caegis.db'))
    return path
  }
  const edit = (where: string, text: string) => {
    const db = new DatabaseSync(join(where, 'caegis.db'))
    db.exec(text)
    db.close()
  }
  const idOf = async (name: string) => ((await (await loop.graph('GET', `/users/${name}@contoso.test`)).json()) as { id: string }).id
  const signIn = async (name: string) => createFlow(loop, { username: `${name}@contoso.test`, capable: true }).tokens()
  const revoke = async (name: string) => expect((await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)).status).toBe(200)
  const check = (token: string) => guard.check({ headers: { authorization: `Bearer ${token}` }, socket: { remoteAddress: '127.0.0.1' } })
  const allowed = async () =>
    Object.fromEntries(await Promise.all(Object.entries(tokens).map(async ([name, token]) => [name, (await check(token)).allowed])))
  const until = (ask: () => unknown, right: unknown) => expect.poll(ask, { timeout: 30_000 }).toEqual(right)
  const asExpected = { alice: true, bob: false, dave: false }

  beforeAll(async () => {
    postgres = await startPostgres()
    url = await postgres.database()
    port = await freePort()
    await embedded()
    guard = createGuard({ issuer: loop.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
    await guard.ready()
    endpoint = await startEndpoint(data)
    await createReceiver(loop, 'mail-api').create({
      delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url, authorization_header: 'Bearer theirs' },
    })
    alice = loop.person('alice')
    tokens.alice = await alice.signIn()
    for (const name of ['bob', 'dave']) tokens[name] = (await signIn(name)).accessToken

    // Carol has an authenticator app from now on.
    const browser = createBrowser()
    const account = `${loop.authority}/account`
    const page = await browser.open(account)
    await browser.open(page.url.href, { username: 'carol@contoso.test', password: PASSWORD })
    const setup = await browser.open(account, { action: 'begin' })
    totp = new TOTP({ secret: Secret.fromBase32(String(setup.text.match(/class="key">([A-Z2-7 ]+)</)?.[1]).replaceAll(' ', '')) })
    expect((await browser.open(account, { action: 'confirm', code: totp.generate() })).status).toBe(200)

    await revoke('bob')
    expect((await loop.graph('POST', '/caegis/tokens/revoke', { token: tokens.dave })).status).toBe(204)
    expect((await loop.graph('POST', '/identityProtection/riskyUsers/confirmCompromised', { userIds: [await idOf('dave')] })).status).toBe(204)
  })
  afterAll(async () => {
    await guard?.close()
    await loop?.close()
    endpoint?.close()
    await killPrograms()
    await postgres?.close()
    folder.remove()
  })

  it('is refused while a server has the data, and leaves both as they were', async () => {
    await until(allowed, asExpected)
    await until(() => endpoint.pushed.length > 0, true)
    expect(await migrate()).toMatchObject({ code: 6, stdout: '', stderr: expect.stringContaining('(data_in_use)') })
    expect(existsSync(`${file}.moved`)).toBe(false)
    await until(allowed, asExpected)
  })

  it('is refused without the key secret that sealed them, which it names, and leaves nothing behind when a row does not fit', async () => {
    await loop.close()
    // As versions have stored it that knew no better.
    edit(data, "update groups set description = 'All' || char(0) || 'of us'")
    const without = await refused({ CAEGIS_KEY_SECRET_FILE: undefined })
    expect(without).toMatchObject({
      code: 'invalid_settings',
      message: expect.stringContaining(`CAEGIS_KEY_SECRET_FILE=${join(data, 'key-secret')}`),
    })
    const settings: [SettingsInput, string][] = [
      [{ DATABASE_URL: undefined }, 'invalid_settings'],
      [{ CAEGIS_KEY_SECRET_FILE: undefined, CAEGIS_KEY_SECRET: SECRET }, 'wrong_key_secret'],
      [{ DATABASE_URL: url.replace(/:\d+/, ':1') }, 'database_unreachable'],
      [{ CAEGIS_DATA: folder.path }, 'no_data'],
    ]
    for (const [more, code] of settings) expect(await refused(more)).toMatchObject({ code })
    const slips: [string, string, RegExp][] = [
      ['update sessions set created_at = created_at + 0.5', 'move_failed', /sessions\.created_at/],
      ['create table notes (id text primary key)', 'move_failed', /notes\.id/],
      ['alter table users add column shoe_size integer', 'move_failed', /users\.shoe_size/],
      ['update events set at = at + 86400', 'clock_behind', /seconds behind/],
      ["delete from kysely_migration where name = '0081-segments'", 'data_outdated', /serve/],
      ['delete from keys', 'data_outdated', /serve/],
    ]
    for (const [at, [text, code, message]] of slips.entries()) {
      const other = copyOf(`slip${at}`)
      edit(other, text)
      expect(await refused({ CAEGIS_DATA: other }), text).toMatchObject({ code, message: expect.stringMatching(message) })
      expect(existsSync(join(other, 'caegis.db.moved'))).toBe(false)
      expect(await query(url, 'select 1 from tenants')).toEqual([])
    }
    expect(existsSync(`${file}.moved`)).toBe(false)
  })

  it('takes every row of every table with it, and begins a new epoch of the log', async () => {
    const before = dumpEmbedded(file)
    // An earlier one was cut off, nobody knows when.
    writeFileSync(`${file}.moved`, JSON.stringify({ state: 'moving', to: `127.0.0.1:${postgres.port}${new URL(url).pathname}` }))
    await expect(recover({ data, tenant: 'contoso', log })).rejects.toMatchObject({ code: 'data_moved', message: expect.stringContaining('cut off') })
    expect(await refused({ DATABASE_URL: await postgres.database() })).toMatchObject({ code: 'data_moved' })
    const moved = await migrate()
    expect(moved).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Start the server with DATABASE_URL/) })
    const { tables, replaced, rows } = JSON.parse(moved.stdout)
    expect(replaced).toBe(1)
    expect(rows).toBe(Object.values(before).flat().length)
    const after = await dumpPostgres(url)
    expect(epochOf(after)).not.toBe(epochOf(before))
    before.groups = before.groups?.map((row) => row.replace('\\u0000', '\uFFFD')) as string[]
    expect(withoutEpoch(after)).toEqual(withoutEpoch(before))
    expect(tables).toEqual(
      Object.fromEntries(
        Object.entries(before)
          .filter(([name]) => name !== 'nodes' && name !== 'leases')
          .map(([name, all]) => [name, all.length]),
      ),
    )
    // What the test has to have gone through to say something.
    for (const one of [
      'users',
      'members',
      'sessions',
      'artifacts',
      'keys',
      'factors',
      'events',
      'cutoffs',
      'streams',
      'policies',
      'locations',
      'decisions',
      'changes',
      'audits',
      'sign_ins',
      'risk_history',
      'revoked_tokens',
    ])
      expect(tables[one], one).toBeGreaterThan(0)
    expect(existsSync(file)).toBe(true)
  })

  it('is done once: neither is it done again, nor is the folder served without the database', async () => {
    expect(await refused({})).toMatchObject({ code: 'data_moved' })
    expect(await refused({ CAEGIS_DATA: copyOf('copy') })).toMatchObject({ code: 'database_not_empty' })
    expect(existsSync(join(folder.path, 'copy', 'caegis.db.moved'))).toBe(false)
    const message = expect.stringMatching(/were moved to PostgreSQL.*DATABASE_URL.*remove .*caegis\.db\.moved/)
    await expect(recover({ data, tenant: 'contoso', log })).rejects.toMatchObject({ code: 'data_moved', message })
    expect(await runProgram(['serve', '--port', String(await freePort()), '--data', data])).toMatchObject({ code: 6, stdout: '', stderr: message })
    expect(readFileSync(`${file}.moved`, 'utf8')).toContain('"moved"')
  })

  it('goes on where it was: the same guard refuses what was revoked and nothing else, nobody signs in again, and events arrive', async () => {
    const pushed = endpoint.pushed.length
    await start({ ...there(), CAEGIS_KEY_SECRET: undefined })
    const { epoch } = await loop.server.store.position(loop.tenant)
    await until(() => [guard.status().head?.epoch, guard.status().inSync], [epoch, true])
    expect(await allowed()).toEqual(asExpected)
    expect(await alice.silent()).toBe(tokens.alice)
    const renewed = await alice.msal.acquireTokenSilent({ account: alice.account(), scopes: [SCOPE], forceRefresh: true })
    tokens.again = renewed.accessToken
    expect(await allowed()).toEqual({ ...asExpected, again: true })

    // Carol's app is known still: a code of it is asked for, and taken.
    const browser = createBrowser()
    const page = await browser.open(createFlow(loop, { username: 'carol@contoso.test' }).url)
    const half = await browser.open(page.url.href, { username: 'carol@contoso.test', password: PASSWORD }, 'http://localhost')
    expect(half.text).toContain('name="code"')
    const next = totp.generate({ timestamp: Date.now() + 30_000 })
    expect(await browser.submit(half.url.href, { code: next })).toContain('/oauth2/v2.0/authorize/')

    // Triggers write again: a change moves the position that delta queries know.
    const [one] = await query(url, 'select changes from tenants')
    await revoke('alice')
    await until(allowed, { ...asExpected, alice: false, again: false })
    await until(() => endpoint.pushed.length > pushed, true)
    const [two] = await query(url, 'select changes from tenants')
    expect(Number(two?.changes)).toBe(Number(one?.changes) + 1)
  })

  it('is worked on from its host with DATABASE_URL: recover, and a tenant that the server finds', async () => {
    const env = { DATABASE_URL: url }
    const recovered = await runProgram(['recover', 'contoso', '--data', data, '--json'], { env })
    expect(recovered).toMatchObject({ code: 0 })
    expect((await loop.graph('GET', `/users/${JSON.parse(recovered.stdout).username}`)).status).toBe(200)
    expect(await runProgram(['tenant', 'create', 'fabrikam', '--data', data], { env })).toMatchObject({ code: 0 })
    expect((await fetch(`${loop.origin}/fabrikam/v2.0/.well-known/openid-configuration`)).status).toBe(200)
  })
})
