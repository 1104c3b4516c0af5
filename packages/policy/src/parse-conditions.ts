import { readDeviceRule } from './device-rule.ts'
import { absent, child, isRecord, note, type Place, readFlags, readList, readOneOf, readText, readTexts, readWords, refuse } from './mistakes.ts'
import {
  type ApplicationSelection,
  CLIENT_APP_TYPES,
  GUEST_TYPES,
  type GuestSelection,
  INSIDER_RISK_LEVELS,
  type LocationSelection,
  PLATFORMS,
  type PolicyConditions,
  RISK_LEVELS,
  TRANSFER_METHODS,
  USER_ACTIONS,
  type UserSelection,
} from './policy.ts'

const SUPPORTED = [
  'applications',
  'users',
  'clientApplications',
  'clientAppTypes',
  'locations',
  'platforms',
  'devices',
  'signInRiskLevels',
  'userRiskLevels',
  'servicePrincipalRiskLevels',
  'insiderRiskLevels',
  'authenticationFlows',
]
const UNSUPPORTED = ['times', 'deviceStates', 'agentIdRiskLevels']
/** Graph's name for the trusted addresses of a service that is not here. */
const MFA_TRUSTED_IPS = '00000000-0000-0000-0000-000000000000'
/** Groups of Microsoft's own applications. */
const APPLICATION_GROUPS = ['Office365', 'MicrosoftAdminPortals']

export function readConditions(place: Place): PolicyConditions | undefined {
  if (!isRecord(place, [...SUPPORTED, ...UNSUPPORTED])) return undefined
  const at = (name: string) => child(place, name)
  for (const name of UNSUPPORTED) refuse(at(name))
  const clientApplications = readClientApplications(at('clientApplications'))
  const clientAppTypes = readWords(at('clientAppTypes'), CLIENT_APP_TYPES)
  const conditions: PolicyConditions = {
    applications: readApplications(at('applications')),
    users: readUsers(at('users'), clientApplications !== null),
    clientApplications,
    clientAppTypes: clientAppTypes.length > 0 ? clientAppTypes : ['all'],
    locations: readLocations(at('locations')),
    platforms: readPlatforms(at('platforms')),
    devices: readDevices(at('devices')),
    signInRiskLevels: readWords(at('signInRiskLevels'), RISK_LEVELS),
    userRiskLevels: readWords(at('userRiskLevels'), RISK_LEVELS),
    servicePrincipalRiskLevels: readWords(at('servicePrincipalRiskLevels'), RISK_LEVELS),
    insiderRiskLevels: absent(at('insiderRiskLevels')) ? [] : readFlags(at('insiderRiskLevels'), INSIDER_RISK_LEVELS),
    authenticationFlows: readFlows(at('authenticationFlows')),
  }
  if (!clientApplications && conditions.servicePrincipalRiskLevels.length > 0) {
    note(at('servicePrincipalRiskLevels'), 'is for policies about service principals')
  }
  if (clientApplications) {
    const { clientAppTypes: types, platforms, devices, signInRiskLevels, userRiskLevels, insiderRiskLevels, authenticationFlows } = conditions
    if (!types.includes('all')) note(at('clientAppTypes'), 'is not for service principals')
    for (const [name, value] of Object.entries({ platforms, devices, signInRiskLevels, userRiskLevels, insiderRiskLevels, authenticationFlows })) {
      if (value && !(Array.isArray(value) && value.length === 0)) note(at(name), 'is not for service principals')
    }
  }
  return conditions
}

