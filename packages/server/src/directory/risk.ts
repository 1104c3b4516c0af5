import { CaegisError, EVENT, event } from '@caegis/protocol'
import { sql } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { Finding } from '../risk/finding.ts'
import { isHigher, type RiskLevel, userLevel } from '../risk/levels.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import { scheduleReevaluation } from '../store/reevaluations.ts'
import type { ApplicationRow, RiskDetectionRow, RiskHistoryRow, UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { timeId } from '../store/time-id.ts'
import { auditRisk } from './audit-words.ts'
import { refuseEmergency } from './break-glass.ts'
import type { Directory } from './directory.ts'
import { type Ended, endFindings, type Found, insertConfirmed, insertFindings, openFindings, PASSED, passFindings } from './findings.ts'
import { publishWithGuests } from './guests.ts'
import { aboutUser } from './lifecycle.ts'
import { type Condition, createListing, type Page } from './listing.ts'

export type RiskState = 'none' | 'confirmedSafe' | 'remediated' | 'dismissed' | 'atRisk' | 'confirmedCompromised'

/** What somebody, or a detection, thinks of a user; the words are Graph's. */
export interface Risk {
  level: RiskLevel
  state: RiskState
  /** Why: `adminConfirmedUserCompromised`. */
  detail: string
  /** Who says so, where it is an administrator. */
  by?: Actor
  /** Types of what was found. */
  events?: readonly string[]
}

/** What was thought of a user at one time. */
export interface RiskHistoryItem {
  id: string
  at: number
  level: RiskLevel
  state: RiskState
  detail: string
  by: string | null
  events: string[]
}

export interface RiskyUser {
  id: string
  userPrincipalName: string
  displayName: string
  isDeleted: boolean
  level: RiskLevel
  state: RiskState
  detail: string
  /** Second of the last change of it. */
  at: number
}

/** What was found, once. */
export interface RiskDetection extends Finding {
  id: string
  userId: string
  userName: string
  userDisplayName: string
  state: string
  detail: string
  /** Of the sign-in on a page; `null` where it was none. */
  signIn: string | null
  correlation: string
  address: string
  country: string | null
  activityAt: number
  detectedAt: number
  updatedAt: number
}

export interface RiskyApplication {
  id: string
  appId: string
  displayName: string
  enabled: boolean
  level: RiskLevel
}

/** CAEP 1.0 section 3.7 knows no level below LOW. */
const CAEP_LEVELS = { none: 'LOW', low: 'LOW', medium: 'MEDIUM', high: 'HIGH' } as const

/** Users and applications that are, or were, at risk. */
export function createRisk(store: Store, tenant: string, issuer: string, directory: Pick<Directory, 'sayingWhich'>) {
  const users = createListing<UserRow, RiskyUser>(store.db, tenant, 'users', true, toRiskyUser)
  const applications = createListing<ApplicationRow, RiskyApplication>(store.db, tenant, 'applications', true, toRiskyApplication)
  const detections = createListing<RiskDetectionRow, RiskDetection>(store.db, tenant, 'risk_detections', false, toDetection)
  const everAtRisk = sql<boolean>`risk_at is not null` as never
  const atRisk = sql<boolean>`risk_level <> 'none'` as never

  /** All of them, or none. */
  const edit = (actor: Actor, ids: readonly string[], work: (context: ChangeContext, user: UserRow) => Promise<void>): Promise<Committed<void>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        for (const id of new Set(ids)) {
          const user = await findUser(context, id)
          if (!user) throw new CaegisError('user_not_found', SERVER_ERRORS.user_not_found)
          refuseEmergency(actor, user)
          await work(context, user)
        }
      },
    })

  const end = (actor: Actor, ids: readonly string[], ended: Ended & { state: 'dismissed' | 'confirmedSafe' }): Promise<Committed<void>> =>
    edit(actor, ids, async (context, user) => {
      if (user.risk_at === null) return
      await endFindings(context, user.id, ended)
      await setRisk(context, issuer, user, { level: 'none', ...ended, by: actor })
    })

  const editApplications = (actor: Actor, ids: readonly string[], level: RiskLevel): Promise<Committed<void>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        for (const id of new Set(ids)) await setApplicationRisk(context, id, level)
      },
    })

  return {
    users: {
      page: (page: Page) => users.page(page, everAtRisk),
      count: (where?: Condition) => users.count(where, everAtRisk),
    },
    /** What was found. */
    detections: {
      page: (page: Page) => detections.page(page),
      count: (where?: Condition) => detections.count(where),
    },
    applications: {
      page: (page: Page) => applications.page(page, atRisk),
      count: (where?: Condition) => applications.count(where, atRisk),
    },

    /** What a detection says. */
    set: (actor: Actor, user: string, risk: Risk) => edit(actor, [user], (context, row) => setRisk(context, issuer, row, risk)),

    /** Somebody else has the account: it is at high risk, and everything of it ends. @throws CaegisError `user_not_found`, before anything is done */
    confirmCompromised(actor: Actor, ids: readonly string[]): Promise<Committed<void>> {
      const run = () =>
        edit(actor, ids, async (context, user) => {
          const detail = 'adminConfirmedUserCompromised'
          await endFindings(context, user.id, { state: 'confirmedCompromised', detail })
          await insertConfirmed(context, user)
          await setRisk(context, issuer, user, { level: 'high', state: 'confirmedCompromised', detail, by: actor, events: [detail] })
          const about = (id: string) => aboutUser(issuer, id)
          const reason = 'The user was confirmed to be compromised'
          await publishWithGuests(context, issuer, user.id, about, { type: EVENT.sessionRevoked, reason, ends: true })
        })
      return ids.reduce<() => Promise<Committed<void>>>((next, id) => () => directory.sayingWhich(id, next), run)()
    },

    /** There was nothing. What ended because of it stays ended. */
    dismiss: (actor: Actor, ids: readonly string[]) => end(actor, ids, { state: 'dismissed', detail: 'adminDismissedAllRiskForUser' }),

    /** The same, and what was doubted was the user. */
    confirmSafe: (actor: Actor, ids: readonly string[]) => end(actor, ids, { state: 'confirmedSafe', detail: 'adminConfirmedUserSafe' }),

    /** Newest first. @param before an id, where the page begins; @returns `undefined` when there is no such user */
    async history(user: string, { limit, before }: { limit: number; before?: string }): Promise<RiskHistoryItem[] | undefined> {
      const known = store.db.selectFrom('users').select('id').where('tenant', '=', tenant).where('id', '=', user).where('deleted_at', 'is', null)
      if (!(await known.executeTakeFirst())) return undefined
      const rows = store.db.selectFrom('risk_history').selectAll().where('user_id', '=', user).orderBy('id', 'desc').limit(limit)
      return (await (before === undefined ? rows : rows.where('id', '<', before)).execute()).map(toHistoryItem)
    },

    /** By object ids or client ids. @throws CaegisError `application_not_found`, before anything is done */
    confirmApplicationsCompromised: (actor: Actor, ids: readonly string[]) => editApplications(actor, ids, 'high'),
    dismissApplications: (actor: Actor, ids: readonly string[]) => editApplications(actor, ids, 'none'),
  }
}

