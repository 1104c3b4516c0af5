import { type ChildProcess, fork } from 'node:child_process'
import { argon2, createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Pool } from 'undici'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { freePort } from '../test/loop.ts'
import { type Figure, quantile } from './figure.ts'
import { startServer } from './loop.ts'

const SECRET = 'a-secret-that-is-long-enough-for-a-bench'
const PASSWORD = 'correct horse battery'
const BACK = 'http://localhost'
const ROUNDS = 5
/** Milliseconds of each measurement. */
const SPELL = 3000
/** How many ask at the same time; each holds a lineage of refresh tokens of its own. */
const LANES = 16

/** A token endpoint under measurement. */
interface Side {
  name: string
  pid: number
  pool: Pool
  token: string
  authorize: string
  scope: string
  daemonScope: string
  lineages: string[]
}

/**
 * Our server, with its directory, its fence and its database on the disk, beside bare oidc-provider with a store in memory: each a process of its own behind TLS, the
 * same tokens and signatures, the same number of callers, in turn.
 */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const [port, barePort] = [await freePort(), await freePort()]
  const origin = `https://localhost:${port}`
  const file = join(data, 'tenant.yaml')
  const users = Array.from({ length: LANES }, (_, index) => `user${index}@contoso.test`)
  writeFileSync(
    file,
    JSON.stringify({
      tenant: { name: 'contoso' },
      users: users.map((userPrincipalName) => ({ userPrincipalName, password: PASSWORD })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: ['api://files/Files.Read'] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default'] },
      ],
    }),
  )
  const server = await startServer(
    ['serve', '--import', file, '--data', data, '--port', String(port), '--log', 'error', '--loop-limit', '9999999'],
    origin,
  )
  const bare = await startBare(barePort, join(data, 'tls'))
  const connect = { ca: readFileSync(join(data, 'tls', 'ca.pem')) }
  const ours: Side = {
    ...{ name: 'ours', pid: server.pid as number, pool: new Pool(origin, { connections: LANES, connect }), lineages: [] },
    ...{ token: '/contoso/oauth2/v2.0/token', authorize: `${origin}/contoso/oauth2/v2.0/authorize` },
    ...{ scope: 'api://files/Files.Read openid offline_access', daemonScope: 'api://files/.default' },
  }
  const peer: Side = {
    ...{ name: 'oidc-provider', pid: bare.pid as number, lineages: [] },
    ...{ pool: new Pool(`https://localhost:${barePort}`, { connections: LANES, connect }), token: '/token' },
    ...{ authorize: `https://localhost:${barePort}/auth`, scope: 'Files.Read openid offline_access', daemonScope: 'Files.Read' },
  }
  try {
    for (const side of [ours, peer]) {
      for (const username of users) side.lineages.push(String((await signIn(side, username)).refresh_token))
      await spell(side, refresh, 1000)
      await spell(side, daemon, 1000)
    }
    const rates = { refresh: [[], []] as number[][], daemon: [[], []] as number[][] }
    const costs = { refresh: [[], []] as number[][], daemon: [[], []] as number[][] }
    const signIns: number[] = []
    const hashes: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, work] of Object.entries({ refresh, daemon }) as ['refresh' | 'daemon', typeof refresh][]) {
        for (const at of round % 2 === 0 ? [0, 1] : [1, 0]) {
          const { rate, cost } = await spell([ours, peer][at] as Side, work, SPELL)
          rates[name][at]?.push(rate)
          costs[name][at]?.push(cost)
        }
      }
      signIns.push((await spell(ours, async (side, lane) => void (await signIn(side, users[lane] as string)), SPELL)).rate)
      hashes.push(await hashRate())
    }
    const median = (samples: number[]) => quantile(samples, 0.5)
    for (const [name, text] of [
      ['refresh', 'refreshes, rotated, with a new ID token'],
      ['daemon', 'client credentials'],
    ] as const) {
      const [mine, theirs] = rates[name].map(median) as [number, number]
      const ratio = mine / theirs
      emit({ suite: 'issuer', name: text, value: mine, unit: '/s', peer: 'bare oidc-provider', ratio, budget: '>= 0.6 x', holds: ratio >= 0.6 })
      emit({ suite: 'issuer', name: `${text}, bare oidc-provider`, value: theirs, unit: '/s' })
      const [spent, theirSpent] = costs[name].map(median) as [number, number]
      if (spent > 0)
        emit({ suite: 'issuer', name: `processor for one of them`, value: spent, unit: 'ms', peer: 'bare oidc-provider', ratio: spent / theirSpent })
    }
    // A figure about hashing: what is not the hash is the rest of the ratio.
    const ratio = median(signIns) / median(hashes)
    emit({ suite: 'issuer', name: 'sign-ins with a password (bound by its hash)', value: median(signIns), unit: '/s', peer: 'bare argon2id', ratio })
    emit({ suite: 'issuer', name: 'bare argon2id, 19 MiB, 2 passes, 2 at a time', value: median(hashes), unit: '/s' })
  } finally {
    await Promise.all([ours.pool.destroy(), peer.pool.destroy()])
    bare.disconnect()
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGTERM')
    await ended
    rmSync(data, { recursive: true, force: true })
  }
}

