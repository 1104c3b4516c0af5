import { compilePolicies, type PolicySet } from './compile.ts'
import { contextsMet } from './contexts-met.ts'
import { decideAt } from './decide-at.ts'
import { CONTROLS, type Decision, type PolicyResult } from './decision.ts'
import { compileLocation } from './location.ts'
import { type Expectation, type PolicyCase, parseCases } from './parse-cases.ts'
import { whatIf } from './what-if.ts'

/** What became of one case. */
export interface CaseResult {
  readonly name: string
  /** What it stands on, where the file says so. */
  readonly spec: string | null
  readonly passed: boolean
  readonly differences: readonly CaseDifference[]
  readonly decision: Decision
}

/** `path` is a JSON pointer into the case's `want`. */
export interface CaseDifference {
  readonly path: string
  readonly want: unknown
  readonly got: unknown
}

/**
 * Runs the cases of a file: `{ locations, policies, signals, cases: [{ name, spec, policies, signals, without, seen, want }] }`, as docs/policies.md describes it.
 * @param data the file's content, parsed
 * @throws CaegisError `invalid_cases`; `detail` is the list of all mistakes: `{ path, message }`, the path a JSON pointer
 */
export function runCases(data: unknown): CaseResult[] {
  const file = parseCases(data)
  const locations = file.locations.map(compileLocation)
  return file.cases.map((one) => runCase(one, compilePolicies(one.policies, locations)))
}

function runCase({ name, spec, signals, seen, want }: PolicyCase, set: PolicySet): CaseResult {
  const decision = decideAt(set, signals, seen)
  const found: Record<Expectation, () => unknown> = {
    outcome: () => decision.outcome,
    next: () => decision.next ?? null,
    unmet: () => CONTROLS.filter((control) => decision.unmet.some(({ controls }) => controls.includes(control))),
    blockedBy: () => decision.blockedBy,
    policies: () => Object.fromEntries(decision.policies.map((result) => [result.id, plain(result)])),
    session: () => decision.session,
    lateBound: () => decision.lateBound.map(({ id }) => id),
    exception: () => decision.exception ?? null,
    contexts: () => contextsMet(set, signals),
    whatIf: () => Object.fromEntries(whatIf(set, signals).map(({ id, reasons }) => [id, reasons])),
  }
  const differences: CaseDifference[] = []
  for (const [member, wanted] of Object.entries(want)) compare(`/${member}`, wanted, found[member as Expectation](), differences)
  return { name, spec, passed: differences.length === 0, differences, decision }
}

function plain({ id: _, displayName: __, ...rest }: PolicyResult): object {
  return rest
}

/** Members of an object that are not expected may be anything, `null` expects that there is nothing; lists are the same in any order. */
function compare(path: string, want: unknown, got: unknown, differences: CaseDifference[]): void {
  if (Array.isArray(want) && Array.isArray(got)) {
    const text = (list: readonly unknown[]) => JSON.stringify(list.map((one) => JSON.stringify(one)).sort())
    if (text(want) !== text(got)) differences.push({ path, want, got })
  } else if (isObject(want) && isObject(got)) {
    for (const [name, inner] of Object.entries(want)) compare(`${path}/${name}`, inner, Object.hasOwn(got, name) ? got[name] : null, differences)
  } else if (want !== got) differences.push({ path, want, got })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
