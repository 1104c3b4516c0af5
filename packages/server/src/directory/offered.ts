import { EVENT, event, pairId } from '@caegis/protocol'
import type { ChangeContext } from '../store/change.ts'
import type { Application } from './application.ts'
import { issuerOf, rightsOf } from './rights.ts'

/** Grants that are cut off one by one; beyond it the clients that hold them ask again for all their tokens. */
export const MOST_GRANTS = 200

/** What tokens for an API say differently after an edit of it. */
interface Difference {
  /** Full names of scopes that are not offered any more. */
  withdrawn: string[]
  /** Optional claims that appeared or went. */
  claims: string[]
  /** Its tokens can be taken back no longer, so none may live long. */
  unguarded: boolean
}

/** Every scope of the API as requests name it; none while it is disabled. */
function offered({ enabled, identifierUris, scopes }: Application): string[] {
  return enabled ? identifierUris.flatMap((uri) => scopes.map((scope) => `${uri}/${scope}`)) : []
}

function differenceOf(before: Application, after: Application): Difference | undefined {
  const still = new Set(offered(after))
  const withdrawn = offered(before).filter((scope) => !still.has(scope))
  const claims = [...new Set([...before.optionalClaims, ...after.optionalClaims])].filter(
    (name) => before.optionalClaims.includes(name) !== after.optionalClaims.includes(name),
  )
  const unguarded = before.cae && !after.cae
  return withdrawn.length + claims.length > 0 || unguarded ? { withdrawn, claims, unguarded } : undefined
}

/**
 * After an edit of what an API offers, or of what its tokens hold: whoever has a token of it that would be another now asks again, at depth `claims`, or `access` if what it may do ends. Users by
 * what an application holds of them, daemons by their application; more of the same takes nothing from anybody.
 */
export async function settleApi(context: ChangeContext, before: Application, after: Application): Promise<void> {
  const difference = differenceOf(before, after)
  if (!difference) return
  const { db, tenant, now, publish } = context
  const all = new Set(offered(before))
  const scopes = difference.claims.length > 0 || difference.unguarded ? all : new Set(difference.withdrawn)
  const reason = `What the API ${before.appId} offers, or what its tokens hold, was changed`
  const live = await db
    .selectFrom('grants')
    .select(['user_id', 'app_id', 'scopes'])
    .where('tenant', '=', tenant)
    .where('tokens_until', '>', now)
    .execute()
  const grants = live.filter((one) => (JSON.parse(one.scopes) as string[]).some((scope) => scopes.has(scope)))
  const clients = new Set<string>()
  if (grants.length > MOST_GRANTS) for (const { app_id } of grants) clients.add(app_id)
  else {
    const says = await saying(context, difference, [...new Set(grants.map((one) => one.user_id))])
    const iss = grants.length === 0 ? '' : await issuerOf(db, tenant)
    for (const { user_id: user, app_id: app, scopes: held } of grants) {
      const scp = (JSON.parse(held) as string[]).filter((scope) => all.has(scope) && !difference.withdrawn.includes(scope))
      const claims: Record<string, unknown> = { ...says(user), ...(difference.withdrawn.length > 0 ? { scp: scp.map(shortName).join(' ') } : {}) }
      publish({
        ...event(EVENT.tokenClaimsChange, { claims }),
        subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss, sub: user }, application: { format: 'opaque', id: app } } },
        // Where nothing of the API is left, no new token would be allowed.
        ...{ reason, cut: { kind: 'grant', id: pairId(user, app), user, app, depth: claims.scp === '' ? 'access' : 'claims' } as const },
      })
    }
  }
  // A daemon's tokens hold nothing of a user.
  if (difference.withdrawn.length > 0 || difference.unguarded) for (const app of await daemonsOf(context, before, scopes)) clients.add(app)
  for (const id of clients) {
    publish({
      ...event(EVENT.sessionRevoked),
      subject: { complex: { format: 'complex', application: { format: 'opaque', id } } },
      ...{ reason, cut: { kind: 'app', id, depth: difference.withdrawn.length > 0 ? 'access' : 'claims' } as const },
    })
  }
}

const shortName = (scope: string) => scope.slice(scope.lastIndexOf('/') + 1)

/** The new values of optional claims, user by user. */
async function saying(
  { db, tenant }: ChangeContext,
  { claims, unguarded }: Difference,
  users: readonly string[],
): Promise<(user: string) => Record<string, unknown>> {
  const select = db.selectFrom('users').select(['id', 'upn', 'mail', 'type']).where('tenant', '=', tenant)
  const found = users.length === 0 ? [] : await select.where('id', 'in', users).execute()
  const rows = new Map(found.map((row) => [row.id, row]))
  const rights = claims.includes('groups') ? await rightsOf(db, tenant, users) : undefined
  return (user) => ({
    ...Object.fromEntries(claims.map((name) => [name, name === 'groups' ? (rights?.get(user)?.groups ?? []) : claimOf(name, rows.get(user))])),
    ...(unguarded ? { xms_cc: null, xms_ssm: null } : {}),
  })
}

function claimOf(name: string, row: { upn: string; mail: string | null; type: string } | undefined): string | number | null {
  // Contexts are each session's own: nobody can say here which they would be.
  if (!row || name === 'acrs') return null
  if (name === 'acct') return row.type === 'guest' ? 1 : 0
  return name === 'email' ? (row.mail ?? row.upn) : row.upn
}

/** Daemons that may hold a token with one of the scopes. */
async function daemonsOf({ db, tenant, now }: ChangeContext, { identifierUris }: Application, scopes: ReadonlySet<string>): Promise<string[]> {
  const rows = await db
    .selectFrom('applications')
    .select(['app_id', 'permissions'])
    .where('tenant', '=', tenant)
    .where('type', '=', 'daemon')
    .where('tokens_until', '>', now)
    .execute()
  const all = new Set(identifierUris.map((uri) => `${uri}/.default`))
  return rows
    .filter(({ permissions }) => (JSON.parse(permissions) as string[]).some((one) => scopes.has(one) || (all.has(one) && scopes.size > 0)))
    .map(({ app_id }) => app_id)
}
