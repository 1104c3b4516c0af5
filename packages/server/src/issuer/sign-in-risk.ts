import { foreseen, openFindings } from '../directory/findings.ts'
import type { Log } from '../log.ts'
import { assess } from '../risk/assess.ts'
import type { Assessed, Replay } from '../risk/detection.ts'
import { highest, type RiskLevel } from '../risk/levels.ts'
import { networkOf, type Signal } from '../risk/signal.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt } from './attempt.ts'
import { readUser } from './facts.ts'
import { readRecent } from './risk-signals.ts'
import type { Tenant } from './tenant.ts'

/** What is thought of a sign-in: measured once, when its first factor was proved, and kept with all that comes of it. */
export type SignInRisk = {
  /** Of the sign-in: what was found names it. */
  id: string
  /** `unknown`: a detection could not tell, and policies enforce that. */
  level: RiskLevel | 'unknown'
  /** The worst that was found, whatever could not be told. */
  worst: RiskLevel
  /** Types of what was found. */
  events: string[]
  /** A second factor was proved since. */
  passed: boolean
}

/** Somebody whose first factor was proved just now. */
export interface FirstProved {
  user: string
  /** Of the sign-in. */
  id: string
  /** A digest. */
  browser: string
  /** What was typed, where something was: looked up, and not kept. */
  password?: string
  /** What was proved was two factors at once. */
  passed: boolean
}

/** What detections see of the request under way. */
export function signalOf(store: Store, tenant: Tenant, given: Pick<Signal, 'kind' | 'outcome'> & Partial<Signal>): Signal {
  const { address, device } = currentAttempt()
  const country = tenant.countryOf(address)
  const place = tenant.intelligence.placeOf(address)
  return {
    ...{ at: Math.floor(store.clock()), address, network: networkOf(address), ...given },
    ...(country === undefined ? {} : { country }),
    ...(place === undefined ? {} : { place }),
    ...(device === undefined ? {} : { device }),
  }
}

/**
 * Asks the detections about a sign-in, before anybody is let in by it. What they find is kept by the fence; policies look at it in this very attempt. The emergency
 * account is nobody's to suspect.
 */
export async function assessSignIn(
  store: Store,
  tenant: Tenant,
  log: Log,
  { user, id, browser, password, passed }: FirstProved,
): Promise<SignInRisk> {
  if ((await readUser(store, tenant, user))?.breakGlass) return { id, level: 'none', worst: 'none', events: [], passed }
  const how = password === undefined ? { passwordless: true } : {}
  const signal = signalOf(store, tenant, { kind: 'interactive', outcome: 'success', user, browser, ...how })
  return judge(store, tenant, log, { signal, id, passed, ...(password === undefined ? {} : { password }) })
}

/**
 * A refresh token that was spent before is presented again: from where says whether two have it. Where nothing was replayed, nothing is asked.
 * @param isAnswered it leads to its successor still
 */
export async function assessReplay(store: Store, tenant: Tenant, log: Log, isAnswered: boolean): Promise<void> {
  const { replay, removedGrants } = currentAttempt()
  if (!replay) return
  const { user, sid, key, ...how } = replay
  if ((await readUser(store, tenant, user))?.breakGlass) return
  // The provider takes the grant back only after it has looked at the client, and at the key.
  const signal = signalOf(store, tenant, { kind: 'refresh', outcome: isAnswered ? 'success' : 'failure', user, session: sid })
  await judge(store, tenant, log, {
    signal,
    id: `replay ${sid}`,
    passed: false,
    replay: { ...how, bound: key && (isAnswered || removedGrants.size > 0) },
  })
}

interface ToJudge {
  signal: Signal & { user?: string }
  id: string
  passed: boolean
  password?: string
  replay?: Replay
}

async function judge(store: Store, tenant: Tenant, log: Log, { signal, id, passed, password, replay }: ToJudge): Promise<SignInRisk> {
  const attempt = currentAttempt()
  const { address, country, at, user = '' } = signal
  try {
    const settings = await tenant.riskSettings.current()
    const { leaked, listed } = tenant.intelligence
    const input: Assessed = {
      ...{ signal, recent: await readRecent(store, tenant.id, signal) },
      ...(password === undefined || settings.off.includes('leakedCredentials') ? {} : { leaked: await leaked(password) }),
      ...(settings.off.includes('maliciousIPAddress') ? {} : { listed: await listed(address) }),
      ...(replay ? { replay } : {}),
    }
    const { level = 'unknown', findings, unknown } = assess(input, settings)
    if (unknown.length > 0) log.warn('detections could not tell the risk of a sign-in', { tenant: tenant.name, unknown })
    const { correlation } = attempt.trace
    const found = { user, signIn: id, correlation, address, at, findings, passed, ...(country === undefined ? {} : { country }) }
    if (findings.length > 0) {
      attempt.found = found
      const now = foreseen(await openFindings(store.db, user), found)
      attempt.foreseen = { user, risk: now, rises: true }
    }
    return { id, level, worst: highest(findings.map((one) => one.level)), events: findings.map(({ type }) => type), passed }
  } catch (error) {
    // What cannot be told is not safe, and no reason to let nobody in.
    log.error('the risk of a sign-in could not be told', { tenant: tenant.name, name: (error as Error).name })
    return { id, level: 'unknown', worst: 'none', events: [], passed }
  }
}

/** A second factor was proved in a sign-in that was doubted: what was about this sign-in is answered. */
export async function passSignIn(store: Store, tenant: Tenant, user: string, risk: SignInRisk): Promise<SignInRisk> {
  if (risk.passed) return risk
  const attempt = currentAttempt()
  if (risk.events.length > 0) {
    attempt.passed = { user, signIn: risk.id }
    const row = await store.db.selectFrom('users').select('risk_state').where('tenant', '=', tenant.id).where('id', '=', user).executeTakeFirst()
    const open = row?.risk_state === 'atRisk' ? await openFindings(store.db, user) : []
    const answered = open.some(({ signIn, about }) => signIn === risk.id && about === 'signIn')
    if (answered) attempt.foreseen = { user, risk: foreseen(open, { signIn: risk.id, findings: [], passed: true }), rises: false }
  }
  return { ...risk, passed: true }
}

/** Whether a sign-in makes nothing familiar: something was found, and nothing has answered it. */
export const isDoubted = ({ worst, passed }: SignInRisk): boolean => !passed && (worst === 'medium' || worst === 'high')

/** What an artifact remembers. @returns `undefined` for what is none */
export function readSignInRisk(value: unknown): SignInRisk | undefined {
  const given = value as Partial<SignInRisk> | undefined
  return typeof given === 'object' && given !== null && typeof given.id === 'string' && Array.isArray(given.events)
    ? (given as SignInRisk)
    : undefined
}
