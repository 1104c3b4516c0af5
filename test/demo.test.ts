import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import type { DemoFacts } from '../packages/cli/src/demo/demo.ts'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { DEMO } from '../packages/cli/src/demo/tenant.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { freePorts, isFree, killPrograms, type Program, runProgram, startProgram, temporaryFolder } from './process.ts'

describe('caegis demo', () => {
  const folder = temporaryFolder()
  const data = join(folder.path, 'data')
  let port: number
  let program: Program
  let facts: DemoFacts

  async function start(): Promise<void> {
    program = startProgram(['demo', '--json', '--port', String(port), '--data', data])
    const [line] = await program.says('stdout', /.*\n/)
    facts = JSON.parse(line) as DemoFacts
    trustLocalCa(data)
  }

  beforeAll(async () => {
    port = await freePorts(3)
    await start()
  })
  afterAll(async () => {
    await killPrograms()
    folder.remove()
  })

  const person = (i: number) =>
    createPerson({
      ...{ authority: `${facts.origin}/contoso`, clientId: DEMO.native, scopes: [DEMO.scope] },
      ...(facts.users[i] as { username: string; password: string }),
    })
  const admin = () =>
    createPerson({ authority: `${facts.origin}/contoso`, clientId: 'caegis-cli', scopes: [`${facts.origin}/User.ReadWrite.All`], ...facts.admin })
  const call = (token?: string) =>
    fetch(`${facts.api}/controlplane/manage`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })

  it('prints one line that says everything, and what it says is there', async () => {
    expect(program.stdout().trimEnd().split('\n')).toHaveLength(1)
    const origin = `https://localhost:${port}`
    expect(facts).toEqual({
      ...{ origin, issuer: `${origin}/contoso/v2.0`, tenant: expect.stringMatching(/^[\w-]{36}$/) },
      ...{
        api: `https://localhost:${port + 1}`,
        spa: `http://localhost:${port + 2}/`,
        console: `${origin}/console/contoso`,
        caFile: join(data, 'tls', 'ca.pem'),
      },
      admin: { username: 'admin@contoso.test', password: expect.any(String) },
      users: ['alice@contoso.test', 'bob@contoso.test'].map((username) => ({ username, password: expect.any(String) })),
    })
    const passwords = [facts.admin, ...facts.users].map(({ password }) => password)
    expect(new Set(passwords).size).toBe(3)
    for (const password of passwords) expect(password.length).toBeGreaterThanOrEqual(16)
    expect(existsSync(facts.caFile)).toBe(true)
    const discovery = await fetch(`${facts.issuer}/.well-known/openid-configuration`)
    expect(await discovery.json()).toMatchObject({ issuer: facts.issuer })
    expect((await fetch(facts.spa)).status).toBe(200)
  })

  it('has an API with an open and a protected path', async () => {
    const ping = await fetch(`${facts.api}/ping`)
    expect(ping.status).toBe(200)
    const refused = await call()
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer /)
    expect((await call('not.a.token')).status).toBe(401)
    expect((await call(await person(0).signIn())).status).toBe(200)
  })

  it('lets the sample page, and no other, read what the token endpoint answers in a browser, and says nothing about it on stdout', async () => {
    const body = new URLSearchParams({ client_id: DEMO.spa, grant_type: 'refresh_token', refresh_token: 'none' })
    const readableBy = async (origin: string) => {
      const response = await fetch(`${facts.origin}/contoso/oauth2/v2.0/token`, { method: 'POST', body, headers: { origin } })
      expect(response.status).toBe(400)
      return response.headers.get('access-control-allow-origin')
    }
    const page = new URL(facts.spa).origin
    expect(await readableBy(page)).toBe(page)
    expect(await readableBy('https://elsewhere.example')).toBeNull()
    expect(program.stdout().trimEnd().split('\n')).toHaveLength(1)
  })

  it('keeps its secrets for the owner of the folder only', () => {
    const modes = Object.fromEntries(
      ['demo.json', 'key-secret', 'tls/ca-key.pem', 'tls/key.pem'].map((name) => [name, (statSync(join(data, name)).mode & 0o777).toString(8)]),
    )
    expect(modes).toEqual({ 'demo.json': '600', 'key-secret': '600', 'tls/ca-key.pem': '600', 'tls/key.pem': '600' })
    expect((statSync(data).mode & 0o777).toString(8)).toBe('700')
  })

  it('I8: writes no password, secret or token to its log', async () => {
    const secrets = Object.values(JSON.parse(readFileSync(join(data, 'demo.json'), 'utf8')) as Record<string, string>)
    for (const secret of secrets) expect(program.stderr()).not.toContain(secret)
    expect(program.stderr()).not.toMatch(/eyJ[\w-]+\./)
  })

  it('on a taken port ends with a sentence that says what to do, whichever of the three it is', async () => {
    for (const first of [port, port - 1, port - 2]) {
      const other = temporaryFolder()
      try {
        const { code, stderr, stdout } = await runProgram(['demo', '--json', '--port', String(first), '--data', other.path])
        expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
        expect(stderr).toMatch(/port is taken.*--port/s)
        expect(stderr).not.toMatch(/^\s+at /m)
      } finally {
        other.remove()
      }
    }
  })

  it('stops at Ctrl-C, and goes on where it was when it is started again', async () => {
    const before = facts
    const alice = await person(0).signIn()
    const bob = await person(1).signIn()
    const bearer = await admin().signIn()
    const disabled = await fetch(`${facts.origin}/v1.0/users/bob@contoso.test`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ accountEnabled: false }),
    })
    expect(disabled.status).toBe(204)

    program.signal('SIGINT')
    expect(await within(8000, program.ended)).toMatchObject({ code: 0, signal: null })
    for (const one of [port, port + 1, port + 2]) expect(await isFree(one), `port ${one}`).toBe(true)

    await start()
    expect(facts).toEqual(before)
    expect((await call(alice)).status).toBe(200)
    expect((await call(bob)).status).toBe(401)
    await expect(person(1).signIn()).rejects.toThrow(/disabled/)
    expect((await call(await person(0).signIn())).status).toBe(200)
  })

  it('stops at SIGTERM too, while connections stand open on which nobody speaks', async () => {
    const held = [port, port + 1, port + 2].map((one) => connect(one, 'localhost').on('error', () => {}))
    await Promise.all(held.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    program.signal('SIGTERM')
    expect(await within(8000, program.ended)).toMatchObject({ code: 0, signal: null })
    for (const socket of held) socket.destroy()
  })
})

