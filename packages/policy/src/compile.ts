import { type Conditions, compileConditions } from './conditions.ts'
import { type CompiledGrant, compileFrequency, compileGrant, type Frequency, sessionControlNames } from './controls.ts'
import type { SessionDecision } from './decision.ts'
import type { Judgement } from './judgement.ts'
import { type CompiledLocation, compileLocation, type Location } from './location.ts'
import { type LocationCondition, type Places, placesOf } from './location-condition.ts'
import { type Mentions, mentionsOf } from './mentions.ts'
import type { Policy } from './policy.ts'

/** Policies that are enabled or report-only, made ready for any number of decisions. */
export interface PolicySet {
  readonly policies: readonly CompiledPolicy[]
  readonly places: Places
  readonly mentions: Mentions
  readonly conditions: Conditions
  /** Ids of authentication contexts that policies name. */
  readonly contexts: readonly string[]
  /** What policies said last where they did not apply: most say the same again and again. By number; the key is made of conditions. */
  readonly idle: { readonly keys: Int32Array; readonly judgements: Judgement[] }
}

export interface CompiledPolicy {
  readonly id: string
  readonly policy: Policy
  readonly reportOnly: boolean
  readonly location: LocationCondition | undefined
  readonly grant: CompiledGrant
  readonly frequency: Frequency | undefined
  readonly persistentBrowser: SessionDecision['persistentBrowser']
  readonly cae: SessionDecision['cae']
  readonly sessionControls: readonly string[]
}

/**
 * Compiles policies; disabled ones are left out. A location that is already compiled is taken as it is, so that an edit costs what was edited.
 * @throws TypeError when two policies or two locations have the same id
 */
export function compilePolicies(policies: readonly Policy[], locations: readonly (Location | CompiledLocation)[] = []): PolicySet {
  requireUnique(policies, 'policies')
  requireUnique(locations, 'locations')
  const places = placesOf(locations.map((one) => ('holds' in one ? one : compileLocation(one))))
  const active = policies.filter(({ state }) => state !== 'disabled')
  const conditions = compileConditions(active, places)
  const enforced = active.filter(({ state }) => state === 'enabled')
  return {
    policies: active.map((policy, number) => compilePolicy(policy, conditions.locations[number])),
    places,
    mentions: mentionsOf(active),
    conditions,
    contexts: [...new Set(enforced.flatMap((policy) => policy.conditions.applications.includeAuthenticationContextClassReferences))],
    idle: { keys: new Int32Array(active.length).fill(-1), judgements: [] },
  }
}

function compilePolicy(policy: Policy, location: LocationCondition | undefined): CompiledPolicy {
  const { sessionControls } = policy
  const mode = sessionControls?.continuousAccessEvaluation?.mode
  return {
    id: policy.id,
    policy,
    reportOnly: policy.state === 'enabledForReportingButNotEnforced',
    location,
    grant: compileGrant(policy.grantControls),
    frequency: compileFrequency(sessionControls),
    persistentBrowser: sessionControls?.persistentBrowser?.mode,
    // An older word for the same.
    cae: mode === 'strictEnforcement' ? 'strictLocation' : mode,
    sessionControls: sessionControlNames(policy),
  }
}

function requireUnique(list: readonly { id: string }[], what: string): void {
  if (new Set(list.map(({ id }) => id)).size !== list.length) throw new TypeError(`two ${what} have the same id`)
}
