import { type ChildProcess, fork } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { localTls } from '@caegis/server'
import { trustLocalCa } from '../../packages/cli/src/trust.ts'
import { createNats, PUBLISHER } from '../../test/nats.ts'
import { balance } from '../../test/nodes.ts'
import { type Postgres, query, startPostgres } from '../../test/postgres.ts'
import { freePorts, type Program, startProgram, temporaryFolder } from '../../test/process.ts'
import type { Answers, GuardStart, Question, State } from './guard.ts'
import { keep, type Part, type Unit } from './parts.ts'

export const SECRET = 'a-secret-that-is-long-enough-for-this'
export const PASSWORD = 'correct horse battery'
export const SCOPE = 'api://files/Files.Read'
export const BACK = 'http://localhost'
/** Seconds of staleness that the guards bear. */
export const BOUND = 5

export interface WorldOptions {
  store: 'sqlite' | 'postgres'
  users: string[]
}

/** Guards by number: each the replica of an API, and each registered as an application of its own, because one may have so many streams only. */
export const GUARDS = ['poll', 'fleet'] as const

/** The real parts, each in a process of its own that is started again when it dies. */
export interface World {
  issuer: string
  authority: string
  origin: string
  parts: Part[]
  guards: { name: string; ask(question: Question): void; onAnswer: (told: Answers) => void; state(): Promise<State | undefined> }[]
  /** One of those PostgreSQL processes that serve a connection of a server. @returns milliseconds until a statement was answered again */
  killBackend(which: (of: number) => number): Promise<number | undefined>
  store: { kind: WorldOptions['store']; file: string; url: string }
  /** Begins to keep the guards: whom nobody revokes must have a token first. */
  startGuards(token: () => string): void
  close(): Promise<void>
}

