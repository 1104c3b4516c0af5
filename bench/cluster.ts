import type { ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localTls } from '@caegis/server'
import { Pool } from 'undici'
import { createBrowser } from '../packages/cli/src/demo/browser.ts'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { freePort } from '../test/loop.ts'
import { query, startPostgres } from '../test/postgres.ts'
import { startServer } from './loop.ts'

export const SECRET = 'a-secret-that-is-long-enough-for-a-bench'
const PASSWORD = 'correct horse battery'
const BACK = 'http://localhost'
/** How many ask at the same time; each holds a lineage of refresh tokens of its own. */
export const LANES = 32
const SCOPE = 'api://files/Files.Read openid offline_access'

/** Several real servers behind TLS over one PostgreSQL that waits for its disk. Whoever asks takes one server after the other, as a balancer would. */
export interface Cluster {
  /** The folder of all that the servers have. */
  data: string
  origin: string
  issuer: string
  servers: Member[]
  /** A form at the token endpoint of a server. */
  token(form: Record<string, string>, at?: number): Promise<{ status: number; body: Record<string, unknown> }>
  /** A request to the admin API as a daemon that may do everything. */
  graph(method: string, path: string, body?: object): Promise<{ status: number; body: string }>
  daemon(clientId: string, scope: string): Promise<string>
  /** Signs in with the password; what the token endpoint said. */
  signIn(lane: number, at?: number): Promise<Record<string, unknown>>
  refresh(token: string, at?: number): Promise<{ status: number; body: Record<string, unknown> }>
  sql(text: string): Promise<Record<string, unknown>[]>
  /** Milliseconds of a processor that the servers and the database have had so far, each together. */
  busy(): { servers: number; database: number }
  close(): Promise<void>
}

export interface Member {
  port: number
  pid: number
  /** Bytes of resident memory. */
  memory(): number
  pool: Pool
}

