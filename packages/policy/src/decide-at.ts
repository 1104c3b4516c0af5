import { networkOf } from './address.ts'
import type { PolicySet } from './compile.ts'
import { decideView, firstOf } from './decide.ts'
import type { Decision, LateBound } from './decision.ts'
import { stricter } from './session.ts'
import type { Signals } from './signals.ts'
import { NO } from './truth.ts'
import { viewOf } from './view.ts'

/** Where an API saw its caller, as proved by its evidence. */
export interface Seen {
  address: string
  country?: string | null
}

/**
 * Decides by both addresses: the one that the issuer sees and then, where an API has refused its caller for the location, the one that the API saw.
 *
 * What is not allowed at the issuer's address is not allowed. A requirement that the seen address brings must be met. A block that only the seen address brings is
 * excused for that address (networks send different traffic on different ways), but not where a policy that applies says `strictLocation`, nor where the blocking
 * policy names the place itself: that is a list of places nobody may come from. Whatever is allowed in answer to an API names the address and the policies that were
 * judged, so that a guard with other rules, or another country table, cannot ask for ever.
 */
export function decideAt(set: PolicySet, signals: Signals, seen?: Seen): Decision {
  const here = decideView(set, viewOf(set, signals))
  if (!seen || here.outcome !== 'allow') return here
  const { country: _, ...rest } = signals
  const view = viewOf(set, { ...rest, address: seen.address, ...(seen.country === undefined ? {} : { country: seen.country }) })
  const there = decideView(set, view)
  const session = stricter(here.session, there.session)
  if (there.outcome === 'block') {
    const listed = set.policies.some(({ id, location }) => there.blockedBy.includes(id) && location?.named(view.where) !== NO)
    if (session.cae === 'strictLocation' || listed || !networkOf(seen.address)) return { ...there, session }
  }
  if (there.unmet.length > 0) return { ...there, outcome: 'require', blockedBy: [], next: firstOf(there.unmet), session }
  const lateBound = union(here.lateBound, there.lateBound)
  const address = networkOf(seen.address)
  const named = address !== undefined && lateBound.length > 0
  return { ...here, session, lateBound, ...(named ? { exception: { address, policies: lateBound.map(({ id }) => id) } } : {}) }
}

function union(a: readonly LateBound[], b: readonly LateBound[]): LateBound[] {
  return [...new Map([...a, ...b].map((one) => [one.id, one])).values()]
}
