import { chmodSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { request as askHttps, createServer as createHttps } from 'node:https'
import { type AddressInfo, createServer as createNet } from 'node:net'
import { localTls } from '@caegis/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { freePort, type Loop, PASSWORD, SECRET, startLoop } from './loop.ts'
import { killPrograms, runProgram, temporaryFolder } from './process.ts'

interface Report {
  healthy: boolean
  checks: { check: string; state: string; says: string; next?: string }[]
}

const daemon = (appId: string, permission: string) => ({ appId, type: 'daemon', clientSecret: SECRET, permissions: [permission] })
let loop: Loop
const folder = temporaryFolder()
const closing: (() => void)[] = []
beforeAll(async () => {
  loop = await startLoop({
    tenant: JSON.stringify({
      tenant: { name: 'contoso' },
      users: [{ userPrincipalName: 'admin@contoso.test', password: PASSWORD, roles: ['admin'] }],
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], cae: true, clientSecret: SECRET },
        daemon('everything', 'graph/.default'),
        daemon('little', 'graph/User.Read.All'),
      ],
    }),
  })
})
afterAll(async () => {
  await killPrograms()
  for (const close of closing) close()
  await loop.close()
  folder.remove()
})

const env = (more: Record<string, string> = {}) => ({
  ...{ CAEGIS_DATA: loop.data, CAEGIS_ORIGIN: loop.origin, CAEGIS_TENANT: 'contoso', XDG_CONFIG_HOME: folder.path },
  ...{ CAEGIS_CLIENT_ID: 'everything', CAEGIS_CLIENT_SECRET: SECRET },
  ...more,
})
/** What the doctor says of each thing, with what is broken for it alone. */
async function examine(more: Record<string, string> = {}) {
  const { code, stdout, stderr } = await runProgram(['doctor', '--json'], { env: env(more) })
  expect(stderr).toBe('')
  const report = JSON.parse(stdout) as Report
  expect(code).toBe(report.healthy ? 0 : 1)
  const of = (check: string) => report.checks.filter((one) => one.check === check).map(({ state }) => state)
  return { ...report, of, said: (check: string) => report.checks.find((one) => one.check === check) }
}
const listening = async (server: { listen(port: number, host: string, done: () => void): unknown; close(): unknown; address(): unknown }) => {
  await new Promise<void>((resolve) => void server.listen(0, 'localhost', resolve))
  closing.push(() => server.close())
  return (server.address() as AddressInfo).port
}

