import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { adminFetch, CLI_ERRORS, readProfile } from '../session.ts'

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
        const profile = readProfile()
        const response = await adminFetch(profile)(`${profile.origin}/v1.0/users/${encodeURIComponent(upn)}${path}`, {
          method,
          ...(body ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) } : {}),
        })
        if (!response.ok) {
          const answer = (await response.json().catch(() => ({}))) as { error?: { code?: string; message?: string } }
          throw new CaegisError('refused', `${answer.error?.message ?? CLI_ERRORS.refused} (${response.status} ${answer.error?.code ?? ''})`)
        }
        const txn = response.headers.get('caegis-txn')
        process.stdout.write(json ? `${JSON.stringify({ user: upn, command: name, txn })}\n` : `${upn} ${done} (txn ${txn}).\n`)
      })
  }
}
