import type { Command } from 'commander'
import { createAdminCall, listAll } from '../admin-call.ts'
import { line, table, writeJson } from '../output.ts'

interface User {
  id: string
  userPrincipalName: string
  displayName: string
  accountEnabled: boolean
}

const COMMANDS = {
  disable: {
    text: 'Disable a user: every token is refused from now on, and nobody signs in.',
    method: 'PATCH',
    path: '',
    body: { accountEnabled: false },
    done: 'is disabled',
  },
  enable: { text: 'Enable a disabled user again.', method: 'PATCH', path: '', body: { accountEnabled: true }, done: 'is enabled' },
  revoke: {
    text: "End all of a user's sessions; the user may sign in again.",
    method: 'POST',
    path: '/revokeSignInSessions',
    body: undefined,
    done: 'has no session left',
  },
} as const

export function addUser(program: Command): void {
  const user = program.command('user').description('List users; disable, enable or revoke one.')
  user
    .command('list [start]')
    .alias('ls')
    .description('All users, or those whose user name or name begins so.')
    .option('--json', 'print the result as JSON')
    .action(async (start: string | undefined, { json }: { json?: boolean }) => {
      const query = new URLSearchParams({ $select: 'id,userPrincipalName,displayName,accountEnabled', $top: '999' })
      const text = start?.replaceAll("'", "''")
      if (text !== undefined) query.set('$filter', `startsWith(userPrincipalName,'${text}') or startsWith(displayName,'${text}')`)
      const found = await listAll<User>(createAdminCall(), `/users?${query}`)
      if (json) return writeJson(found)
      if (found.length === 0) return line('There is no such user.')
      table({
        headings: ['USER', 'NAME', 'STATE'],
        rows: found.map((one) => [
          ...[one.userPrincipalName, one.displayName],
          one.accountEnabled ? { text: 'enabled', colour: 'green' } : { text: 'disabled', colour: 'red' },
        ]),
      })
    })
  for (const [name, { text, method, path, body, done }] of Object.entries(COMMANDS)) {
    user
      .command(`${name} <upn>`)
      .description(text)
      .option('--json', 'print the result as JSON')
      .action(async (upn: string, { json }: { json?: boolean }) => {
        const response = await createAdminCall()(method, `/users/${encodeURIComponent(upn)}${path}`, body ? { body } : {})
        const txn = response.headers.get('caegis-txn')
        process.stdout.write(json ? `${JSON.stringify({ user: upn, command: name, txn })}\n` : `${upn} ${done} (txn ${txn}).\n`)
      })
  }
}
