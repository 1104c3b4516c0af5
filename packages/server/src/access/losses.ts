import { type ComplexSubject, EVENT, event, pairId } from '@caegis/protocol'
import type { Kysely, Selectable, Transaction } from 'kysely'
import { issuerOf } from '../directory/rights.ts'
import type { Cut, Draft } from '../store/change.ts'
import type { ReevaluationRow, Schema } from '../store/schema.ts'
import type { Look } from './second-look.ts'

type Db = Kysely<Schema> | Transaction<Schema>
type Job = Selectable<ReevaluationRow>

/** What somebody loses by another decision. */
export interface Loss {
  look: Look
  cut: Cut
}

/** Whoever was not let in any more has nothing left to lose. */
export const isLoss = ({ changed, kept }: Look) => changed && kept.outcome === 'allow'
const depthOf = ({ outcome }: Look) => (outcome === 'allow' ? 'claims' : 'access')

/** What ends with a decision: the session, or what an application without one holds of the user, or what it has in its own name. */
export function cutOf(look: Look, t: number): Loss {
  const { sid, user_id: user, app_id: app } = look.kept
  const how = { depth: depthOf(look), t } as const
  if (sid !== null) return { look, cut: { kind: 'session', id: sid, ...how } }
  if (user !== null) return { look, cut: { kind: 'grant', id: pairId(user, app), user, app, ...how } }
  return { look, cut: { kind: 'app', id: app, ...how } }
}

/** One for each target: the later of the same depth, and none that another one covers. */
function merged(losses: readonly Loss[]): Loss[] {
  const found = new Map<string, Loss>()
  for (const loss of losses) {
    const { kind, id, depth, t = 0 } = loss.cut
    const key = `${depth} ${kind} ${id}`
    if (t > (found.get(key)?.cut.t ?? -1)) found.set(key, loss)
  }
  return [...found.values()].filter(
    ({ cut: { kind, id, depth, t = 0 } }) => depth === 'access' || t > (found.get(`access ${kind} ${id}`)?.cut.t ?? -1),
  )
}

/** Without those of sessions that are cut off as late and as deep already. */
async function uncovered(db: Db, tenant: string, losses: readonly Loss[]): Promise<Loss[]> {
  const ids = losses.filter(({ cut }) => cut.kind === 'session').map(({ cut }) => cut.id)
  if (ids.length === 0) return [...losses]
  const rows = await db
    .selectFrom('sessions')
    .select(['id', 'valid_from', 'access_from', 'claims_from'])
    .where('tenant', '=', tenant)
    .where('id', 'in', ids)
    .execute()
  const known = new Map(rows.map((row) => [row.id, row]))
  return losses.filter(({ cut: { kind, id, depth, t = 0 } }) => {
    if (kind !== 'session') return true
    const row = known.get(id)
    return row !== undefined && t > Math.max(row.valid_from, row.access_from, depth === 'claims' ? row.claims_from : 0)
  })
}

/** Whether anybody but guards listens for single sessions: for them each cutoff is an event of its own, which the guards take as well. */
async function isHeardByOthers(db: Db, tenant: string): Promise<boolean> {
  const types = [EVENT.tokenClaimsChange, EVENT.sessionRevoked]
  const streams = db
    .selectFrom('streams')
    .select('id')
    .where('tenant', '=', tenant)
    // Quotation marks within a string are escaped, so these find members only.
    .where('config', 'like', '%"guard":false%')
    .where('config', 'like', '%"subjects":"complex"%')
    .where((eb) => eb.or(types.map((type) => eb('config', 'like', `%${type}%`))))
  return (await streams.limit(1).executeTakeFirst()) !== undefined
}

/** Of all of the tenant. */
export const about = ({ tenant, reason }: Job): Pick<Draft, 'subject' | 'reason'> => ({
  subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: tenant } } },
  reason,
})

/** The events of these losses: one list for the guards, who may be thousands; or, where somebody else listens for single sessions, one for each. */
export async function draftsOf(db: Transaction<Schema>, job: Job, losses: readonly Loss[]): Promise<Draft[]> {
  const open = await uncovered(db, job.tenant, merged(losses))
  if (open.length === 0) return []
  if (!(await isHeardByOthers(db, job.tenant))) return [{ ...about(job), type: EVENT.cutoffs, cuts: open.map(({ cut }) => cut) }]
  const iss = await issuerOf(db, job.tenant)
  return open.map((loss) => draftOf(iss, job, loss))
}

/** In the words of CAEP: what the tokens say from now on, or that they are no good. */
function draftOf(iss: string, { reason }: Job, { look, cut }: Loss): Draft {
  const { sid, user_id: user, app_id: app } = look.kept
  const complex: ComplexSubject = {
    format: 'complex',
    ...(user === null ? {} : { user: { format: 'iss_sub', iss, sub: user } }),
    ...(sid === null ? { application: { format: 'opaque', id: app } } : { session: { format: 'opaque', id: sid } }),
  }
  const said =
    cut.depth === 'claims' ? event(EVENT.tokenClaimsChange, { claims: { capolids_latebind: look.lateBound } }) : event(EVENT.sessionRevoked)
  return { ...said, subject: { complex }, reason, cut }
}
