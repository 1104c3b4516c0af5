import { resolve } from 'node:path'
import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import type { Finding } from '../doctor/finding.ts'
import { checkBrokers, checkData, checkNode } from '../doctor/host.ts'
import { checkServer } from '../doctor/server.ts'
import { checkSignedIn } from '../doctor/tenant.ts'
import { EXIT } from '../exit-codes.ts'
import { line, writeJson } from '../output.ts'
import { type Colour, paint, plain, terminalOf } from '../terminal.ts'

const MARKS = {
  ...{ ok: ['ok', 'green'], warn: ['warn', 'yellow'] },
  ...{ fail: ['fail', 'red'], skipped: ['-', 'dim'] },
} as const satisfies Record<Finding['state'], readonly [string, Colour]>

/** `doctor`: finds the usual mistakes, each with what to do next. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'Find the usual mistakes: clock, certificate, ports, origin, sign-in, proxies, streams, data folder, broker. Ends with 1 when something does not work.',
    )
    .option('--tenant <name>', 'the tenant [CAEGIS_TENANT, or that of the sign-in]')
    .option('--origin <url>', 'the server [CAEGIS_ORIGIN, or that of the sign-in]')
    .option('--json', 'print what was found as JSON')
    .action(async ({ tenant, origin, json }: { tenant?: string; origin?: string; json?: boolean }) => {
      const { knownProfile } = await import('../session.ts')
      const { trustLocalCa } = await import('../trust.ts')
      if (tenant !== undefined) process.env.CAEGIS_TENANT = tenant
      if (origin !== undefined) process.env.CAEGIS_ORIGIN = new URL(origin).origin
      const data = resolve(process.env.CAEGIS_DATA ?? '.caegis')
      const profile = knownProfile()
      trustLocalCa(data)
      const server = await checkServer(profile.origin, profile.tenant, data)
      const isThere = server.every(({ state }) => state !== 'fail')
      const found = [
        ...[checkNode(process.versions.node), ...checkData(data)],
        ...server,
        ...(isThere ? await checkSignedIn(createAdminCall(), profile.tenant) : []),
        ...(await checkBrokers(process.env.NATS_URL)),
      ]
      const failed = found.filter(({ state }) => state === 'fail').length
      if (failed > 0) process.exitCode = EXIT.failed.code
      if (json) return writeJson({ healthy: failed === 0, origin: profile.origin, tenant: profile.tenant ?? null, checks: found })
      const terminal = terminalOf(process.stdout, process.env)
      const widest = Math.max(...found.map(({ check }) => check.length))
      for (const { check, state, says, next } of found) {
        const [mark, colour] = MARKS[state]
        line(`${paint(mark.padEnd(4), colour, terminal)}  ${check.padEnd(widest)}  ${plain(says)}`)
        if (next !== undefined) line(`${' '.repeat(widest + 8)}-> ${plain(next)}`)
      }
    })
}
