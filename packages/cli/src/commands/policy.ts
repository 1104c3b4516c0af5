import { CaegisError } from '@caegis/protocol'
import type { Command } from 'commander'
import { type AdminCall, createAdminCall, listAll } from '../admin-call.ts'
import { CLI_ERRORS } from '../errors.ts'
import { line, table, writeJson } from '../output.ts'
import { addPolicyTest } from './policy-test.ts'
import { addPolicyWhatIf } from './policy-what-if.ts'

interface Policy {
  id: string
  displayName: string
  description: string | null
  state: string
  createdDateTime: string
  modifiedDateTime: string | null
  conditions: object
  grantControls: { operator: string; builtInControls: string[]; authenticationStrength?: { displayName: string | null } | null } | null
  sessionControls: object | null
}

const POLICIES = '/identity/conditionalAccess/policies'
const STATES: Record<string, string> = { enabled: 'on', disabled: 'off', enabledForReportingButNotEnforced: 'report only' }

/** `policy`: by which rules people are let in. */
export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('Look at the Conditional Access policies, and try them.')

  policy
    .command('list')
    .alias('ls')
    .description('List them: whether each is on, and what it asks for.')
    .option('--json', 'print the result as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const all = await listAll<Policy>(createAdminCall(), `${POLICIES}?$orderby=displayName`)
      if (json) return writeJson({ policies: all })
      if (all.length === 0) return line('There are no policies: whoever signs in is let in.')
      const rows = all.map((one) => [one.displayName, STATES[one.state] ?? one.state, controlsOf(one), one.id])
      table({ headings: ['NAME', 'STATE', 'ASKS FOR', 'ID'], rows })
    })

  policy
    .command('show <name>')
    .description('Show one, by its name or id.')
    .option('--json', 'print the result as JSON')
    .action(async (name: string, { json }: { json?: boolean }) => {
      const call = createAdminCall()
      const one = await find(call, name)
      if (json) return writeJson(one)
      const facts = [
        ['name', one.displayName],
        ...(one.description ? [['description', one.description]] : []),
        ['id', one.id],
        ['state', STATES[one.state] ?? one.state],
        ['asks for', controlsOf(one)],
        ['changed', one.modifiedDateTime ?? one.createdDateTime],
        ...said(one.conditions),
        ...(one.sessionControls ? said(one.sessionControls) : []),
      ]
      table({ rows: facts })
    })

  addPolicyTest(policy)
  addPolicyWhatIf(policy)
}

async function find(call: AdminCall, name: string): Promise<Policy> {
  const wanted = `'${name.replaceAll("'", "''")}'`
  const query = new URLSearchParams({ $filter: `displayName eq ${wanted} or id eq ${wanted}` })
  const [found] = await listAll<Policy>(call, `${POLICIES}?${query}`)
  if (!found) throw new CaegisError('unknown_policy', CLI_ERRORS.unknown_policy)
  return found
}

function controlsOf({ grantControls, sessionControls }: Policy): string {
  const { operator = '', builtInControls = [], authenticationStrength } = grantControls ?? {}
  const grant = [...builtInControls, ...(authenticationStrength ? [authenticationStrength.displayName ?? 'authenticationStrength'] : [])]
  const session = Object.entries(sessionControls ?? {}).flatMap(([name, value]) => (value === null ? [] : [name]))
  return [...(grant.length > 0 ? [grant.join(operator === 'AND' ? ' and ' : ' or ')] : []), ...session].join(', ')
}

/** Whatever of it says something, by its path. */
function said(value: object, before: readonly string[] = []): string[][] {
  return Object.entries(value).flatMap(([name, one]: [string, unknown]): string[][] => {
    const path = [...before, name]
    if (one === null || (Array.isArray(one) && one.length === 0)) return []
    if (typeof one === 'object' && !Array.isArray(one)) return said(one as object, path)
    return [[path.join('.'), Array.isArray(one) ? one.join(' ') : String(one)]]
  })
}
