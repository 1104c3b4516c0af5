import { type Command, InvalidArgumentError } from 'commander'
import { createAdminCall } from '../admin-call.ts'
import { line, table, writeJson } from '../output.ts'
import type { Cell } from '../table.ts'

interface SignIn {
  createdDateTime: string
  userPrincipalName: string
  appId: string
  resourceId: string
  ipAddress: string
  ipAddressFromResourceProvider: string
  signInEventTypes: string[]
  status: { errorCode: number; failureReason: string }
  authenticationProcessingDetails: { key: string; value: string }[]
  aggregatedSignInCount?: number
}

interface Audit {
  activityDateTime: string
  activityDisplayName: string
  result: string
  initiatedBy: { user: { userPrincipalName: string } | null; app: { displayName: string } | null }
  targetResources: { type: string; id: string; displayName: string | null }[]
  correlationId: string
}

const MOST = 10_000

/** `signins` and `audit`: who signed in, and who changed what. */
export function addLogs(program: Command): void {
  program
    .command('signins')
    .description('List who signed in and who was refused, the newest first.')
    .option('--user <upn>', 'of one user')
    .option('--app <id>', 'for one application')
    .option('--denied', 'only what was refused, or asked for more')
    .option('--limit <n>', 'how many at most (50)', readLimit, 50)
    .option('--json', 'print them as JSON')
    .action(async ({ user, app, denied, limit, json }: { user?: string; app?: string; denied?: boolean; limit: number; json?: boolean }) => {
      const found = await read<SignIn>('signIns', limit, [
        ...(user === undefined ? [] : [`userPrincipalName eq ${quoted(user)}`]),
        ...(app === undefined ? [] : [`appId eq ${quoted(app)}`]),
        ...(denied ? ['status/errorCode ne 0'] : []),
      ])
      if (json) return writeJson(found)
      if (found.length === 0) return line('Nobody did.')
      table({ headings: ['TIME', 'USER', 'APPLICATION', 'KIND', 'FROM', 'OUTCOME'], rows: found.map(signInRow) })
    })

  program
    .command('audit')
    .description('List who changed what in the directory, the newest first.')
    .option('--target <id>', 'what was done to one user, group, application or device, by its id')
    .option('--limit <n>', 'how many at most (50)', readLimit, 50)
    .option('--json', 'print them as JSON')
    .action(async ({ target, limit, json }: { target?: string; limit: number; json?: boolean }) => {
      const found = await read<Audit>('directoryAudits', limit, target === undefined ? [] : [`targetResources/any(t:t/id eq ${quoted(target)})`])
      if (json) return writeJson(found)
      if (found.length === 0) return line('Nothing was changed.')
      table({ headings: ['TIME', 'BY', 'WHAT', 'OF', 'TXN'], rows: found.map(auditRow) })
    })
}

/** As many as are wanted, however many pages that takes: one that looked at enough may be empty. */
async function read<T>(log: string, limit: number, filters: readonly string[]): Promise<T[]> {
  const call = createAdminCall()
  const query = new URLSearchParams({ $top: String(Math.min(limit, 999)), ...(filters.length > 0 ? { $filter: filters.join(' and ') } : {}) })
  const found: T[] = []
  for (let next: string | undefined = `/auditLogs/${log}?${query}`; next !== undefined && found.length < limit; ) {
    const page = (await (await call('GET', next)).json()) as { value: T[]; '@odata.nextLink'?: string }
    found.push(...page.value)
    const link: string | undefined = page['@odata.nextLink']
    next = link?.slice(link.indexOf('/v1.0') + '/v1.0'.length)
  }
  return found.slice(0, limit)
}

function signInRow(one: SignIn): Cell[] {
  const isLong = one.authenticationProcessingDetails.some(({ key, value }) => key === 'Is CAE Token' && value === 'True')
  const elsewhere = one.ipAddressFromResourceProvider === '' ? '' : ` (API saw ${one.ipAddressFromResourceProvider})`
  const many = one.aggregatedSignInCount === undefined ? '' : `, ${one.aggregatedSignInCount} times`
  const outcome: Cell =
    one.status.errorCode === 0
      ? { text: `allowed${isLong ? ', CAE' : ''}`, colour: 'green' }
      : { text: `${one.status.errorCode} ${one.status.failureReason}${many}`, colour: 'red' }
  const where = one.resourceId === '' ? '' : ` -> ${one.resourceId}`
  return [
    one.createdDateTime,
    one.userPrincipalName || '-',
    `${one.appId || '-'}${where}`,
    String(one.signInEventTypes[0]),
    `${one.ipAddress || '-'}${elsewhere}`,
    outcome,
  ]
}

function auditRow({ activityDateTime, activityDisplayName, result, initiatedBy, targetResources, correlationId }: Audit): Cell[] {
  const who = initiatedBy.user?.userPrincipalName || initiatedBy.app?.displayName || '-'
  const targets = targetResources.slice(0, 3).map(({ type, id, displayName }) => `${type.toLowerCase()} ${displayName ?? id}`)
  const more = targetResources.length > 3 ? ` and ${targetResources.length - 3} more` : ''
  const what = result === 'success' ? activityDisplayName : { text: `${activityDisplayName} (${result})`, colour: 'red' as const }
  return [activityDateTime, who, what, `${targets.join(', ')}${more}`, correlationId]
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`

function readLimit(text: string): number {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > MOST) throw new InvalidArgumentError(`must be 1 to ${MOST}`)
  return limit
}
