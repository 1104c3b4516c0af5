import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import type { Figure } from './figure.ts'

const CONSOLE = fileURLToPath(new URL('../packages/console', import.meta.url))
/** KB of JavaScript, gzipped, until the first screen stands. */
const BUDGET = 300
const FIRST_SCREEN = 'src/screens/overview/overview.tsx'

interface Chunk {
  file: string
  isEntry?: boolean
  isDynamicEntry?: boolean
  imports?: string[]
  css?: string[]
}

/** What a browser fetches of the console, built now from source: before the first screen, and for each other one beyond that. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const out = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  try {
    await build({
      root: CONSOLE,
      configFile: join(CONSOLE, 'vite.config.ts'),
      logLevel: 'error',
      build: { outDir: out, emptyOutDir: true, manifest: true },
    })
    const manifest = JSON.parse(readFileSync(join(out, '.vite/manifest.json'), 'utf8')) as Record<string, Chunk>
    const sizes = new Map<string, number>()
    const sizeOf = (file: string) => {
      const known = sizes.get(file) ?? gzipSync(readFileSync(join(out, file))).length / 1000
      sizes.set(file, known)
      return known
    }
    /** What a chunk needs to run, itself included. */
    const needs = (name: string, seen = new Set<string>()): Set<string> => {
      if (seen.has(name)) return seen
      seen.add(name)
      for (const one of manifest[name]?.imports ?? []) needs(one, seen)
      return seen
    }
    const total = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + sizeOf((manifest[name] as Chunk).file), 0)

    const entry = Object.keys(manifest).find((name) => manifest[name]?.isEntry) as string
    const shell = needs(entry)
    emit({ suite: 'console', name: 'shell, JavaScript gzipped', value: total(shell), unit: 'KB' })
    const first = manifest[FIRST_SCREEN] ? needs(FIRST_SCREEN, new Set(shell)) : shell
    const value = total(first)
    emit({ suite: 'console', name: 'first load: shell and overview', value, unit: 'KB', budget: `at most ${BUDGET} KB`, holds: value <= BUDGET })
    const styles = new Set([...shell].flatMap((name) => manifest[name]?.css ?? []))
    emit({ suite: 'console', name: 'styles gzipped', value: [...styles].reduce((sum, file) => sum + sizeOf(file), 0), unit: 'KB' })
    for (const [name, { isDynamicEntry }] of Object.entries(manifest)) {
      if (!isDynamicEntry || name === FIRST_SCREEN) continue
      const more = [...needs(name)].filter((one) => !shell.has(one))
      emit({ suite: 'console', name: `${name.replace(/^src\/(screens\/)?|\.tsx?$/g, '')}, beyond the shell`, value: total(more), unit: 'KB' })
    }
  } finally {
    rmSync(out, { recursive: true, force: true })
  }
}