export type RiskyPrincipals = ReturnType<typeof createRisk>

/**
 * Notes what is thought of a user. Whoever becomes of high risk is asked for again at every API, and policies decide what it costs; for any other level those of the
 * user's tokens are cut off that would be decided otherwise now.
 */
export async function setRisk(context: ChangeContext, issuer: string, user: UserRow, risk: Risk): Promise<void> {
  const { db, tenant, now, publish } = context
  const { level, state, detail, by, events = [] } = risk
  const before = user.risk_level as RiskLevel
  if (before === level && user.risk_state === state && user.risk_detail === detail) return
  await db
    .updateTable('users')
    .set({ risk_level: level, risk_state: state, risk_detail: detail, risk_at: now, version: user.version + 1 })
    .where('tenant', '=', tenant)
    .where('id', '=', user.id)
    .execute()
  const said = by?.kind === 'user' ? by.id : by?.kind === 'app' ? by.appId : null
  await db
    .insertInto('risk_history')
    .values({ tenant, id: timeId(now * 1000), user_id: user.id, at: now, level, state, detail, by: said, events: JSON.stringify(events) })
    .execute()
  auditRisk(context, { type: 'User', id: user.id, name: user.upn }, before, level, detail)
  if (before === level) return
  const risen = level === 'high'
  if (risen || before === 'high') {
    publish({
      ...event(EVENT.riskLevelChange, {
        ...{ principal: 'USER', current_level: CAEP_LEVELS[level], previous_level: CAEP_LEVELS[before], risk_reason: detail },
      }),
      subject: aboutUser(issuer, user.id),
      ...(risen
        ? { reason: 'The user is at high risk', cut: { kind: 'user', id: user.id, depth: 'access' } as const }
        : { reason: 'The user is not at high risk any more' }),
    })
  }
  if (!risen) await scheduleReevaluation(context, { reason: 'The risk of a user changed', users: [user.id] })
}

/** A user who is at risk has given themselves another password, with all the proof that policies asked for: whoever had the old one has nothing. */
export async function remediateRisk(context: ChangeContext, issuer: string, id: string): Promise<void> {
  const user = await findUser(context, id)
  if (!user) return
  const ended = { state: 'remediated', detail: 'userPerformedSecuredPasswordChange' } as const
  await endFindings(context, user.id, ended)
  if (user.risk_level !== 'none') await setRisk(context, issuer, user, { level: 'none', ...ended })
}

