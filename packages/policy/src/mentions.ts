import type { GuestSelection, Policy } from './policy.ts'
import type { GuestSignal, ServicePrincipalSignal, Signals, UserSignal } from './signals.ts'
import { NO, type Truth, UNKNOWN, YES } from './truth.ts'

/**
 * Whom and what policies name, the other way round: from the id of a user, group, role, application ... to the policies. A decision then asks once for each of the user's
 * groups, and not once for each group of each policy; what comes of it are a few bits a policy.
 */
export interface Mentions {
  readonly count: number
  readonly users: Lists
  readonly groups: Lists
  readonly roles: Lists
  readonly servicePrincipals: Lists
  readonly applications: Lists
  readonly actions: Lists
  readonly contexts: Lists
  /** What guests a policy selects by type and tenant. */
  readonly guests: readonly { readonly number: number; readonly bit: number; readonly selection: GuestSelection }[]
  /** The bits of each policy where nobody knows what is asked for. */
  readonly untargeted: Uint8Array
}

/** For each id numbers of policies, times 256, plus the bit that is marked there. */
type Lists = ReadonlyMap<string, readonly number[]>

const INCLUDED = 1
const EXCLUDED = 2
const MAYBE_INCLUDED = 4
const MAYBE_EXCLUDED = 8
/** The bits of what is asked for stand above those of who asks. */
const TARGET = 4

/** By four bits. */
const TRUTHS: readonly Truth[] = Array.from({ length: 16 }, (_, bits) => {
  if (bits & EXCLUDED) return NO
  if (bits & INCLUDED) return bits & MAYBE_EXCLUDED ? UNKNOWN : YES
  return bits & MAYBE_INCLUDED ? UNKNOWN : NO
})

/** Whether a policy is about who asks. */
export function subjectTruth(mark: number): Truth {
  return TRUTHS[mark & 15] as Truth
}

/** Whether a policy is about what is asked for. */
export function targetTruth(mark: number): Truth {
  return TRUTHS[mark >>> TARGET] as Truth
}

/** A policy's number is its place in the list. */
export function mentionsOf(policies: readonly Policy[]): Mentions {
  const maps = Array.from({ length: 7 }, () => new Map<string, number[]>())
  const [users, groups, roles, servicePrincipals, applications, actions, contexts] = maps as [Index, Index, Index, Index, Index, Index, Index]
  const guests: { number: number; bit: number; selection: GuestSelection }[] = []
  const untargeted = new Uint8Array(policies.length)
  policies.forEach(({ conditions: { users: people, clientApplications: clients, applications: target } }, number) => {
    const add = (index: Index, ids: readonly string[], bit: number) => {
      for (const id of ids) {
        const list = index.get(id)
        if (list) list.push(number * 256 + bit)
        else index.set(id, [number * 256 + bit])
      }
    }
    if (clients) {
      add(servicePrincipals, clients.includeServicePrincipals, INCLUDED)
      add(servicePrincipals, clients.excludeServicePrincipals, EXCLUDED)
    } else {
      add(users, people.includeUsers, INCLUDED)
      add(users, people.excludeUsers, EXCLUDED)
      add(groups, people.includeGroups, INCLUDED)
      add(groups, people.excludeGroups, EXCLUDED)
      add(roles, people.includeRoles, INCLUDED)
      add(roles, people.excludeRoles, EXCLUDED)
      if (people.includeGuestsOrExternalUsers) guests.push({ number, bit: INCLUDED, selection: people.includeGuestsOrExternalUsers })
      if (people.excludeGuestsOrExternalUsers) guests.push({ number, bit: EXCLUDED, selection: people.excludeGuestsOrExternalUsers })
    }
    add(applications, target.includeApplications, INCLUDED << TARGET)
    add(applications, target.excludeApplications, EXCLUDED << TARGET)
    add(actions, target.includeUserActions, INCLUDED << TARGET)
    add(contexts, target.includeAuthenticationContextClassReferences, INCLUDED << TARGET)
    const all = target.includeApplications.includes('All') ? INCLUDED : MAYBE_INCLUDED
    const nothing = target.includeApplications.length > 0 && target.includeApplications.every((id) => id === 'None')
    untargeted[number] = nothing ? 0 : (all | (target.excludeApplications.length > 0 ? MAYBE_EXCLUDED : 0)) << TARGET
  })
  return { count: policies.length, users, groups, roles, servicePrincipals, applications, actions, contexts, guests, untargeted }
}

