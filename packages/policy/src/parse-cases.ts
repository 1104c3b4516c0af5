import { readSeen, readSignals } from './case-signals.ts'
import type { Seen } from './decide-at.ts'
import { type Location, readLocation } from './location.ts'
import { absent, child, isRecord, note, type Place, placeOf, readList, readOptionalText, readText, settle } from './mistakes.ts'
import { readPolicy } from './parse-policy.ts'
import type { Policy } from './policy.ts'
import type { Signals } from './signals.ts'
import { TEMPLATES } from './templates.ts'

/** What a case may expect; only what it names is compared. */
export const EXPECTATIONS = ['outcome', 'next', 'unmet', 'blockedBy', 'policies', 'session', 'lateBound', 'exception', 'contexts', 'whatIf'] as const
export type Expectation = (typeof EXPECTATIONS)[number]

export interface PolicyCase {
  readonly name: string
  readonly spec: string | null
  readonly policies: readonly Policy[]
  readonly signals: Signals
  readonly seen: Seen | undefined
  readonly want: Readonly<Partial<Record<Expectation, unknown>>>
}

export interface PolicyCases {
  readonly locations: readonly Location[]
  readonly policies: readonly Policy[]
  readonly cases: readonly PolicyCase[]
}

/**
 * Reads a file of policy cases (parsed YAML or JSON).
 * @throws CaegisError `invalid_cases`; `detail` is the list of all mistakes
 */
export function parseCases(data: unknown): PolicyCases {
  const file = placeOf(data)
  const cases = readFile(file)
  settle(file, 'invalid_cases')
  return cases as PolicyCases
}

function readFile(file: Place): PolicyCases | undefined {
  if (!isRecord(file, ['description', 'locations', 'policies', 'signals', 'cases'])) return undefined
  const locations = readUnique(child(file, 'locations'), readLocation)
  const policies = readUnique(child(file, 'policies'), readCasePolicy)
  const cases = readList(child(file, 'cases'), 10_000, (one) => readCase(one, child(file, 'signals'), policies))
  if (cases.length === 0) note(child(file, 'cases'), 'must have at least one case')
  return { locations, policies, cases: cases.filter((one) => one !== undefined) }
}

function readUnique<T extends { id: string }>(place: Place, read: (one: Place) => T | undefined): T[] {
  const list = readList(place, 1000, read)
  const ids = list.map((one) => one?.id)
  ids.forEach((id, at) => {
    if (id && ids.indexOf(id) !== at) note(child(child(place, at), 'id'), 'is there twice')
  })
  return list.filter((one) => one !== undefined)
}

/** A policy as Graph writes it, or a template by its name, with what else is given in place of its own members. */
function readCasePolicy(place: Place): Policy | undefined {
  const name = child(place, 'template')
  if (absent(name)) return readPolicy(withDefaults(place))
  const template = TEMPLATES.find((one) => one.name === name.value)
  if (!template) return note(name, `must be one of ${TEMPLATES.map((one) => one.name).join(', ')}`)
  const { template: _, ...own } = place.value as Record<string, unknown>
  return readPolicy({ ...place, value: { id: template.name, ...template.policy, ...own } })
}

/** A name and a state are what every policy in a file of cases has, said or not. */
function withDefaults(place: Place): Place {
  const { value } = place
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return place
  return { ...place, value: { displayName: (value as { id?: unknown }).id, state: 'enabled', ...value } }
}

function readCase(place: Place, base: Place, policies: readonly Policy[]): PolicyCase | undefined {
  if (!isRecord(place, ['name', 'spec', 'policies', 'signals', 'without', 'seen', 'want'])) return undefined
  const at = (name: string) => child(place, name)
  const chosen = readList(at('policies'), 1000, (one) => {
    const id = readText(one)
    const found = policies.find((policy) => policy.id === id)
    if (id && !found) note(one, 'is not a policy of this file')
    return found
  }).filter((one) => one !== undefined)
  const want = at('want')
  if (isRecord(want, EXPECTATIONS) && Object.keys(want.value as object).length === 0) note(want, 'must expect something')
  return {
    name: readText(at('name')),
    spec: readOptionalText(at('spec')),
    policies: absent(at('policies')) ? policies : chosen,
    signals: readSignals(base, at('signals'), at('without')),
    seen: readSeen(at('seen')),
    want: want.value as PolicyCase['want'],
  }
}
