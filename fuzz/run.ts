/**
 * `npm run fuzz -- [--inputs N] [--seed N] [--short]`: reads a million changed captures with every parser that meets strangers.
 * `--target NAME --input BASE64` reads one again.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.ts'
import { tryInput } from './inputs.ts'
import { targets } from './live.ts'

const { values } = parseArgs({
  options: {
    inputs: { type: 'string' },
    seed: { type: 'string' },
    short: { type: 'boolean', default: false },
    target: { type: 'string' },
    input: { type: 'string' },
  },
})

if (values.target !== undefined || values.input !== undefined) {
  const target = targets.find(({ name }) => name === values.target)
  if (!target) throw new TypeError(`there is no target of that name; there is: ${targets.map(({ name }) => name).join(', ')}`)
  const { taken, wrong } = await tryInput({ target, text: Buffer.from(values.input ?? '', 'base64').toString() })
  process.stdout.write(`fuzz: ${target.name}: ${wrong ?? (taken ? 'taken' : 'refused')}\n`)
  process.exit(wrong === undefined ? 0 : 1)
}

const inputs = numberOf('inputs', values.short ? 50_000 : 1_000_000)
const seed = numberOf('seed', Date.now() % 2 ** 31)
process.stdout.write(`fuzz: seed ${seed}\n`)
const start = performance.now()
// What servers leave behind goes with it: their threads are ended, not asked.
const folder = mkdtempSync(join(tmpdir(), 'caegis-fuzz-'))
process.env.TMPDIR = folder
const { failures, counts } = await fuzz({
  inputs,
  seed,
  module: new URL('live.ts', import.meta.url).href,
  onFailure({ target, index, input, wrong }) {
    process.stdout.write(`fuzz: FAILED: ${target}: ${wrong}\n  --seed ${seed}, input ${index}\n  --target '${target}' --input ${input}\n`)
  },
})
rmSync(folder, { recursive: true, force: true })
const text = (value: number) => value.toLocaleString('en')
for (const [name, { inputs: read, taken }] of counts)
  process.stdout.write(`  ${name.padEnd(22)} ${text(read).padStart(9)} inputs, ${text(taken).padStart(9)} taken\n`)
process.stdout.write(`fuzz: ${text(inputs)} inputs, ${text(failures.length)} failures, ${Math.round((performance.now() - start) / 1000)} s\n`)
process.exit(failures.length === 0 ? 0 : 1)

function numberOf(name: 'inputs' | 'seed', otherwise: number): number {
  const value = values[name] === undefined ? otherwise : Number(values[name])
  if (!Number.isSafeInteger(value) || value < (name === 'inputs' ? 1 : 0)) throw new TypeError(`--${name} must be a whole number`)
  return value
}
