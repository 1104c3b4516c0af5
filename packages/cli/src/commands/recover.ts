import type { Log } from '@caegis/server'
import type { Command } from 'commander'

/** The alarm is for whoever collects logs; at a terminal stands the one who has just asked for the account. */
function withoutAlarms(log: Log): Log {
  if (!process.stderr.isTTY) return log
  return { ...log, error: (message, fields = {}) => void ('alarm' in fields || log.error(message, fields)) }
}

export function addRecover(program: Command): void {
  program
    .command('recover <tenant>')
    .description("Make or renew a tenant's emergency account, on the server's host: an administrator whom neither a stop nor a policy locks out.")
    .option('--data <folder>', "the server's data folder [CAEGIS_DATA]", process.env.CAEGIS_DATA ?? '.caegis')
    .option('--json', 'print the result as JSON')
    .action(async (tenant: string, { data, json }: { data: string; json?: boolean }) => {
      const { createLog, readDatabase, recover } = await import('@caegis/server')
      const {
        username,
        password,
        renewed,
        tenant: name,
      } = await recover({ data, database: readDatabase(process.env), tenant, log: withoutAlarms(createLog('error')) })
      if (json) process.stdout.write(`${JSON.stringify({ tenant: name, username, password, renewed })}\n`)
      else process.stdout.write(`user name  ${username}\npassword   ${password}\n`)
      process.stderr.write(`The password is shown this once. Sign in with: caegis login --tenant ${name}\n`)
    })
}
