import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { freePorts } from './process.ts'

const ROOT = '/usr/lib/postgresql'

/** Folder of the programs of the newest PostgreSQL that Debian has installed. */
export const POSTGRES = existsSync(ROOT)
  ? readdirSync(ROOT)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(ROOT, version, 'bin'))
      .find((bin) => existsSync(join(bin, 'postgres')))
  : undefined

const MISSING = 'PostgreSQL is missing: install the package postgresql (sudo apt-get install postgresql)'

/** Whether the tests can start a PostgreSQL; as with the broker, it may be missing on a developer's machine only. */
export function hasPostgres(): boolean {
  if (POSTGRES !== undefined) return true
  if (process.env.CI) throw new Error(MISSING)
  process.stdout.write(`skipped: ${MISSING}\n`)
  return false
}

export interface Postgres {
  port: number
  /** The folder of its data. */
  data: string
  /** Of the database that every server has. */
  url: string
  /** Makes an empty database; `DATABASE_URL` for it. */
  database(): Promise<string>
  /** Ends the server as `kill -9` does. */
  kill(): Promise<void>
  /** Of the postmaster that was started last. */
  pid(): number | undefined
  /** Resolves when it is gone. */
  ended(): Promise<void>
  /** Starts it again on its data. */
  start(): Promise<void>
  close(): Promise<void>
}

export interface PostgresOptions {
  /** Waits for the disk, as a server in earnest does. */
  durable?: boolean
  settings?: Record<string, string>
}

/** Starts a real PostgreSQL server with data of its own on a free port of loopback; it does not run as root, whoever starts it. */
export async function startPostgres({ durable = false, settings = {} }: PostgresOptions = {}): Promise<Postgres> {
  if (POSTGRES === undefined) throw new Error(MISSING)
  const port = await freePorts(1)
  const data = mkdtempSync(join(tmpdir(), 'caegis-postgres-'))
  const own = userOf()
  if (own) spawnSync('chown', ['-R', `${own.uid}:${own.gid}`, data])
  const made = spawnSync(join(POSTGRES, 'initdb'), ['-D', data, '-U', 'caegis', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8'], {
    ...own,
    cwd: data,
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)
  const words = Object.entries({
    ...{ port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: data, max_connections: '300', shared_buffers: '64MB' },
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...settings,
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  let child: ReturnType<typeof spawn> | undefined
  let ended: Promise<void> = Promise.resolve()
  const run = async () => {
    const process = spawn(join(POSTGRES as string, 'postgres'), ['-D', data, ...words], { ...own, cwd: data, stdio: 'ignore' })
    child = process
    ended = new Promise((resolve) => process.once('exit', () => resolve()))
    for (let tries = 0; ; tries++) {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'caegis', database: 'postgres' })
      // It may be killed at any moment; who waits for an answer is told apart from this.
      client.on('error', () => {})
      try {
        await client.connect()
        return await client.end()
      } catch (error) {
        await client.end().catch(() => {})
        // It takes a moment, more of them after a kill.
        if (tries === 300 || process.exitCode !== null || process.signalCode !== null) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  const end = async (signal: NodeJS.Signals) => {
    const process = child
    if (!process || process.exitCode !== null || process.signalCode !== null) return
    process.kill(signal)
    await ended
  }
  const url = `postgres://caegis@127.0.0.1:${port}/postgres`
  await run()
  return {
    ...{ port, data, url, start: run },
    database: () => createDatabase(url),
    kill: () => end('SIGKILL'),
    ended: () => ended,
    pid: () => child?.pid,
    async close() {
      // Not waiting for anybody who is still connected.
      await end('SIGQUIT')
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** Makes an empty database beside the one that the URL names. @returns its URL */
export async function createDatabase(url: string): Promise<string> {
  const name = `caegis_${randomBytes(6).toString('hex')}`
  await query(url, `create database ${name}`)
  return new URL(name, url).href
}

/** One statement, or several, over a connection of its own. */
export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

/** PostgreSQL refuses to run as root; Debian's package has made a user for it. */
function userOf(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (kind: string) => Number(spawnSync('id', [kind, 'postgres'], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}
