import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import { confirm } from '../confirm.ts'
import { counted, line, table, writeJson } from '../output.ts'

interface Key {
  id: string
  alg: string
  state: string
  createdDateTime: string
  activeFromDateTime: string
  retiredDateTime: string | null
}

/** `keys`: the tenant's signing keys. */
export function addKeys(program: Command): void {
  const keys = program.command('keys').description("Look at the tenant's signing keys, rotate them, or take one away.")

  keys
    .command('ls')
    .alias('list')
    .description('List the keys that are published, and which of them sign.')
    .option('--json', 'print them as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const { value } = (await (await createAdminCall()('GET', '/caegis/keys')).json()) as { value: Key[] }
      if (json) writeJson(value)
      else show(value)
    })

  keys
    .command('rotate')
    .description('Publish a successor for each key; it takes over once everybody had time to fetch it, and nobody notices.')
    .option('--json', 'print the result as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const response = await createAdminCall()('POST', '/caegis/keys/rotate')
      const { value, created, txn } = (await response.json()) as { value: Key[]; created: string[]; txn: string }
      if (json) return writeJson({ command: 'rotate', created, txn, keys: value })
      line(created.length === 0 ? 'Every key has a successor already; nothing was made.' : `Made ${counted(created.length, 'key')}.`)
      show(value)
    })

  keys
    .command('remove <kid>')
    .description('Take away a key that got into wrong hands: everything that it signed is refused at once, and clients fetch new tokens.')
    .option('--confirm <kid>', "the key's id again, where nobody is there to type it")
    .option('--json', 'print the result as JSON')
    .action(async (kid: string, { confirm: given, json }: { confirm?: string; json?: boolean }) => {
      const warning = `This ends every token that ${kid} has signed.`
      await confirm({ wanted: kid, given, warning, name: "the key's id" })
      const response = await createAdminCall()('DELETE', `/caegis/keys/${encodeURIComponent(kid)}`)
      const txn = response.headers.get('caegis-txn')
      if (json) writeJson({ command: 'remove', kid, txn })
      else line(`${kid} is removed (txn ${txn}): guards refuse everything that it signed.`)
    })
}

function show(keys: readonly Key[]): void {
  table({
    headings: ['ID', 'ALGORITHM', 'STATE', 'SIGNS FROM'],
    rows: keys.map(({ id, alg, state, activeFromDateTime }) => [id, alg, state, activeFromDateTime]),
  })
}
