import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { createGuard, type Guard } from '@caegis/guard'
import { createLog, recover } from '@caegis/server'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { freePort, type Loop, PASSWORD, SCOPE, SECRET, startLoop, storeOf, verdictOf } from './loop.ts'
import { type Ended, killPrograms, type Program, runProgram, startProgram, storeBeside, temporaryFolder } from './process.ts'

const TENANT = JSON.stringify({
  tenant: { name: 'contoso', displayName: 'Contoso' },
  users: [
    { userPrincipalName: 'admin@contoso.test', password: PASSWORD, roles: ['admin'] },
    { userPrincipalName: 'alice@contoso.test', password: PASSWORD },
  ],
  applications: [
    { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
    { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: [SCOPE] },
  ],
})

interface Account {
  username: string
  password: string
}

describe('a real server, stopped and recovered with the caegis command', () => {
  const folder = temporaryFolder()
  const data = join(folder.path, 'data')
  let server: Program
  let origin: string
  let guard: Guard
  /** Alice's, from before the stop. */
  let token: string
  beforeAll(async () => {
    const file = join(folder.path, 'contoso.yaml')
    writeFileSync(file, TENANT)
    const port = await freePort()
    origin = `https://localhost:${port}`
    await storeOf(data)
    server = startProgram(['serve', '--port', String(port), '--data', data, '--log', 'error', '--import', file])
    await server.says('stderr', /Certificates are signed/)
    trustLocalCa(data)
    guard = createGuard({ issuer: `${origin}/contoso/v2.0`, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
    await guard.ready()
  })
  afterAll(async () => {
    await guard.close()
    await killPrograms()
    folder.remove()
  })

  const home = (name: string) => ({ XDG_CONFIG_HOME: join(folder.path, name), CAEGIS_DATA: data, CAEGIS_ORIGIN: origin })
  const run = (name: string, ...args: string[]) => runProgram(args, { env: home(name) })
  const admin: Account = { username: 'admin@contoso.test', password: PASSWORD }
  const person = (clientId: string, scope: string, account: Account) =>
    createPerson({ authority: `${origin}/contoso`, clientId, scopes: [scope], ...account })
  const alice = () => person('files-native', SCOPE, { username: 'alice@contoso.test', password: PASSWORD })
  const manager = (account: Account) => person('caegis-cli', `${origin}/.default`, account)

  /** `caegis login`, with the code that it prints approved in a browser. */
  async function login(name: string, { username, password }: Account): Promise<Ended> {
    const program = startProgram(['login', '--tenant', 'contoso'], { env: home(name) })
    const [, page, code] = (await program.says('stderr', /(https:\S+) .*code (\S+)/)) as unknown as [string, string, string]
    const browser = createBrowser()
    const hidden = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
    const input = await browser.open(page)
    const confirm = await browser.open(page, { xsrf: hidden(input.text), user_code: code })
    const signIn = await browser.open(page, { xsrf: hidden(confirm.text), user_code: code, confirm: 'yes' })
    const done = await browser.open(signIn.url.href, { username, password })
    expect(done.text).toContain('You are signed in')
    return program.ended
  }
  const recovered = async (...args: string[]): Promise<Account & { renewed: boolean; stderr: string }> => {
    const { code, stdout, stderr } = await runProgram(['recover', 'contoso', '--json', ...args], { env: { CAEGIS_DATA: data } })
    expect({ code, lines: stdout.split('\n').length }, stderr).toEqual({ code: 0, lines: 2 })
    return { ...JSON.parse(stdout), stderr }
  }
  const alarms = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.includes('"alarm":true'))
      .map((line) => JSON.parse(line) as { level: string; message: string })

  it('a slip stops nothing; the stop says how far it came and how to lift it', async () => {
    token = await alice().signIn()
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })
    expect(await login('admin', admin)).toMatchObject({ code: 0 })
    const slips: [string[], RegExp, number][] = [
      [['stop', 'contoso'], /add: --confirm contoso/, 8],
      [['stop', 'contoso', '--confirm', 'Contoso'], /not the tenant's name.*\(not_confirmed\)/, 8],
      [['stop', 'fabrikam', '--confirm', 'fabrikam'], /signed in to contoso, not to fabrikam.*\(other_tenant\)/, 3],
      [['resume', 'fabrikam'], /signed in to contoso, not to fabrikam/, 3],
      [['stop'], /missing required argument/, 2],
    ]
    const [unstopped, ...others] = await Promise.all([run('admin', 'resume', 'contoso'), ...slips.map(([args]) => run('admin', ...args))])
    expect(unstopped).toMatchObject({ code: 0, stdout: 'contoso was not stopped.\n' })
    for (const [index, [, text, code]] of slips.entries())
      expect(others[index]).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(text) })
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: true })

    const stopped = await run('admin', 'stop', 'contoso', '--confirm', 'contoso')
    expect(stopped).toMatchObject({ code: 0, stderr: '' })
    expect(stopped.stdout).toMatch(/^contoso is stopped \(txn [\w-]{36}\)/)
    expect(stopped.stdout).toContain('1 of 1 receivers that are listening have it.')
    expect(stopped.stdout).toContain('caegis recover contoso')
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false, code: 'revoked' })
  })

  it('C3: the stop locks everybody out, its author too, and says so', async () => {
    const tries = [
      ['login', '--tenant', 'contoso'],
      ['resume', 'contoso'],
      ['user', 'enable', 'alice@contoso.test'],
    ]
    for (const refused of await Promise.all(tries.map((args) => run('admin', ...args)))) {
      const stderr = expect.stringMatching(/^The tenant is stopped: .*caegis recover contoso \(tenant_stopped\)\n$/)
      expect(refused).toMatchObject({ code: 4, stdout: '', stderr })
    }
    expect(alarms(server.stderr())).toEqual([])
  })

  it('C3: whoever has the host lets everybody in again: recover, login, resume', async () => {
    const rescuer = await recovered()
    expect(rescuer).toMatchObject({ renewed: false, username: expect.stringMatching(/^recover-[0-9a-f]{8}@contoso$/) })
    expect(rescuer.password.length).toBeGreaterThanOrEqual(24)
    expect(alarms(rescuer.stderr)).toMatchObject([{ level: 'error', message: 'the emergency account was made' }])
    // Everybody else is refused still, and a name alone opens nothing.
    await expect(manager(admin).signIn()).rejects.toThrow('has stopped Contoso')
    await expect(manager({ ...rescuer, password: PASSWORD }).signIn()).rejects.toThrow('is wrong')

    expect(await login('rescuer', rescuer)).toMatchObject({ code: 0, stdout: `Signed in as ${rescuer.username} (contoso).\n` })
    expect(alarms(server.stderr()).map(({ message }) => message)).toEqual(['the emergency account signed in', 'the emergency account got a token'])
    const again = await run('rescuer', 'stop', 'contoso', '--confirm', 'contoso', '--json')
    expect(JSON.parse(again.stdout)).toMatchObject({ tenant: 'contoso', command: 'stop', state: 'stopped', changed: false })
    const resumed = await run('rescuer', 'resume', 'contoso', '--json')
    expect(JSON.parse(resumed.stdout)).toMatchObject({ tenant: 'contoso', command: 'resume', state: 'running', changed: true })

    expect(await verdictOf(guard, await alice().signIn())).toMatchObject({ allowed: true })
    expect(await verdictOf(guard, token)).toMatchObject({ allowed: false })
    // I8: what the server wrote holds neither password nor name of the account.
    for (const secret of [rescuer.password, rescuer.username, PASSWORD]) expect(server.stderr()).not.toContain(secret)
    expect(rescuer.stderr).not.toContain(rescuer.password)
  })

  it('says the alarm to whoever collects logs, not to the one at the terminal', async () => {
    const program = fileURLToPath(new URL('../packages/cli/bin/caegis.js', import.meta.url))
    const env = { PATH: process.env.PATH ?? '', CAEGIS_DATA: data, ...storeBeside(data) }
    const terminal = spawn('script', ['-qec', `"${process.execPath}" "${program}" recover contoso`, '/dev/null'], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [said, [code]] = await Promise.all([text(terminal.stdout), once(terminal, 'close')])
    expect(code, said).toBe(0)
    expect(said).toMatch(/^user name {2}recover-\S+\s+password {3}\S+\s+The password is shown this once\./)
  })

  it('C3: recovering once more renews the account: another password, nothing left of the old one, enabled again', async () => {
    const first = await recovered()
    const held = await manager(first).signIn()
    const disable = (name: string, token: string) =>
      fetch(`${origin}/v1.0/users/${name}`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: '{"accountEnabled":false}',
      })
    // It is a user like any other to other administrators.
    expect((await disable(first.username, await manager(admin).signIn())).status).toBe(204)
    await expect(manager(first).signIn()).rejects.toThrow('disabled')
    const second = await recovered()
    expect(second).toMatchObject({ renewed: true, username: first.username })
    expect(second.password).not.toBe(first.password)
    expect(alarms(second.stderr)).toMatchObject([{ message: 'the emergency account was renewed' }])
    await expect(manager(first).signIn()).rejects.toThrow('is wrong')
    expect((await disable('alice@contoso.test', held)).status).toBe(401)
    expect((await disable('alice@contoso.test', await manager(second).signIn())).status).toBe(204)
  })

  it('says so when there is no such tenant, or no data in that folder, and makes none', async () => {
    const text = await runProgram(['recover', 'contoso'], { env: { CAEGIS_DATA: data } })
    expect(text).toMatchObject({ code: 0, stdout: expect.stringMatching(/^user name {2}recover-[0-9a-f]{8}@contoso\npassword {3}[\w-]{24}\n$/) })
    expect(await runProgram(['recover', 'fabrikam', '--data', data])).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('tenant_not_found'),
    })
    const nowhere = join(folder.path, 'nowhere')
    expect(await runProgram(['recover', 'contoso', '--data', nowhere])).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('no_data'),
    })
    expect(existsSync(nowhere)).toBe(false)
  })

  // The file says it for both engines.
  it.skipIf(process.env.CAEGIS_TEST_POSTGRES)('leaves no secret of a client in the database', () => {
    expect(readFileSync(join(data, 'caegis.db')).includes(Buffer.from(SECRET))).toBe(false)
  })
})

