import { networkOf } from './address.ts'
import type { PolicySet } from './compile.ts'
import { type CompiledLocation, compileLocation, type RuleLocation } from './location.ts'
import { compileLocationCondition, type LocationCondition, type Places, placesOf, whereaboutsOf } from './location-condition.ts'
import { NO } from './truth.ts'

/**
 * The location condition of one policy, as guards get it: ids of locations, where `All` and `AllTrusted` may stand for the whole list or in it. `pass`: the policy is gone,
 * and tokens that name it are not held to it any more.
 */
export type LocationRule =
  | { readonly id: string; readonly include: readonly string[] | string; readonly exclude: readonly string[] | string }
  | { readonly id: string; readonly pass: true }

/** Rules made ready for the requests of an API. */
export interface RuleSet {
  readonly rules: ReadonlyMap<string, LocationCondition | 'pass'>
  readonly places: Places
}

/** A request with a token that leaves policies to the guard. */
export interface LateBoundRequest {
  /** The token's `capolids_latebind`. */
  readonly policies: readonly string[]
  /** The caller's address; one that cannot be read is outside of every range. */
  readonly address: string | undefined
  /** As in `Signals`: absent where the guard has no table of countries. */
  readonly country?: string | null | undefined
  /** The token's verdict of the issuer about one address. */
  readonly exception?: { readonly address: string; readonly policies: readonly string[] } | undefined
}

/** The rules of the policies that can be left to guards. */
export function locationRules(set: PolicySet): LocationRule[] {
  return set.policies.flatMap(({ id, reportOnly, location, policy: { conditions } }) => {
    if (reportOnly || !location || location.everywhere || !conditions.locations) return []
    return [{ id, include: conditions.locations.includeLocations, exclude: conditions.locations.excludeLocations }]
  })
}

/**
 * Compiles what a guard needs. A location that is already compiled is taken as it is, so that an edit costs what was edited.
 * @throws CaegisError `invalid_range`
 */
export function compileRules(rules: readonly LocationRule[], locations: readonly (RuleLocation | CompiledLocation)[]): RuleSet {
  const places = placesOf(locations.map((one) => ('holds' in one ? one : compileLocation(one))))
  return {
    places,
    rules: new Map(
      rules.map((rule) => [rule.id, 'pass' in rule ? 'pass' : compileLocationCondition(asList(rule.include), asList(rule.exclude), places)]),
    ),
  }
}

function asList(words: readonly string[] | string): readonly string[] {
  return typeof words === 'string' ? [words] : words
}

const NONE: readonly string[] = Object.freeze([])

/**
 * The policies of a token that its caller's address does not satisfy: those whose location condition the address matches, or cannot be told not to. A policy that is not
 * among the rules is unmet: the token may be newer than they are. What the issuer has judged for this very address is taken from it.
 * @returns ids in the token's order; empty: the request may pass
 */
export function lateBoundUnmet(set: RuleSet, { policies, address, country, exception }: LateBoundRequest): readonly string[] {
  if (policies.length === 0) return NONE
  const where = whereaboutsOf(set.places, address, country)
  let excused: readonly string[] | undefined
  let unmet: string[] | undefined
  for (const id of policies) {
    const rule = set.rules.get(id)
    if (rule === 'pass' || (rule && rule.holds(where) === NO)) continue
    excused ??= exception && address !== undefined && networkOf(address) === exception.address ? exception.policies : NONE
    if (excused.includes(id)) continue
    unmet ??= []
    unmet.push(id)
  }
  return unmet ?? NONE
}
