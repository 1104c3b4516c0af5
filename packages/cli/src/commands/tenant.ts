import type { Command } from 'commander'
import { line, note, writeJson } from '../output.ts'

export function addTenant(program: Command): void {
  program
    .command('tenant')
    .description("Make a tenant, on the server's host.")
    .command('create <name>')
    .description(
      'Make a tenant and its first administrator, whose password is shown once and is good for one sign-in. The server need not be started again.',
    )
    .option('--display-name <text>', 'what people call it (as the name)')
    .option('--admin <upn>', "the administrator's user name (admin@ and the tenant's name)")
    .option('--data <folder>', "the server's data folder [CAEGIS_DATA]", process.env.CAEGIS_DATA ?? '.caegis')
    .option('--json', 'print the result as JSON')
    .action(async (name: string, { displayName, admin, data, json }: { displayName?: string; admin?: string; data: string; json?: boolean }) => {
      const { createLog, createTenant, readDatabase } = await import('@caegis/server')
      const more = { ...(displayName === undefined ? {} : { displayName }), ...(admin === undefined ? {} : { admin }) }
      const { id, tenant, username, password } = await createTenant({
        data,
        database: readDatabase(process.env),
        name,
        ...more,
        log: createLog('error'),
      })
      if (json) writeJson({ id, tenant, username, password })
      else {
        line(`user name  ${username}`)
        line(`password   ${password}`)
      }
      note(`The password is shown this once, and good for one sign-in. Sign in with: caegis login --tenant ${tenant}`)
    })
}