describe('what caegis demo prints', () => {
  const folder = temporaryFolder()
  afterAll(async () => {
    await killPrograms()
    folder.remove()
  })

  it('works as it is printed in another terminal, whatever port and folder it was given', async () => {
    const port = await freePorts(3)
    const data = join(folder.path, "somebody's data")
    const demo = startProgram(['demo', '--data', data], { env: { CAEGIS_PORT: String(port) } })
    const [, printed] = (await demo.says('stdout', /In another terminal.*\n((?: {7}.*\n)+) {5}The very/)) as unknown as [string, string]
    const [, password] = demo.stdout().match(/admin@contoso\.test +(\S+)/) as unknown as [string, string]
    expect(printed).toContain(`user revoke ${DEMO.users[0]}`)
    // A shell with nothing of ours but the lines, and the command of this checkout for npx.
    const [node, bin] = [process.execPath, fileURLToPath(new URL('../packages/cli/bin/caegis.js', import.meta.url))]
    const script = `set -e\nnpx() { shift; '${node}' '${bin}' "$@"; }\n${printed}`
    const { PATH = '' } = process.env
    const shell = spawn('sh', ['-c', script], { cwd: folder.path, env: { PATH, HOME: folder.path, XDG_CONFIG_HOME: join(folder.path, 'config') } })
    let said = ''
    for (const stream of [shell.stdout, shell.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    const over = once(shell, 'close')
    await expect.poll(() => said, { timeout: 20_000 }).toMatch(/code \S+/)
    const [, page, code] = said.match(/(https:\S+) .*code (\S+?)\./) as unknown as [string, string, string]
    trustLocalCa(data)
    await approve(page, code, { username: DEMO.admin, password })
    expect(await over).toEqual([0, null])
    expect(said).toMatch(/alice@contoso\.test has no session left/)
    demo.signal('SIGINT')
    await demo.ended
  })
})

/** Enters the code of a device as somebody does in a browser. */
async function approve(page: string, code: string, who: { username: string; password: string }): Promise<void> {
  const browser = createBrowser()
  const hidden = (text: string) => text.match(/name="xsrf" value="([^"]*)"/)?.[1] as string
  const input = await browser.open(page)
  const confirm = await browser.open(page, { xsrf: hidden(input.text), user_code: code })
  const signIn = await browser.open(page, { xsrf: hidden(confirm.text), user_code: code, confirm: 'yes' })
  await browser.open(signIn.url.href, who)
}

describe('caegis demo --once', () => {
  const folder = temporaryFolder()
  afterAll(() => folder.remove())
  afterEach(killPrograms)

  it('walks the whole loop, leaves nothing behind, and says that it held', async () => {
    const { code, stdout, stderr } = await runProgram(['demo', '--once', '--json'], { env: { TMPDIR: folder.path }, cwd: folder.path })
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const last = lines.pop()
    expect(stderr).toBe('')
    expect(lines.filter(({ held }) => held !== true)).toEqual([])
    expect([...new Set(lines.map(({ scenario }) => scenario))]).toEqual(['start', 'sign in', 'revoke', 'disable', 'enable', 'password', 'delete'])
    for (const line of lines) expect(line).toMatchObject({ hop: expect.any(String), milliseconds: expect.any(Number) })
    expect(last).toEqual({ held: true, seconds: expect.any(Number) })
    expect(code).toBe(0)
    expect(readdirSync(folder.path)).toEqual([])
  })
})

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
