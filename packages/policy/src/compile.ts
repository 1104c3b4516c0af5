import { type CompiledConditions, compileConditions } from './conditions.ts'
import { type CompiledGrant, compileFrequency, compileGrant, type Frequency, sessionControlNames } from './controls.ts'
import type { SessionDecision } from './decision.ts'
import type { Judgement } from './judgement.ts'
import { type CompiledLocation, compileLocation, type Location } from './location.ts'
import { type Places, placesOf } from './location-condition.ts'
import { type Mentions, mentionsOf } from './mentions.ts'
import type { Policy } from './policy.ts'

/** Policies that are enabled or report-only, made ready for any number of decisions. */
export interface PolicySet {
  readonly policies: readonly CompiledPolicy[]
  readonly places: Places
  readonly mentions: Mentions
  /** Ids of authentication contexts that policies name. */
  readonly contexts: readonly string[]
}

export interface CompiledPolicy extends CompiledConditions {
  readonly id: string
  readonly policy: Policy
  readonly reportOnly: boolean
  readonly grant: CompiledGrant
  readonly frequency: Frequency | undefined
  readonly persistentBrowser: SessionDecision['persistentBrowser']
  readonly cae: SessionDecision['cae']
  readonly sessionControls: readonly string[]
  /** What it said last where it did not apply: most policies say the same again and again. */
  readonly idle: { key: number; judgement: Judgement | undefined }
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
  const compiled = active.map((policy, number) => compilePolicy(policy, number, places))
  const contexts = new Set(
    compiled
      .filter(({ reportOnly }) => !reportOnly)
      .flatMap(({ policy }) => policy.conditions.applications.includeAuthenticationContextClassReferences),
  )
  return { policies: compiled, places, mentions: mentionsOf(active), contexts: [...contexts] }
}

function compilePolicy(policy: Policy, number: number, places: Places): CompiledPolicy {
  const { sessionControls } = policy
  const mode = sessionControls?.continuousAccessEvaluation?.mode
  return {
    ...compileConditions(policy, number, places),
    id: policy.id,
    policy,
    reportOnly: policy.state === 'enabledForReportingButNotEnforced',
    grant: compileGrant(policy.grantControls),
    frequency: compileFrequency(sessionControls),
    persistentBrowser: sessionControls?.persistentBrowser?.mode,
    // An older word for the same.
    cae: mode === 'strictEnforcement' ? 'strictLocation' : mode,
    sessionControls: sessionControlNames(policy),
    idle: { key: -1, judgement: undefined },
  }
}

function requireUnique(list: readonly { id: string }[], what: string): void {
  if (new Set(list.map(({ id }) => id)).size !== list.length) throw new TypeError(`two ${what} have the same id`)
}
