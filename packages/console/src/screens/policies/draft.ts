import { type Mistake, type Policy, parsePolicy, policyToGraph } from '@caegis/policy'
import type { ApiError } from '../../api/client.ts'
import { t } from '../../texts/texts.ts'

/** A policy that is being written: Graph's JSON made whole, which is also what is sent. */
export type Draft = Policy
export type Conditions = Draft['conditions']

export const NEW_ID = 'new'

const NOBODY: Conditions['users'] = {
  ...{ includeUsers: [], excludeUsers: [], includeGroups: [], excludeGroups: [], includeRoles: [], excludeRoles: [] },
  ...{ includeGuestsOrExternalUsers: null, excludeGuestsOrExternalUsers: null },
}

/** Says nothing yet. A new policy only reports until somebody turns it on. */
export const EMPTY: Draft = {
  ...{ id: NEW_ID, templateId: null, displayName: '', description: null, createdDateTime: null, modifiedDateTime: null },
  state: 'enabledForReportingButNotEnforced',
  conditions: {
    users: NOBODY,
    applications: { includeApplications: [], excludeApplications: [], includeUserActions: [], includeAuthenticationContextClassReferences: [] },
    ...{ clientApplications: null, clientAppTypes: ['all'], locations: null, platforms: null, devices: null },
    ...{ signInRiskLevels: [], userRiskLevels: [], servicePrincipalRiskLevels: [], insiderRiskLevels: [], authenticationFlows: null },
  },
  grantControls: null,
  sessionControls: null,
}

/** About whom a policy is, and nobody else. */
export const NO_USERS: Conditions['users'] = { ...NOBODY, includeUsers: ['None'] }

/** A policy of somewhere else, as one that is being written here. @throws CaegisError `invalid_policy` */
export function draftFrom(json: Record<string, unknown>): Draft {
  return parsePolicy({ displayName: '', state: EMPTY.state, ...json, id: typeof json.id === 'string' ? json.id : NEW_ID })
}

/** What is sent: the server gives ids and instants. */
export function bodyOf(draft: Draft): Record<string, unknown> {
  const { id: _, createdDateTime: __, modifiedDateTime: ___, ...body } = policyToGraph(draft)
  return body
}

/** What is wrong with it, by the server's own rules, and where something was begun and nothing chosen, which would mean everything. */
export function mistakesIn(draft: Draft): Mistake[] {
  const { locations, platforms, authenticationFlows } = draft.conditions
  const begun: Mistake[] = [
    ...(draft.displayName.trim() === '' ? [{ path: '/displayName', message: t('policies.nameless') }] : []),
    ...(locations && locations.includeLocations.length === 0
      ? [{ path: '/conditions/locations/includeLocations', message: 'must name at least one location' }]
      : []),
    ...(platforms && platforms.includePlatforms.length === 0
      ? [{ path: '/conditions/platforms/includePlatforms', message: 'must name at least one platform' }]
      : []),
    ...(authenticationFlows && authenticationFlows.transferMethods.length === 0
      ? [{ path: '/conditions/authenticationFlows', message: 'must name at least one flow' }]
      : []),
  ]
  const found = readMistakes(() => parsePolicy(draft))
  return [...begun, ...found.filter(({ path }) => !begun.some((one) => one.path === path))]
}

/** The mistakes that a parser of `@caegis/policy` throws. */
export function readMistakes(read: () => unknown): Mistake[] {
  try {
    read()
    return []
  } catch (error) {
    const { detail } = error as { detail?: unknown }
    if (Array.isArray(detail)) return detail as Mistake[]
    throw error
  }
}

/** What the server found wrong, as long as it still stands there as it was sent. */
export function stillWrong({ details }: ApiError, sent: Draft, now: Draft): Mistake[] {
  return details.filter(({ target }) => same(valueAt(sent, target), valueAt(now, target))).map(({ target, message }) => ({ path: target, message }))
}

export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** What stands at a JSON pointer. */
export function valueAt(value: unknown, pointer: string): unknown {
  return pointer
    .split('/')
    .slice(1)
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | null | undefined)?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], value)
}

/** Parts of the editor, and the pointers that they show. */
export const SECTIONS = {
  who: ['/conditions/users', '/conditions/clientApplications'],
  what: ['/conditions/applications'],
  where: ['/conditions/locations'],
  clients: ['/conditions/clientAppTypes'],
  platforms: ['/conditions/platforms'],
  devices: ['/conditions/devices'],
  risk: ['/conditions/userRiskLevels', '/conditions/signInRiskLevels', '/conditions/servicePrincipalRiskLevels', '/conditions/insiderRiskLevels'],
  flows: ['/conditions/authenticationFlows'],
  grant: ['/grantControls'],
  session: ['/sessionControls'],
} as const satisfies Record<string, readonly string[]>
export type SectionName = keyof typeof SECTIONS

/** Whether a mistake belongs to what stands at a pointer. */
export function isUnder(path: string, pointer: string): boolean {
  return path === pointer || path.startsWith(`${pointer}/`)
}

/** Where a mistake is shown; what belongs to no part (no control at all) is said at the controls. */
export function sectionOf(path: string): SectionName | 'basics' {
  for (const [name, pointers] of Object.entries(SECTIONS)) if (pointers.some((pointer) => isUnder(path, pointer))) return name as SectionName
  return path === '' ? 'grant' : 'basics'
}
