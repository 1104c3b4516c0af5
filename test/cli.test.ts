import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { claimsOf, eventually, freePort, type Loop, PASSWORD, SECRET, startLoop, verdictOf } from './loop.ts'
import { type Ended, killPrograms, runProgram, startProgram, temporaryFolder } from './process.ts'

describe('the caegis command', () => {
  let loop: Loop
  const folder = temporaryFolder()
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(async () => {
    await killPrograms()
    await loop.close()
    folder.remove()
  })

  /** The environment of somebody with a config folder of their own. */
  const home = (name: string) => ({ XDG_CONFIG_HOME: join(folder.path, name), CAEGIS_DATA: loop.data, CAEGIS_ORIGIN: loop.origin })
  const run = (name: string, ...args: string[]) => runProgram(args, { env: home(name) })

  /** `caegis login`, with the code that it prints approved in a browser. */
  async function login(name: 'admin' | 'alice', where: string = name): Promise<Ended> {
    const program = startProgram(['login', '--tenant', 'contoso'], { env: home(where) })
    const [, page, code] = (await program.says('stderr', /(https:\S+) .*code (\S+)/)) as unknown as [string, string, string]
    await approve(page, code, `${name}@contoso.test`)
    return program.ended
  }

  const enabled = async (upn: string) =>
    ((await (await loop.graph('GET', `/users/${upn}?$select=accountEnabled`)).json()) as { accountEnabled: boolean }).accountEnabled

  /** A failure is one sentence on stderr, nothing on stdout, and an exit code that says what kind it is (docs/cli.md). */
  const failure = (code: number, text: RegExp) => ({
    code,
    stdout: '',
    stderr: expect.stringMatching(new RegExp(`^(?!.*\\n\\s+at )${text.source}.*\\n$`)),
  })

  it('without a sign-in says how to sign in', async () => {
    for (const args of [
      ['user', 'disable', 'alice@contoso.test'],
      ['user', 'revoke', 'alice@contoso.test', '--json'],
    ]) {
      expect(await run('nobody', ...args)).toEqual({ signal: null, ...failure(3, /You are not signed in\. Run: caegis login/) })
    }
    // A tenant alone is no sign-in either.
    const named = await runProgram(['user', 'disable', 'alice@contoso.test'], { env: { ...home('nobody'), CAEGIS_TENANT: 'contoso' } })
    expect(named).toMatchObject(failure(3, /You are not signed in\. Run: caegis login/))
    expect(await enabled('alice@contoso.test')).toBe(true)
  })

  it('signs in with a code, and keeps the tokens for its owner only', async () => {
    const [admin, alice] = await Promise.all([login('admin'), login('alice')])
    expect(admin).toMatchObject({ code: 0, stdout: 'Signed in as admin@contoso.test (contoso).\n' })
    expect(alice).toMatchObject({ code: 0, stdout: 'Signed in as alice@contoso.test (contoso).\n' })
    const caegis = join(home('admin').XDG_CONFIG_HOME, 'caegis')
    expect((statSync(caegis).mode & 0o777).toString(8)).toBe('700')
    expect(readdirSync(caegis).sort()).toEqual(['profile.json', 'tokens.json'])
    for (const name of readdirSync(caegis)) expect((statSync(join(caegis, name)).mode & 0o777).toString(8), name).toBe('600')
    // I8: what is printed says who, and holds nothing that opens a door.
    const cache = JSON.parse(readFileSync(join(caegis, 'tokens.json'), 'utf8')) as Record<string, Record<string, { secret: string }>>
    const secrets = ['AccessToken', 'RefreshToken', 'IdToken'].flatMap((kind) => Object.values(cache[kind] ?? {}).map(({ secret }) => secret))
    expect(secrets).toHaveLength(3)
    for (const secret of secrets) expect(admin.stdout + admin.stderr).not.toContain(secret)
  })

  it('disables, enables and revokes a user, which the API notices', async () => {
    const guard = await loop.guard()
    const bob = loop.person('bob')
    const first = await bob.signIn()
    expect(await verdictOf(guard, first)).toMatchObject({ allowed: true })

    const disabled = await run('admin', 'user', 'disable', 'bob@contoso.test')
    expect(disabled).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^bob@contoso\.test is disabled \(txn [\w-]{36}\)\.\n$/) })
    expect(await enabled('bob@contoso.test')).toBe(false)
    await eventually(
      () => verdictOf(guard, first),
      (verdict) => !verdict.allowed,
    )
    await expect(bob.signIn()).rejects.toThrow(/disabled/)

    const back = await run('admin', 'user', 'enable', 'bob@contoso.test', '--json')
    expect(back).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(back.stdout)).toEqual({ user: 'bob@contoso.test', command: 'enable', txn: expect.stringMatching(/^[\w-]{36}$/) })
    expect(await enabled('bob@contoso.test')).toBe(true)
    const second = await bob.signIn()
    expect(await verdictOf(guard, second)).toMatchObject({ allowed: true })

    const revoked = await run('admin', 'user', 'revoke', 'BOB@contoso.test', '--json')
    expect(revoked).toMatchObject({ code: 0, stderr: '' })
    const { txn } = JSON.parse(revoked.stdout) as { txn: string }
    await eventually(
      () => verdictOf(guard, second),
      (verdict) => !verdict.allowed,
    )
    // The one txn leads from the command to the log.
    const rows = await loop.server.store.db.selectFrom('events').select('type').where('txn', '=', txn).execute()
    expect(rows.map(({ type }) => type)).toEqual([expect.stringMatching(/session-revoked$/)])
  })

  it('lists and ends sessions, and revokes one token by itself or by its id', async () => {
    const env = { ...home('nobody'), CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET }
    const daemon = (args: string[], stdin?: string) => runProgram(args, { env, ...(stdin === undefined ? {} : { stdin }) })
    const guard = await loop.guard()
    const dies = (token: string) =>
      eventually(
        () => verdictOf(guard, token),
        (verdict) => !verdict.allowed,
      )
    const bob = loop.person('bob')
    const first = await bob.signIn()
    const sid = String(claimsOf(first).sid)
    const second = await bob.silent('{"access_token":{"nbf":{"essential":true,"value":"1"}}}')
    const third = await bob.silent('{"access_token":{"nbf":{"essential":true,"value":"2"}}}')

    const [madeUp, perhaps, byItself, byId, inSight, nothing, unknown] = await Promise.all([
      daemon(['token', 'revoke', 'x']),
      daemon(['token', 'revoke', 'x'.repeat(43)]),
      daemon(['token', 'revoke'], `${first}\n`),
      daemon(['token', 'revoke', String(claimsOf(second).jti), '--json']),
      daemon(['token', 'revoke', third]),
      daemon(['token', 'revoke'], '\n'),
      daemon(['token', 'revoke'], 'not-a-token'),
    ])
    expect(byItself).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^The token is revoked \(txn [\w-]{36}\)\.\n$/) })
    expect(madeUp).toMatchObject(failure(2, /That is no id \(jti\) of an access token of this server.*\(400 Request_BadRequest\)/))
    expect(perhaps).toMatchObject({ code: 0, stdout: expect.stringMatching(/^If there is a token of that id, it is revoked \(txn /) })
    expect(byId).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(byId.stdout)).toEqual({ token: claimsOf(second).jti, txn: expect.stringMatching(/^[\w-]{36}$/) })
    expect(inSight).toMatchObject(failure(2, /A token does not belong into a command line.*/))
    expect(inSight.stderr).not.toContain(third.slice(0, 20))
    expect(nothing).toMatchObject(failure(2, /There is no token on standard input\./))
    expect(unknown).toMatchObject(failure(2, /That is no access token of this tenant.*\(400 Request_BadRequest\)/))
    await dies(first)
    await dies(second)
    expect(await verdictOf(guard, third)).toMatchObject({ allowed: true })

    const [listed, text] = await Promise.all([
      daemon(['session', 'list', 'bob@contoso.test', '--json']),
      daemon(['session', 'list', 'bob@contoso.test']),
    ])
    expect((JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id)).toContain(sid)
    expect(text.stdout).toMatch(new RegExp(`^ID +SIGNED IN\\n(.*\\n)*${sid}  20`))
    const [revoked, none] = await Promise.all([daemon(['session', 'revoke', sid, '--json']), daemon(['session', 'revoke', 'nothing'])])
    expect(JSON.parse(revoked.stdout)).toEqual({ session: sid, txn: expect.stringMatching(/^[\w-]{36}$/) })
    expect(none).toMatchObject(failure(5, /There is no session "nothing"\. To see what there is: caegis session list <upn>/))
    await dies(third)
    expect((await daemon(['session', 'list', 'bob@contoso.test'])).stdout).not.toContain(sid)
  })

  it('lists who signed in and who changed what', async () => {
    const [all, bob, denied, audit, wrong] = await Promise.all([
      run('admin', 'signins', '--limit', '3', '--json'),
      run('admin', 'signins', '--user', 'BOB@contoso.test'),
      run('admin', 'signins', '--denied', '--user', "it's nobody"),
      run('admin', 'audit', '--limit', '20'),
      run('alice', 'audit'),
    ])
    const records = JSON.parse(all.stdout) as { createdDateTime: string }[]
    expect(records).toHaveLength(3)
    expect(bob).toMatchObject({ code: 0, stderr: '' })
    expect(bob.stdout).toMatch(/^20\S+Z {2}bob@contoso\.test {2}files-native -> files-api +\w+ +\S+ +allowed, CAE$/m)
    expect(bob.stdout).not.toContain('admin@')
    expect(denied).toMatchObject({ code: 0, stdout: 'Nobody did.\n' })
    expect(audit.stdout).toMatch(/^20\S+Z {2}admin@contoso\.test +Disable account +user bob@contoso\.test +[\w-]{36}$/m)
    expect(wrong).toMatchObject(failure(4, /.*\(403 Authorization_RequestDenied\)/))
  })

  it('says so when the user does not exist, in text and in JSON alike', async () => {
    for (const more of [[], ['--json']]) {
      expect(await run('admin', 'user', 'disable', 'nobody@contoso.test', ...more)).toMatchObject(
        failure(5, /There is no user "nobody@contoso\.test"\. To see what there is: caegis user list/),
      )
    }
    const others: [string[], RegExp][] = [
      [['user', 'revoke', 'alice'], /There is no user "alice"/],
      [['session', 'list', 'ali/ce'], /There is no user "ali\/ce"/],
      [['stream', 'letters', 'nothing'], /There is no stream "nothing"\. .*caegis stream ls/],
      [['keys', 'remove', 'k1', '--confirm', 'k1'], /There is no signing key "k1"\. .*caegis keys ls/],
      [['device', 'enable', 'phone'], /There is no device "phone"\. .*caegis device list/],
      [['device', 'revoke', 'phone', '--user', 'bob'], /There is no device "phone" of the user "bob"/],
    ]
    for (const [args, text] of others) expect(await run('admin', ...args), args.join(' ')).toMatchObject(failure(5, text))
    // What looks like a path stays a name.
    expect(await run('admin', 'user', 'disable', '../users/alice@contoso.test')).toMatchObject({ code: 5, stdout: '' })
    expect(await enabled('alice@contoso.test')).toBe(true)
  })

  it('is refused when the person is no administrator', async () => {
    expect(await run('alice', 'user', 'disable', 'bob@contoso.test')).toMatchObject(
      failure(4, /Insufficient privileges to complete the operation\. The user needs the directory role admin\. \(403 Authorization_RequestDenied\)/),
    )
    const env = { ...home('nobody'), CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET }
    expect(await runProgram(['policy', 'list'], { env })).toMatchObject(
      failure(4, /.* The application nightly and its token need the permission Policy\.Read\.All\. \(403 Authorization_RequestDenied\)/),
    )
    expect(await enabled('bob@contoso.test')).toBe(true)
  })

  it('says so when no server answers, and when its certificate is not trusted', async () => {
    const env = { ...home('admin'), CAEGIS_ORIGIN: `https://localhost:${await freePort()}` }
    expect(
      await runProgram(['user', 'disable', 'bob@contoso.test'], { env: { ...env, CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET } }),
    ).toMatchObject(failure(7, /No server answers there\./))
    expect(await runProgram(['login', '--tenant', 'contoso'], { env })).toMatchObject(failure(7, /No server answers there\./))
    // A login that failed has taken nothing away: the next command gets as far as the certificate.
    const strange = { ...home('admin'), CAEGIS_DATA: folder.path }
    expect(await runProgram(['user', 'disable', 'bob@contoso.test'], { env: strange })).toMatchObject(
      failure(7, /The server's certificate is not trusted\./),
    )
    expect(await runProgram(['login', '--tenant', 'contoso'], { env: strange })).toMatchObject(
      failure(7, /The server's certificate is not trusted\./),
    )
    expect(await enabled('bob@contoso.test')).toBe(true)
  })

  it('says so when the tenant does not exist', async () => {
    expect(await run('nobody', 'login', '--tenant', 'fabrikam')).toMatchObject(failure(5, /.*fabrikam.*/))
  })

  it('says so when the server calls itself otherwise', async () => {
    const env = { ...home('admin'), CAEGIS_ORIGIN: loop.origin.replace('localhost', '127.0.0.1') }
    const asked = [
      ['user', 'disable', 'bob@contoso.test'],
      ['login', '--tenant', 'contoso'],
    ].map((args) => runProgram(args, { env }))
    const daemon = { ...env, CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET }
    for (const ended of await Promise.all([...asked.slice(1), runProgram(['user', 'disable', 'bob@contoso.test'], { env: daemon })]))
      expect(ended).toMatchObject(failure(7, /.*the server calls itself https:\/\/localhost:\d+, .*Use CAEGIS_ORIGIN=https:\/\/localhost/))
    const examined = await runProgram(['doctor'], { env: daemon })
    expect(examined.stdout).toMatch(/^fail +origin +the server calls itself https:\/\/localhost/m)
    expect(examined.stderr).toBe('')
  })

  it('lists users, all or those whose name begins so', async () => {
    const [all, some, none] = await Promise.all([
      run('admin', 'user', 'list'),
      run('admin', 'user', 'list', 'AL', '--json'),
      run('admin', 'user', 'list', "it's nobody"),
    ])
    expect(all.stdout).toMatch(/^USER +NAME +STATE\n(.*\n)*bob@contoso\.test +\S.* +enabled\n/)
    expect((JSON.parse(some.stdout) as { userPrincipalName: string }[]).map((one) => one.userPrincipalName)).toEqual(['alice@contoso.test'])
    expect(none).toMatchObject({ code: 0, stdout: 'There is no such user.\n', stderr: '' })
  })

  it('signs in as a daemon with the client credentials of the environment', async () => {
    const env = { ...home('nobody'), CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET }
    expect(await runProgram(['user', 'disable', 'bob@contoso.test', '--json'], { env })).toMatchObject({ code: 0, stderr: '' })
    expect(await enabled('bob@contoso.test')).toBe(false)
    expect(await runProgram(['user', 'enable', 'bob@contoso.test'], { env })).toMatchObject({ code: 0, stderr: '' })
    const wrong = await runProgram(['user', 'disable', 'bob@contoso.test'], { env: { ...env, CAEGIS_CLIENT_SECRET: 'wrong-wrong-wrong-wrong' } })
    expect(wrong).toMatchObject(failure(3, /The server does not take the credentials .*CAEGIS_CLIENT_ID .*CAEGIS_CLIENT_SECRET/))
    expect(wrong.stderr).not.toMatch(/Error\(s\)|Timestamp/)
    expect(wrong.stderr).not.toContain('wrong-wrong')
    expect(await enabled('bob@contoso.test')).toBe(true)
  })

  it('reads the secret from a file, and never acts as whoever signed in last where half of the credentials is missing', async () => {
    const file = join(home('nobody').XDG_CONFIG_HOME, 'secret')
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${SECRET}\n`, { mode: 0o600 })
    const withFile = { ...home('nobody'), CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET_FILE: file }
    expect(await runProgram(['user', 'enable', 'bob@contoso.test'], { env: withFile })).toMatchObject({ code: 0, stderr: '' })
    for (const half of [
      { CAEGIS_CLIENT_ID: 'nightly' },
      { CAEGIS_CLIENT_SECRET: SECRET },
      { CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: '' },
      { CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET_FILE: `${file}-not` },
      { CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET, CAEGIS_CLIENT_SECRET_FILE: file },
    ]) {
      const asked = await runProgram(['user', 'disable', 'bob@contoso.test'], { env: { ...home('admin'), ...half } })
      expect(asked).toMatchObject({ code: 2, stdout: '' })
      expect(asked.stderr).toMatch(/CAEGIS_CLIENT_(ID|SECRET)|secret-not/)
      expect(asked.stderr).not.toContain(SECRET)
    }
    expect(await enabled('bob@contoso.test')).toBe(true)
  })

  it('takes an id that begins with a dash for an id, and an option that is none for a mistake', async () => {
    const env = { ...home('nobody'), CAEGIS_TENANT: 'contoso', CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET }
    const asked = (...args: string[]) => runProgram(args, { env })
    const id = '-5Yw2kq_N0Zt3xXc7Vb9Qw'
    // The server has answered: there is none, or not for this application.
    for (const args of [
      ['session', 'revoke', id],
      ['device', 'enable', id],
      ['upstream', 'show', id],
    ])
      expect([4, 5]).toContain((await asked(...args)).code)
    const jti = id.padEnd(43, 'x')
    expect((await asked('token', 'revoke', jti, '--json')).stdout).toContain(jti)
    expect((await asked('audit', '--target', id)).code).toBe(4)
    for (const typo of ['--jsno', '-x', '-jsno']) expect((await asked('session', 'revoke', 'x', typo)).code).toBe(2)
  })

  it('ends without a word when nobody reads on', async () => {
    const program = fileURLToPath(new URL('../packages/cli/bin/caegis.js', import.meta.url))
    const child = spawn(process.execPath, [program, 'completion', 'bash'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    expect([code, said]).toEqual([0, ''])
  })

  it("C3: tells an administrator whose sessions were revoked to log in again, at once: the server's own guard refuses the token", async () => {
    const tokens = join(home('admin').XDG_CONFIG_HOME, 'caegis', 'tokens.json')
    const cache = JSON.parse(readFileSync(tokens, 'utf8')) as { AccessToken: Record<string, { secret: string }> }
    const held = Object.values(cache.AccessToken)[0]?.secret as string
    expect(claimsOf(held).exp).toBeGreaterThan(Date.now() / 1000 + 600)
    expect((await loop.graph('POST', '/users/admin@contoso.test/revokeSignInSessions')).status).toBe(200)
    expect(await run('admin', 'user', 'disable', 'bob@contoso.test')).toMatchObject(
      failure(3, /Your sign-in has ended\. Run: caegis login --tenant contoso/),
    )
    expect(await enabled('bob@contoso.test')).toBe(true)

    // The folder in which alice is signed in: the new sign-in takes her place.
    const other = join(home('alice').XDG_CONFIG_HOME, 'caegis', 'tokens.json')
    expect(await login('admin', 'alice')).toMatchObject({ code: 0, stdout: 'Signed in as admin@contoso.test (contoso).\n' })
    expect(Object.keys((JSON.parse(readFileSync(other, 'utf8')) as { Account: object }).Account)).toHaveLength(1)
    expect((statSync(other).mode & 0o777).toString(8)).toBe('600')
    expect(await run('alice', 'user', 'revoke', 'bob@contoso.test')).toMatchObject({ code: 0 })
  })

  it('helps, with every command', async () => {
    for (const path of [[], ['user'], ['stream', 'verify']]) {
      const { code, stdout, stderr } = await runProgram([...path, '--help'])
      expect({ code, stderr }, path.join(' ')).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain(`Usage: caegis${path.map((one) => ` ${one}`).join('')}`)
    }
  })

  it('refuses a command or an option that it does not know, and points at the help', async () => {
    const mistakes = [['usr'], ['user', 'disabel', 'x'], ['user', 'disable'], ['demo', '--onec'], ['login', '--tenant']]
    for (const { code, stdout, stderr } of await Promise.all(mistakes.map((args) => run('nobody', ...args)))) {
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/error:.*--help|Usage:/s)
    }
  })

  const old = oldNode()
  it.skipIf(!old)(`says which Node it needs when it is run by an older one (${old ? 'one is here' : 'skipped: this machine has none'})`, async () => {
    for (const args of [[], ['demo'], ['--help']]) {
      const { code, stdout, stderr } = await runProgram(args, { node: old as string })
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^caegis needs Node 24 or newer; this is \d+\.\d+\.\d+\.\n/)
      expect(stderr).not.toMatch(/^\s+at /m)
    }
  })
})

/** A Node of the machine that is too old for the command. */
function oldNode(): string | undefined {
  const places = spawnSync('which', ['-a', 'node'], { encoding: 'utf8' }).stdout?.split('\n') ?? []
  return [...places, '/usr/bin/node'].find((file) => {
    if (file === '') return false
    const version = spawnSync(file, ['--version'], { encoding: 'utf8' }).stdout ?? ''
    return Number(version.match(/^v(\d+)/)?.[1] ?? 99) < 24
  })
}

/** Enters a device's code in a browser and signs in there. */
async function approve(page: string, code: string, username: string): Promise<void> {
  const browser = createBrowser()
  const hidden = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
  const input = await browser.open(page)
  const confirm = await browser.open(page, { xsrf: hidden(input.text), user_code: code })
  const signIn = await browser.open(page, { xsrf: hidden(confirm.text), user_code: code, confirm: 'yes' })
  const done = await browser.open(signIn.url.href, { username, password: PASSWORD })
  expect(done.text).toContain('You are signed in')
}
