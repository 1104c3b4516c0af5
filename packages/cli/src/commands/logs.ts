import { type Command, InvalidArgumentError } from 'commander'
import { createAdminCall } from '../admin-call.ts'

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
      process.stdout.write(json ? `${JSON.stringify(found)}\n` : found.map(signInLine).join(''))
    })

  program
    .command('audit')
    .description('List who changed what in the directory, the newest first.')
    .option('--target <id>', 'what was done to one user, group, application or device, by its id')
    .option('--limit <n>', 'how many at most (50)', readLimit, 50)
    .option('--json', 'print them as JSON')
    .action(async ({ target, limit, json }: { target?: string; limit: number; json?: boolean }) => {
      const found = await read<Audit>('directoryAudits', limit, target === undefined ? [] : [`targetResources/any(t:t/id eq ${quoted(target)})`])
      process.stdout.write(json ? `${JSON.stringify(found)}\n` : found.map(auditLine).join(''))
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

function signInLine(one: SignIn): string {
  const isLong = one.authenticationProcessingDetails.some(({ key, value }) => key === 'Is CAE Token' && value === 'True')
  const elsewhere = one.ipAddressFromResourceProvider === '' ? '' : ` (API saw ${one.ipAddressFromResourceProvider})`
  const many = one.aggregatedSignInCount === undefined ? '' : `, ${one.aggregatedSignInCount} times`
  const outcome = one.status.errorCode === 0 ? `allowed${isLong ? ', CAE' : ''}` : `${one.status.errorCode} ${one.status.failureReason}${many}`
  const where = one.resourceId === '' ? '' : ` -> ${one.resourceId}`
  const fields = [
    one.createdDateTime,
    one.userPrincipalName || '-',
    `${one.appId || '-'}${where}`,
    one.signInEventTypes[0],
    `${one.ipAddress || '-'}${elsewhere}`,
  ]
  return `${[...fields, outcome].map(String).map(plain).join('  ')}\n`
}

function auditLine({ activityDateTime, activityDisplayName, result, initiatedBy, targetResources, correlationId }: Audit): string {
  const who = initiatedBy.user?.userPrincipalName || initiatedBy.app?.displayName || '-'
  const targets = targetResources.slice(0, 3).map(({ type, id, displayName }) => `${type.toLowerCase()} ${displayName ?? id}`)
  const more = targetResources.length > 3 ? ` and ${targetResources.length - 3} more` : ''
  const fields = [activityDateTime, who, `${activityDisplayName}${result === 'success' ? '' : ` (${result})`}`, `${targets.join(', ')}${more}`]
  return `${[...fields, ...(correlationId === '' ? [] : [`txn ${correlationId}`])].map(plain).join('  ')}\n`
}

/** Names are other people's words: nothing of them steers the terminal. */
const plain = (text: string) => text.replace(/\p{C}/gu, '?')

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`

function readLimit(text: string): number {
  const limit = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > MOST) throw new InvalidArgumentError(`must be 1 to ${MOST}`)
  return limit
}
