/**
 * `npm run chaos -- [soak] [kills] [machine] [network] [--short] [--seconds=n] [--kills=n] [--seed=n] [--store=name] [--only=text] [--json]`: what only shows after a while, or under stress, against models
 * that know what must come of it. `--short` keeps all runs together under ten minutes. The last line is the summary; the exit code is 1 when something did not hold. With `--json` one line a figure goes to stdout, the rest to stderr.
 */
import type { Figure } from '../bench/figure.ts'

export interface RunOptions {
  short: boolean
  /** Length, in place of the run's own. */
  seconds?: number
  /** How many processes are killed, in place of the run's own. */
  kills?: number
  /** Says who is killed when; another one each time unless it is given. */
  seed?: number
  /** One of them only. */
  store?: 'sqlite' | 'postgres'
  /** Of the run's parts, those whose names hold this, or one of these with bars between. */
  only?: string
  emit(figure: Figure): void
  progress(text: string): void
}

export interface Outcome {
  /** What did not hold; nothing, if all went well. */
  failed: string[]
  summary: string
}

const RUNS: Record<string, () => Promise<{ run(options: RunOptions): Promise<Outcome> }>> = {
  soak: () => import('./soak.ts'),
  kills: () => import('./kills.ts'),
  machine: () => import('./machine.ts'),
  network: () => import('./network.ts'),
}

if (import.meta.main) {
  const given = process.argv.slice(2)
  const json = given.includes('--json')
  const short = given.includes('--short')
  const textOf = (name: string) => given.find((one) => one.startsWith(`--${name}=`))?.slice(name.length + 3)
  const [length, kills, seed, store, only] = ['seconds', 'kills', 'seed', 'store', 'only'].map(textOf)
  const named = given.filter((one) => !one.startsWith('--'))
  const unknown = named.filter((one) => !Object.hasOwn(RUNS, one))
  if (
    unknown.length > 0 ||
    (length !== undefined && !(Number(length) >= 20)) ||
    ![kills ?? '1', seed ?? '1'].every((text) => /^[1-9]\d{0,8}$/.test(text)) ||
    !['sqlite', 'postgres'].includes(store ?? 'sqlite')
  ) {
    process.stderr.write(
      `There are the runs ${Object.keys(RUNS).join(', ')}, a length is at least 20 seconds, kills and seed are numbers, the stores sqlite and postgres.\n`,
    )
    process.exit(1)
  }
  const say = (text: string) => (json ? process.stderr : process.stdout).write(`${text}\n`)
  const lines: string[] = []
  let bad = 0
  for (const name of named.length > 0 ? named : Object.keys(RUNS)) {
    say(`\n${name}`)
    const { run } = await (RUNS[name] as (typeof RUNS)[string])()
    const { failed, summary } = await run({
      short,
      ...(length !== undefined && { seconds: Number(length) }),
      ...(kills !== undefined && { kills: Number(kills) }),
      ...(seed !== undefined && { seed: Number(seed) }),
      ...((store === 'sqlite' || store === 'postgres') && { store }),
      ...(only !== undefined && { only }),
      emit(figure) {
        if (json) process.stdout.write(`${JSON.stringify(figure)}\n`)
        const value = `${figure.value.toLocaleString('en', { maximumSignificantDigits: 4 })} ${figure.unit}`
        say(`  ${figure.name.padEnd(52)} ${value.padStart(20)}  ${figure.budget ? `${figure.holds ? 'holds' : 'MISSED'}: ${figure.budget}` : ''}`)
      },
      progress: (text) => process.stderr.write(`  ${text}\n`),
    }).catch((error: unknown): Outcome => ({ failed: [String(error)], summary: 'it broke off' }))
    for (const fault of failed) say(`  DOES NOT HOLD: ${fault}`)
    if (failed.length > 0) bad++
    lines.push(`${name} ${failed.length > 0 ? 'DOES NOT HOLD' : 'holds'}: ${summary}`)
  }
  say(`chaos: ${lines.join('; ')}`)
  process.exit(bad > 0 ? 1 : 0)
}