function readApplications(place: Place): ApplicationSelection {
  const at = (name: string) => child(place, name)
  const known = isRecord(place, [
    'includeApplications',
    'excludeApplications',
    'includeUserActions',
    'includeAuthenticationContextClassReferences',
    'applicationFilter',
    'networkAccess',
    'globalSecureAccess',
  ])
  if (known) for (const name of ['applicationFilter', 'networkAccess', 'globalSecureAccess']) refuse(at(name))
  const selection: ApplicationSelection = {
    includeApplications: readTexts(at('includeApplications')),
    excludeApplications: readTexts(at('excludeApplications')),
    includeUserActions: readWords(at('includeUserActions'), USER_ACTIONS),
    includeAuthenticationContextClassReferences: readList(at('includeAuthenticationContextClassReferences'), 99, (one) => {
      const id = readText(one)
      if (id && !/^c([1-9]|[1-9]\d)$/.test(id)) note(one, 'must be one of c1 to c99')
      return id
    }),
  }
  selection.includeApplications.forEach((id, index) => {
    if (APPLICATION_GROUPS.includes(id)) note(child(at('includeApplications'), index), 'is not supported: a group of applications that are not here')
  })
  noWords(at('excludeApplications'), selection.excludeApplications, ['All', 'None'])
  const kinds = [selection.includeApplications, selection.includeUserActions, selection.includeAuthenticationContextClassReferences]
  const chosen = kinds.filter((list) => list.length > 0).length
  if (known && chosen === 0) note(place, 'must include applications, user actions or authentication contexts')
  if (chosen > 1) note(place, 'can include only one of applications, user actions and authentication contexts')
  return selection
}

function readUsers(place: Place, forServicePrincipals: boolean): UserSelection {
  const at = (name: string) => child(place, name)
  const names = ['Users', 'Groups', 'Roles', 'GuestsOrExternalUsers'].flatMap((what) => [`include${what}`, `exclude${what}`])
  const known = forServicePrincipals && absent(place) ? false : isRecord(place, names)
  const selection: UserSelection = {
    includeUsers: readTexts(at('includeUsers')),
    excludeUsers: readTexts(at('excludeUsers')),
    includeGroups: readTexts(at('includeGroups')),
    excludeGroups: readTexts(at('excludeGroups')),
    includeRoles: readTexts(at('includeRoles')),
    excludeRoles: readTexts(at('excludeRoles')),
    includeGuestsOrExternalUsers: readGuests(at('includeGuestsOrExternalUsers')),
    excludeGuestsOrExternalUsers: readGuests(at('excludeGuestsOrExternalUsers')),
  }
  noWords(at('excludeUsers'), selection.excludeUsers, ['All', 'None'])
  const { includeUsers, includeGroups, includeRoles, includeGuestsOrExternalUsers } = selection
  const somebody = includeUsers.length + includeGroups.length + includeRoles.length > 0 || includeGuestsOrExternalUsers !== null
  if (known && !somebody && !forServicePrincipals) note(place, 'must include users, groups, roles or guests')
  if (forServicePrincipals && somebody && includeUsers[0] !== 'None') note(place, 'a policy is about users or about service principals')
  return selection
}

function readGuests(place: Place): GuestSelection | null {
  if (absent(place) || !isRecord(place, ['guestOrExternalUserTypes', 'externalTenants'])) return null
  const types = child(place, 'guestOrExternalUserTypes')
  const guestOrExternalUserTypes = absent(types) ? [] : readFlags(types, GUEST_TYPES)
  if (guestOrExternalUserTypes.length === 0) note(types, 'must name at least one type')
  const tenants = child(place, 'externalTenants')
  if (absent(tenants) || !isRecord(tenants, ['membershipKind', 'members'])) return { guestOrExternalUserTypes, externalTenants: null }
  const membershipKind = readOneOf(child(tenants, 'membershipKind'), ['all', 'enumerated'])
  const members = readTexts(child(tenants, 'members'))
  if (membershipKind === 'enumerated' && members.length === 0) note(child(tenants, 'members'), 'must name at least one tenant')
  return { guestOrExternalUserTypes, externalTenants: { membershipKind, members } }
}

