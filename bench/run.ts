/**
 * `npm run bench -- [guard|client|policy|signals|issuer|access|directory|loop|gateway|risk|console|scale|simulate] [--json]`: every figure beside its budget. With `--json` one line a figure goes to stdout and the table to stderr.
 * The machine and what else it does decide about half of every figure: compare within a run, not between machines.
 */
import { cpus } from 'node:os'
import type { Figure } from './figure.ts'

const SUITES: Record<string, () => Promise<{ run(emit: (figure: Figure) => void): Promise<void> }>> = {
  guard: () => import('./guard.ts'),
  client: () => import('./client.ts'),
  policy: () => import('./policy.ts'),
  signals: () => import('./signals.ts'),
  issuer: () => import('./issuer.ts'),
  access: () => import('./access.ts'),
  directory: () => import('./directory.ts'),
  loop: () => import('./loop.ts'),
  gateway: () => import('./gateway.ts'),
  risk: () => import('./risk.ts'),
  console: () => import('./console.ts'),
  scale: () => import('./scale.ts'),
  simulate: () => import('./simulate.ts'),
}

const json = process.argv.includes('--json')
const named = process.argv.slice(2).filter((one) => one !== '--json')
const unknown = named.filter((one) => !Object.hasOwn(SUITES, one))
if (unknown.length > 0) {
  process.stderr.write(`There is no suite ${unknown.join(', ')}; there is: ${Object.keys(SUITES).join(', ')}.\n`)
  process.exit(1)
}
const table = (text: string) => (json ? process.stderr : process.stdout).write(`${text}\n`)
table(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}`)
for (const name of named.length > 0 ? named : Object.keys(SUITES)) {
  const start = performance.now()
  table(`\n${name}`)
  const { run } = await (SUITES[name] as (typeof SUITES)[string])()
  await run((figure) => {
    if (json) process.stdout.write(`${JSON.stringify(figure)}\n`)
    const value = `${figure.value.toLocaleString('en', { maximumSignificantDigits: 4 })} ${figure.unit}`
    const peer = figure.peer ? `${figure.ratio?.toFixed(2)} x ${figure.peer}` : ''
    const budget = figure.budget ? `${figure.holds ? 'holds' : 'MISSED'}: ${figure.budget}` : ''
    table(`  ${figure.name.padEnd(52)} ${value.padStart(16)}  ${peer.padEnd(28)} ${budget}`)
  })
  table(`  (${((performance.now() - start) / 1000).toFixed(0)} s)`)
}
process.exit(0)
