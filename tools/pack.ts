/**
 * Makes the tarballs of the published packages: `node tools/pack.ts <folder>`.
 * Why: packages are run from source here, by a condition of ours (`caegis-source`). What others install is built, does not name that condition, and is put together
 * beside the sources, so that no build lies about in them.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Each after those that it needs. */
export const PUBLISHED = ['protocol', 'policy', 'ssf', 'guard', 'client'] as const
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const OURS = 'caegis-source'

/** @returns the tarball of each package, by the short name */
export function pack(given: string): Record<string, string> {
  // npm runs elsewhere.
  const folder = resolve(given)
  const stage = mkdtempSync(join(tmpdir(), 'caegis-pack-'))
  try {
    const built = join(stage, 'built')
    execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', join(ROOT, 'tools/tsconfig.pack.json'), '--outDir', built], { stdio: 'inherit' })
    mkdirSync(folder, { recursive: true })
    const folders = PUBLISHED.map((name) => {
      const from = join(ROOT, 'packages', name)
      const to = join(stage, name)
      mkdirSync(to)
      renameSync(join(built, name, 'src'), join(to, 'dist'))
      copyFileSync(join(from, 'README.md'), join(to, 'README.md'))
      copyFileSync(join(ROOT, 'LICENSE'), join(to, 'LICENSE'))
      const manifest: unknown = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'), (key, value) => (key === OURS ? undefined : value))
      writeFileSync(join(to, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
      return to
    })
    const said = execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', folder, ...folders], { encoding: 'utf8', cwd: stage })
    const packed = Object.values(JSON.parse(said) as Record<string, { name: string; filename: string }>)
    return Object.fromEntries(packed.map(({ name, filename }) => [name.replace('@caegis/', ''), join(folder, filename)]))
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2)
  if (folder === undefined) {
    process.stderr.write('node tools/pack.ts <folder>\n')
    process.exit(1)
  }
  for (const tarball of Object.values(pack(folder))) process.stdout.write(`${tarball}\n`)
}