function readClientApplications(place: Place): PolicyConditions['clientApplications'] {
  if (absent(place)) return null
  const UNSUPPORTED_HERE = [
    'servicePrincipalFilter',
    'includeAgentIdServicePrincipals',
    'excludeAgentIdServicePrincipals',
    'agentIdServicePrincipalFilter',
  ]
  if (!isRecord(place, ['includeServicePrincipals', 'excludeServicePrincipals', ...UNSUPPORTED_HERE])) return null
  for (const name of UNSUPPORTED_HERE) refuse(child(place, name))
  const includeServicePrincipals = readTexts(child(place, 'includeServicePrincipals'))
  const excludeServicePrincipals = readTexts(child(place, 'excludeServicePrincipals'))
  if (includeServicePrincipals.length === 0) {
    if (excludeServicePrincipals.length > 0) note(child(place, 'includeServicePrincipals'), 'must name somebody')
    return null
  }
  noWords(child(place, 'excludeServicePrincipals'), excludeServicePrincipals, ['ServicePrincipalsInMyTenant', 'None'])
  return { includeServicePrincipals, excludeServicePrincipals }
}

function readLocations(place: Place): LocationSelection | null {
  if (absent(place) || !isRecord(place, ['includeLocations', 'excludeLocations'])) return null
  const read = (name: string) =>
    readList(child(place, name), 1000, (one) => {
      const id = readText(one)
      if (id === MFA_TRUSTED_IPS) note(one, 'is not supported: there are no trusted addresses but those of named locations')
      return id
    })
  const selection = { includeLocations: read('includeLocations'), excludeLocations: read('excludeLocations') }
  noWords(child(place, 'excludeLocations'), selection.excludeLocations, ['All'])
  if (selection.includeLocations.length > 0) return selection
  if (selection.excludeLocations.length > 0) note(child(place, 'includeLocations'), 'must name at least one location')
  return null
}

function readPlatforms(place: Place): PolicyConditions['platforms'] {
  if (absent(place) || !isRecord(place, ['includePlatforms', 'excludePlatforms'])) return null
  const includePlatforms = readWords(child(place, 'includePlatforms'), PLATFORMS)
  const excludePlatforms = readWords(child(place, 'excludePlatforms'), PLATFORMS)
  noWords(child(place, 'excludePlatforms'), excludePlatforms, ['all'])
  if (includePlatforms.length > 0) return { includePlatforms, excludePlatforms }
  if (excludePlatforms.length > 0) note(child(place, 'includePlatforms'), 'must name at least one platform')
  return null
}

function readDevices(place: Place): PolicyConditions['devices'] {
  const older = ['includeDevices', 'excludeDevices', 'includeDeviceStates', 'excludeDeviceStates']
  if (absent(place) || !isRecord(place, ['deviceFilter', ...older])) return null
  for (const name of older) refuse(child(place, name))
  const filter = child(place, 'deviceFilter')
  if (absent(filter) || !isRecord(filter, ['mode', 'rule'])) return null
  const rule = child(filter, 'rule')
  const deviceFilter = { mode: readOneOf(child(filter, 'mode'), ['include', 'exclude'] as const), rule: readText(rule, 3072) }
  if (deviceFilter.rule) readDeviceRule(rule, deviceFilter.rule)
  return { deviceFilter }
}

function readFlows(place: Place): PolicyConditions['authenticationFlows'] {
  if (absent(place) || !isRecord(place, ['transferMethods'])) return null
  const methods = child(place, 'transferMethods')
  if (absent(methods) || methods.value === 'none') return null
  const transferMethods = readFlags(methods, TRANSFER_METHODS)
  return transferMethods.length > 0 ? { transferMethods } : null
}

/** Words that select everybody or nobody mean nothing on this side. */
function noWords(place: Place, list: readonly string[], words: readonly string[]): void {
  list.forEach((one, index) => {
    if (words.includes(one)) note(child(place, index), `${one} cannot be excluded`)
  })
}