type Index = Map<string, number[]>

/** For each policy what of it these signals meet. */
export function marksOf(mentions: Mentions, { user, servicePrincipal, application, action, contexts }: Signals): Uint8Array {
  // Of application, action and contexts one is enough for the others to be known.
  const targeted = application !== undefined || action !== undefined || contexts !== undefined
  const marks = targeted ? new Uint8Array(mentions.count) : mentions.untargeted.slice()
  if (user) markUser(marks, mentions, user)
  if (servicePrincipal) markServicePrincipal(marks, mentions, servicePrincipal)
  if (!user && !servicePrincipal) for (let at = 0; at < marks.length; at++) marks[at] = (marks[at] as number) | MAYBE_INCLUDED
  if (application !== undefined) {
    put(marks, mentions.applications, 'All')
    if (application !== 'None') put(marks, mentions.applications, application)
  }
  if (action !== undefined) put(marks, mentions.actions, action)
  if (contexts) for (const id of contexts) put(marks, mentions.contexts, id)
  return marks
}

function markUser(marks: Uint8Array, { users, groups, roles, guests }: Mentions, user: UserSignal): void {
  put(marks, users, 'All')
  if (user.id !== 'None' && user.id !== 'GuestsOrExternalUsers') put(marks, users, user.id)
  for (const id of user.groups) put(marks, groups, id)
  for (const id of user.roles) put(marks, roles, id)
  if (!user.guest) return
  put(marks, users, 'GuestsOrExternalUsers')
  for (const { number, bit, selection } of guests) {
    const selected = selects(selection, user.guest)
    if (selected !== NO) marks[number] = (marks[number] as number) | (selected === YES ? bit : bit === INCLUDED ? MAYBE_INCLUDED : MAYBE_EXCLUDED)
  }
}

function selects({ guestOrExternalUserTypes, externalTenants }: GuestSelection, { types, tenants }: GuestSignal): Truth {
  const named = types.filter((type) => (guestOrExternalUserTypes as readonly string[]).includes(type)).length
  if (named === 0) return NO
  const ofType = named === types.length ? YES : UNKNOWN
  if (!externalTenants || externalTenants.membershipKind === 'all') return ofType
  return Math.min(ofType, isOf(externalTenants.members, tenants)) as Truth
}

/** An id says nothing about a tenant of which only the address is known. */
function isOf(members: readonly string[], tenants: readonly string[] | undefined): Truth {
  if (tenants === undefined) return UNKNOWN
  const names = new Set(tenants.map(oneSpelling))
  if (members.some((member) => names.has(oneSpelling(member)))) return YES
  return members.some(isTenantId) && !tenants.some(isTenantId) ? UNKNOWN : NO
}

/** Whether a name is the id of a tenant, and not its issuer. */
export const isTenantId = (name: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name)

const oneSpelling = (name: string) => (isTenantId(name) ? name.toLowerCase() : name.replace(/\/$/, ''))

/** Graph names them by their object ids; people who know an application know its client id. Either is meant by both. */
function markServicePrincipal(marks: Uint8Array, { servicePrincipals }: Mentions, { id, appId, ours }: ServicePrincipalSignal): void {
  if (ours) put(marks, servicePrincipals, 'ServicePrincipalsInMyTenant')
  for (const name of new Set([id, appId ?? id])) if (name !== 'ServicePrincipalsInMyTenant' && name !== 'None') put(marks, servicePrincipals, name)
}

function put(marks: Uint8Array, lists: Lists, id: string): void {
  const list = lists.get(id)
  if (!list) return
  for (let at = 0; at < list.length; at++) {
    const entry = list[at] as number
    const number = entry >>> 8
    marks[number] = (marks[number] as number) | (entry & 255)
  }
}
