import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { approveDevice } from './logs-tenant.ts'
import { eventually, freePort, type Loop, startLoop } from './loop.ts'
import { asDemo, blockOf, runShown, type Shown, STARTED, startShown } from './shown.ts'

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const EXAMPLE = at('examples/express-api/src/api.ts')

describe('the README', () => {
  let loop: Loop | undefined
  let shown: Shown | undefined
  afterEach(async () => {
    shown?.kill()
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

  it('shows a program that works, by the commands of its own README: allowed, then refused with a challenge, and gone with its stream on SIGTERM', async () => {
    loop = await startLoop()
    const { server } = loop
    const port = await freePort()
    const here = { ...asDemo(loop), 'localhost:3000': `localhost:${port}` }
    const block = (text: string) => blockOf('examples/express-api/README.md', text, here)
    shown = startShown(block('npm start'), { env: { ISSUER: loop.issuer, PORT: String(port) } })
    const begun = JSON.parse(await runShown(block('/devicecode')))
    await approveDevice(begun.verification_uri, begun.user_code, 'alice@contoso.test')
    const { access_token: token } = JSON.parse(await runShown(block('device_code='), { env: { DEVICE_CODE: begun.device_code } }))
    const call = () => runShown(block('ACCESS_TOKEN'), { env: { ACCESS_TOKEN: token } }).catch(() => '')
    const allowed = await eventually(call, (answer) => answer.includes('200 OK'), 'the API is up', STARTED)
    expect(JSON.parse(allowed.split('\r\n\r\n')[1] as string)).toEqual({ files: [], user: expect.any(String) })
    await loop.graph('POST', '/users/alice@contoso.test/revokeSignInSessions')
    const denied = await eventually(call, (answer) => answer.includes('401 Unauthorized'), 'the refusal')
    expect(denied).toContain('error="insufficient_claims"')
    const streams = () => server.store.db.selectFrom('streams').select('id').execute()
    expect(await streams()).toHaveLength(1)
    shown.signal('SIGTERM')
    expect(await shown.exited, shown.output()).toBe(0)
    expect(await streams()).toEqual([])
  })

  it('shows a program that says what is wrong: a secret that is not the one', async () => {
    loop = await startLoop()
    const env = { ISSUER: loop.issuer, PORT: '0', CLIENT_SECRET: 'a-secret-that-is-another-one', NODE_EXTRA_CA_CERTS: `${loop.data}/tls/ca.pem` }
    shown = startShown('npm start -w @caegis/example-express-api', { env })
    const { output } = shown
    await eventually(output, (text) => text.includes('token_refused'), 'the word of the log', STARTED)
    expect(output()).not.toContain('a-secret')
  })
})