describe('caegis doctor', () => {
  it('finds nothing wrong where nothing is, and asks for a guard where there is none', async () => {
    const { healthy, of, checks } = await examine()
    expect(checks.filter(({ state }) => state === 'fail')).toEqual([])
    expect(healthy).toBe(true)
    for (const check of ['node', 'data folder', 'server', 'certificate', 'clock', 'tenant', 'origin', 'sign-in', 'tenant state', 'proxies'])
      expect(of(check), check).toEqual(['ok'])
    for (const check of ['upstreams', 'ldap', 'broker']) expect(of(check), check).toEqual(['skipped'])
    expect(of('streams')).toEqual(['warn'])
    await loop.guard()
    const text = await runProgram(['doctor'], { env: env() })
    expect(text).toMatchObject({ code: 0, stderr: '' })
    expect(text.stdout).toMatch(/^ok +streams +the one receiver is up to date$/m)
    expect(text.stdout).toMatch(/^- +broker +NATS_URL is not set/m)
  })

  it('finds a server that is not there, one that is another, and one that speaks no TLS', async () => {
    const gone = await examine({ CAEGIS_ORIGIN: `https://localhost:${await freePort()}` })
    expect(gone.said('server')).toMatchObject({
      state: 'fail',
      says: expect.stringContaining('ECONNREFUSED'),
      next: expect.stringContaining('CAEGIS_PORT'),
    })
    expect(gone.of('sign-in')).toEqual([])
    const plain = await examine({ CAEGIS_ORIGIN: `https://localhost:${await listening(createHttp((_, answer) => answer.end('hello')))}` })
    expect(plain.said('server')).toMatchObject({ state: 'fail', says: expect.stringContaining('no TLS') })
    const leaf = await localTls(loop.data, Date.now())
    const other = await examine({ CAEGIS_ORIGIN: `https://localhost:${await listening(createHttps(leaf, (_, answer) => answer.end('hello')))}` })
    expect(other.said('server')).toMatchObject({ state: 'fail', says: expect.stringContaining('is no CAEgis') })
    expect((await examine({ CAEGIS_ORIGIN: 'https://no-such-host.invalid' })).said('server')).toMatchObject({
      state: 'fail',
      says: expect.stringContaining('not known'),
    })
  })

  it('finds a certificate that is not trusted, a clock that is wrong, and an origin that is another', async () => {
    const strange = await examine({ CAEGIS_DATA: folder.path })
    expect(strange.of('server')).toEqual(['ok'])
    expect(strange.said('certificate')).toMatchObject({ state: 'fail', next: expect.stringContaining('CAEGIS_DATA') })
    // A proxy that passes everything on under another origin, with the clock of another time.
    const leaf = await localTls(loop.data, Date.now())
    const ca = leaf.cert
    const far = createHttps(leaf, (request, answer) => {
      const onward = askHttps(`${loop.origin}${request.url}`, { method: request.method ?? 'GET', rejectUnauthorized: false, ca }, (from) => {
        answer.writeHead(from.statusCode ?? 500, { ...from.headers, date: new Date(Date.now() + 600_000).toUTCString() })
        from.pipe(answer)
      })
      request.pipe(onward)
    })
    const elsewhere = await examine({ CAEGIS_ORIGIN: `https://localhost:${await listening(far)}` })
    expect(elsewhere.said('clock')).toMatchObject({ state: 'fail', says: expect.stringMatching(/(599|600|601) s apart \(this machine is behind\)/) })
    expect(elsewhere.said('origin')).toMatchObject({ state: 'fail', says: expect.stringContaining(loop.origin) })
  })

  it('finds a tenant that is not there, a sign-in that is none, and says what it may not look at', async () => {
    expect((await examine({ CAEGIS_TENANT: 'fabrikam' })).said('tenant')).toMatchObject({
      state: 'fail',
      next: expect.stringContaining('caegis tenant create fabrikam'),
    })
    // Nobody signs in by hand in place of an application.
    const { CAEGIS_CLIENT_ID: _, CAEGIS_CLIENT_SECRET: __, ...person } = env()
    const nobody = JSON.parse((await runProgram(['doctor', '--json'], { env: person })).stdout) as Report
    expect(nobody.checks.find(({ check }) => check === 'sign-in')).toMatchObject({ state: 'fail', next: 'caegis login --tenant contoso' })
    const wrong = (await examine({ CAEGIS_CLIENT_SECRET: 'wrong-wrong-wrong-wrong' })).said('sign-in')
    expect(wrong).toEqual({ check: 'sign-in', state: 'fail', says: expect.stringContaining('CAEGIS_CLIENT_SECRET') })
    const little = await examine({ CAEGIS_CLIENT_ID: 'little' })
    expect(little.of('sign-in')).toEqual(['skipped'])
    expect(little.healthy).toBe(true)
  })

  it('finds a stopped receiver, data that others can read, and a broker that is none', async () => {
    const [stream] = (
      await (
        await fetch(`${loop.origin}/v1.0/caegis/streams`, {
          headers: { authorization: `Bearer ${await loop.daemonToken('everything', `${loop.origin}/.default`)}` },
        })
      ).json()
    ).value
    expect((await runProgram(['stream', 'disable', stream.id, '--reason', 'a test'], { env: env() })).code).toBe(0)
    chmodSync(loop.data, 0o755)
    const nats = await listening(createNet((socket) => socket.end('INFO {"server_id":"x"}\r\n')))
    const none = await listening(createNet((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    const sick = await examine({ NATS_URL: `nats://localhost:${nats} nats://localhost:${none} nats://localhost:${await freePort()}` })
    expect(sick.said('streams')).toMatchObject({ state: 'fail', says: expect.stringContaining('a test'), next: `caegis stream enable ${stream.id}` })
    expect(sick.said('data folder')).toMatchObject({ state: 'fail', next: `chmod -R go= ${loop.data}` })
    expect(sick.of('broker')).toEqual(['ok', 'fail', 'fail'])
    chmodSync(loop.data, 0o700)
  })

  it('tells who asks through a proxy that is not believed where the server takes them to be', async () => {
    const authorization = `Bearer ${await loop.daemonToken('everything', `${loop.origin}/.default`)}`
    const seen = async (headers: Record<string, string>) =>
      (await fetch(`${loop.origin}/v1.0/caegis/connection`, { headers: { authorization, ...headers } })).json()
    expect(await seen({})).toMatchObject({ address: expect.stringMatching(/^(127\.0\.0\.1|::1)$/), forwarded: false })
    const through = (await seen({ 'x-forwarded-for': '203.0.113.9' })) as { address: string; peer: string }
    expect(through).toMatchObject({ forwarded: true })
    expect(through.address).toBe(through.peer)
  })
})

describe('caegis tenant create', () => {
  it('makes a tenant that the running server knows at once, with an administrator whose password is good for one sign-in', async () => {
    const made = await runProgram(['tenant', 'create', 'fabrikam', '--display-name', 'Fabrikam', '--json'], { env: { CAEGIS_DATA: loop.data } })
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('caegis login --tenant fabrikam') })
    const { tenant, username, password } = JSON.parse(made.stdout) as { tenant: string; username: string; password: string }
    expect({ tenant, username }).toEqual({ tenant: 'fabrikam', username: 'admin@fabrikam' })
    expect(password).toMatch(/^[\w-]{24}$/)
    const { db } = loop.server.store
    expect(await db.selectFrom('tenants').select('display_name').where('name', '=', 'fabrikam').executeTakeFirst()).toEqual({
      display_name: 'Fabrikam',
    })
    const row = await db.selectFrom('users').select(['roles', 'password', 'password_expired']).where('upn', '=', username).executeTakeFirstOrThrow()
    expect(row).toMatchObject({ roles: '["admin"]', password_expired: 1 })
    expect(row.password).not.toContain(password)
    // The page that asks for a new one comes instead of any code.
    const form = new URLSearchParams({ client_id: 'caegis-cli', scope: `${loop.origin}/.default openid` })
    const asked = (await (await fetch(`${loop.origin}/fabrikam/oauth2/v2.0/devicecode`, { method: 'POST', body: form })).json()) as {
      user_code: string
      verification_uri: string
    }
    const browser = createBrowser()
    const hidden = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
    const input = await browser.open(asked.verification_uri)
    const confirm = await browser.open(asked.verification_uri, { xsrf: hidden(input.text), user_code: asked.user_code })
    const page = await browser.open(asked.verification_uri, { xsrf: hidden(confirm.text), user_code: asked.user_code, confirm: 'yes' })
    expect((await browser.open(page.url.href, { username, password })).text).toMatch(/new password/i)
  })

  it('refuses a name that is taken, reserved or none, and a folder without data', async () => {
    const tries: [string[], number, RegExp][] = [
      [['contoso'], 6, /tenant_exists/],
      [['console'], 2, /is reserved/],
      [['Not A Name'], 2, /2 to 40 of a-z/],
      [['0b9b9a2e-8a4b-4f0e-9c3a-2f1d8e7c6b5a'], 2, /must not look like an id/],
      [['tailspin', '--admin', 'nobody'], 2, /administrator "nobody"/],
      [['tailspin', '--data', folder.path], 5, /no_data/],
    ]
    const ended = await Promise.all(tries.map(([args]) => runProgram(['tenant', 'create', ...args], { env: { CAEGIS_DATA: loop.data } })))
    for (const [at, [args, code, text]] of tries.entries())
      expect(ended[at], args.join(' ')).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(text) })
    expect(await loop.server.store.db.selectFrom('tenants').select('name').orderBy('name').execute()).toEqual([
      { name: 'contoso' },
      { name: 'fabrikam' },
    ])
  })
})
