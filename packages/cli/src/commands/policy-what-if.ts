import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { parse } from 'yaml'
import { createAdminCall } from '../admin-call.ts'
import { line, table, writeJson } from '../output.ts'

interface Given {
  user?: string
  servicePrincipal?: string
  app?: string
  context?: string
  action?: string
  ip?: string
  country?: string
  platform?: string
  client?: string
  userRisk?: string
  signInRisk?: string
  flow?: string
  compliant?: boolean
  signIn?: string
  draft?: string
  impact?: number | true
  json?: boolean
}

interface Analysis {
  value: { displayName: string; state: string; analysisReasons: string; caegis: { applies: boolean | 'unknown'; result: string; unmet: string[] } }[]
  caegis: { outcome: string; next: string | null; session: object }
}

interface Impact {
  looked: number
  changed: number
  blocked: number
  interrupted: number
  allowed: number
}

const ROOT = '/identity/conditionalAccess'
const ACTIONS = ['registerSecurityInformation', 'registerOrJoinDevices']
const RISKS = ['none', 'low', 'medium', 'high', 'hidden']

/** `policy what-if`: what policies would say to a sign-in that is supposed, or to those of the log. */
export function addPolicyWhatIf(policy: Command): void {
  policy
    .command('what-if')
    .description('Say what the policies would decide. What you leave out is unknown, and a policy that it may concern is enforced.')
    .option('--user <upn or id>', 'who signs in')
    .addOption(new Option('--service-principal <id>', 'or which application, in its own name').conflicts('user'))
    .option('--app <id or URI>', 'for which API')
    .addOption(new Option('--context <c1>', 'or for which authentication context').conflicts(['app', 'action']))
    .addOption(new Option('--action <name>', 'or to do what').choices(ACTIONS).conflicts('app'))
    .option('--ip <address>', 'from where')
    .option('--country <code>', 'in which country')
    .addOption(new Option('--platform <name>', 'on what').choices(['android', 'iOS', 'windows', 'windowsPhone', 'macOS', 'linux']))
    .addOption(
      new Option('--client <type>', 'by what').choices(['browser', 'mobileAppsAndDesktopClients', 'exchangeActiveSync', 'easSupported', 'other']),
    )
    .addOption(new Option('--user-risk <level>', 'the risk of the user').choices(RISKS))
    .addOption(new Option('--sign-in-risk <level>', 'the risk of the sign-in').choices(RISKS))
    .addOption(new Option('--flow <name>', 'by which flow').choices(['none', 'deviceCodeFlow', 'authenticationTransfer']))
    .option('--compliant', 'from a compliant device')
    .addOption(new Option('--sign-in <id>', 'a sign-in of the log instead').conflicts(['user', 'servicePrincipal', 'app', 'context', 'action']))
    .option('--draft <file>', 'with a policy of this file (JSON or YAML; names as in a tenant file), which nobody has stored')
    .option('--impact [last]', 'of the draft on the last sign-ins (1000)', readLast)
    .option('--json', 'print the result as JSON')
    .action(async (given: Given, command: Command) => {
      const wrong = mistakeIn(given)
      if (wrong !== undefined) command.error(`error: ${wrong}`)
      const call = createAdminCall()
      const draft = given.draft === undefined ? undefined : (parse(readFileSync(given.draft, 'utf8')) as object)
      if (given.impact !== undefined) {
        const body = { policy: draft ?? {}, ...(given.impact === true ? {} : { last: given.impact }) }
        const impact = (await (await call('POST', `${ROOT}/impact`, { body })).json()) as Impact
        return line(given.json ? JSON.stringify(impact) : sentence(impact))
      }
      const user =
        given.user === undefined ? undefined : ((await (await call('GET', `/users/${encodeURIComponent(given.user)}`)).json()) as { id: string }).id
      const body = { ...(given.signIn === undefined ? suppose(given, user) : { signInId: given.signIn }), ...(draft === undefined ? {} : { draft }) }
      const found = (await (await call('POST', `${ROOT}/evaluate`, { body })).json()) as Analysis
      if (given.json) return writeJson(found)
      const { outcome, next } = found.caegis
      line(`${outcome === 'require' ? `asks for ${next}` : outcome}\n`)
      const rows = found.value.map(({ displayName, state, analysisReasons, caegis: { applies, result, unmet } }) => [
        displayName,
        state === 'enabled' ? 'on' : 'report only',
        applies === true ? 'yes' : applies === false ? 'no' : 'maybe',
        applies === false ? analysisReasons : [result, ...unmet].join(' '),
      ])
      table({ headings: ['POLICY', 'STATE', 'APPLIES', 'WHY'], rows })
    })
}

/** What has to be said and was not. */
function mistakeIn({ impact, draft, signIn, user, servicePrincipal, app, context, action }: Given): string | undefined {
  if (impact !== undefined) return draft === undefined ? '--impact is about a draft: name its file with --draft' : undefined
  if (signIn !== undefined) return undefined
  if ((user ?? servicePrincipal) === undefined)
    return 'say who signs in, with --user or --service-principal, or name a sign-in of the log with --sign-in'
  return (app ?? context ?? action) === undefined ? 'say what for, with --app, --context or --action' : undefined
}

function suppose(given: Given, userId: string | undefined): object {
  const identity =
    userId === undefined
      ? { '@odata.type': '#microsoft.graph.servicePrincipalSignIn', servicePrincipalId: given.servicePrincipal ?? '' }
      : { '@odata.type': '#microsoft.graph.userSignIn', userId }
  const context =
    given.context !== undefined
      ? { '@odata.type': '#microsoft.graph.authContext', authenticationContextValue: given.context }
      : given.action !== undefined
        ? { '@odata.type': '#microsoft.graph.userActionContext', userAction: given.action }
        : { '@odata.type': '#microsoft.graph.applicationContext', includeApplications: [given.app ?? ''] }
  const conditions = {
    ...{ ipAddress: given.ip, country: given.country, devicePlatform: given.platform, clientAppType: given.client },
    ...{ userRiskLevel: given.userRisk, signInRiskLevel: given.signInRisk },
    ...(given.flow === undefined ? {} : { authenticationFlow: { transferMethod: given.flow } }),
    ...(given.compliant ? { deviceInfo: { isCompliant: true } } : {}),
  }
  return { signInIdentity: identity, signInContext: context, signInConditions: conditions }
}

function sentence({ looked, changed, blocked, interrupted, allowed }: Impact): string {
  const parts = [`${blocked} blocked`, `${interrupted} asked for more`, ...(allowed > 0 ? [`${allowed} let in that were not`] : [])]
  return `would have changed ${changed} of the last ${looked} sign-ins: ${parts.join(', ')}`
}

function readLast(text: string): number {
  const last = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (last < 1 || last > 20_000) throw new InvalidArgumentError('must be 1 to 20000')
  return last
}
