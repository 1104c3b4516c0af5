import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './loop.ts'

const PROGRAM = '/usr/sbin/nats-server'
const MISSING = `${PROGRAM} is missing: install the package nats-server (sudo apt-get install nats-server)`

/** Whether the tests can use a NATS broker; as with the browser, it may be missing on a developer's machine only. */
export function hasNats(): boolean {
  if (existsSync(PROGRAM)) return true
  if (process.env.CI) throw new Error(MISSING)
  process.stdout.write(`skipped: ${MISSING}\n`)
  return false
}

/** Who may publish, and who may only follow: as docs/fleet.md has it. */
export const PUBLISHER = { user: 'caegis', pass: 'the-password-of-the-publisher' }
export const FOLLOWER = { user: 'guard', pass: 'the-password-of-the-guards' }
/** Who runs the broker. */
export const OPERATOR = { user: 'operator', pass: 'the-password-of-the-operator' }

export interface Nats {
  url: string
  start(): Promise<void>
  /** As if the power had gone. */
  kill(): Promise<void>
  /** Resolves when the process that was started last is gone. */
  ended(): Promise<void>
  /** Everything that it has stored is gone. */
  wipe(): void
  close(): Promise<void>
}

/** A real nats-server with JetStream on a free port, with a configuration and data of its own. */
export async function createNats(): Promise<Nats> {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-nats-'))
  const store = join(folder, 'store')
  const port = await freePort()
  writeFileSync(
    join(folder, 'nats.conf'),
    `listen: 127.0.0.1:${port}
jetstream { store_dir: ${JSON.stringify(store)} }
authorization {
  users: [
    { user: ${PUBLISHER.user}, password: ${PUBLISHER.pass}, permissions: {
      publish: ["caegis.>", "$JS.API.STREAM.INFO.CAEGIS", "$JS.API.STREAM.CREATE.CAEGIS", "$JS.API.STREAM.MSG.GET.CAEGIS"]
      subscribe: ["_INBOX.>"]
    } }
    { user: ${FOLLOWER.user}, password: ${FOLLOWER.pass}, permissions: {
      publish: ["$JS.API.CONSUMER.CREATE.CAEGIS.>", "$JS.API.CONSUMER.INFO.CAEGIS.>", "$JS.API.CONSUMER.MSG.NEXT.CAEGIS.>"]
      subscribe: ["_INBOX.>", "caegis.*.head"]
    } }
    { user: ${OPERATOR.user}, password: ${OPERATOR.pass} }
  ]
}
`,
    { mode: 0o600 },
  )
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()
  const stop = async (signal: NodeJS.Signals) => {
    child?.kill(signal)
    await ended
  }
  const nats: Nats = {
    url: `nats://127.0.0.1:${port}`,
    async start() {
      mkdirSync(store, { recursive: true })
      const started = spawn(PROGRAM, ['-c', join(folder, 'nats.conf')], { stdio: 'ignore' })
      child = started
      ended = new Promise((resolve) => started.once('exit', () => resolve()))
      await listening(port, started)
    },
    kill: () => stop('SIGKILL'),
    ended: () => ended,
    wipe: () => rmSync(store, { recursive: true, force: true }),
    async close() {
      await stop('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await nats.start()
  return nats
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('data', () => resolve(true)).once('error', () => resolve(false))
      socket.once('data', () => socket.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('nats-server did not start')
}