export async function startWorld({ store, users }: WorldOptions): Promise<World> {
  const folder = temporaryFolder()
  const data = folder.path
  const count = store === 'sqlite' ? 1 : 2
  const first = await freePorts(count + 1)
  const origin = `https://localhost:${first}`
  const authority = `${origin}/contoso`
  const ports = Array.from({ length: count }, (_, i) => first + 1 + i)
  const file = join(data, 'tenant.yaml')
  writeFileSync(file, tenantFile(users))
  await localTls(data, Date.now())
  trustLocalCa(data)
  const nats = await createNats()
  const postgres = store === 'postgres' ? await startPostgres({ durable: true }) : undefined
  const url = postgres ? await postgres.database() : ''
  const env = {
    ...(postgres ? { DATABASE_URL: url } : {}),
    ...{ CAEGIS_KEY_SECRET: SECRET, NATS_URL: nats.url, NATS_USER: PUBLISHER.user, NATS_PASSWORD: PUBLISHER.pass },
  }
  const servers = ports.map((port, i) => serverUnit(i, port, ['--origin', origin, '--data', data, '--loop-limit', '9999999'], env))
  const [own] = servers
  try {
    // Once with the tenant's file, and to its orderly end: what it has compiled is kept then, as it would be on a machine that has run it before.
    await own?.start(['--import', file])
    own?.stop()
    await own?.ended()
  } catch (error) {
    await Promise.all([nats.close(), postgres?.close()])
    folder.remove()
    throw new Error(`the first server did not start: ${await own?.ended()}`, { cause: error })
  }
  let settings: (() => GuardStart)[] = []
  const children: (ChildProcess | undefined)[] = []
  const answers: ((told: Answers) => void)[] = []
  const states: ((told: State | undefined) => void)[][] = GUARDS.map(() => [])
  const parts = servers.map((unit) => keep(unit, false))
  parts.push(keep({ kind: 'nats', name: 'nats', ...spawned(nats) }, true))
  if (postgres) parts.push(keep(postgresUnit(postgres), true))
  const balancer = await balance(first, () => {
    const up = ports.filter((_, i) => parts[i]?.up())
    return up.length > 0 ? up : ports
  })
  const world: World = {
    ...{ issuer: `${authority}/v2.0`, authority, origin, parts },
    store: { kind: store, file: join(data, 'caegis.db'), url },
    guards: GUARDS.map((name, i) => ({
      name,
      ask: (question) => children[i]?.connected && children[i]?.send(question, () => {}),
      set onAnswer(take: (told: Answers) => void) {
        answers[i] = take
      },
      state: () =>
        new Promise((resolve) => {
          if (!children[i]?.connected) return resolve(undefined)
          states[i]?.push(resolve)
          return children[i]?.send({ ask: 'state' } satisfies Question, (error) => error && resolve(undefined))
        }),
    })),
    async killBackend(which) {
      const pids = postgres ? backendsOf(postgres) : []
      const pid = pids[which(pids.length)]
      if (pid === undefined || !kill(pid)) return undefined
      const from = performance.now()
      // Until it has noticed, the postmaster still lets somebody in.
      while (isAlive(pid)) await sleep(2)
      for (let tries = 0; tries < 600; tries++) {
        if (await query(url, 'select 1').then(Boolean, () => false)) return performance.now() - from
        await sleep(10)
      }
      return undefined
    },
    startGuards(token) {
      settings = GUARDS.map((name) => () => ({
        ...{ issuer: world.issuer, audience: 'api://files', clientId: name === 'poll' ? 'files-api' : 'files-fleet', clientSecret: SECRET },
        ...{ data, bound: BOUND, token: token(), ...(name === 'fleet' ? { nats: nats.url } : {}) },
      }))
      for (const i of GUARDS.keys()) parts.push(keep(guardUnit(i), false))
    },
    async close() {
      await Promise.all(parts.map((part) => part.close()))
      balancer.close()
      await nats.close()
      await postgres?.close()
      folder.remove()
    },
  }
  return world

  function guardUnit(i: number): Unit {
    let ended: Promise<string> = Promise.resolve('')
    return {
      ...{ kind: 'guard', name: `guard ${GUARDS[i]}` },
      start() {
        const child = fork(fileURLToPath(new URL('guard.ts', import.meta.url)), [], {
          env: { ...process.env, NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/caegis', import.meta.url)) },
          stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        })
        children[i] = child
        let words = ''
        child.stderr?.setEncoding('utf8').on('data', (more: string) => {
          words = (words + more).slice(-600)
        })
        ended = new Promise((resolve) => {
          child.once('exit', (code, signal) => {
            for (const settle of states[i]?.splice(0) ?? []) settle(undefined)
            resolve(`${signal ?? code} ${words}`)
          })
        })
        child.on('error', () => {})
        child.send((settings[i] as () => GuardStart)(), () => {})
        return new Promise((resolve, reject) => {
          child.on('message', (told: 'ready' | Answers | State) => {
            if (told === 'ready') resolve(true)
            else if ('codes' in told) answers[i]?.(told)
            else states[i]?.shift()?.(told)
          })
          child.once('exit', reject)
        })
      },
      alive: () => children[i] !== undefined && children[i]?.exitCode === null && children[i]?.signalCode === null,
      kill: () => void children[i]?.kill('SIGKILL'),
      ended: () => ended,
    }
  }
}

function serverUnit(i: number, port: number, flags: string[], env: Record<string, string>) {
  let program: Program | undefined
  let over = true
  return {
    ...({ kind: 'server', name: `server ${i + 1}` } as const),
    async start(more: string[] = []) {
      const started = startProgram(['serve', '--port', String(port), ...flags, '--log', 'error', ...more], { env })
      program = started
      over = false
      let gone = false
      void started.ended.then(() => {
        gone = true
        if (program === started) over = true
      })
      while (!gone) {
        const ready = await fetch(`https://localhost:${port}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
          async (response) => (await response.text()) !== '' && response.ok,
          () => false,
        )
        if (ready) return
        await sleep(20)
      }
      throw new Error('the server ended')
    },
    alive: () => !over,
    kill: () => program?.signal('SIGKILL'),
    stop: () => program?.signal('SIGTERM'),
    async ended() {
      const { code, signal, stderr } = (await program?.ended) ?? { code: null, signal: null, stderr: '' }
      return `${signal ?? code} ${stderr.slice(-600)}`
    },
  }
}

/** What the tests' own parts need to be a unit. */
function spawned(part: { start(): Promise<void>; kill(): Promise<void>; ended(): Promise<void> }) {
  let alive = true
  const watch = () => {
    const gone = part.ended()
    alive = true
    void gone.then(() => {
      if (gone === part.ended()) alive = false
    })
  }
  watch()
  return {
    start() {
      const working = part.start()
      watch()
      return working
    },
    alive: () => alive,
    kill: () => part.kill(),
    ended: () => part.ended().then(() => ''),
  }
}

/** With its children, and none of them may notice first: what they had in their hands is gone. */
function postgresUnit(postgres: Postgres): Unit {
  const unit = spawned(postgres)
  return {
    ...{ kind: 'postgres', name: 'postgres', ...unit },
    async kill() {
      const pid = postgres.pid() as number
      process.kill(pid, 'SIGSTOP')
      const children = childrenOf(pid)
      for (const child of children) kill(child)
      await unit.kill()
      // As long as one of them lives, the memory that they shared is taken.
      while (children.some(isAlive)) await sleep(5)
    },
  }
}

/** Those that serve somebody: their titles name a user. */
function backendsOf(postgres: Postgres): number[] {
  const pid = postgres.pid()
  if (pid === undefined) return []
  return childrenOf(pid).filter((child) => {
    try {
      return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('postgres: caegis caegis_')
    } catch {
      return false
    }
  })
}

/** proc(5): the state and the parent are the first two fields of `stat` behind the name. */
function statOf(pid: number | string): [state: string, parent: number] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return [state, Number(parent)]
  } catch {
    return undefined
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statOf(name)?.[1] === pid)
    .map(Number)
}

/** One that nobody has waited for yet is dead all the same. */
function isAlive(pid: number): boolean {
  const state = statOf(pid)?.[0]
  return state !== undefined && state !== 'Z' && state !== 'X'
}

function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

function tenantFile(users: string[]): string {
  const api = { scopes: ['Files.Read'], cae: true, clientSecret: SECRET }
  return JSON.stringify({
    tenant: { name: 'contoso' },
    groups: [{ displayName: 'nobody' }],
    users: users.map((userPrincipalName) => ({ userPrincipalName, password: PASSWORD })),
    applications: [
      { appId: 'files-api', identifierUris: ['api://files'], ...api },
      { appId: 'files-fleet', identifierUris: ['api://files-fleet'], ...api },
      { appId: 'watcher', identifierUris: ['api://watcher'], ...api },
      { appId: 'files-native', type: 'native', redirectUris: [BACK], permissions: [SCOPE] },
      { appId: 'nightly', type: 'daemon', clientSecret: SECRET, permissions: ['graph/.default', 'api://files/.default'] },
    ],
  })
}
