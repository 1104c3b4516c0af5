import { CaegisError } from '@caegis/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePolicies, decideAt, parseDeviceRule, parseLocation, parsePolicy, policyToGraph, runCases, TEMPLATES, whatIf } from '../src/index.ts'
import { germany, office, signals } from './sample.ts'

/** What stands at any place of a document, given something else. */
function changed(document: unknown, at: number, value: unknown): unknown {
  const copy = structuredClone({ document })
  const places: [object, string][] = []
  const walk = (one: object) => {
    for (const [name, inner] of Object.entries(one)) {
      places.push([one, name])
      if (typeof inner === 'object' && inner !== null) walk(inner)
    }
  }
  walk(copy)
  const [parent, name] = places[at % places.length] as [any, string]
  parent[name] = value
  return copy.document
}

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof CaegisError) return undefined
    throw error
  }
}

const documents = TEMPLATES.map(({ policy }) => policyToGraph(parsePolicy({ id: 't', ...policy })))
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(null, undefined, '', 'All', 'None', [], {}, ['All'], [null], { isEnabled: true }, 'block', 0, -1),
)
const RUNS = { numRuns: 300 }

describe('whatever is read', () => {
  it('a policy is refused, or can be decided by', () => {
    fc.assert(
      fc.property(fc.constantFrom(...documents), fc.nat(), value, (document, at, other) => {
        const policy = refusedOr(() => parsePolicy(changed(document, at, other)))
        if (!policy) return
        expect(parsePolicy(policy)).toEqual(policy)
        const set = compilePolicies([policy], [office, germany])
        expect(decideAt(set, signals(), { address: '203.0.113.7' }).policies.length).toBe(policy.state === 'disabled' ? 0 : 1)
        whatIf(set, { now: 0 })
      }),
      RUNS,
    )
  })

  it('a location, a device rule and a file of cases are refused, or taken', () => {
    const file = { policies: [{ template: 'trusted-locations-only' }], cases: [{ name: 'n', signals: { user: 'u' }, want: { outcome: 'allow' } }] }
    const location = { id: 'l', displayName: 'L', isTrusted: true, ipRanges: [{ cidrAddress: '10.0.0.0/8' }] }
    fc.assert(
      fc.property(fc.nat(), value, fc.string({ unit: 'binary' }), (at, other, text) => {
        refusedOr(() => parseLocation(changed(location, at, other)))
        refusedOr(() => runCases(changed(file, at, other)))
        refusedOr(() => parseDeviceRule(`device.model -eq "x" ${text}`))
        refusedOr(() => parsePolicy(other))
      }),
      RUNS,
    )
  })
})
