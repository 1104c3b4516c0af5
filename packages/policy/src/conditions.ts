import { CONDITIONS, type Condition } from './decision.ts'
import { parseDeviceRule } from './device-rule.ts'
import { compileLocationCondition, type LocationCondition, type Places, type Whereabouts } from './location-condition.ts'
import type { Policy } from './policy.ts'
import type { Signals } from './signals.ts'
import { butNot, NO, not, type Truth, truth, UNKNOWN, YES } from './truth.ts'

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

/** Conditions of policies beside who asks and what for, which `Mentions` answers. What several policies say alike is one test, and is tried once a decision. */
export interface Conditions {
  readonly tests: readonly Test[]
  /** The bit of each test's condition. */
  readonly bits: Uint16Array
  /** The tests of policy n: `uses[starts[n]]` to `uses[starts[n + 1]]`, without the latter. */
  readonly uses: Uint32Array
  readonly starts: Uint32Array
  /** All conditions of each policy, as bits. */
  readonly named: Uint16Array
  /** By number of the policy. */
  readonly locations: readonly (LocationCondition | undefined)[]
}

export type Test = (signals: Signals, where: Whereabouts) => Truth

export function compileConditions(policies: readonly Policy[], places: Places): Conditions {
  const tests: Test[] = []
  const bits: number[] = []
  const uses: number[] = []
  const starts = [0]
  const numbers = new Map<string, number>()
  const named = new Uint16Array(policies.length)
  const locations: (LocationCondition | undefined)[] = []
  policies.forEach(({ conditions }, number) => {
    const subject = conditions.clientApplications ? 'servicePrincipals' : 'users'
    let all = conditionBit(subject) | conditionBit('application')
    for (const [condition, spec] of specs(conditions)) {
      const key = JSON.stringify([condition, spec])
      let test = numbers.get(key)
      if (test === undefined) {
        test = tests.push(compileTest(condition, conditions, places)) - 1
        bits.push(conditionBit(condition))
        numbers.set(key, test)
      }
      uses.push(test)
      all |= conditionBit(condition)
    }
    starts.push(uses.length)
    named[number] = all
    const { locations: selection } = conditions
    locations.push(selection ? compileLocationCondition(selection.includeLocations, selection.excludeLocations, places) : undefined)
  })
  return { tests, bits: Uint16Array.from(bits), uses: Uint32Array.from(uses), starts: Uint32Array.from(starts), named, locations }
}

type Named = Exclude<Condition, 'users' | 'servicePrincipals' | 'application'>

/** Where each condition stands in a policy. */
const MEMBERS: Record<Named, keyof Policy['conditions']> = {
  clientType: 'clientAppTypes',
  devicePlatform: 'platforms',
  location: 'locations',
  deviceState: 'devices',
  signInRisk: 'signInRiskLevels',
  userRisk: 'userRiskLevels',
  servicePrincipalRisk: 'servicePrincipalRiskLevels',
  insiderRisk: 'insiderRiskLevels',
  authenticationFlows: 'authenticationFlows',
}

/** The conditions that a policy names, each with what it says of it. */
function specs(conditions: Policy['conditions']): [Named, unknown][] {
  return Object.entries(MEMBERS).flatMap(([condition, member]): [Named, unknown][] => {
    const spec = conditions[member]
    const empty = spec === null || (Array.isArray(spec) && (spec.length === 0 || spec.includes('all')))
    return empty ? [] : [[condition as Named, spec]]
  })
}

function compileTest(condition: Named, conditions: Policy['conditions'], places: Places): Test {
  const { platforms, devices, locations, authenticationFlows } = conditions
  switch (condition) {
    case 'clientType':
      return oneOf(conditions.clientAppTypes, ({ clientAppType }) => clientAppType)
    case 'devicePlatform': {
      const { includePlatforms = [], excludePlatforms = [] } = platforms ?? {}
      const included: (signals: Signals) => Truth = includePlatforms.includes('all') ? () => YES : oneOf(includePlatforms, ({ platform }) => platform)
      const excluded = oneOf(excludePlatforms, ({ platform }) => platform)
      return (signals) => butNot(included(signals), excluded(signals))
    }
    case 'location': {
      const { holds } = compileLocationCondition(locations?.includeLocations ?? [], locations?.excludeLocations ?? [], places)
      return (_, where) => holds(where)
    }
    case 'deviceState': {
      const { mode, rule } = (devices as NonNullable<typeof devices>).deviceFilter
      const test = parseDeviceRule(rule)
      return mode === 'include' ? ({ device }) => test(device) : ({ device }) => not(test(device))
    }
    case 'signInRisk':
      return oneOf(conditions.signInRiskLevels, ({ signInRisk }) => signInRisk)
    case 'userRisk':
      return oneOf(conditions.userRiskLevels, ({ userRisk }) => userRisk)
    case 'servicePrincipalRisk':
      return oneOf(conditions.servicePrincipalRiskLevels, ({ servicePrincipal }) => servicePrincipal?.risk)
    case 'insiderRisk':
      return oneOf(conditions.insiderRiskLevels, ({ insiderRisk }) => insiderRisk)
    case 'authenticationFlows':
      return oneOf(authenticationFlows?.transferMethods ?? [], ({ flow }) => flow)
  }
}

function oneOf(words: readonly string[], word: (signals: Signals) => string | undefined): (signals: Signals) => Truth {
  const set = new Set(words)
  if (set.size === 0) return () => NO
  return (signals) => {
    const one = word(signals)
    return one === undefined ? UNKNOWN : truth(set.has(one))
  }
}
