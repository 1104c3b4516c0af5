import { compilePolicies, decide, type Policy, type Requirement } from '@caegis/policy'
import { ADMIN_API } from '../directory/application.ts'
import { isBreakGlass } from '../directory/break-glass.ts'
import type { CountryOf } from '../geo.ts'
import type { Store } from '../store/store.ts'
import type { Book } from './book.ts'
import { type Brought, toSignals } from './signals.ts'
import { readDevices, readUsers } from './standing.ts'

/** Who edits a policy, by the token that they do it with. */
export interface Author {
  user: string
  sid?: string
  appId: string
  /** Where they are now; empty when unknown. */
  address: string
  /** The device that the token was given to. */
  device?: string
}

/** What somebody at a screen cannot do anything about. */
const OUT_OF_REACH = new Set(['compliantDevice', 'domainJoinedDevice', 'approvedApplication', 'compliantApplication'])

/**
 * Whether a policy, once saved, would keep its own author out of the admin API (threat C3): it blocks them, or asks for what no sign-in brings. Judged by what their
 * session brought along, and by where they are now; what is not known of them counts against them. The emergency account is let in by any policy.
 */
export function createAuthorCheck(store: Store, tenant: string, book: Book, countryOf: CountryOf) {
  const { db } = store

  return async function wouldBlock({ user, sid = '', appId, address, device }: Author, draft: Policy): Promise<boolean> {
    if (draft.state !== 'enabled' || (await isBreakGlass(db, tenant, user))) return false
    const rows = db.selectFrom('decisions').select('signals').where('tenant', '=', tenant).where('user_id', '=', user)
    const mine = await rows.where('sid', '=', sid).where('app_id', '=', appId).orderBy('tokens_until', 'desc').execute()
    const recorded = mine
      .flatMap(({ signals }) => (signals === '' ? [] : [JSON.parse(signals) as Brought]))
      .find((one) => one.application === ADMIN_API)
    const { country: _, seen: __, ...brought } = recorded ?? { contexts: [], application: ADMIN_API }
    const country = countryOf(address)
    const known = (await readUsers(db, tenant, [user])).get(user)
    const held = device === undefined ? undefined : (await readDevices(db, tenant, [device])).get(device)
    const standing = { device: held ?? null, ...(known ? { user: known } : {}) }
    const now = { ...brought, address, ...(country === undefined ? {} : { country }) }
    const { compiled } = await book.current()
    const { blockedBy, unmet } = decide(compilePolicies([draft], compiled), toSignals(now, standing, store.clock()))
    return blockedBy.length > 0 || unmet.some(isOutOfReach)
  }
}

export type AuthorCheck = ReturnType<typeof createAuthorCheck>

function isOutOfReach({ operator, controls }: Requirement): boolean {
  const out = controls.filter((control) => OUT_OF_REACH.has(control))
  return operator === 'AND' ? out.length > 0 : out.length === controls.length
}
