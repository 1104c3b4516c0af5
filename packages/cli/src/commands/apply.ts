import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { createAdminCall, type Refusal } from '../admin-call.ts'
import { agree, confirm } from '../confirm.ts'
import { CLI_ERRORS } from '../errors.ts'
import { counted, line, note, writeJson } from '../output.ts'
import { type Plan, planLines } from '../plan.ts'
import { createProgress } from '../progress.ts'
import { showReevaluations } from '../reevaluation.ts'
import { terminalOf } from '../terminal.ts'
import { pathOf, readYamlFile } from '../yaml-file.ts'

interface Given {
  file: string
  yes?: boolean
  confirm?: string
  json?: boolean
}

interface Applied {
  done: number
  left: number
  digest: string | null
  txns: string[]
}

/** Characters of a file that a server takes from outside. */
const MOST = 32 * 1_048_576

/** `apply`: makes the tenant what a file says, after showing what that would change. */
export function addApply(program: Command): void {
  program
    .command('apply')
    .description('Make the tenant what a file (YAML) says: shows what would change, and asks. What the file does not name stays as it is.')
    .requiredOption('-f, --file <file>', 'the tenant file')
    .option('--yes', 'do it without asking')
    .option('--confirm <name>', "the tenant's name, where a policy would keep you yourself out and nobody is there to type it")
    .option('--json', 'print the plan and what became of it as JSON')
    .action(async ({ file, yes, confirm: given, json }: Given) => {
      const call = createAdminCall()
      const fail = (mistakes: string[]) =>
        new CaegisError('invalid_file', `${CLI_ERRORS.invalid_file}\n${mistakes.map((one) => `  ${file} ${one}`).join('\n')}`)
      const { value, lineOf } = readYamlFile(file, { most: MOST, fail })
      if (typeof value !== 'object' || Array.isArray(value)) throw fail(['line 1: this is no tenant file: that begins with keys, such as "tenant:"'])
      /** A refusal of the file in terms of its lines. */
      const send = async <T>(path: string, body: object): Promise<T> => {
        try {
          return (await (await call('POST', `/caegis/tenantFile/${path}`, { body })).json()) as T
        } catch (error) {
          const { details = [] } = ((error as CaegisError).detail ?? {}) as Partial<Refusal>
          if (details.length === 0) throw error
          throw fail(details.map(({ target, message }) => `line ${lineOf(pathOf(target))}: ${pathOf(target).join('.') || 'file'}: ${message}`))
        }
      }
      const plan = await send<Plan>('plan', { file: value })
      if (!json) for (const one of planLines(plan, terminalOf(process.stdout, process.env))) line(one)
      const result = (applied: number, txns: readonly string[]) => {
        const { tenant, count, same, left, warnings, wouldBlockAuthor, steps } = plan
        if (json) writeJson({ tenant, count, same, left, warnings, wouldBlockAuthor, steps, applied, txns })
      }
      if (plan.count === 0) return result(0, [])
      try {
        if (plan.wouldBlockAuthor.length > 0)
          await confirm({ wanted: plan.tenant, given, warning: 'A policy of it would keep you out of the admin API.', name: "the tenant's name" })
        else if (!yes) await agree(`Apply this to ${plan.tenant}?`, '--yes')
      } catch (error) {
        result(0, [])
        throw error
      }
      const txns = await applyAll(send, value, plan)
      result(plan.count, txns)
      if (!json) line(`Done: ${counted(plan.count, 'step')}.`)
      await showReevaluations(call, txns)
    })
}

type Send = <T>(path: string, body: object) => Promise<T>

/** Turn after turn, as the server says how far it has come. @returns the txn of each change */
async function applyAll(send: Send, file: unknown, { digest, count, wouldBlockAuthor }: Plan): Promise<string[]> {
  const progress = createProgress('Applying')
  const txns: string[] = []
  const path = wouldBlockAuthor.length > 0 ? 'apply?confirm=true' : 'apply'
  let done = 0
  try {
    progress.at(0, count)
    for (let next: string | null = digest; next !== null; ) {
      const turn: Applied = await send<Applied>(path, { file, digest: next })
      txns.push(...turn.txns)
      done += turn.done
      next = turn.digest
      progress.at(done, count)
    }
    return txns
  } catch (error) {
    progress.end()
    if (done > 0) note(`${done} of ${count} steps are done and stay so. To go on, run it again: it says what is left.`)
    throw error
  } finally {
    progress.end()
  }
}
