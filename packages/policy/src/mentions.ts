import type { Policy } from './policy.ts'
import type { Signals } from './signals.ts'

/**
 * Who and what policies name, the other way round: from the id of a user, group, role or application to the policies. A decision then asks once for each of the user's
 * groups, and not once for each group of each policy.
 */
export interface Mentions {
  readonly count: number
  readonly users: Lists
  readonly groups: Lists
  readonly roles: Lists
  readonly applications: Lists
}

/** For each id numbers of policies, times 16, plus what is marked there. */
type Lists = ReadonlyMap<string, readonly number[]>

export const USER_INCLUDED = 1
export const USER_EXCLUDED = 2
export const APPLICATION_INCLUDED = 4
export const APPLICATION_EXCLUDED = 8

/** Stand for many, and are nobody's id. */
const WORDS: ReadonlySet<string> = new Set(['All', 'None', 'GuestsOrExternalUsers'])

/** A policy's number is its place in the list. */
export function mentionsOf(policies: readonly Policy[]): Mentions {
  const lists = (bits: [number, number], ids: (policy: Policy) => [readonly string[], readonly string[]]): Lists => {
    const map = new Map<string, number[]>()
    policies.forEach((policy, number) => {
      ids(policy).forEach((side, at) => {
        for (const id of side) {
          if (WORDS.has(id)) continue
          const list = map.get(id)
          const entry = number * 16 + (bits[at] as number)
          if (list) list.push(entry)
          else map.set(id, [entry])
        }
      })
    })
    return map
  }
  const user: [number, number] = [USER_INCLUDED, USER_EXCLUDED]
  const application: [number, number] = [APPLICATION_INCLUDED, APPLICATION_EXCLUDED]
  return {
    count: policies.length,
    users: lists(user, ({ conditions: { users } }) => [users.includeUsers, users.excludeUsers]),
    groups: lists(user, ({ conditions: { users } }) => [users.includeGroups, users.excludeGroups]),
    roles: lists(user, ({ conditions: { users } }) => [users.includeRoles, users.excludeRoles]),
    applications: lists(application, ({ conditions: { applications } }) => [applications.includeApplications, applications.excludeApplications]),
  }
}

/** For each policy what of it these signals meet. */
export function marksOf({ count, users, groups, roles, applications }: Mentions, { user, application }: Signals): Uint8Array {
  const marks = new Uint8Array(count)
  if (user) {
    put(marks, users, user.id)
    for (const id of user.groups) put(marks, groups, id)
    for (const id of user.roles) put(marks, roles, id)
  }
  if (application !== undefined) put(marks, applications, application)
  return marks
}

function put(marks: Uint8Array, lists: Lists, id: string): void {
  const list = lists.get(id)
  if (!list) return
  for (let at = 0; at < list.length; at++) {
    const entry = list[at] as number
    marks[entry >>> 4] = (marks[entry >>> 4] as number) | (entry & 15)
  }
}
