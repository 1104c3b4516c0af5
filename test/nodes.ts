import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { localTls } from '@caegis/server'
import { trustLocalCa } from '../packages/cli/src/trust.ts'
import { SECRET } from './loop.ts'
import { POSTGRES, type Postgres, query } from './postgres.ts'
import { freePorts, type Program, startProgram, temporaryFolder } from './process.ts'

export interface NodesOptions {
  postgres: Postgres
  /** A tenant file (YAML). */
  tenant: string
  environment?: Record<string, string>
  count?: number
}

/** Several real server processes over one PostgreSQL, behind a balancer that gives each new connection to the next one that listens. */
export async function startNodes({ postgres, tenant, environment = {}, count = 2 }: NodesOptions) {
  const folder = temporaryFolder()
  const first = await freePorts(count + 1)
  const origin = `https://localhost:${first}`
  const ports = Array.from({ length: count }, (_, i) => first + 1 + i)
  const database = await postgres.database()
  const file = join(folder.path, 'tenant.yaml')
  writeFileSync(file, tenant)
  // Receivers of the tests have a certificate of the same authority.
  await localTls(folder.path, Date.now())
  trustLocalCa(folder.path)
  const programs: (Program | undefined)[] = ports.map(() => undefined)
  const env = {
    DATABASE_URL: database,
    CAEGIS_KEY_SECRET: SECRET,
    CAEGIS_DIAL_ALLOW: 'localhost',
    NODE_EXTRA_CA_CERTS: join(folder.path, 'tls/ca.pem'),
    ...environment,
  }

  async function start(i: number): Promise<void> {
    const made = i === 0 ? ['--import', file] : []
    const own = ['serve', '--port', String(ports[i]), '--origin', origin, '--data', folder.path, '--log', 'debug', ...made]
    const program = startProgram(own, { env })
    programs[i] = program
    await program.says('stderr', /"listening"/)
  }
  async function end(i: number, signal: NodeJS.Signals): Promise<void> {
    const program = programs[i]
    programs[i] = undefined
    program?.signal(signal)
    await program?.ended
  }

  for (const i of ports.keys()) await start(i)
  const balancer = await balance(first, () => ports.filter((_, i) => programs[i] !== undefined))
  const authority = `${origin}/${(JSON.parse(tenant) as { tenant: { name: string } }).tenant.name}`

  const tokenOf = async (clientId: string, scope: string): Promise<string> => {
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: SECRET, scope }
    const response = await fetch(`${authority}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
    if (response.status !== 200) throw new Error(`the token endpoint answered ${response.status}`)
    return ((await response.json()) as { access_token: string }).access_token
  }
  /** A request that one of the nodes answers. */
  const ask = async (i: number, token: string, method: string, path: string, body?: unknown) => {
    const response = await fetch(`https://localhost:${ports[i]}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as any, txn: response.headers.get('caegis-txn') }
  }

  return {
    ...{ origin, authority, issuer: `${authority}/v2.0`, data: folder.path, database, tokenOf, ask },
    /** Of the database: one statement, or several. */
    sql: (text: string) => query(database, text),
    /** Kills one with everything that it had in its hands. */
    kill: (i: number) => end(i, 'SIGKILL'),
    /** Stops and continues one. */
    signal: (i: number, name: 'SIGSTOP' | 'SIGCONT') => programs[i]?.signal(name),
    /** Ends one as a deployment would. */
    stop: (i: number) => end(i, 'SIGTERM'),
    start,
    /** What a node has written. */
    log: (i: number) => programs[i]?.stderr() ?? '',
    /** Which node holds the lease whose name begins so; the last one that said that it took it. */
    async holder(name: string): Promise<number> {
      const rows = await query(database, `select holder from leases join nodes on nodes.id = leases.holder where name like '${name}%' limit 1`)
      const { holder } = rows[0] as { holder: string }
      return programs.findIndex((one) => one?.stderr().includes(`"node":"${holder}"`))
    },
    /** A copy of the database as it is now: what a replica has that gets nothing from here on. */
    async copy(): Promise<string> {
      const target = await postgres.database()
      const made = spawnSync('sh', ['-c', `"$BIN/pg_dump" "$FROM" | "$BIN/psql" -q -v ON_ERROR_STOP=1 "$TO"`], {
        env: { ...process.env, BIN: POSTGRES, FROM: database, TO: target },
        encoding: 'utf8',
      })
      if (made.status !== 0) throw new Error(made.stderr)
      return target
    },
    /** The copy takes the place of the database, while the servers run. */
    async failOver(copy: string): Promise<void> {
      const [old, next] = [database, copy].map((url) => new URL(url).pathname.slice(1))
      await query(postgres.url, `alter database ${old} with allow_connections false`)
      for (let left = true; left; ) {
        await query(postgres.url, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${old}'`)
        left = (await query(postgres.url, `select 1 from pg_stat_activity where datname = '${old}'`)).length > 0
      }
      await query(postgres.url, `alter database ${old} rename to ${old}_lost`)
      await query(postgres.url, `alter database ${next} rename to ${old}`)
    },
    async close() {
      balancer.close()
      for (const i of ports.keys()) await end(i, 'SIGKILL')
      folder.remove()
    },
  }
}

export type Nodes = Awaited<ReturnType<typeof startNodes>>

/** Gives each new connection to the next of those who are named then. */
export async function balance(port: number, targets: () => number[]): Promise<{ close(): void }> {
  const sockets = new Set<Socket>()
  let turn = 0
  const server: Server = createServer((near) => {
    const all = targets()
    const far = connect(all[turn++ % all.length] ?? 1, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(port, 'localhost', resolve))
  return {
    close() {
      server.close()
      for (const one of sockets) one.destroy()
    },
  }
}
