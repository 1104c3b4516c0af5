import { CONDITIONS, type Condition } from './decision.ts'
import { parseDeviceRule } from './device-rule.ts'
import { compileLocationCondition, type LocationCondition, type Places } from './location-condition.ts'
import { APPLICATION_EXCLUDED, APPLICATION_INCLUDED, USER_EXCLUDED, USER_INCLUDED } from './mentions.ts'
import type { GuestSelection, Policy, UserSelection } from './policy.ts'
import type { UserSignal } from './signals.ts'
import { butNot, NO, not, type Truth, truth, UNKNOWN, YES } from './truth.ts'
import type { View } from './view.ts'

/** One condition of a policy. Those that a policy does not name hold for everybody, and have none. */
export interface ConditionTest {
  readonly bit: number
  test(view: View): Truth
}

const BITS = new Map(CONDITIONS.map((condition, at) => [condition, 1 << at]))

export function conditionBit(condition: Condition): number {
  return BITS.get(condition) as number
}

const NAMES: (readonly Condition[])[] = []

/** The conditions of a set of bits; one frozen list for each set. */
export function conditionsOf(bits: number): readonly Condition[] {
  NAMES[bits] ??= Object.freeze(CONDITIONS.filter((_, at) => bits & (1 << at)))
  return NAMES[bits]
}

export interface CompiledConditions {
  readonly tests: readonly ConditionTest[]
  readonly location: LocationCondition | undefined
}

export function compileConditions({ conditions }: Policy, number: number, places: Places): CompiledConditions {
  const tests: ConditionTest[] = []
  const add = (condition: Condition, test: ConditionTest['test']) => tests.push({ bit: conditionBit(condition), test })
  const { clientApplications, clientAppTypes, platforms, devices, locations, authenticationFlows } = conditions
  if (clientApplications) add('servicePrincipals', servicePrincipals(clientApplications))
  else add('users', users(conditions.users, number))
  add('application', target(conditions.applications, number))
  if (!clientAppTypes.includes('all'))
    add(
      'clientType',
      oneOf(clientAppTypes, (view) => view.signals.clientAppType),
    )
  if (platforms) {
    const included: ConditionTest['test'] = platforms.includePlatforms.includes('all')
      ? () => YES
      : oneOf(platforms.includePlatforms, (view) => view.signals.platform)
    const excluded = oneOf(platforms.excludePlatforms, (view) => view.signals.platform)
    add('devicePlatform', (view) => butNot(included(view), excluded(view)))
  }
  const location = locations ? compileLocationCondition(locations.includeLocations, locations.excludeLocations, places) : undefined
  if (location) add('location', (view) => location.holds(view.where))
  if (devices) {
    const rule = parseDeviceRule(devices.deviceFilter.rule)
    const wanted = devices.deviceFilter.mode === 'include'
    add('deviceState', (view) => (wanted ? rule(view.signals.device) : not(rule(view.signals.device))))
  }
  const risk = (condition: Condition, levels: readonly string[], level: (view: View) => string | undefined) => {
    if (levels.length > 0) add(condition, oneOf(levels, level))
  }
  risk('signInRisk', conditions.signInRiskLevels, (view) => view.signals.signInRisk)
  risk('userRisk', conditions.userRiskLevels, (view) => view.signals.userRisk)
  risk('servicePrincipalRisk', conditions.servicePrincipalRiskLevels, (view) => view.signals.servicePrincipal?.risk)
  risk('insiderRisk', conditions.insiderRiskLevels, (view) => view.signals.insiderRisk)
  if (authenticationFlows)
    add(
      'authenticationFlows',
      oneOf(authenticationFlows.transferMethods, (view) => view.signals.flow),
    )
  return { tests, location }
}

function oneOf(words: readonly string[], word: (view: View) => string | undefined): (view: View) => Truth {
  const set = new Set(words)
  if (set.size === 0) return () => NO
  return (view) => {
    const one = word(view)
    return one === undefined ? UNKNOWN : truth(set.has(one))
  }
}

/** Applications, user actions or authentication contexts: whichever the policy is about. What is asked for is of one kind or of two (an application with contexts). */
function target(selection: Policy['conditions']['applications'], number: number): (view: View) => Truth {
  const { includeApplications, excludeApplications, includeUserActions, includeAuthenticationContextClassReferences } = selection
  if (includeUserActions.length > 0) {
    const actions = new Set<string>(includeUserActions)
    return ({ signals: { action }, targeted }) => (targeted ? truth(action !== undefined && actions.has(action)) : UNKNOWN)
  }
  if (includeAuthenticationContextClassReferences.length > 0) {
    const ids = new Set(includeAuthenticationContextClassReferences)
    return ({ signals: { contexts }, targeted }) => (targeted ? truth(contexts?.some((id) => ids.has(id)) === true) : UNKNOWN)
  }
  const all = includeApplications.includes('All')
  const some = includeApplications.some((id) => id !== 'None')
  const wanted = all ? 0 : APPLICATION_INCLUDED
  return ({ signals: { application }, targeted, marks }) => {
    // Included, as far as it must be, and not excluded: nothing else is marked.
    if (application !== undefined) return truth(((marks[number] as number) & (wanted | APPLICATION_EXCLUDED)) === wanted)
    if (targeted || !some) return NO
    return all && excludeApplications.length === 0 ? YES : UNKNOWN
  }
}

function servicePrincipals({
  includeServicePrincipals,
  excludeServicePrincipals,
}: NonNullable<Policy['conditions']['clientApplications']>): (view: View) => Truth {
  const ours = includeServicePrincipals.includes('ServicePrincipalsInMyTenant')
  const included = new Set(includeServicePrincipals)
  const excluded = new Set(excludeServicePrincipals)
  return ({ signals: { user, servicePrincipal } }) => {
    if (!servicePrincipal) return user ? NO : UNKNOWN
    const { id } = servicePrincipal
    return truth(((ours && servicePrincipal.ours) || included.has(id)) && !excluded.has(id))
  }
}

function users(selection: UserSelection, number: number): (view: View) => Truth {
  const { includeUsers, excludeUsers, includeGuestsOrExternalUsers, excludeGuestsOrExternalUsers } = selection
  const all = includeUsers.includes('All')
  const included = guests(includeUsers, includeGuestsOrExternalUsers)
  const excluded = guests(excludeUsers, excludeGuestsOrExternalUsers)
  return ({ signals: { user, servicePrincipal }, marks }) => {
    if (!user) return servicePrincipal ? NO : UNKNOWN
    const mark = marks[number] as number
    if ((mark & USER_EXCLUDED) !== 0) return NO
    const inside = all || (mark & USER_INCLUDED) !== 0 ? YES : included(user)
    return inside === NO ? NO : butNot(inside, excluded(user))
  }
}

/** Those guests whom one side selects, by the older word or by type and tenant. */
function guests(userIds: readonly string[], selection: GuestSelection | null): (user: UserSignal) => Truth {
  if (userIds.includes('GuestsOrExternalUsers')) return ({ guest }) => truth(guest !== undefined)
  return selection ? (user) => guestIn(selection, user) : () => NO
}

function guestIn({ guestOrExternalUserTypes, externalTenants }: GuestSelection, { guest }: UserSignal): Truth {
  if (!guest || !(guestOrExternalUserTypes as readonly string[]).includes(guest.type)) return NO
  if (!externalTenants || externalTenants.membershipKind === 'all') return YES
  return guest.tenant === undefined ? UNKNOWN : truth(externalTenants.members.includes(guest.tenant))
}
