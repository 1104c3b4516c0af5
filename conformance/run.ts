import tls from 'node:tls'
import { parseArgs } from 'node:util'
import { type Config, Misconfigured, readConfig } from './config.ts'
import { describe, type Result } from './notes.ts'
import { RECEIVER_PLANS, TRANSMITTER_PLANS } from './plans.ts'
import { runReceiverModule } from './receiver/modules.ts'
import { createTarget, runTransmitterModule } from './transmitter/session.ts'

const USAGE = `usage: node conformance/run.ts --config <file> [--plan <plan>] [--mode push|poll] [--module <name>]
plans: ${[...Object.keys(TRANSMITTER_PLANS), ...Object.keys(RECEIVER_PLANS)].join(', ')} (default: transmitter)
`

/** The runs of a plan, one after the other: they share the receiver's streams. */
function* runsOf(plan: string, config: Config, only: string | undefined): Generator<() => Promise<Result>> {
  const wanted = <One extends { name: string }>(modules: One[]) => modules.filter(({ name }) => only === undefined || name === only)
  if (Object.hasOwn(TRANSMITTER_PLANS, plan)) {
    if (!config.transmitter) throw new Misconfigured('transmitter is missing')
    const { profile = config.profile, modules } = TRANSMITTER_PLANS[plan as keyof typeof TRANSMITTER_PLANS]
    const target = createTarget({ ...config, profile })
    for (const module of wanted(modules)) yield () => runTransmitterModule(module, target)
  } else if (Object.hasOwn(RECEIVER_PLANS, plan)) {
    if (!config.receiver) throw new Misconfigured('receiver is missing')
    const { profile, modules } = RECEIVER_PLANS[plan as keyof typeof RECEIVER_PLANS]
    for (const module of wanted(modules)) yield () => runReceiverModule(module, { ...config, profile }, plan)
  } else throw new Misconfigured(`there is no plan ${plan}`)
}

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { config: text, plan: text, mode: text, module: text } })
  const { config: file, plan = 'transmitter', mode, module } = values
  if (file === undefined) throw new Misconfigured('--config is missing')
  const { ca, ...config } = readConfig(file)
  if (ca !== undefined) tls.setDefaultCACertificates([...tls.getCACertificates('default'), ca])
  if (mode === 'push' || mode === 'poll') config.mode = mode
  else if (mode !== undefined) throw new Misconfigured('--mode must be push or poll')
  const counts = { pass: 0, warn: 0, fail: 0, skip: 0 }
  for (const run of runsOf(plan, config, module)) {
    const result = await run()
    counts[result.outcome]++
    process.stdout.write(`${describe(result)}\n`)
  }
  if (Object.values(counts).every((count) => count === 0)) throw new Misconfigured(`the plan ${plan} has no module ${module}`)
  process.stdout.write(
    `${plan}, ${config.mode}: ${counts.pass} passed, ${counts.warn} with warnings, ${counts.fail} failed, ${counts.skip} skipped\n`,
  )
  return counts.fail > 0 ? 1 : 0
}

try {
  process.exitCode = await main()
} catch (error) {
  const known = error instanceof Misconfigured || (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  if (!known) throw error
  process.stderr.write(`${error.message}\n${USAGE}`)
  process.exitCode = 2
}