describe('C3: the emergency account', () => {
  let loop: Loop
  beforeEach(async () => {
    loop = await startLoop()
  })
  afterEach(() => loop.close())
  const make = () => recover({ data: loop.data, database: loop.settings.database, tenant: loop.tenant, log: createLog('silent') })

  it('C3: is not to be made over the network', async () => {
    const { username } = await make()
    for (const property of ['break_glass', 'breakGlass', 'isBreakGlass', 'roles']) {
      for (const user of ['alice@contoso.test', username]) {
        expect((await loop.graph('PATCH', `/users/${user}`, { displayName: 'x', [property]: 1 })).status, property).toBe(400)
      }
    }
    const file = { tenant: { name: 'contoso' }, users: [{ userPrincipalName: 'mallory@contoso.test', breakGlass: true }] }
    await expect(loop.server.apply(JSON.stringify(file))).rejects.toMatchObject({ code: 'invalid_tenant_file' })
    const rows = await loop.server.store.db.selectFrom('users').select('upn').where('break_glass', '=', 1).execute()
    expect(rows).toEqual([{ upn: username }])
  })

  it('C3: opens a stopped tenant only while it is there and enabled', async () => {
    const { username } = await make()
    const { db } = loop.server.store
    await db.updateTable('tenants').set({ stopped_at: 1 }).execute()
    const page = async () => (await createBrowser().open(await authorizeUrl())).status
    const authorizeUrl = () =>
      loop
        .person('admin')
        .msal.getAuthCodeUrl({ scopes: [], redirectUri: 'http://localhost', codeChallenge: 'x'.repeat(43), codeChallengeMethod: 'S256' })
    expect(await page()).toBe(200)
    await db.updateTable('users').set({ enabled: 0 }).where('upn', '=', username).execute()
    expect(await page()).toBe(403)
    expect(await make()).toMatchObject({ username, renewed: true })
    expect(await page()).toBe(200)
    await db.updateTable('users').set({ deleted_at: 1 }).where('upn', '=', username).execute()
    expect(await page()).toBe(403)
    const next = await make()
    expect(next.renewed).toBe(false)
    expect(next.username).not.toBe(username)
    expect(await page()).toBe(200)
  })

  it('an event of its renewal names the issuer that the server serves, or there is none', async () => {
    const { db } = loop.server.store
    await make()
    await make()
    const [event] = await db.selectFrom('events').select(['subject', 'payload']).execute()
    expect(JSON.parse(String(event?.subject)).simple).toMatchObject({ iss: loop.issuer })
    expect(JSON.parse(String(event?.payload))).toMatchObject({ initiating_entity: 'system' })
    await db.updateTable('tenants').set({ issuer: null }).execute()
    await expect(make()).rejects.toMatchObject({ code: 'no_data' })
  })

  it("applying a file to older data gives the command line's application what it may ask for now, once", async () => {
    const { db } = loop.server.store
    const cli = () => db.selectFrom('applications').select(['permissions', 'version']).where('app_id', '=', 'caegis-cli').executeTakeFirstOrThrow()
    const { version } = await cli()
    await db.updateTable('applications').set({ permissions: '["graph/User.ReadWrite.All"]' }).where('app_id', '=', 'caegis-cli').execute()
    const file = JSON.stringify({ tenant: { name: 'contoso' } })
    await loop.server.apply(file)
    await loop.server.apply(file)
    expect(await cli()).toEqual({ permissions: '["graph/.default"]', version: version + 1 })
  })
})
