import {
  absent,
  child,
  isRecord,
  note,
  type Place,
  readBoolean,
  readList,
  readNumber,
  readOneOf,
  readOptionalText,
  readText,
  readWords,
  refuse,
} from './mistakes.ts'
import { type AuthenticationStrength, BUILT_IN_CONTROLS, type GrantControls, type SessionControls, type SignInFrequency } from './policy.ts'
import { BUILT_IN_STRENGTHS, METHODS } from './strengths.ts'

export function readGrantControls(place: Place): GrantControls | null {
  if (absent(place)) return null
  const refused = ['customAuthenticationFactors', 'termsOfUse']
  if (!isRecord(place, ['operator', 'builtInControls', 'authenticationStrength', ...refused])) return null
  for (const name of refused) refuse(child(place, name))
  const builtInControls = readWords(child(place, 'builtInControls'), BUILT_IN_CONTROLS)
  const authenticationStrength = readStrength(child(place, 'authenticationStrength'))
  const count = builtInControls.length + (authenticationStrength ? 1 : 0)
  if (count === 0) return null
  const operator = child(place, 'operator')
  if (builtInControls.includes('block') && count > 1) note(child(place, 'builtInControls'), 'block stands alone')
  // Between one control and itself there is nothing to choose.
  const chosen = absent(operator) && count === 1 ? 'OR' : readOneOf(operator, ['AND', 'OR'] as const)
  return { operator: chosen, builtInControls, authenticationStrength }
}

const STRENGTH_MEMBERS = [
  'id',
  'displayName',
  'description',
  'policyType',
  'requirementsSatisfied',
  'allowedCombinations',
  'createdDateTime',
  'modifiedDateTime',
  'combinationConfigurations',
]

function readStrength(place: Place): AuthenticationStrength | null {
  if (absent(place) || !isRecord(place, STRENGTH_MEMBERS)) return null
  refuse(child(place, 'combinationConfigurations'))
  const id = readText(child(place, 'id'))
  const displayName = readOptionalText(child(place, 'displayName'))
  const builtIn = BUILT_IN_STRENGTHS.get(id)
  const combinations = child(place, 'allowedCombinations')
  if (builtIn) return { id, displayName: displayName ?? builtIn.displayName, allowedCombinations: builtIn.allowedCombinations }
  const allowedCombinations = readList(combinations, 256, (one) => {
    const text = readText(one)
    if (text && !text.split(',').every((method) => METHODS.has(method.trim()))) note(one, 'names a method that is not known')
    return text
  })
  if (id && allowedCombinations.length === 0) note(combinations, 'must be given for a strength that is not built in')
  return { id, displayName, allowedCombinations }
}

export function readSessionControls(place: Place): SessionControls | null {
  if (absent(place)) return null
  const refused = ['applicationEnforcedRestrictions', 'cloudAppSecurity', 'secureSignInSession', 'globalSecureAccessFilteringProfile']
  const own = ['signInFrequency', 'persistentBrowser', 'continuousAccessEvaluation', 'disableResilienceDefaults']
  if (!isRecord(place, [...own, ...refused])) return null
  for (const name of refused) refuseEnabled(child(place, name))
  const resilience = child(place, 'disableResilienceDefaults')
  const controls: SessionControls = {
    signInFrequency: readFrequency(child(place, 'signInFrequency')),
    persistentBrowser: readPersistence(child(place, 'persistentBrowser')),
    continuousAccessEvaluation: readEvaluation(child(place, 'continuousAccessEvaluation')),
    disableResilienceDefaults: absent(resilience) ? null : readBoolean(resilience),
  }
  return Object.values(controls).some((control) => control !== null) ? controls : null
}

function refuseEnabled(place: Place): void {
  const off = typeof place.value === 'object' && place.value !== null && child(place, 'isEnabled').value === false
  if (!off) refuse(place)
}

/** A control that is there, and whether it is switched on. */
function isEnabled(place: Place, members: readonly string[]): boolean {
  return !absent(place) && isRecord(place, ['isEnabled', ...members]) && readBoolean(child(place, 'isEnabled'))
}

function readFrequency(place: Place): SignInFrequency | null {
  if (!isEnabled(place, ['value', 'type', 'authenticationType', 'frequencyInterval'])) return null
  const at = (name: string) => child(place, name)
  const interval = at('frequencyInterval')
  const frequencyInterval = absent(interval) ? 'timeBased' : readOneOf(interval, ['timeBased', 'everyTime'] as const)
  const authenticationType = absent(at('authenticationType'))
    ? 'primaryAndSecondaryAuthentication'
    : readOneOf(at('authenticationType'), ['primaryAndSecondaryAuthentication', 'secondaryAuthentication'] as const)
  const base = { isEnabled: true, frequencyInterval, authenticationType } as const
  if (frequencyInterval === 'everyTime') {
    for (const name of ['value', 'type']) if (!absent(at(name))) note(at(name), 'does not go with everyTime')
    return { ...base, value: null, type: null }
  }
  const type = readOneOf(at('type'), ['hours', 'days'] as const)
  return { ...base, type, value: readNumber(at('value'), 1, type === 'hours' ? 8760 : 365) }
}

function readPersistence(place: Place): SessionControls['persistentBrowser'] {
  return isEnabled(place, ['mode']) ? { isEnabled: true, mode: readOneOf(child(place, 'mode'), ['always', 'never'] as const) } : null
}

function readEvaluation(place: Place): SessionControls['continuousAccessEvaluation'] {
  if (absent(place) || !isRecord(place, ['mode'])) return null
  return { mode: readOneOf(child(place, 'mode'), ['strictEnforcement', 'disabled', 'strictLocation'] as const) }
}
