import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import { until } from './loop.ts'

const at = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
const EXAMPLES = ['receiver', 'transmitter'].map((name) => at(`examples/ssf-receiver/src/${name}.ts`))
const TOKEN = 'for-this-test'

const children: ChildProcess[] = []
const servers: { close(): unknown }[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const server of servers.splice(0)) server.close()
})

function run(path: string, env: Record<string, string>): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, ['--conditions=caegis-source', path], { env: { ...process.env, ...env } })
  children.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  return { child, output: () => output }
}

async function listen(answer: Parameters<typeof createServer>[1]): Promise<{ port: number; close(): unknown }> {
  const server = createServer(answer as never).listen(0)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}

it('the README shows the programs that stand in the examples', () => {
  const readme = readFileSync(at('packages/ssf/README.md'), 'utf8')
  const shown = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code)
  expect(shown).toEqual(EXAMPLES.map((path) => readFileSync(path, 'utf8')))
})

it('and they work: one revokes, the other hears of it', async () => {
  const placeholder = await listen(() => {})
  placeholder.close()
  const base = `http://localhost:${placeholder.port}`
  const tokens = await listen((_, response) => void response.end(JSON.stringify({ access_token: TOKEN, token_type: 'Bearer', expires_in: 600 })))
  servers.push(tokens)
  const [receiver, transmitter] = EXAMPLES as [string, string]
  run(transmitter, { BASE: base, TOKEN })
  const authorization = { authorization: `Bearer ${TOKEN}` }
  const ask = (path: string, init: RequestInit = {}) => fetch(`${base}${path}`, { ...init, headers: authorization }).catch(() => undefined)
  await until(async () => (await ask('/keys'))?.status === 200)
  const env = { TRANSMITTER: base, CLIENT_ID: 'demo', CLIENT_SECRET: 'secret', TOKEN_ENDPOINT: `http://localhost:${tokens.port}/token` }
  const { child, output } = run(receiver, env)
  const streams = async () => ((await (await ask('/ssf/streams'))?.json()) ?? []) as unknown[]
  await until(async () => (await streams()).length === 1)
  expect((await fetch(`${base}/ssf/streams`)).status).toBe(401)
  await ask('/revoke/alice', { method: 'POST' })
  await until(() => output().includes('"sub":"alice"'))
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await until(async () => (await streams()).length === 0)
  await exited
})
