import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localTls } from '@caegis/server'
import { Attribute, Change, Client } from 'ldapts'
import { freePort } from './loop.ts'

const PROGRAM = '/usr/sbin/slapd'
const MISSING = `${PROGRAM} is missing: install the package slapd (sudo apt-get install slapd)`

/** Whether the tests can use OpenLDAP's server; as with the browser, it may be missing on a developer's machine only. */
export function hasSlapd(): boolean {
  if (existsSync(PROGRAM)) return true
  if (process.env.CI) throw new Error(MISSING)
  process.stdout.write(`skipped: ${MISSING}\n`)
  return false
}

export const BASE = 'dc=example,dc=test'
export const PEOPLE = `ou=people,${BASE}`
export const MANAGER = `cn=manager,${BASE}`
export const MANAGER_PASSWORD = 'the-password-of-the-manager'

export interface Slapd {
  /** `ldaps://localhost:port` and `ldap://localhost:port` (which offers StartTLS). */
  secure: string
  plain: string
  port: number
  caFile: string
  /** What an administrator of the directory does. */
  add(dn: string, attributes: Record<string, string | string[] | Buffer>): Promise<void>
  set(dn: string, attribute: string, value: string | Buffer | undefined): Promise<void>
  rename(dn: string, to: string): Promise<void>
  remove(dn: string): Promise<void>
  close(): Promise<void>
}

/** A person as `inetOrgPerson`; the password is set by the directory's administrator. */
export const person = (uid: string, more: Record<string, string | string[]> = {}) => ({
  ...{ objectClass: 'inetOrgPerson', uid, cn: `Person ${uid}`, sn: uid, mail: `${uid}@mail.test` },
  ...more,
})
export const dnOf = (uid: string, unit = 'people') => `uid=${uid},ou=${unit},${BASE}`

/** The same in LDIF, for many at once. */
export const ldif = (uid: string, unit = 'people') =>
  `dn: ${dnOf(uid, unit)}\n${Object.entries(person(uid))
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n')}\n\n`

/**
 * Starts a real slapd on free ports with a configuration and data of its own.
 * @param content LDIF of entries that are loaded before it starts, below `ou=people` or `ou=many`
 */
export async function startSlapd(content = ''): Promise<Slapd> {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-slapd-'))
  const { cert, key, caFile } = await localTls(folder, Date.now())
  mkdirSync(join(folder, 'db'))
  const file = (name: string, text: string, mode = 0o600) => {
    writeFileSync(join(folder, name), text, { mode })
    return join(folder, name)
  }
  const configuration = file(
    'slapd.conf',
    [
      ...['core', 'cosine', 'inetorgperson'].map((name) => `include /etc/ldap/schema/${name}.schema`),
      'modulepath /usr/lib/ldap',
      'moduleload back_mdb',
      'moduleload ppolicy',
      `pidfile ${join(folder, 'slapd.pid')}`,
      `TLSCertificateFile ${file('cert.pem', cert)}`,
      `TLSCertificateKeyFile ${file('key.pem', key)}`,
      'sizelimit 100',
      'database mdb',
      `suffix "${BASE}"`,
      `rootdn "${MANAGER}"`,
      `rootpw ${MANAGER_PASSWORD}`,
      `directory ${join(folder, 'db')}`,
      'maxsize 1073741824',
      'index objectClass,uid,entryUUID,modifyTimestamp eq',
      'dbnosync',
      'overlay ppolicy',
      '',
    ].join('\n'),
  )
  const top = `dn: ${BASE}\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n\ndn: ${PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\ndn: ou=many,${BASE}\nobjectClass: organizationalUnit\nou: many\n\n`
  const loaded = spawnSync('/usr/sbin/slapadd', ['-q', '-f', configuration, '-l', file('content.ldif', top + content)], { encoding: 'utf8' })
  if (loaded.status !== 0) throw new Error(`slapadd: ${loaded.stderr}`)
  const port = await freePort()
  const plainPort = await freePort()
  const secure = `ldaps://localhost:${port}`
  const plain = `ldap://localhost:${plainPort}`
  const child = spawn(PROGRAM, ['-f', configuration, '-h', `${secure} ${plain}`, '-d', '0'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await listening(child, plainPort)

  const as = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const client = new Client({ url: secure, tlsOptions: { ca: readFileSync(caFile) } })
    try {
      await client.bind(MANAGER, MANAGER_PASSWORD)
      return await work(client)
    } finally {
      await client.unbind()
    }
  }
  return {
    ...{ secure, plain, port, caFile },
    add: (dn, attributes) =>
      as((client) =>
        client.add(
          dn,
          Object.entries(attributes).map(([type, value]) => new Attribute({ type, values: (Array.isArray(value) ? value : [value]) as string[] })),
        ),
      ),
    set: (dn, type, value) =>
      as((client) =>
        client.modify(
          dn,
          new Change({ operation: 'replace', modification: new Attribute({ type, values: (value === undefined ? [] : [value]) as string[] }) }),
        ),
      ),
    rename: (dn, to) => as((client) => client.modifyDN(dn, to)),
    remove: (dn) => as((client) => client.del(dn)),
    async close() {
      child.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    said += text
  })
  for (const end = Date.now() + 20_000; ; ) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`slapd does not listen: ${said}`)
    const open = await new Promise<boolean>((resolve) => {
      const probe = connect(port, 'localhost', () => resolve(true))
      probe.once('error', () => resolve(false))
      probe.once('connect', () => probe.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A wire to a port that breaks after so many bytes of answers; Infinity = never. */
export async function startWire(
  port: number,
  host = 'localhost',
): Promise<{ port: number; cutAfter(bytes: number): void; carried(): number; close(): Promise<void> }> {
  let left = Number.POSITIVE_INFINITY
  let carried = 0
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, 'localhost')
    for (const one of [near, far]) {
      sockets.add(one)
      one
        .on('error', () => {})
        .once('close', () => {
          sockets.delete(one)
          near.destroy()
          far.destroy()
        })
    }
    near.pipe(far)
    far.on('data', (chunk) => {
      carried += chunk.length
      left -= chunk.length
      if (left < 0) near.destroy()
      else near.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return {
    port: (server.address() as { port: number }).port,
    carried: () => carried,
    cutAfter(bytes) {
      carried = 0
      left = bytes
    },
    async close() {
      for (const one of sockets) one.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
