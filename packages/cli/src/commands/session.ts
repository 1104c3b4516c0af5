import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import { line, table, writeJson } from '../output.ts'

interface Session {
  id: string
  signInDateTime: string
}

export function addSession(program: Command): void {
  const session = program.command('session').description("List a user's browser sessions, and end one of them.")
  session
    .command('list <upn>')
    .alias('ls')
    .description('The sessions that are still good, the newest first.')
    .option('--json', 'print the result as JSON')
    .action(async (upn: string, { json }: { json?: boolean }) => {
      const { value } = (await (await createAdminCall()('GET', `/caegis/users/${encodeURIComponent(upn)}/sessions`)).json()) as { value: Session[] }
      if (json) return writeJson(value)
      if (value.length === 0) return line('There is no session.')
      table({ headings: ['ID', 'SIGNED IN'], rows: value.map(({ id, signInDateTime }) => [id, signInDateTime]) })
    })
  session
    .command('revoke <id>')
    .description('End one browser session and every token that came of it; the user may sign in again.')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, { json }: { json?: boolean }) => {
      const response = await createAdminCall()('POST', `/caegis/sessions/${encodeURIComponent(id)}/revoke`)
      const txn = response.headers.get('caegis-txn')
      process.stdout.write(json ? `${JSON.stringify({ session: id, txn })}\n` : `The session is over (txn ${txn}).\n`)
    })
}
