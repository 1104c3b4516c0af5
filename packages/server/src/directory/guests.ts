import { type GuestSelection, type GuestSignal, isTenantId, type Policy } from '@caegis/policy'
import { CaegisError, EVENT } from '@caegis/protocol'
import type { Kysely, Transaction } from 'kysely'
import { SERVER_ERRORS } from '../errors.ts'
import type { ChangeContext, Draft } from '../store/change.ts'
import type { Schema } from '../store/schema.ts'
import { issuerOf } from './rights.ts'

/** Where a guest's own account is: the issuer of its tenant, and its id there. */
export interface Home {
  issuer: string
  id: string
}

/** As the row keeps it: written one way only, because it is looked up by it. */
export function homeText({ issuer, id }: Home): string {
  return JSON.stringify({ issuer, id })
}

/**
 * What policies see of a guest. One with an account elsewhere was invited. Of one without, nobody can tell whether somebody invited them or made them an account
 * here: what is stricter counts.
 */
export function guestSignal(home: Home | undefined, ours: ReadonlyMap<string, string>): GuestSignal {
  if (!home) return { types: INVITED_OR_INTERNAL }
  const id = ours.get(home.issuer)
  // Other issuers (Entra ID is one) have the id of the tenant in their address.
  const ids = id === undefined ? home.issuer.split('/').filter(isTenantId) : [id]
  return { types: ['b2bCollaborationGuest'], tenants: [home.issuer, ...ids] }
}

/** Ids of the tenants of this server that are the home of somebody among these. */
export async function homesHere(db: Kysely<Schema> | Transaction<Schema>, homes: readonly Home[]): Promise<Map<string, string>> {
  if (homes.length === 0) return new Map()
  const issuers = [...new Set(homes.map(({ issuer }) => issuer))]
  const rows = await db.selectFrom('tenants').select(['id', 'issuer']).where('issuer', 'in', issuers).execute()
  return new Map(rows.map(({ id, issuer }) => [issuer ?? '', id]))
}

const INVITED_OR_INTERNAL: GuestSelection['guestOrExternalUserTypes'] = ['internalGuest', 'b2bCollaborationGuest']

/**
 * What becomes of an account is told to the tenants of its guests. To hear of people at another tenant of this server takes more than to say that one of them is a guest.
 * @throws CaegisError `home_here`
 */
export async function refuseHomeHere({ db }: ChangeContext, home: Home): Promise<void> {
  if ((await homesHere(db, [home])).size > 0) throw new CaegisError('home_here', SERVER_ERRORS.home_here)
}

/** What a policy says of guests that can never be true of anybody here: it would be taken, and not be enforced. */
export function mistakesAboutGuests({ conditions: { users } }: Policy): { path: string; message: string }[] {
  const { includeGuestsOrExternalUsers: include, excludeGuestsOrExternalUsers: exclude } = users
  const at = '/conditions/users/includeGuestsOrExternalUsers/guestOrExternalUserTypes'
  const types = include?.guestOrExternalUserTypes
  const nobody = types !== undefined && !types.some((type) => INVITED_OR_INTERNAL.includes(type))
  return [
    ...(nobody ? [{ path: at, message: `names nobody: guests are ${INVITED_OR_INTERNAL.join(' or ')} here` }] : []),
    ...tenantMistakes('include', include),
    ...tenantMistakes('exclude', exclude),
  ]
}

function tenantMistakes(side: string, selection: GuestSelection | null): { path: string; message: string }[] {
  return (selection?.externalTenants?.members ?? []).flatMap((member, index) =>
    isTenantId(member) || URL.parse(member)?.protocol === 'https:'
      ? []
      : [
          {
            path: `/conditions/users/${side}GuestsOrExternalUsers/externalTenants/members/${index}`,
            message: 'is neither the issuer of a tenant (an https address) nor its id',
          },
        ],
  )
}

type About = Pick<Draft, 'type' | 'reason'> & { ends: boolean }

/**
 * Publishes what became of a whole account, and the same of every guest whose home it is: one row in the log of each tenant concerned, all in one transaction
 * and under one txn (threat E8). A tenant knows of it what it has to: that the account is disabled, not whether it is gone.
 */
export async function publishWithGuests(
  context: ChangeContext,
  issuer: string,
  id: string,
  about: (id: string) => Draft['subject'],
  what: About,
): Promise<void> {
  const { db, publish } = context
  const { type, reason, ends } = what
  const cut = (user: string) => (ends ? { cut: { kind: 'user', id: user, depth: 'sign-in' } as const } : {})
  publish({ ...{ type, reason, subject: about(id) }, ...cut(id) })
  const guests = await db
    .selectFrom('users')
    .select(['tenant', 'id', 'version'])
    .where('home', '=', homeText({ issuer, id }))
    .where('deleted_at', 'is', null)
    .execute()
  for (const guest of guests) {
    // Nobody has signed in to a tenant that was never opened.
    const iss = await issuerOf(db, guest.tenant).catch(() => undefined)
    if (iss === undefined) continue
    const user = { format: 'iss_sub', iss, sub: guest.id } as const
    publish({
      ...{ tenant: guest.tenant, type: type === EVENT.accountPurged ? EVENT.accountDisabled : type, reason: `${reason} in its home tenant` },
      ...{ subject: { simple: user, complex: { format: 'complex', user } }, ...cut(guest.id) },
    })
  }
}
