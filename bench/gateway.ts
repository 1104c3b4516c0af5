import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPerson } from '../packages/cli/src/demo/person.ts'
import { freePort, SECRET } from '../test/loop.ts'
import type { Program } from '../test/process.ts'
import { type Daemon, FASTAPI, NGINX, startGateway, startNginx, startPython } from '../test/proxies.ts'
import { type Figure, quantile } from './figure.ts'
import { firstWord, startLoad, TIME_LIMIT } from './load.ts'
import { startServer } from './loop.ts'

const PASSWORD = 'correct horse battery'
const CONNECTIONS = 16
const ROUNDS = 2
const ROUND = 800

/**
 * Requests through real nginx, one process of it, with the question to the gateway beside the same question to a server that says 204 to everybody, and none; and a
 * FastAPI application behind it beside the same one that shows each token to the issuer. Everything, the client too, which is a process of its own, shares the machine; the ways take turns.
 */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  if (!existsSync(NGINX.program) || !existsSync(FASTAPI.program)) throw new Error(`needs ${NGINX.name} and ${FASTAPI.name}: node tools/system.ts`)
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const daemons: Daemon[] = []
  const children: ChildProcess[] = []
  const load = await startLoad()
  let stop: (() => Promise<void>) | undefined
  const kept = async (daemon: Promise<Daemon>) => {
    daemons.push(await daemon)
    return (await daemon).port
  }
  try {
    const { issuer, authority, server } = await startIssuer(data)
    children.push(server)
    const person = { username: 'alice@contoso.test', password: PASSWORD, scopes: ['api://files/Files.Read'] }
    const gateway = await startGateway({ issuer, data })
    stop = () => end(gateway.program)
    const token = await createPerson({ authority, clientId: 'files-native', ...person }).signIn()
    const yes = await startTrivial(204, children)
    const application = await startTrivial(200, children)
    const introspection = { INTROSPECTION_URL: `${authority}/oauth2/v2.0/introspect`, CLIENT_ID: 'files-api', CLIENT_SECRET: SECRET }
    const inside = { ...introspection, CA_FILE: join(data, 'tls', 'ca.pem') }
    const behind = await kept(startPython('behind_gateway', { GATEWAY: `http://127.0.0.1:${gateway.port}` }))
    const ways: Record<string, { port: number; path?: string }> = {
      'nginx, no question': { port: await kept(startNginx({ gateway: yes, application }, [['auth_request /_caegis;', '']])) },
      'nginx, bare auth_request': { port: await kept(startNginx({ gateway: yes, application })) },
      'nginx and gateway': { port: await kept(startNginx({ gateway: gateway.port, application })) },
      'FastAPI, open': { port: behind, path: '/ping' },
      'FastAPI behind nginx and gateway': { port: await kept(startNginx({ gateway: gateway.port, application: behind })) },
      'FastAPI, introspection': { port: await kept(startPython('with_introspection', inside)) },
      'FastAPI, introspection, 30 s cache': { port: await kept(startPython('with_introspection', { ...inside, CACHE: '30' })) },
    }
    const rates: Record<string, number[]> = {}
    const times: Record<string, number[]> = {}
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, { port, path = '/controlplane/manage' }] of Object.entries(ways)) {
        const { rate, samples } = await load.run({ port, path, token, connections: CONNECTIONS, length: ROUND })
        // The first round warms up.
        if (round === 0) continue
        rates[name] = [...(rates[name] ?? []), rate]
        times[name] = [...(times[name] ?? []), ...samples]
      }
    }
    const middle = (name: string) => quantile(rates[name] as number[], 0.5)
    const peers: Record<string, string> = {
      'nginx and gateway': 'nginx, bare auth_request',
      'FastAPI behind nginx and gateway': 'FastAPI, introspection, 30 s cache',
      'FastAPI, introspection': 'FastAPI behind nginx and gateway',
    }
    for (const name of Object.keys(ways)) {
      const peer = peers[name]
      const compared = peer === undefined ? {} : { peer, ratio: middle(name) / middle(peer) }
      emit({ suite: 'gateway', name, value: middle(name), unit: 'req/s', ...compared })
      emit({ suite: 'gateway', name: `${name}, p50`, value: quantile(times[name] as number[], 0.5), unit: 'ms' })
      emit({ suite: 'gateway', name: `${name}, p99`, value: quantile(times[name] as number[], 0.99), unit: 'ms' })
    }
  } finally {
    load.close()
    for (const one of daemons) await one.close()
    // Before its issuer, of which it takes leave, and behind nginx, which holds connections to it.
    await stop?.()
    for (const one of children) one.kill('SIGTERM')
    rmSync(data, { recursive: true, force: true })
  }
}

async function startIssuer(data: string): Promise<{ issuer: string; authority: string; server: ChildProcess }> {
  const port = await freePort()
  const origin = `https://localhost:${port}`
  const file = join(data, 'tenant.yaml')
  const tenant = {
    tenant: { name: 'contoso' },
    users: [{ userPrincipalName: 'alice@contoso.test', password: PASSWORD }],
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
      { appId: 'files-native', type: 'native', redirectUris: ['http://localhost'], permissions: ['api://files/Files.Read'] },
    ],
  }
  writeFileSync(file, JSON.stringify(tenant))
  const server = await startServer(['serve', '--import', file, '--data', data, '--port', String(port), '--log', 'error'], origin)
  return { issuer: `${origin}/contoso/v2.0`, authority: `${origin}/contoso`, server }
}

/** A server that says the same to everybody, in a process of its own. */
async function startTrivial(status: number, children: ChildProcess[]): Promise<number> {
  const child = fork(import.meta.filename, [String(status)])
  children.push(child)
  return firstWord<number>(child, `the server that says ${status}`)
}

/** A program that does not end when it is asked to is ended. */
async function end(program: Program): Promise<void> {
  program.signal('SIGTERM')
  const timer = setTimeout(() => program.signal('SIGKILL'), TIME_LIMIT)
  await program.ended
  clearTimeout(timer)
}

if (import.meta.main) {
  const server = createServer((_, response) => response.writeHead(Number(process.argv[2]), { 'content-length': 0 }).end())
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.once('disconnect', () => process.exit(0))
}
