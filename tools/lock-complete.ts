/**
 * Why: for some releases the registry lacks platform packages, so that `npm install` writes a lock file which `npm ci` then refuses on another machine.
 * Every optional dependency of every locked package must be in the lock itself; and no download address may be.
 */
import { readFileSync } from 'node:fs'

interface Locked {
  optionalDependencies?: Record<string, string>
  resolved?: string
}

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, Locked> }
const wrong: string[] = []
for (const [path, locked] of Object.entries(packages)) {
  if (locked.resolved?.includes('://')) wrong.push(`${path}: a download address is in the lock; write it anew with the project's .npmrc`)
  for (const name of Object.keys(locked.optionalDependencies ?? {})) {
    let at = path
    let found = false
    while (!found) {
      found = `${at ? `${at}/` : ''}node_modules/${name}` in packages
      if (at === '') break
      at = at.includes('/node_modules/') ? at.slice(0, at.lastIndexOf('/node_modules/')) : ''
    }
    if (!found) wrong.push(`${path || 'root'}: optional dependency ${name} is not in the lock`)
  }
}
if (wrong.length > 0) {
  process.stderr.write(`package-lock.json is not complete:\n${wrong.map((line) => `  ${line}\n`).join('')}`)
  process.exit(1)
}
