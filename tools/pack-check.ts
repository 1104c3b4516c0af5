/**
 * `npm run pack-check`: the published packages, installed from their tarballs, on the oldest Node that they promise too.
 * Why: the suite runs them on the Node of this checkout; another one is 100 MB, which only this asks the registry for.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const OLDEST = '22.23.3'
const folder = mkdtempSync(join(tmpdir(), 'caegis-node-'))
let status: number | null = 1
try {
  const name = `node-${process.platform}-${process.arch}`
  const install = ['install', '--prefix', folder, '--prefer-offline', '--no-save', `${name}@${OLDEST}`]
  if (spawnSync('npm', install, { stdio: 'inherit' }).status === 0) {
    const env = { ...process.env, CAEGIS_OTHER_NODE: join(folder, 'node_modules', name, 'bin/node') }
    status = spawnSync('npx', ['vitest', 'run', '--project', 'e2e', 'test/packages.test.ts'], { stdio: 'inherit', env }).status
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit(status ?? 1)
