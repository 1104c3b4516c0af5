import type { Control, PolicyResult, SessionDecision } from '@caegis/policy'
import type { AppliedPolicy, PolicyOutcome } from '../packages/server/src/logs/sign-in.ts'
import type { Vector } from './vector-cases.ts'

/** What the protocol said of one case. */
export interface Answer {
  status: number
  body: Record<string, unknown>
  /** Of the access token. */
  claims: Record<string, unknown> & { iat: number; exp: number }
  /** Of the record in the sign-in log. */
  outcome: PolicyOutcome
  /** Where the case wants to know it: how the browser keeps the session. */
  cookie?: 'always' | 'never' | undefined
  /** The address that a case of a country stands for. */
  addresses: Map<string, string>
}

/** Seconds: fixed, so that whatever shortens a token shows. */
export const LIFETIMES = { ordinary: [5000, 5000], long: [80_000, 80_000], exception: 3600 } as const

const CODES: Record<Control, readonly number[]> = {
  signIn: [70043],
  mfa: [50076, 50079],
  authenticationStrength: [50076, 50079],
  compliantDevice: [53000],
  domainJoinedDevice: [53001],
  approvedApplication: [53002],
  compliantApplication: [53002],
  passwordChange: [50135],
}

type Wanted = Partial<Omit<PolicyResult, 'unmet'>> & { unmet?: string[] }
const capital = (word: string) => word.slice(0, 1).toUpperCase() + word.slice(1)
const list = (text: string) => text.split(',').filter((one) => one !== '' && !one.startsWith('ipAddress'))
const sorted = (words: readonly unknown[]) => [...new Set(words)].sort()

/** Says where an answer is not what a case wants. */
export function differencesOf({ want, signals, policies }: Vector, { status, body, claims, outcome, cookie, addresses }: Answer): string[] {
  const differences: string[] = []
  const same = (what: string, wanted: unknown, got: unknown) => {
    if (JSON.stringify(wanted) !== JSON.stringify(got)) differences.push(`${what}: wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`)
  }
  const code = (body.error_codes as number[] | undefined)?.[0] ?? 0
  const blocked = code === 53003 && body.suberror === 'message_only'
  const got = status === 200 ? 'allow' : blocked ? 'block' : 'require'
  const named = (JSON.parse(String(body.claims ?? '{}')).access_token?.capolids?.values ?? []) as string[]
  const applied = new Map(outcome.applied.map((one) => [one.id, one]))
  const missing = (one: AppliedPolicy) => one.enforcedGrantControls.filter((control) => control !== 'Block')
  const allowed = status === 200
  if (![200, 400].includes(status)) differences.push(`status ${status}`)

  if (want.outcome !== undefined) same('outcome', want.outcome, got)
  if (want.next != null && !CODES[want.next as Control].includes(code)) differences.push(`next: wanted ${want.next}, got ${code}`)
  if (want.next === null) same('next', true, allowed || blocked)
  if (want.blockedBy !== undefined && blocked) same('blockedBy', sorted(want.blockedBy as string[]), sorted(named))
  if (want.blockedBy !== undefined && !blocked) same('blockedBy', want.blockedBy, [])
  if (want.unmet !== undefined && !blocked) same('unmet', sorted((want.unmet as string[]).map(capital)), sorted(outcome.applied.flatMap(missing)))
  // Who is refused learns which policies it was; a sign-in that is too old is asked for without reasons.
  if (got === 'require' && code !== 70043)
    same('capolids', sorted(outcome.applied.filter((one) => missing(one).length > 0).map(({ id }) => id)), sorted(named))

  for (const [id, wanted] of Object.entries((want.policies ?? {}) as Record<string, Wanted | null>)) {
    const one = applied.get(id)
    if (wanted === null || !one) {
      same(`policy ${id}`, wanted, one ?? null)
      continue
    }
    const applies = !/notApplied/i.test(one.result)
    const unknown = applies && one.conditionsNotSatisfied !== ''
    const reported = policies.find((policy) => policy.id === id)?.state === 'enabledForReportingButNotEnforced'
    const of = (what: string, member: unknown, found: unknown) => same(`policy ${id} ${what}`, member, found)
    if (wanted.applies !== undefined) of('applies', wanted.applies, unknown ? 'unknown' : applies)
    if (wanted.result !== undefined) of('result', wanted.result, one.result)
    if (wanted.satisfied) of('satisfied', sorted(wanted.satisfied), sorted(list(one.conditionsSatisfied)))
    if (wanted.notSatisfied || wanted.unknown)
      of('not satisfied', sorted([...(wanted.notSatisfied ?? []), ...(wanted.unknown ?? [])]), sorted(list(one.conditionsNotSatisfied)))
    // The log tells what is enforced: of a policy that only reports, nothing is.
    if (wanted.unmet) of('unmet', reported ? [] : sorted(wanted.unmet.map(capital)), sorted(missing(one)))
    if (wanted.sessionControls) of('session controls', sorted(wanted.sessionControls.map(capital)), sorted(one.enforcedSessionControls))
  }

  const session = (want.session ?? {}) as { [member in keyof SessionDecision]: SessionDecision[member] | null }
  const details = outcome.lifetimes.map(({ detail }) => detail)
  const { signInFrequency: every, freshUntil, persistentBrowser, cae } = session
  if (every === null) same('sign-in frequency', [], details)
  if (every === 'everyTime') same('sign-in frequency', ['Sign-in frequency: every time'], details)
  if (every && typeof every === 'object') same('sign-in frequency', [`Sign-in frequency: ${every.seconds / 3600} hours`], details)
  if (persistentBrowser !== undefined) same('browser', persistentBrowser ?? 'always', cookie)
  const exception = want.exception as { address?: string; policies?: string[] } | null | undefined
  if (allowed) {
    const lasts = claims.exp - claims.iat
    const long = claims.xms_ssm === '1'
    if (cae !== undefined) same('long', cae !== 'disabled', long)
    const whole = long ? LIFETIMES.long[0] : LIFETIMES.ordinary[0]
    const bounds = [whole, ...(every === 'everyTime' || exception ? [3600] : []), ...(freshUntil == null ? [] : [freshUntil - signals.now])]
    if (freshUntil !== undefined || exception !== undefined) same('seconds', Math.min(...bounds), lasts)
    if (want.lateBound !== undefined) same('lateBound', sorted(want.lateBound as string[]), sorted((claims.capolids_latebind as string[]) ?? []))
    if (want.contexts !== undefined) same('contexts', sorted(given(want.contexts as string[])), sorted((claims.acrs as string[]) ?? []))
    const { address, policies: ids } = (claims.caegis_ip ?? {}) as { address?: string; policies?: string[] }
    if (exception === null) same('exception', undefined, claims.caegis_ip)
    if (exception?.address !== undefined) same('exception address', addresses.get(exception.address) ?? exception.address, address)
    if (exception?.policies !== undefined) same('exception policies', sorted(exception.policies), sorted(ids ?? []))
  }
  return differences

  /** A context whose policies hold sessions would shorten every token that names it, so it is named only where it was asked for. */
  function given(contexts: string[]): string[] {
    const holds = (context: string) =>
      policies.some(
        ({ conditions, sessionControls }) => sessionControls && conditions.applications.includeAuthenticationContextClassReferences.includes(context),
      )
    return contexts.filter((context) => signals.contexts?.includes(context) || !holds(context))
  }
}
