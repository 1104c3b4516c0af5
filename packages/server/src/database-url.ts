import { readFileSync } from 'node:fs'
import { CaegisError } from '@caegis/protocol'

/** How to reach a PostgreSQL. */
export interface DatabaseSettings {
  /** A name, an address, or the folder of a Unix socket. */
  host: string
  port?: number
  database: string
  user?: string
  password?: string
  /** The server's certificate is checked, its name included. */
  tls: boolean
  /** PEM: whom to trust instead of what Node trusts. */
  ca?: string
  /** How many connections one process opens at most. */
  connections: number
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1'])
const KNOWN = new Set(['sslmode', 'sslrootcert', 'host'])

/**
 * Reads `postgres://user:password@host:port/database?sslmode=...&sslrootcert=...`; a folder as `host` is that of a Unix socket. Without `sslmode`, TLS is used wherever
 * the way leaves this machine: what is sent there is worth as much as the tokens.
 * @throws CaegisError `invalid_settings`, never with the value: it holds a password
 */
export function readDatabaseUrl(text: string, connections: number): DatabaseSettings {
  const url = URL.parse(text.replace(/^postgres(ql)?:\/\/\//, 'postgres://localhost/').replace(/^(postgres(?:ql)?:\/\/[^/@]*@)\//, '$1localhost/'))
  if (!url || (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:')) throw invalid('must be postgres://user:password@host:port/database')
  const unknown = [...url.searchParams.keys()].find((name) => !KNOWN.has(name))
  if (unknown !== undefined) throw invalid(`knows ${[...KNOWN].join(', ')} behind the question mark, and nothing else`)
  const folder = url.searchParams.get('host')
  if (folder !== null && !folder.startsWith('/')) throw invalid('takes the folder of a Unix socket as "host", which begins with a slash')
  const host = folder ?? url.hostname.replace(/^\[|\]$/g, '')
  const database = decode(url.pathname.slice(1))
  if (database === '' || database.includes('/')) throw invalid('must name a database')
  const local = folder !== null || LOOPBACK.has(host)
  const mode = url.searchParams.get('sslmode') ?? (local ? 'disable' : 'verify-full')
  // Modes in between trust whoever answers.
  if (mode !== 'disable' && mode !== 'verify-full') throw invalid('knows sslmode=verify-full and sslmode=disable')
  const file = url.searchParams.get('sslrootcert')
  return {
    ...{ host, database, tls: mode === 'verify-full', connections },
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(url.username === '' ? {} : { user: decode(url.username) }),
    ...(url.password === '' ? {} : { password: decode(url.password) }),
    ...(file === null ? {} : { ca: readCa(file) }),
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('holds a % that encodes nothing')
  }
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw invalid(`names an sslrootcert that cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function invalid(what: string): CaegisError {
  return new CaegisError('invalid_settings', `DATABASE_URL ${what}.`)
}
