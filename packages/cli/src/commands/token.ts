import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import { CLI_ERRORS } from '../errors.ts'
import { line, writeJson } from '../output.ts'

/** More than any token that the server takes. */
const MOST = 64 * 1024

export function addToken(program: Command): void {
  const token = program.command('token').description('Take back one access token.')
  token
    .command('revoke [id]')
    .description('Revoke one access token at every API: the one of that id (jti), or the one on standard input.')
    .option('--json', 'print the result as JSON')
    .action(async (id: string | undefined, { json }: { json?: boolean }) => {
      // Whoever may list processes reads the command line.
      if (id !== undefined && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(id)) throw new CaegisError('token_in_sight', CLI_ERRORS.token_in_sight)
      const body = id === undefined ? { token: await readToken() } : { id }
      const txn = (await createAdminCall()('POST', '/caegis/tokens/revoke', { body })).headers.get('caegis-txn')
      if (json) return writeJson({ ...(id === undefined ? {} : { token: id }), txn })
      // The server knows which ids are revoked, and of none whether it was given out.
      line(id === undefined ? `The token is revoked (txn ${txn}).` : `If there is a token of that id, it is revoked (txn ${txn}).`)
    })
}

async function readToken(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('The token, then Enter and Ctrl-D:\n')
  let text = ''
  for await (const part of process.stdin) {
    text += part
    if (text.length > MOST) break
  }
  text = text.trim()
  if (text === '' || text.length > MOST) throw new CaegisError('no_token', CLI_ERRORS.no_token)
  return text
}
