import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { eventually, freePort, type Loop, SECRET, startLoop } from './loop.ts'

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const EXAMPLE = at('examples/express-api/src/api.ts')

describe('the README', () => {
  let loop: Loop | undefined
  let child: ChildProcess | undefined
  afterEach(async () => {
    child?.kill('SIGKILL')
    await loop?.close()
  })

  it('shows the program that stands in the examples, in at most 16 lines, and the first command by line 12', () => {
    const readme = readFileSync(at('README.md'), 'utf8')
    const shown = readme.match(/```ts\n([\s\S]*?)```/)?.[1]
    expect(shown).toBe(readFileSync(EXAMPLE, 'utf8'))
    expect(readme.split('\n').findIndex((line) => line.includes('npm ci && npm start'))).toBeLessThan(12)
    // The guard itself: everything but the imports and blank lines.
    expect(shown?.split('\n').filter((line) => line !== '' && !line.startsWith('import')).length).toBeLessThanOrEqual(12)
  })

  it('shows commands that there are', () => {
    const shown = [...readFileSync(at('README.md'), 'utf8').matchAll(/(?:npx caegis|`caegis) ((?:[a-z]+ )*[a-z]+)/g)].map(([, words]) =>
      (words as string).split(' '),
    )
    expect(shown.length).toBeGreaterThan(5)
    for (const words of shown) {
      const { stdout } = spawnSync(process.execPath, [at('packages/cli/bin/caegis.js'), ...words, '--help'], { encoding: 'utf8' })
      // A command may have a second name: `list|ls`.
      const [, names = '', rest = ''] = /^Usage: caegis ((?:[a-z]+(?:\|[a-z]+)? )*)(.*)/.exec(stdout) ?? []
      const command = names
        .trim()
        .split(' ')
        .map((name) => name.replace(/\|.*/, ''))
      expect(words.slice(0, command.length)).toEqual(command)
      // What follows the names fills a place: an unknown word would get the help of what stands above it.
      expect(words.length - command.length, words.join(' ')).toBeLessThanOrEqual(rest.match(/<[a-z]+>/g)?.length ?? 0)
    }
  })

  it('shows a program that works: allowed, then refused with a challenge', async () => {
    loop = await startLoop()
    const port = await freePort()
    child = spawn(process.execPath, ['--conditions=caegis-source', EXAMPLE], {
      env: { ...process.env, ISSUER: loop.issuer, CLIENT_SECRET: SECRET, PORT: String(port), NODE_EXTRA_CA_CERTS: `${loop.data}/tls/ca.pem` },
      stdio: 'inherit',
    })
    const token = await loop.person('alice').signIn()
    const call = () =>
      fetch(`http://localhost:${port}/files`, { headers: { authorization: `Bearer ${token}` } }).catch(() => new Response(null, { status: 599 }))
    const allowed = await eventually(call, ({ status }) => status === 200, 'the API is up')
    expect(await allowed.json()).toMatchObject({ files: [], user: expect.any(String) })
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    const denied = await eventually(call, ({ status }) => status === 401, 'the refusal')
    expect(denied.headers.get('www-authenticate')).toContain('error="insufficient_claims"')
  })
})