export async function startCluster(count: number): Promise<Cluster> {
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const postgres = await startPostgres({ durable: true })
  const url = await postgres.database()
  const tls = await localTls(data, Date.now())
  trustLocalCa(data)
  const [cert, key, file] = ['cert.pem', 'key.pem', 'tenant.yaml'].map((name) => join(data, name)) as [string, string, string]
  writeFileSync(cert, tls.cert)
  writeFileSync(key, tls.key, { mode: 0o600 })
  writeFileSync(
    file,
    JSON.stringify({
      tenant: { name: 'contoso' },
      users: Array.from({ length: LANES }, (_, index) => ({ userPrincipalName: `user${index}@contoso.test`, password: PASSWORD })),
      applications: [
        { appId: 'files-api', identifierUris: ['api://files'], scopes: ['Files.Read'], cae: true, clientSecret: SECRET },
        { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: ['api://files/Files.Read'] },
        { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['api://files/.default', 'graph/.default'] },
        { appId: 'admin', type: 'daemon', clientSecret: SECRET, permissions: ['graph/User.ReadWrite.All', 'graph/Organization.ReadWrite.All'] },
      ],
    }),
  )
  const ports: number[] = []
  for (let index = 0; index < count; index++) ports.push(await freePort())
  const origin = `https://localhost:${ports[0]}`
  const children: ChildProcess[] = []
  for (const [index, port] of ports.entries()) {
    const flags = ['--data', join(data, String(port)), '--port', String(port), '--origin', origin, '--tls-cert', cert, '--tls-key', key]
    const more = index === 0 ? ['--import', file] : []
    // Its own address is what says that it listens.
    const own = `https://localhost:${port}`
    children.push(
      await startServer(['serve', ...flags, ...more, '--log', 'error', '--loop-limit', '9999999'], own, {
        DATABASE_URL: url,
        CAEGIS_KEY_SECRET: SECRET,
      }),
    )
  }
  const connect = { ca: readFileSync(tls.caFile), servername: 'localhost' }
  const servers = ports.map((port, index): Member => {
    const pid = (children[index] as ChildProcess).pid as number
    return {
      ...{ port, pid, pool: new Pool(`https://localhost:${port}`, { connections: LANES, connect }) },
      memory: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024,
    }
  })
  let turn = 0
  const ask = async (at: number | undefined, method: string, path: string, headers: Record<string, string>, body?: string) => {
    const { pool } = servers[(at ?? turn++) % servers.length] as Member
    const answer = await pool.request({ method, path, headers: { host: new URL(origin).host, ...headers }, ...(body === undefined ? {} : { body }) })
    return { status: answer.statusCode, text: await answer.body.text(), headers: answer.headers }
  }
  const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
  const token: Cluster['token'] = async (form, at) => {
    const { status, text } = await ask(at, 'POST', '/contoso/oauth2/v2.0/token', FORM, new URLSearchParams(form).toString())
    return { status, body: JSON.parse(text) as Record<string, unknown> }
  }
  const daemon: Cluster['daemon'] = async (clientId, scope) => {
    const { status, body } = await token({ grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, scope })
    if (status !== 200) throw new Error(`the token endpoint answered ${status} ${body.error}`)
    return String(body.access_token)
  }
  let admin = ''
  return {
    ...{ data, origin, issuer: `${origin}/contoso/v2.0`, servers, token, daemon },
    async graph(method, path, body) {
      admin ||= await daemon('admin', `${origin}/.default`)
      const headers = { authorization: `Bearer ${admin}`, ...(body && { 'content-type': 'application/json' }) }
      const { status, text } = await ask(undefined, method, `/v1.0${path}`, headers, body && JSON.stringify(body))
      return { status, body: text }
    },
    async signIn(lane, at = lane) {
      const verifier = randomBytes(32).toString('base64url')
      const asked = new URLSearchParams({
        ...{ client_id: 'files-native', response_type: 'code', redirect_uri: BACK, scope: SCOPE },
        ...{ code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256' },
      })
      const { port } = servers[at % servers.length] as Member
      const browser = createBrowser((url, init) => fetch(String(url).replace(origin, `https://localhost:${port}`), init))
      const end = await browser.signIn(`${origin}/contoso/oauth2/v2.0/authorize?${asked}`, BACK, {
        username: `user${lane}@contoso.test`,
        password: PASSWORD,
      })
      const code = end.searchParams.get('code') ?? ''
      const form = { grant_type: 'authorization_code', client_id: 'files-native', redirect_uri: BACK, code, code_verifier: verifier }
      const { status, body } = await token(form, at)
      if (status !== 200) throw new Error(`the token endpoint answered ${status} ${body.error}`)
      return body
    },
    refresh: (refresh_token, at) => token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token }, at),
    sql: (text) => query(url, text),
    busy() {
      const postmaster = Number.parseInt(readFileSync(join(postgres.data, 'postmaster.pid'), 'utf8'), 10)
      const all = processes()
      const sum = (some: Process[]) => some.reduce((whole, { busy }) => whole + busy, 0)
      return {
        servers: sum(all.filter(({ pid }) => servers.some((server) => server.pid === pid))),
        database: sum(all.filter(({ pid, parent }) => pid === postmaster || parent === postmaster)),
      }
    },
    async close() {
      await Promise.all(servers.map(({ pool }) => pool.destroy()))
      for (const child of children) {
        const ended = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGTERM')
        await ended
      }
      await postgres.close()
      rmSync(data, { recursive: true, force: true })
    },
  }
}

interface Process {
  pid: number
  parent: number
  /** Milliseconds of a processor, its own and those of its children that have ended. */
  busy: number
}

/** All of this machine (proc(5): fields 4 and 14 to 17 of `stat`, in ticks of 10 ms). */
function processes(): Process[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8')
      // The second field is a name in brackets, of any words.
      const fields = text
        .slice(text.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
      const busy = fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) * 10
      return [{ pid: Number(name), parent: fields[1] as number, busy }]
    } catch {
      return []
    }
  })
}
