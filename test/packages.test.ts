import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { formatChallenge } from '@caegis/protocol'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { PUBLISHED } from '../tools/pack.ts'
import { eventually, freePort, type Loop, SECRET, startLoop } from './loop.ts'
import { blockOf, blocksOf, runShown } from './shown.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const EXPRESS = JSON.parse(readFileSync(join(ROOT, 'node_modules/express/package.json'), 'utf8')).version
/** The Node of this checkout, and whichever else is named. */
const NODES = [process.execPath, ...(process.env.CAEGIS_OTHER_NODE ? [process.env.CAEGIS_OTHER_NODE] : [])]

describe('the packages as they are installed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-packages-'))
  const at = (...path: string[]) => join(folder, ...path)
  let tarballs: Record<string, string>
  beforeAll(async () => {
    writeFileSync(at('package.json'), '{"name":"somebody","private":true,"type":"module"}')
    // What is not in npm's cache comes from the registry.
    const npm = { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false', npm_config_package_lock: 'false' }
    const env = { ...npm, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
    const [made, installed] = blockOf('README.md', 'tools/pack.ts', { '~/caegis-packages': at('tarballs') })
      .trim()
      .split('\n') as [string, string]
    const paths = (await runShown(made, { env })).trim().split('\n')
    tarballs = Object.fromEntries(PUBLISHED.map((name) => [name, paths.find((path) => path.includes(`caegis-${name}-`)) as string]))
    await runShown(`${installed} express@${EXPRESS}`, { cwd: folder, env })
  }, 120_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const children: ChildProcess[] = []
  const servers: Server[] = []
  let loop: Loop | undefined
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      server.close()
    }
    await loop?.close()
    loop = undefined
  })

  const readme = (name: string) => readFileSync(at('node_modules/@caegis', name, 'README.md'), 'utf8')
  const snippets = (name: string) => [...readme(name).matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string)

  /** The one snippet of the README with this text in it. */
  function snippet(name: string, text: string): string {
    const found = snippets(name).filter((one) => one.includes(text))
    expect(found, `${name}: ${text}`).toHaveLength(1)
    return found[0] as string
  }

  const program = (name: string, code: string) => {
    writeFileSync(at(name), code)
    return at(name)
  }

  /** Starts a program; what it writes is in `output`. */
  function start(node: string, file: string, env: Record<string, string> = {}) {
    const { NODE_OPTIONS: _, ...clean } = process.env
    const child = spawn(node, [file], { cwd: folder, env: { ...clean, NODE_NO_WARNINGS: '1', ...env } })
    children.push(child)
    const started = { output: '', exit: new Promise<number | null>((resolve) => child.once('exit', resolve)) }
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        started.output += chunk
      })
    }
    return started
  }

  async function listen(handle: Parameters<typeof createServer>[1]): Promise<string> {
    const server = createServer(handle)
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  it.each(PUBLISHED)('publint has nothing to say about %s', async (name) => {
    const bytes = readFileSync(tarballs[name] as string)
    const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
    const { messages, pkg } = await publint({ pack: { tarball }, strict: true })
    expect(messages.map((one) => formatMessage(one, pkg as Record<string, unknown>, { color: false }))).toEqual([])
  })

  it.each(PUBLISHED)('%s holds what is built, its README and the licence, and names no source', async (name) => {
    const { stdout } = await run('tar', ['tzf', tarballs[name] as string])
    const files = stdout.trim().split('\n')
    expect(files).toEqual(expect.arrayContaining(['package/LICENSE', 'package/README.md', 'package/package.json']))
    expect(files.filter((one) => !/^package\/(LICENSE|README\.md|package\.json|dist\/.*\.(js|d\.ts))$/.test(one))).toEqual([])
    expect(readFileSync(at('node_modules/@caegis', name, 'package.json'), 'utf8')).not.toMatch(/caegis-source|\/src\//)
  })

  it.each(['guard', 'client', 'ssf'])('the README of %s says the same as the main one of how to get it', (name) => {
    expect(blocksOf(`packages/${name}/README.md`)).toContain(blockOf('README.md', 'tools/pack.ts'))
  })

  it('tarballs are made in a folder that is named from here, too', async () => {
    await run(process.execPath, [join(ROOT, 'tools/pack.ts'), 'relative'], { cwd: folder })
    expect(readdirSync(at('relative'))).toHaveLength(PUBLISHED.length)
  })

  it('their types are found, and are not any', async () => {
    const modules = PUBLISHED.flatMap((name) => {
      const { exports } = JSON.parse(readFileSync(at('node_modules/@caegis', name, 'package.json'), 'utf8')) as { exports: Record<string, unknown> }
      return Object.keys(exports).map((path) => `@caegis/${name}${path.slice(1)}`)
    })
    expect(modules.length).toBeGreaterThan(PUBLISHED.length)
    const lines = modules.map((name, i) => `import * as m${i} from '${name}'\nexport const use${i}: object = m${i}`)
    program(
      'types.ts',
      `${lines.join('\n')}
import { msalToken, withClaimsChallenge } from '@caegis/client'
import { createGuard, type Guard } from '@caegis/guard'
export const api: typeof fetch = withClaimsChallenge(fetch, { origins: ['https://api.example'], token: () => 'x' })
// @ts-expect-error: a number is no token function
withClaimsChallenge(fetch, { origins: [], token: 7 })
// @ts-expect-error: a guard needs an issuer
export const guard: Guard = createGuard({ audience: 'api://files' })
// @ts-expect-error: any would be a number
export const wrong: number = msalToken
`,
    )
    const options = {
      module: 'nodenext',
      target: 'es2024',
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
      allowImportingTsExtensions: true,
    }
    writeFileSync(
      at('tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...options, typeRoots: [join(ROOT, 'node_modules/@types')] }, files: ['types.ts'] }),
    )
    const { stdout } = await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder]).catch((error: { stdout: string }) => error)
    expect(stdout).toBe('')
  })

  describe.each(NODES)('on %s', (node) => {
    it('whatever a README imports is there', async () => {
      const checks = PUBLISHED.flatMap((name) =>
        snippets(name).flatMap((code) =>
          [...code.matchAll(/^import \{([^}]*)\} from '(@caegis\/[^']+)'/gm)].map(([, names, from]) => {
            const values = (names as string).split(',').map((one) => one.trim())
            return { from, values: values.filter((one) => one !== '' && !one.startsWith('type ')) }
          }),
        ),
      )
      expect(checks.length).toBeGreaterThan(6)
      const file = program(
        'imports.mjs',
        `for (const { from, values } of ${JSON.stringify(checks)}) {
          const module = await import(from)
          for (const name of values) if (!(name in module)) throw new Error(from + ' has no ' + name)
        }
        console.log('all there')`,
      )
      const { output, exit } = start(node, file)
      expect(await exit, output).toBe(0)
    })

    it.each([
      ['protocol', 'formatChallenge('],
      ['policy', 'compilePolicies(['],
    ])('%s: the snippet prints what its comments say', async (name, text) => {
      const code = snippet(name, text)
      const started = start(node, program(`${name}.mts`, code))
      expect(await started.exit, started.output).toBe(0)
      const said = [...code.matchAll(/^\/\/ (.+)$/gm)].map(([, line]) => line)
      expect(started.output.trim().split('\n')).toEqual(said)
    })

    it('client: the snippets answer a challenge', async () => {
      const header = formatChallenge({ authorizationUri: 'https://login.example/authorize', claims: { nbf: 1 } })
      const seen: (string | undefined)[] = []
      const origin = await listen((request, response) => {
        seen.push(request.headers.authorization)
        if (request.headers.authorization === 'Bearer good') response.end('files')
        else response.writeHead(401, { 'WWW-Authenticate': header }).end()
      })
      const here = (code: string) => code.replaceAll('https://api.example', origin)
      const msal = `const account = {}
        const msal = { acquireTokenSilent: async ({ claims }) => ({ accessToken: claims ? 'good' : 'dead' }), acquireTokenRedirect: async () => {} }\n`
      const first = start(node, program('msal.mjs', `${msal}${here(snippet('client', 'msalToken('))}\nconsole.log(await response.text())`))
      expect([await first.exit, first.output]).toEqual([0, 'files\n'])
      const other = `const cachedToken = () => 'dead'
        const refreshWith = ({ claims }) => (JSON.parse(claims).access_token.xms_cc.values[0] === 'cp1' ? 'good' : 'bad')\n`
      const call = `\nconsole.log(await (await api('${origin}')).text())`
      const second = start(node, program('other.mjs', `${other}${here(snippet('client', 'refreshWith('))}${call}`))
      expect([await second.exit, second.output]).toEqual([0, 'files\n'])
      expect(seen).toEqual(['Bearer dead', 'Bearer good', 'Bearer dead', 'Bearer good'])
    })

    it('guard: the snippet protects an API of a real issuer', async () => {
      loop = await startLoop()
      const port = await freePort()
      const before = `import express from 'express'
        const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, PORT } = process.env
        const app = express()\n`
      const after = `\napp.get('/', (request, response) => void response.json(request.auth.claims.oid))\napp.listen(Number(PORT))`
      start(node, program('guard.mjs', `${before}${snippet('guard', 'app.use(protect(guard))')}${after}`), {
        ...{ ISSUER: loop.issuer, CLIENT_ID: 'files-api', CLIENT_SECRET: SECRET, PORT: String(port) },
        NODE_EXTRA_CA_CERTS: `${loop.data}/tls/ca.pem`,
      })
      const authorization = `Bearer ${await loop.person('alice').signIn()}`
      const call = () =>
        fetch(`http://localhost:${port}/`, { headers: { authorization } }).then(
          ({ status }) => status,
          () => 0,
        )
      await eventually(call, (status) => status === 200, 'the API is up')
      await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
      await eventually(call, (status) => status === 401, 'the refusal')
    })

    it('ssf: the receiver of the README hears of what the transmitter of the README is told', async () => {
      const base = `http://localhost:${await freePort()}`
      const TOKEN = 'only-for-this-test'
      start(node, program('transmitter.mts', snippet('ssf', 'createTransmitter(')), { BASE: base, TOKEN })
      const endpoint = await listen((_, response) =>
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ access_token: TOKEN, token_type: 'Bearer', expires_in: 300 })),
      )
      const metadata = () =>
        fetch(`${base}/.well-known/ssf-configuration`).then(
          ({ status }) => status,
          () => 0,
        )
      await eventually(metadata, (status) => status === 200, 'the transmitter is up')
      const receiver = start(node, program('receiver.mts', snippet('ssf', 'createReceiver(')), {
        ...{ TRANSMITTER: base, CLIENT_ID: 'c', CLIENT_SECRET: 's', TOKEN_ENDPOINT: endpoint },
      })
      const revoke = () => fetch(`${base}/revoke/alice`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } })
      // What is told before the stream is there is told to nobody.
      await expect
        .poll(
          async () => {
            await revoke()
            return receiver.output
          },
          { timeout: 20_000, interval: 200 },
        )
        .toContain('"sub":"alice"')
    })
  })
})
