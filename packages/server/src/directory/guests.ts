import { EVENT } from '@caegis/protocol'
import type { ChangeContext, Draft } from '../store/change.ts'
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
