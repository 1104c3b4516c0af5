import type { Command } from 'commander'
import { createAdminCall, listAll } from '../admin-call.ts'
import { line, table, writeJson } from '../output.ts'
import type { Cell } from '../table.ts'

interface Device {
  id: string
  displayName: string
  accountEnabled: boolean
  isCompliant: boolean | null
}

export function addDevice(program: Command): void {
  const device = program.command('device').description('List the devices that people sign in from, and take back what was given to one.')
  device
    .command('list')
    .alias('ls')
    .description('All devices, in the order of their ids.')
    .option('--json', 'print the result as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const found = await listAll<Device>(createAdminCall(), '/devices?$top=999')
      if (json) return writeJson(found)
      if (found.length === 0) return line('There is no device.')
      table({ headings: ['ID', 'NAME', 'STATE'], rows: found.map((one) => [one.id, one.displayName, standing(one)]) })
    })
  device
    .command('revoke <id>')
    .description('The device is lost: everything that was given to it ends, and it gets nothing until it is enabled again.')
    .option('--user <upn>', 'only what this user has on it, who may sign in again')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, { user, json }: { user?: string; json?: boolean }) => {
      const url = encodeURIComponent(id)
      const response =
        user === undefined
          ? await createAdminCall()('PATCH', `/devices/${url}`, { body: { accountEnabled: false } })
          : await createAdminCall()('POST', `/caegis/devices/${url}/revoke`, { body: { user } })
      const txn = response.headers.get('caegis-txn')
      const done = user === undefined ? 'The device is disabled' : `${user} has nothing on the device any more`
      process.stdout.write(json ? `${JSON.stringify({ device: id, ...(user === undefined ? {} : { user }), txn })}\n` : `${done} (txn ${txn}).\n`)
    })
  device
    .command('enable <id>')
    .description('A device that was disabled may be used again, after a new sign-in.')
    .option('--json', 'print the result as JSON')
    .action(async (id: string, { json }: { json?: boolean }) => {
      const response = await createAdminCall()('PATCH', `/devices/${encodeURIComponent(id)}`, { body: { accountEnabled: true } })
      const txn = response.headers.get('caegis-txn')
      process.stdout.write(json ? `${JSON.stringify({ device: id, txn })}\n` : `The device is enabled (txn ${txn}).\n`)
    })
}

function standing({ accountEnabled, isCompliant }: Device): Cell {
  if (!accountEnabled) return { text: 'disabled', colour: 'red' }
  if (isCompliant === false) return { text: 'not compliant', colour: 'red' }
  return isCompliant === null ? 'enabled' : { text: 'compliant', colour: 'green' }
}
