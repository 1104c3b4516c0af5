import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'

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
  const user = program.command('user').description('Disable, enable or revoke a user.')
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
