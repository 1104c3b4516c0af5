import type { Policy, PolicyState } from '@caegis/policy'
import type { Tone } from '../../parts/status.tsx'
import { isText, type TextKey, t, tn } from '../../texts/texts.ts'

/** What policies name. */
export type NamedKind = 'user' | 'group' | 'role' | 'application' | 'servicePrincipal' | 'location' | 'context'
/** Says the name behind an id; where there is none of it, things are counted. */
export type NameOf = (kind: NamedKind, id: string) => string

export const STATE_TONES: Record<PolicyState, Tone> = { enabled: 'good', enabledForReportingButNotEnforced: 'info', disabled: 'quiet' }
/** Entries of a list that are named before the rest is counted. */
const NAMED = 3
/** Ids that are words, by kind. */
const WORDS: Record<string, TextKey> = {
  All: 'policies.who.all',
  None: 'policies.who.none',
  GuestsOrExternalUsers: 'policies.who.guests',
  ServicePrincipalsInMyTenant: 'policies.who.allPrincipals',
  AllTrusted: 'policies.where.trusted',
}

/** A word of Graph's as people say it; itself where there is no text for it. */
export function word(word: string): string {
  const key = `policies.words.${word.replaceAll(/[:.]/g, '-')}`
  return isText(key) ? t(key) : word
}

/** Whether an entry of a list stands for many, and is no id. */
export function isWord(id: string): boolean {
  return Object.hasOwn(WORDS, id)
}

function listed(kind: NamedKind, ids: readonly string[], nameOf: NameOf | undefined): string[] {
  const words = ids.filter(isWord).map((id) => t(WORDS[id] as TextKey))
  const rest = ids.filter((id) => !isWord(id))
  if (rest.length === 0) return words
  if (!nameOf) return [...words, tn(`policies.count.${kind}`, rest.length)]
  const more = rest.length > NAMED ? [tn('policies.count.more', rest.length - NAMED)] : []
  return [...words, ...rest.slice(0, NAMED).map((id) => nameOf(kind, id)), ...more]
}

function selection(included: string[], excluded: string[]): string {
  const text = included.join(', ')
  return excluded.length === 0 ? text : t('policies.except', { what: text, without: excluded.join(', ') })
}

/** Whom a policy is about. */
export function whoText({ conditions: { users, clientApplications } }: Policy, nameOf?: NameOf): string {
  if (clientApplications) {
    const { includeServicePrincipals, excludeServicePrincipals } = clientApplications
    return selection(listed('servicePrincipal', includeServicePrincipals, nameOf), listed('servicePrincipal', excludeServicePrincipals, nameOf))
  }
  const side = (which: 'include' | 'exclude') => [
    ...listed('user', users[`${which}Users`], nameOf),
    ...listed('group', users[`${which}Groups`], nameOf),
    ...listed('role', users[`${which}Roles`], nameOf),
    ...(users[`${which}GuestsOrExternalUsers`] ? [t('policies.who.guests')] : []),
  ]
  return selection(side('include'), side('exclude'))
}

/** What they want to reach. */
export function whatText({ conditions: { applications } }: Policy, nameOf?: NameOf): string {
  const { includeApplications, excludeApplications, includeUserActions, includeAuthenticationContextClassReferences: contexts } = applications
  if (includeUserActions.length > 0) return includeUserActions.map(word).join(', ')
  if (contexts.length > 0) return nameOf ? listed('context', contexts, nameOf).join(', ') : contexts.join(', ')
  const all = includeApplications.includes('All') ? [t('policies.what.all')] : listed('application', includeApplications, nameOf)
  return selection(all, listed('application', excludeApplications, nameOf))
}

/** From where; nothing where every place is alike. */
export function whereText({ conditions: { locations } }: Policy, nameOf?: NameOf): string | undefined {
  if (!locations) return undefined
  const anywhere = locations.includeLocations.includes('All')
  return selection(
    anywhere ? [t('policies.where.all')] : listed('location', locations.includeLocations, nameOf),
    listed('location', locations.excludeLocations, nameOf),
  )
}

/** What it asks for, or that it blocks; nothing where it does neither. */
export function grantText({ grantControls }: Policy): string | undefined {
  if (!grantControls) return undefined
  const { builtInControls, authenticationStrength, operator } = grantControls
  const grants = [...builtInControls.map(word), ...(authenticationStrength ? [strengthText(authenticationStrength)] : [])]
  return grants.join(` ${t(operator === 'AND' ? 'policies.and' : 'policies.or')} `)
}

/** All that it does with whoever it applies to. */
export function controlsText(policy: Policy): string[] {
  const { signInFrequency, persistentBrowser, continuousAccessEvaluation } = policy.sessionControls ?? {}
  const grants = grantText(policy)
  return [
    ...(grants === undefined ? [] : [grants]),
    ...(signInFrequency ? [frequencyText(signInFrequency)] : []),
    ...(persistentBrowser ? [t(`policies.session.browser.${persistentBrowser.mode}`)] : []),
    ...(continuousAccessEvaluation
      ? [t(`policies.session.cae.${continuousAccessEvaluation.mode === 'disabled' ? 'disabled' : 'strictLocation'}`)]
      : []),
  ]
}

function strengthText({ displayName, id }: { displayName: string | null; id: string }): string {
  return displayName ?? id
}

function frequencyText({ frequencyInterval, value, type }: NonNullable<NonNullable<Policy['sessionControls']>['signInFrequency']>): string {
  return frequencyInterval === 'everyTime' ? t('policies.session.everyTime') : tn(`policies.session.every.${type ?? 'hours'}`, value ?? 0)
}
