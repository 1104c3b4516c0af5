import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { ec, ISSUER, jwkOf, mint, START } from './tokens.ts'

const FOLDER = fileURLToPath(new URL('..', import.meta.url))
const README = readFileSync(`${FOLDER}/README.md`, 'utf8')
const ADAPTERS = ['express', 'fastify', 'hono', 'fetch', 'node']
const snippets = [...README.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string)

/** The guard of the snippets, without an issuer, by the clock of the tests. */
const BEFORE = `import { createStaticKeys } from '@caegis/guard'
import { startGuard } from './test/tokens.ts'
const { guard } = startGuard({ keys: createStaticKeys(JSON.parse(process.env.KEYS)) })
`
const KEYS = JSON.stringify({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] } })
/** What a runtime does with a module that exports `fetch`. */
const AFTER = "\nimport { serve as run } from '@hono/node-server'\nrun({ fetch: site.fetch, port: 3000 })"

const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
})

it.each(ADAPTERS)('the snippet for %s is short, and works: 401, 200, 403', async (name) => {
  const code = snippets.find((one) => one.includes(`'@caegis/guard/${name}'`) && !one.includes('createGuard')) as string
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(12)
  const port = await freePort()
  const whole = `${BEFORE}${code.replace('export default', 'const site =')}${code.includes('export default') ? AFTER : ''}`
  const source = whole.replaceAll('3000', String(port))
  children.push(
    spawn(process.execPath, ['--conditions=caegis-source', '--input-type=module-typescript', '-e', source], {
      cwd: FOLDER,
      env: { ...process.env, KEYS },
      stdio: 'inherit',
    }),
  )
  const call = (method: string, scp?: string) =>
    fetch(`http://localhost:${port}/files`, { method, headers: scp === undefined ? {} : { authorization: `Bearer ${mint({ scp })}` } })
  await expect.poll(() => call('GET').catch(() => undefined), { timeout: 15_000 }).toMatchObject({ status: 401 })
  const read = await call('GET', 'Files.Read')
  expect([read.status, await read.json()]).toEqual([200, { user: 'alice' }])
  expect((await call('PUT', 'Files.Read')).status).toBe(403)
  expect((await call('PUT', 'Files.Write')).status).toBe(204)
})

it('routes ask for more: one refuses every daemon, the other takes people and daemons', async () => {
  const code = snippets.find((one) => one.includes('roles:')) as string
  const port = await freePort()
  const around = `${BEFORE}import { protect } from '@caegis/guard/express'
import express from 'express'
const app = express()
const save = (_, response) => response.sendStatus(204)
const report = save
${code}
app.listen(${port})`
  children.push(
    spawn(process.execPath, ['--conditions=caegis-source', '--input-type=module-typescript', '-e', around], {
      ...{ cwd: FOLDER, env: { ...process.env, KEYS }, stdio: 'inherit' },
    }),
  )
  const call = (method: string, path: string, claims: Record<string, unknown>) =>
    fetch(`http://localhost:${port}${path}`, { method, headers: { authorization: `Bearer ${mint(claims)}` } }).then(({ status }) => status)
  const daemon = { idtyp: 'app', roles: ['Files.Write', 'Report.Reader'] }
  await expect.poll(() => call('GET', '/report', daemon).catch(() => 0), { timeout: 15_000 }).toBe(204)
  expect(await call('GET', '/report', { idtyp: 'app', roles: ['Files.Read'] })).toBe(403)
  expect(await call('GET', '/report', { scp: 'Files.Read', roles: ['Report.Reader'] })).toBe(204)
  expect(await call('GET', '/report', { scp: 'Files.Read' })).toBe(403)
  expect(await call('PUT', '/files/1', daemon)).toBe(403)
  expect(await call('PUT', '/files/1', { scp: 'Files.Write', acrs: ['c1'], auth_time: START - 1 })).toBe(204)
  expect(await call('PUT', '/files/1', { scp: 'Files.Write', auth_time: START - 1 })).toBe(401)
})

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, 'localhost', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}