/** Keeps what was found at a sign-in, and what it means for the user. Nothing is ever found about the emergency account. */
export async function raiseRisk(context: ChangeContext, issuer: string, found: Found): Promise<void> {
  const user = await findUser(context, found.user)
  if (!user || user.break_glass === 1) return
  const fresh = await insertFindings(context, user, found)
  // What an administrator has said of the user stands.
  if (fresh.length === 0 || user.risk_state === 'confirmedCompromised') return
  const open = await openFindings(context.db, user.id)
  const level = userLevel(open)
  if (!isHigher(level, user.risk_level as RiskLevel)) {
    // It is as bad as it was; but who decides just now that all of it was answered must see that there is more.
    const moved = context.db
      .updateTable('users')
      .set({ version: user.version + 1 })
      .where('tenant', '=', context.tenant)
      .where('id', '=', user.id)
    if (userLevel(fresh) !== 'none') await moved.execute()
    return
  }
  await setRisk(context, issuer, user, { level, state: 'atRisk', detail: 'none', events: fresh.map(({ type }) => type) })
}

/** A second factor, proved in a sign-in that was doubted, answers the doubt. */
export async function passRisk(context: ChangeContext, issuer: string, id: string, signIn: string): Promise<void> {
  const user = await findUser(context, id)
  if (!user || !(await passFindings(context, id, signIn)) || user.risk_state !== 'atRisk') return
  const open = await openFindings(context.db, id)
  const level = userLevel(open)
  if (level === user.risk_level) return
  await setRisk(context, issuer, user, level === 'none' ? { level, ...PASSED } : { level, state: 'atRisk', detail: 'none' })
}

/** An application whose secrets somebody else has loses everything that it holds. */
async function setApplicationRisk(context: ChangeContext, id: string, level: RiskLevel): Promise<void> {
  const { db, tenant, publish } = context
  const app = await db
    .selectFrom('applications')
    .selectAll()
    .where('tenant', '=', tenant)
    .where((eb) => eb.or([eb('id', '=', id), eb('app_id', '=', id)]))
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (!app) throw new CaegisError('application_not_found', SERVER_ERRORS.application_not_found)
  const before = app.risk_level as RiskLevel
  if (before === level) return
  await db
    .updateTable('applications')
    .set({ risk_level: level, version: app.version + 1 })
    .where('tenant', '=', tenant)
    .where('id', '=', app.id)
    .execute()
  const detail = level === 'high' ? 'adminConfirmedServicePrincipalCompromised' : 'adminDismissedAllRiskForServicePrincipal'
  auditRisk(context, { type: 'Application', id: app.app_id, name: app.display_name }, before, level, detail)
  if (level !== 'high') return
  publish({
    ...{ type: EVENT.accountDisabled, reason: 'The application was confirmed to be compromised' },
    subject: { complex: { format: 'complex', application: { format: 'opaque', id: app.app_id } } },
    cut: { kind: 'app', id: app.app_id, depth: 'sign-in' },
  })
}

function findUser({ db, tenant }: ChangeContext, id: string): Promise<UserRow | undefined> {
  const rows = db.selectFrom('users').selectAll().where('tenant', '=', tenant).where('deleted_at', 'is', null)
  return rows.where('id', '=', id).executeTakeFirst()
}

function toRiskyUser(row: UserRow): RiskyUser {
  return {
    ...{ id: row.id, userPrincipalName: row.upn, displayName: row.display_name, isDeleted: row.deleted_at !== null },
    ...{ level: row.risk_level as RiskLevel, state: row.risk_state as RiskState, detail: row.risk_detail ?? 'none', at: row.risk_at ?? 0 },
  }
}

function toDetection(row: RiskDetectionRow): RiskDetection {
  const { id, type, level, about, why, state, detail, correlation, address, country } = row
  return {
    ...{ id, level, about, why, state, detail, correlation, address, country, type: type as RiskDetection['type'], facts: JSON.parse(row.facts) },
    ...{ userId: row.user_id, userName: row.user_name, userDisplayName: row.user_display_name, signIn: row.sign_in },
    ...{ activityAt: row.activity_at, detectedAt: row.detected_at, updatedAt: row.updated_at },
  }
}

function toHistoryItem({ id, at, level, state, detail, by, events }: RiskHistoryRow): RiskHistoryItem {
  return { ...{ id, at, detail, by, level: level as RiskLevel, state: state as RiskState }, events: JSON.parse(events) }
}

function toRiskyApplication(row: ApplicationRow): RiskyApplication {
  return { id: row.id, appId: row.app_id, displayName: row.display_name, enabled: row.enabled === 1, level: row.risk_level as RiskLevel }
}
