import { execFile, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Loop, SECRET } from './loop.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The blocks of indented lines of a page: commands, each to be run by a shell as it stands. */
export function blocksOf(page: string): string[] {
  const text = readFileSync(new URL(`../${page}`, import.meta.url), 'utf8')
  return [...text.matchAll(/(?:^ {4}.*\n)+/gm)].map(([block]) => block.replaceAll(/^ {4}/gm, ''))
}

/** The one block of a page with this text in it, with what stands for the reader's own machine replaced by what is so here. */
export function blockOf(page: string, text: string, here: Record<string, string> = {}): string {
  const found = blocksOf(page).filter((block) => block.includes(text))
  if (found.length !== 1) throw new Error(`${page} has ${found.length} blocks with ${text}`)
  return Object.entries(here).reduce((block, [theirs, ours]) => block.replaceAll(theirs, ours), found[0] as string)
}

/** What is elsewhere here than beside the demo; its folder gets the file that tells the secret. */
export function asDemo({ data, origin }: Pick<Loop, 'data' | 'origin'>): Record<string, string> {
  writeFileSync(join(data, 'demo.json'), JSON.stringify({ filesApi: SECRET, nightly: SECRET }))
  return { '$PWD/.caegis': data, './.caegis': data, '.caegis': data, 'https://localhost:8443': origin }
}

/** Milliseconds for which a program that was started through npm may take to say its first word, on a busy machine. */
export const STARTED = 30_000

interface Place {
  cwd?: string
  env?: Record<string, string>
}

/** Runs commands to their end. @returns what they have written to standard output */
export function runShown(commands: string, { cwd = ROOT, env = {} }: Place = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('sh', ['-ec', commands], { cwd, env: { ...process.env, ...env }, timeout: 120_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${commands}\nended with ${error.code}: ${stderr}`))
      else resolve(stdout)
    })
  })
}

/** A program that goes on. */
export interface Shown {
  /** What it has written so far. */
  output(): string
  exited: Promise<number | null>
  signal(name: NodeJS.Signals): void
  kill(): void
}

/** Starts commands, the last of which goes on: a signal reaches that one. */
export function startShown(commands: string, { cwd = ROOT, env = {} }: Place = {}): Shown {
  const child = spawn('sh', ['-ec', commands.replace(/\b(?=(?:npm|npx) [^\n]*\n?$)/, 'exec ')], {
    ...{ cwd, env: { ...process.env, ...env } },
    stdio: ['ignore', 'pipe', 'pipe'],
    // npm stands between us and the program: what is killed is the group of both.
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (more) => {
      output += more
    })
  }
  return {
    output: () => output,
    exited: new Promise((resolve) => child.once('exit', resolve)),
    signal: (name) => void child.kill(name),
    kill() {
      try {
        process.kill(-(child.pid as number), 'SIGKILL')
      } catch {
        // It has ended already.
      }
    },
  }
}
