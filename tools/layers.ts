/**
 * Why: the directions between packages are the architecture. Biome sees to it that a package imports only what its package.json names, that there are no cycles, and
 * that the rooms of the server look one way; this checks what Biome cannot: the table of packages itself, words without clock or I/O, the server loaded lazily.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Which packages of ours a package may import. */
const MAY_IMPORT: Record<string, string[]> = {
  protocol: [],
  policy: ['protocol'],
  ssf: ['protocol'],
  guard: ['protocol', 'policy', 'ssf'],
  client: ['protocol'],
  // The console is files that the server hands out, never code that it runs.
  server: ['protocol', 'policy', 'ssf', 'guard', 'console'],
  console: ['protocol', 'policy', 'client'],
  cli: ['protocol', 'policy', 'client', 'guard', 'server'],
}
const WORDS = ['protocol', 'policy']
/** What a word must not know: the time, the network, the machine. */
const UNKNOWN_TO_WORDS = /\b(Date\.now|new Date\(\)|performance\.now|setTimeout|setInterval|fetch\(|process\.|crypto\.|Math\.random)/

const wrong: string[] = []
for (const [name, allowed] of Object.entries(MAY_IMPORT)) {
  const folder = join('packages', name)
  const { dependencies = {}, devDependencies = {}, peerDependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  for (const dependency of Object.keys({ ...dependencies, ...devDependencies })) {
    const own = dependency.match(/^@caegis\/(.+)$/)?.[1]
    if (own !== undefined && !allowed.includes(own)) wrong.push(`${folder}: may not depend on ${dependency}`)
  }
  if (WORDS.includes(name) && Object.keys({ ...dependencies, ...peerDependencies }).some((one) => !one.startsWith('@caegis/'))) {
    wrong.push(`${folder}: words have no dependencies`)
  }
  for (const file of readdirSync(join(folder, 'src'), { recursive: true, encoding: 'utf8' }).filter((one) => /\.tsx?$/.test(one))) {
    const text = readFileSync(join(folder, 'src', file), 'utf8')
    const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    const found = WORDS.includes(name) ? code.match(UNKNOWN_TO_WORDS) : null
    if (found) wrong.push(`${folder}/src/${file}: words do not know ${found[0]}`)
    if (name === 'cli' && /^import (?!type )[^\n]*'@caegis\/server'/m.test(code)) {
      wrong.push(`${folder}/src/${file}: the server is loaded by import() only, so that other commands start fast`)
    }
    if (name === 'server' && /^import [^\n]*'@caegis\/console/m.test(code)) wrong.push(`${folder}/src/${file}: the console is handed out, not run`)
    if (name === 'guard' && code.includes("'@caegis/ssf/transmitter'")) wrong.push(`${folder}/src/${file}: a guard receives, it does not transmit`)
    if (['ssf', 'guard', 'client'].includes(name) && /\bprocess\.env\b/.test(code))
      wrong.push(`${folder}/src/${file}: machines never read the environment`)
  }
}
if (wrong.length > 0) {
  process.stderr.write(`The layers do not hold:\n${wrong.map((line) => `  ${line}\n`).join('')}`)
  process.exit(1)
}
