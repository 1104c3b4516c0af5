import { CaegisError, EVENT } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { ChangeContext, Draft } from '../store/change.ts'
import type { UserRow } from '../store/schema.ts'
import { type Home, homeText } from './guests.ts'

/** What is known of a person beyond what decides anything; `null` = nothing. */
export interface Profile {
  mail: string | null
  givenName: string | null
  surname: string | null
  /** What the system that keeps the user calls it. */
  externalId: string | null
}

/** A profile, and the names that a person goes by. */
export interface Naming extends Partial<Profile> {
  userPrincipalName?: string
  displayName?: string
  /** The system that keeps the user from now on. */
  source?: string
}

export function profileColumns({ mail, givenName: given_name, surname, externalId: external_id }: Partial<Profile>) {
  const columns = { mail, given_name, surname, external_id }
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined)) as { [K in keyof typeof columns]?: string | null }
}

/**
 * The columns of an existing user that become others, and none that stay; publishes what tokens would say otherwise.
 * @throws CaegisError `user_exists`
 */
export async function changeNaming(context: ChangeContext, user: UserRow, given: Naming, subject: Draft['subject']): Promise<Partial<UserRow>> {
  const { db, tenant, publish } = context
  const { displayName: display_name, userPrincipalName: upn, source } = given
  const wanted = {
    ...profileColumns(given),
    ...(display_name === undefined ? {} : { display_name }),
    ...(upn === undefined ? {} : { upn }),
    ...(source === undefined ? {} : { source }),
  }
  const columns: Partial<UserRow> = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => user[name as keyof typeof wanted] !== value))
  if (columns.upn !== undefined) columns.upn_key = columns.upn.toLowerCase()
  if (columns.upn !== undefined || columns.external_id != null || columns.source !== undefined) {
    const externalId = columns.external_id === undefined ? user.external_id : columns.external_id
    await refuseTaken(context, { ...given, source: source ?? user.source, externalId }, user.id)
  }
  const claims = {
    ...(columns.upn === undefined ? {} : { upn: columns.upn }),
    ...(columns.mail === undefined || !(await isAsked(db, tenant, 'email')) ? {} : { email: columns.mail ?? columns.upn ?? user.upn }),
  }
  if (Object.keys(claims).length > 0) {
    const cut = { kind: 'user', id: user.id, depth: 'claims' } as const
    publish({ type: EVENT.tokenClaimsChange, subject, payload: { claims }, reason: 'Name or address was changed', cut })
  }
  return columns
}

/**
 * A name belongs to one of the living, and so does what another system calls somebody. An account elsewhere has one guest in a tenant: what ends it ends its guests,
 * wherever they are, in one transaction, which so has no more to do than there are tenants. @throws CaegisError `user_exists`
 */
export async function refuseTaken(
  { db, tenant }: Pick<ChangeContext, 'db' | 'tenant'>,
  {
    userPrincipalName,
    source = '',
    externalId = null,
    home,
  }: { userPrincipalName?: string; source?: string; externalId?: string | null; home?: Home },
  except = '',
): Promise<void> {
  const others = db.selectFrom('users').select('id').where('tenant', '=', tenant).where('deleted_at', 'is', null).where('id', '!=', except)
  // One after the other: asked for both at once, SQLite looks at everybody.
  const taken =
    (userPrincipalName !== undefined && (await others.where('upn_key', '=', userPrincipalName.toLowerCase()).executeTakeFirst())) ||
    (externalId !== null && (await others.where('source', '=', source).where('external_id', '=', externalId).executeTakeFirst())) ||
    (home !== undefined && (await others.where('home', '=', homeText(home)).executeTakeFirst()))
  if (taken) throw new CaegisError('user_exists', SERVER_ERRORS.user_exists)
}

/** Whether the tokens of any API say this of their user. */
async function isAsked(db: ChangeContext['db'], tenant: string, claim: string): Promise<boolean> {
  const asking = db.selectFrom('applications').select('app_id').where('tenant', '=', tenant).where('optional_claims', 'like', `%"${claim}"%`)
  return (await asking.limit(1).executeTakeFirst()) !== undefined
}
