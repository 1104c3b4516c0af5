import { existsSync, statfsSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type Finding, fail, ok, skipped, warn } from './finding.ts'

/** Bytes: below the first, sign-ins and revocations soon cannot be written down. */
const DISK = { fail: 200 * 1024 ** 2, warn: 2 * 1024 ** 3 }
/** What nobody else of the machine may read. */
const PRIVATE = ['caegis.db', 'caegis.db-wal', 'key-secret', 'demo.json', join('tls', 'ca-key.pem')]

export function checkNode(version: string): Finding {
  const major = Number(version.split('.')[0])
  return major >= 24 ? ok('node', `Node ${version}`) : fail('node', `Node ${version}`, 'The server needs Node 24 or newer: install it.')
}

/** The data folder of a server on this machine: who may read it, and whether there is room. */
export function checkData(data: string, room = (folder: string) => freeBytes(folder)): Finding[] {
  // A server that keeps its rows in PostgreSQL has its certificates and secrets here still.
  const has = (name: string) => existsSync(join(data, name))
  if (!PRIVATE.some(has)) return [skipped('data folder', `${data} holds no data of a server: is it on another machine, or elsewhere (CAEGIS_DATA)?`)]
  const isOpen = (path: string) => existsSync(path) && (statSync(path).mode & 0o077) !== 0
  const files = PRIVATE.map((name) => join(data, name)).filter(isOpen)
  const shut = `chmod -R go= ${data}`
  const folder = isOpen(data)
    ? fail('data folder', `others of this machine can look into ${[data, ...files].join(', ')}`, shut)
    : files.length > 0
      ? warn('data folder', `nothing but the folder keeps others of this machine out of ${files.join(', ')}`, shut)
      : ok('data folder', `${data} is for its owner alone`)
  return has('caegis.db') ? [folder, checkDisk(data, room(data))] : [folder]
}

function checkDisk(data: string, free: number): Finding {
  const left = `${(free / 1024 ** 3).toFixed(1)} GiB are free`
  const next = `Make room on the disk of ${data}, or let the logs be kept for less long (CAEGIS_LOG_RETENTION).`
  return free < DISK.fail ? fail('disk', left, next) : free < DISK.warn ? warn('disk', left, next) : ok('disk', left)
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

/** Brokers say who they are before anything is asked (NATS client protocol, INFO). */
export async function checkBrokers(urls: string | undefined): Promise<Finding[]> {
  const servers = (urls ?? '').split(/[\s,]+/).filter((one) => one !== '')
  if (servers.length === 0) return [skipped('broker', 'NATS_URL is not set: guards follow by themselves')]
  return Promise.all(
    servers.map(async (text) => {
      const url = URL.parse(text)
      if (!url?.hostname) return fail('broker', 'NATS_URL is no URL', 'It is one or more of tls://host:4222.')
      const greeting = await firstLine(url.hostname, Number(url.port || 4222))
      if (greeting?.startsWith('INFO ')) return ok('broker', `${url.host} answers`)
      const says = greeting === undefined ? `nobody answers at ${url.host}` : `${url.host} is no NATS broker`
      return fail('broker', says, 'Start the broker, or mend NATS_URL. Guards poll by themselves meanwhile.')
    }),
  )
}

/** Milliseconds for which a broker is waited for. */
const PATIENCE = 3000

function firstLine(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PATIENCE })
    const end = (line: string | undefined) => {
      socket.destroy()
      resolve(line)
    }
    socket.once('data', (bytes) => end(bytes.toString('latin1', 0, 512)))
    socket.once('error', () => end(undefined))
    socket.once('timeout', () => end(socket.connecting ? undefined : ''))
    socket.once('end', () => end(''))
  })
}
