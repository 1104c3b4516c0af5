import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../packages/cli/bin/caegis.js', import.meta.url))

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** A real process of the `caegis` command. */
export interface Program {
  pid: number
  stdout(): string
  stderr(): string
  /** Resolves with the text once it stands in what the process has written; rejects when the process ends before. */
  says(where: 'stdout' | 'stderr', text: RegExp): Promise<RegExpMatchArray>
  /** Resolves when the process is gone and everything that it wrote has been read. */
  ended: Promise<Ended>
  signal(name: NodeJS.Signals): void
}

export interface ProgramOptions {
  env?: Record<string, string>
  /** Another Node than the one that runs the tests. */
  node?: string
  cwd?: string
  /** What the process reads; nothing when absent. */
  stdin?: string
}

const running = new Set<Program>()

/** Starts the command, of this checkout, with an environment that holds nothing of the developer's own. */
export function startProgram(args: string[], { env = {}, node = process.execPath, cwd = tmpdir(), stdin }: ProgramOptions = {}): Program {
  const { PATH = '', HOME = '', NODE_COMPILE_CACHE = '' } = process.env
  // npx would start the server as a grandchild and leave it behind: the process that is kept has to be the one that is meant.
  const child = spawn(node, [BIN, ...args], {
    cwd,
    env: { PATH, HOME, NODE_COMPILE_CACHE, TMPDIR: tmpdir(), ...storeBeside(args[args.lastIndexOf('--data') + 1], env.CAEGIS_DATA), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // A process that ends without reading it has done nothing wrong.
  child.stdin.on('error', () => {}).end(stdin)
  const text = { stdout: '', stderr: '' }
  const looks = new Set<() => void>()
  const look = () => {
    for (const one of looks) one()
  }
  for (const where of ['stdout', 'stderr'] as const) {
    child[where].setEncoding('utf8').on('data', (more: string) => {
      text[where] += more
      look()
    })
  }
  let over = false
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      over = true
      running.delete(program)
      resolve({ code, signal, ...text })
      look()
    })
  })
  const program: Program = {
    pid: child.pid as number,
    ended,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    signal: (name) => void child.kill(name),
    says: (where, wanted) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = text[where].match(wanted)
          if (!found && !over) return
          looks.delete(check)
          if (found) resolve(found)
          else reject(new Error(`caegis ${args[0]} ended without ${wanted}: ${text.stderr || text.stdout}`))
        }
        looks.add(check)
        check()
      }),
  }
  running.add(program)
  return program
}

/** Which database a data folder is served from, where it is none of its own: what `storeOf` has left there. The first folder that is named counts. */
export function storeBeside(...folders: (string | undefined)[]): Record<string, string> {
  const folder = folders.find((one) => one !== undefined && isAbsolute(one))
  const file = join(folder ?? tmpdir(), 'store.json')
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
}

/** Runs a command to its end. */
export function runProgram(args: string[], options: ProgramOptions = {}): Promise<Ended> {
  return startProgram(args, options).ended
}

/** Kills whatever a failed test has left. */
export async function killPrograms(): Promise<void> {
  const left = [...running]
  for (const program of left) program.signal('SIGKILL')
  await Promise.all(left.map(({ ended }) => ended))
}

/** A folder that is gone when the process of the tests ends, or earlier. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'caegis-test-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) }
}

/** The first of some free ports in a row, below those that the system itself hands out to outgoing connections. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000)
    let free = 0
    while (free < count && (await isFree(first + free))) free++
    if (free === count) return first
  }
}

/** Whether a server could listen there now, on either address of `localhost`. */
export async function isFree(port: number): Promise<boolean> {
  for (const host of ['127.0.0.1', '::1']) {
    const probe = createServer()
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EADDRNOTAVAIL'))
      probe.listen(port, host, () => resolve(true))
    })
    if (probe.listening) await new Promise((resolve) => probe.close(resolve))
    if (!free) return false
  }
  return true
}
