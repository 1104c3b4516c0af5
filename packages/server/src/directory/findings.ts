import type { Kysely, Transaction } from 'kysely'
import type { Finding, RiskEventType } from '../risk/finding.ts'
import { type RiskLevel, userLevel } from '../risk/levels.ts'
import type { ChangeContext } from '../store/change.ts'
import type { RiskDetectionRow, Schema, UserRow } from '../store/schema.ts'
import { timeId } from '../store/time-id.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/** What was found at one sign-in, or at one refresh. */
export interface Found {
  user: string
  /** Of the sign-in, also for what comes of it later. */
  signIn: string
  correlation: string
  address: string
  country?: string | null
  /** Seconds. */
  at: number
  findings: readonly Finding[]
  /** A second factor was proved in the same sign-in: that answers what is about the sign-in. */
  passed: boolean
}

/** How a finding can be over, in Graph's words. */
export type Ended = { state: 'remediated' | 'dismissed' | 'confirmedSafe' | 'confirmedCompromised'; detail: string }

export const PASSED: Ended = { state: 'remediated', detail: 'userPassedMFADrivenByRiskBasedPolicy' }

/** A finding that nothing has answered. */
export type OpenFinding = Pick<Finding, 'about' | 'level' | 'type'>

/** Keeps what was found. The same type is found once a sign-in, however often its first proof is given. @returns what of it is new */
export async function insertFindings({ db, tenant, now }: ChangeContext, user: UserRow, found: Found): Promise<Finding[]> {
  const known = db.selectFrom('risk_detections').select('type').where('user_id', '=', user.id).where('sign_in', '=', found.signIn)
  const before = new Set((await known.execute()).map(({ type }) => type))
  const fresh = found.findings.filter(({ type }) => !before.has(type))
  for (const { type, level, about, why, facts } of fresh) {
    const over = found.passed && about === 'signIn' ? PASSED : { state: 'atRisk', detail: 'none' }
    await insert(db, tenant, user, {
      ...{ type, level, about, why, facts: JSON.stringify(facts), ...over, sign_in: found.signIn, correlation: found.correlation },
      ...{ address: found.address, country: found.country ?? null, activity_at: found.at, detected_at: now, updated_at: now },
    })
  }
  return fresh
}

/** An administrator's word stands among what was found. */
export function insertConfirmed({ db, tenant, now }: ChangeContext, user: UserRow): Promise<void> {
  return insert(db, tenant, user, {
    ...{ type: 'adminConfirmedUserCompromised', level: 'high', about: 'user', why: 'An administrator says that somebody else has the account.' },
    ...{ facts: '{}', state: 'confirmedCompromised', detail: 'adminConfirmedUserCompromised', sign_in: null, correlation: '', address: '' },
    ...{ country: null, activity_at: now, detected_at: now, updated_at: now },
  })
}

type Given = Omit<RiskDetectionRow, 'tenant' | 'id' | 'user_id' | 'user_name' | 'user_display_name'>

async function insert(
  db: Transaction<Schema>,
  tenant: string,
  { id: user_id, upn: user_name, display_name: user_display_name }: UserRow,
  row: Given,
) {
  const id = timeId(row.detected_at * 1000)
  await db
    .insertInto('risk_detections')
    .values({ tenant, id, user_id, user_name, user_display_name, ...row })
    .execute()
}

/** Of a user, what nothing has answered yet. */
export async function openFindings(db: Db, user: string): Promise<(OpenFinding & { signIn: string | null })[]> {
  const rows = await db
    .selectFrom('risk_detections')
    .select(['about', 'level', 'type', 'sign_in'])
    .where('user_id', '=', user)
    .where('state', '=', 'atRisk')
    .execute()
  return rows.map(({ sign_in, type, ...row }) => ({ ...row, type: type as RiskEventType, signIn: sign_in }))
}

/** Everything that is open of a user is over, and what a doubt was about is as familiar as anything, where nobody else was behind it. */
export async function endFindings({ db, now }: ChangeContext, user: string, { state, detail }: Ended): Promise<void> {
  const set = { state, detail, updated_at: now }
  await db.updateTable('risk_detections').set(set).where('user_id', '=', user).where('state', '=', 'atRisk').execute()
  if (state === 'dismissed' || state === 'confirmedSafe') await believe(db, user)
}

/** A second factor answers what is about one sign-in. @returns whether there was anything */
export async function passFindings({ db, now }: ChangeContext, user: string, signIn: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('risk_detections')
    .set({ ...PASSED, updated_at: now })
    .where('user_id', '=', user)
    .where('state', '=', 'atRisk')
    .where('sign_in', '=', signIn)
    .where('about', '=', 'signIn')
    .executeTakeFirst()
  await believe(db, user, signIn)
  return numUpdatedRows > 0n
}

async function believe(db: Db, user: string, signIn?: string): Promise<void> {
  const doubted = db.updateTable('risk_signals').set({ doubted: 0 }).where('user_id', '=', user).where('kind', '=', 'interactive')
  const good = doubted.where('outcome', '=', 'success').where('doubted', '=', 1)
  await (signIn === undefined ? good : good.where('sign_in', '=', signIn)).execute()
}

/** What a user's risk will be once a sign-in has been recorded. @param kept the level that stands now */
export function foreseen(
  open: readonly (OpenFinding & { signIn: string | null })[],
  { signIn, findings, passed }: Pick<Found, 'signIn' | 'findings' | 'passed'>,
): RiskLevel {
  const all = [...open, ...findings.map((one) => ({ ...one, signIn }))]
  return userLevel(all.filter((one) => !(passed && one.about === 'signIn' && one.signIn === signIn)))
}
