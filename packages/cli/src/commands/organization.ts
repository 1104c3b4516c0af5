import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import { confirm } from '../confirm.ts'

interface Organization {
  id: string
  name: string
  state: 'running' | 'stopped'
  changed?: boolean
  txn?: string
  proof?: { receivers: { status: string; complete: boolean }[] }
}

/** Seconds for which the server is asked to wait until every receiver has the stop. */
const WAIT = 10

/** `stop` and `resume`: the emergency stop of a whole tenant. */
export function addOrganization(program: Command): void {
  program
    .command('stop <tenant>')
    .description('Stop a whole tenant: every token is refused from now on, and nobody signs in, until "caegis resume".')
    .option('--confirm <name>', "the tenant's name again, where nobody is there to type it")
    .option('--json', 'print the result as JSON')
    .action(async (tenant: string, { confirm: given, json }: { confirm?: string; json?: boolean }) => {
      const { call, name } = await open(tenant)
      const warning = `This ends every session of ${name} and lets nobody sign in.`
      await confirm({ wanted: name, given, warning, name: "the tenant's name" })
      const done = await call('POST', '/stop', { confirmation: name })
      const listening = (done.proof?.receivers ?? []).filter(({ status }) => status === 'enabled')
      const receivers = { listening: listening.length, applied: listening.filter(({ complete }) => complete).length }
      const { changed, txn, proof } = done
      if (json) process.stdout.write(`${JSON.stringify({ tenant: name, command: 'stop', state: done.state, changed, txn, receivers, proof })}\n`)
      else process.stdout.write(told(name, done, receivers))
    })

  program
    .command('resume <tenant>')
    .description('Lift the emergency stop of a tenant. What died by it stays dead: everybody signs in again.')
    .option('--json', 'print the result as JSON')
    .action(async (tenant: string, { json }: { json?: boolean }) => {
      const { call, name } = await open(tenant)
      const { state, changed, txn } = await call('POST', '/resume')
      if (json) process.stdout.write(`${JSON.stringify({ tenant: name, command: 'resume', state, changed, txn })}\n`)
      else process.stdout.write(changed ? `${name} is running again (txn ${txn}): everybody may sign in anew.\n` : `${name} was not stopped.\n`)
    })
}

/** The tenant of the sign-in, when it is the one that is meant. */
async function open(tenant: string): Promise<{ call: typeof call; name: string }> {
  const send = createAdminCall()
  const { name, id } = await call('GET')
  // What hits everybody hits nobody else: the sign-in decides which tenant it is, so it has to be the one that was named.
  if (tenant !== name && tenant !== id) {
    throw new CaegisError('other_tenant', `You are signed in to ${name}, not to ${tenant}. Run: caegis login --tenant ${tenant}`)
  }
  return { call, name }

  async function call(method: 'GET' | 'POST', path = '', body?: object): Promise<Organization> {
    const response = await send(method, `/caegis/organization${path}`, { headers: { prefer: `wait=${WAIT}` }, ...(body ? { body } : {}) })
    return (await response.json()) as Organization
  }
}

function told(name: string, { changed, txn }: Organization, { listening, applied }: { listening: number; applied: number }): string {
  const lift = `To lift it: "caegis recover ${name}" on the server's host, then "caegis login --tenant ${name}" as the account that it names, then "caegis resume ${name}".\n`
  if (!changed) return `${name} is stopped already; nothing was published again.\n${lift}`
  return `${name} is stopped (txn ${txn}): every token is refused, and nobody signs in.\n${applied} of ${listening} receivers that are listening have it.\n${lift}`
}
