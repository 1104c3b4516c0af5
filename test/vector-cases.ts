import { readdirSync, readFileSync } from 'node:fs'
import { type Location, locationToGraph, type Policy, type PolicyCase, parseCases, policyToGraph } from '@caegis/policy'
import { parse } from 'yaml'
import { isKnownGuest, type Person, proofNamed, type Wish } from './vector-worlds.ts'

export interface Vector extends PolicyCase {
  file: string
  locations: readonly Location[]
}

const folder = new URL('../packages/policy/test/vectors/', import.meta.url)

/** All cases of the package's own vectors. */
export const VECTORS: Vector[] = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .flatMap((file) => {
    const { cases, locations } = parseCases(parse(readFileSync(new URL(file, folder), 'utf8')))
    return cases.map((one) => ({ ...one, file: file.replace('.yaml', ''), locations }))
  })

const asks = ({ policies }: Vector, what: (conditions: Policy['conditions']) => boolean) => policies.some(({ conditions }) => what(conditions))
/** What the device rules of a case look at. */
const deviceMembers = ({ policies }: Vector) =>
  policies.flatMap(({ conditions }) =>
    [...(conditions.devices?.deviceFilter?.rule ?? '').matchAll(/device\.(\w+)/g)].map((match) => match[1] as string),
  )
const KEPT_OF_DEVICES = ['isCompliant', 'trustType', 'displayName']
const ofUser = ({ signals }: Vector) => signals.servicePrincipal === undefined

/** Why a case cannot be run by signing in. A case that fits none of these is run. */
export const LEFT_OUT: Readonly<Record<string, (one: Vector) => boolean>> = {
  'what if is asked of another endpoint': ({ want }) => Object.keys(want).every((name) => name === 'whatIf'),
  'a user action has no token': ({ signals }) => signals.action !== undefined,
  'no legacy client is served': ({ signals: { clientAppType = 'browser' } }) => !['browser', 'mobileAppsAndDesktopClients'].includes(clientAppType),
  'detections are turned off': ({ signals: { signInRisk = 'none' } }) => signInRisk !== 'none',
  'nobody is measured for insider risk': (one) =>
    one.signals.insiderRisk !== undefined && asks(one, ({ insiderRiskLevels }) => insiderRiskLevels.length > 0),
  'no authentication is transferred': ({ signals }) => signals.flow === 'authenticationTransfer',
  'a sign-in always says who, for what, by which client and flow, and how it was proved': (one) =>
    ofUser(one) && ['user', 'application', 'clientAppType', 'flow', 'proof'].some((name) => !Object.hasOwn(one.signals, name)),
  'the risk of a user and of a sign-in is always known': (one) =>
    ofUser(one) && ['userRisk', 'signInRisk'].some((name) => !Object.hasOwn(one.signals, name)),
  'a device is always looked up': (one) => ofUser(one) && one.signals.device === undefined,
  'the directory keeps fewer facts of a device': (one) =>
    deviceMembers(one).some((name) => !KEPT_OF_DEVICES.includes(name) || (one.signals.device && !Object.hasOwn(one.signals.device, name))),
  'the codes of countries are those of ISO 3166 here': ({ signals: { country } }) => typeof country === 'string' && !/^[A-Z]{2}$/.test(country),
  'the directory knows a guest by the home alone': ({ signals: { user } }) => user !== undefined && !isKnownGuest(user),
  'no client is known to be approved or protected': ({ signals }) => signals.client !== undefined,
  'both factors have one instant': ({ signals }) => signals.proof?.secondAt !== undefined,
  'nobody signs in by a code alone': ({ signals: { proof } }) => proof !== undefined && proofNamed(proof) === undefined,
  'what names no platform is unknown, and not none of them': (one) =>
    one.signals.platform === 'other' && asks(one, ({ platforms }) => platforms?.includePlatforms.some((name) => name !== 'all') === true),
  'applications of other tenants do not sign in': ({ signals }) => signals.servicePrincipal?.ours === false,
  'the risk of an application is always known': (one) =>
    !ofUser(one) &&
    one.signals.servicePrincipal?.risk === undefined &&
    asks(one, ({ servicePrincipalRiskLevels }) => servicePrincipalRiskLevels.length > 0),
}

export const reasonOf = (one: Vector) => Object.keys(LEFT_OUT).find((reason) => LEFT_OUT[reason]?.(one))

/** The sign-in that a case of a user needs. */
export function wishOf({ signals }: Vector): Wish {
  const { user, proof, clientAppType, application, flow, device, platform = 'other' } = signals
  if (!user || !proof) throw new Error('nobody signs in')
  return {
    ...{ user, api: application as string, client: clientAppType as Wish['client'], flow: flow as Wish['flow'], device: device !== null },
    ...{ proof: proofNamed(proof) as Wish['proof'], platform: platform !== 'other' },
  }
}

/** Whether it matters to the second how long ago the sign-in was. */
export const isExact = ({ policies }: Vector) => policies.some(({ sessionControls }) => sessionControls?.signInFrequency)
export const agoOf = ({ signals: { now, proof } }: Vector) => now - (proof?.at ?? now)
export const asksCountry = ({ locations, policies }: Vector) => {
  const countries = locations.filter(({ kind }) => kind === 'country').map(({ id }) => id)
  return policies.some(({ conditions: { locations: at } }) =>
    [...(at?.includeLocations ?? []), ...(at?.excludeLocations ?? [])].some((id) => countries.includes(id)),
  )
}

/** The policies as they are stored, with the ids of real people, groups and applications; and the locations. */
export function stored({ policies, locations }: Vector, idOf: (kind: 'user' | 'group' | 'servicePrincipal', id: string) => string) {
  const swap = (ids: readonly string[], kind: Parameters<typeof idOf>[0]) => ids.map((id) => idOf(kind, id))
  return {
    policies: policies.map((policy) => {
      const { users, clientApplications } = policy.conditions
      const conditions = {
        ...policy.conditions,
        users: {
          ...users,
          ...{ includeUsers: swap(users.includeUsers, 'user'), excludeUsers: swap(users.excludeUsers, 'user') },
          ...{ includeGroups: swap(users.includeGroups, 'group'), excludeGroups: swap(users.excludeGroups, 'group') },
        },
        clientApplications: clientApplications && {
          includeServicePrincipals: swap(clientApplications.includeServicePrincipals, 'servicePrincipal'),
          excludeServicePrincipals: swap(clientApplications.excludeServicePrincipals, 'servicePrincipal'),
        },
      }
      return policyToGraph({ ...policy, conditions })
    }),
    locations: locations.map((location) =>
      location.kind === 'ip' ? { id: location.id, trusted: location.isTrusted, ranges: location.ranges } : locationToGraph(location),
    ),
  }
}

/** The object id of somebody whom a policy names: the one who signs in, or any other of that name. */
export function personNamed(people: Iterable<Person>, id: string, who?: Person): string {
  return who?.id === id ? who.oid : ([...people].find((one) => one.id === id)?.oid ?? id)
}