type Work = (side: Side, lane: number) => Promise<void>

/** All lanes ask as fast as they are answered: answers a second, and milliseconds of the server's processor for each. */
async function spell(side: Side, work: Work, milliseconds: number): Promise<{ rate: number; cost: number }> {
  await sleep(100)
  let done = 0
  const before = processor(side.pid)
  const start = performance.now()
  const lane = async (index: number) => {
    while (performance.now() - start < milliseconds) {
      await work(side, index)
      done++
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)))
  return { rate: done / ((performance.now() - start) / 1000), cost: (processor(side.pid) - before) / done }
}

async function refresh(side: Side, lane: number): Promise<void> {
  const body = await ask(side, { grant_type: 'refresh_token', client_id: 'files-native', refresh_token: side.lineages[lane] as string })
  if (body.refresh_token === side.lineages[lane] || !body.id_token) throw new Error(`${side.name} did not rotate, or left the ID token out`)
  side.lineages[lane] = String(body.refresh_token)
}

async function daemon(side: Side): Promise<void> {
  const { access_token: token } = await ask(side, {
    ...{ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope: side.daemonScope },
  })
  if (String(token).split('.').length !== 3) throw new Error(`${side.name} answered with a token of another kind`)
}

async function ask({ name, pool, token }: Side, form: Record<string, string>): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const { statusCode, body } = await pool.request({ method: 'POST', path: token, headers, body: new URLSearchParams(form).toString() })
  const text = await body.text()
  if (statusCode !== 200) throw new Error(`${name} answered ${statusCode} ${text.slice(0, 200)}`)
  return JSON.parse(text) as Record<string, unknown>
}

/** From the first request to the tokens, in a browser that nobody knows. */
async function signIn(side: Side, username: string): Promise<Record<string, unknown>> {
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    ...{ client_id: 'files-native', response_type: 'code', redirect_uri: BACK, scope: side.scope },
    ...{ code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256' },
  })
  const end = await createBrowser().signIn(`${side.authorize}?${query}`, BACK, { username, password: PASSWORD })
  const code = end.searchParams.get('code')
  if (!code) throw new Error(`${side.name} signed nobody in: ${end.search}`)
  return ask(side, { grant_type: 'authorization_code', client_id: 'files-native', code, redirect_uri: BACK, code_verifier: verifier })
}

/** As the server hashes: argon2id of 19 MiB and two passes, two at a time. */
async function hashRate(): Promise<number> {
  const hash = promisify(argon2)
  const cost = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 }
  const start = performance.now()
  let done = 0
  const lane = async () => {
    while (performance.now() - start < SPELL / 2) {
      await hash('argon2id', { message: PASSWORD, nonce: randomBytes(16), ...cost })
      done++
    }
  }
  await Promise.all([lane(), lane()])
  return done / ((performance.now() - start) / 1000)
}

/** Milliseconds of processor that a process has used; 0 where the system does not tell. */
function processor(pid: number): number {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return 0
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

async function startBare(port: number, tls: string): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('./bare-issuer.ts', import.meta.url))
  // The library tells on its first lines that it is not set up for production, which it is not.
  const child = fork(program, [String(port), tls, SECRET], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', () => reject(new Error('bare oidc-provider did not start')))
  })
  return child
}

if (import.meta.main) await run((line) => console.log(JSON.stringify(line)))
