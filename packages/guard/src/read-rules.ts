import type { LocationRule, RuleLocation } from '@caegis/policy'
import { CaegisError, isIdentifier, isObject, type JsonObject } from '@caegis/protocol'
import { GUARD_ERRORS } from './errors.ts'

/**
 * Location rules as the issuer sends them, in parts, so that a million ranges never stand in one line:
 *
 *     {version, since, evidence?}                  first; `since`: what is `kept` is as it was at that version, 0 = everything is here
 *     {policies: [{id, include, exclude} | {id, pass: true}, ...]}                     as often as needed, like the others
 *     {kept: [id, ...]}
 *     {location: {id, kind: 'ip', trusted} | {id, kind: 'country', countries, includeUnknown}}
 *     {ranges: ['203.0.113.0/24', ...]}            of the location before
 */
export type RulesPart = JsonObject

export interface RulesUpdate {
  version: number
  since: number
  /** The key of the API's evidence. */
  evidence?: Buffer
  policies: LocationRule[]
  kept: string[]
  locations: RuleLocation[]
}

const MOST = 1_000_000
const LONGEST_RANGE = 64

/** @throws CaegisError `rules_refused`: what is read in part would let somebody pass */
export function readRules(parts: readonly RulesPart[]): RulesUpdate {
  const [first, ...rest] = parts
  const { version, since, evidence } = first ?? {}
  if (!isVersion(version) || !isVersion(since) || (evidence !== undefined && !isIdentifier(evidence, 512))) throw refused('the version')
  const update: RulesUpdate = {
    ...{ version, since, policies: [], kept: [], locations: [] },
    ...(evidence === undefined ? {} : { evidence: Buffer.from(evidence, 'base64url') }),
  }
  let ranges: string[] | undefined
  for (const part of rest) {
    if (part.policies !== undefined) for (const rule of list(part.policies)) update.policies.push(readRule(rule))
    else if (part.kept !== undefined) update.kept.push(...ids(part.kept))
    else if (part.ranges !== undefined) {
      if (ranges === undefined) throw refused('ranges of no location')
      for (const range of list(part.ranges)) {
        if (typeof range !== 'string' || range.length > LONGEST_RANGE || ranges.length >= MOST) throw refused('a range')
        ranges.push(range)
      }
    } else {
      const location = readLocation(part.location)
      ranges = location.kind === 'ip' ? (location.ranges as string[]) : undefined
      update.locations.push(location)
    }
  }
  return update
}

function readRule(rule: unknown): LocationRule {
  if (!isObject(rule) || !isIdentifier(rule.id, 256)) throw refused('a policy')
  const { id, pass, include, exclude } = rule
  if (pass === true) return { id, pass }
  return { id, include: wordsOf(include), exclude: wordsOf(exclude) }
}

function wordsOf(value: unknown): string[] {
  return typeof value === 'string' ? ids([value]) : ids(value)
}

function readLocation(location: unknown): RuleLocation {
  if (!isObject(location) || !isIdentifier(location.id, 256)) throw refused('a location')
  const { id, kind, trusted, countries, includeUnknown } = location
  if (kind === 'ip' && typeof trusted === 'boolean') return { id, kind, trusted, ranges: [] }
  if (kind === 'country' && typeof includeUnknown === 'boolean') return { id, kind, trusted: false, countries: ids(countries), includeUnknown }
  throw refused('a location')
}

function ids(value: unknown): string[] {
  const found = list(value)
  if (!found.every((one): one is string => isIdentifier(one, 256))) throw refused('a list')
  return found
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw refused('a list')
  return value
}

function isVersion(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function refused(detail: string, cause?: unknown): CaegisError {
  return new CaegisError('rules_refused', GUARD_ERRORS.rules_refused, { detail, cause })
}
