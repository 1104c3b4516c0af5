import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type CaseResult, CONDITIONS, CONTROLS, parseCases, runCases, TEMPLATES } from '../src/index.ts'
import { BUILT_IN_CONTROLS } from '../src/policy.ts'

const folder = new URL('vectors/', import.meta.url)
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => ({ name, data: parse(readFileSync(new URL(name, folder), 'utf8')) as unknown }))
const all: CaseResult[] = []

describe.each(files)('$name', ({ data }) => {
  const results = runCases(data)
  all.push(...results)
  it.each(results.map((result) => ({ ...result })))('$name', ({ differences }) => {
    expect(differences).toEqual([])
  })
})

describe('the vectors', () => {
  const decisions = all.map(({ decision }) => decision)
  const policies = decisions.flatMap((decision) => decision.policies)

  it('show each condition satisfied, not satisfied and unknown', () => {
    for (const side of ['satisfied', 'notSatisfied', 'unknown'] as const) {
      const seen = new Set(policies.flatMap((policy) => policy[side]))
      // A service principal is either known or not the one who signs in.
      expect([...seen].sort(), side).toEqual(CONDITIONS.filter((condition) => side !== 'unknown' || condition !== 'servicePrincipals').toSorted())
    }
  })

  it('ask for each control first, and show each outcome', () => {
    expect(new Set(decisions.map(({ next }) => next).filter((next) => next !== undefined))).toEqual(new Set(CONTROLS))
    expect(new Set(decisions.map(({ outcome }) => outcome)).size).toBe(3)
    expect(new Set(policies.map(({ result }) => result)).size).toBe(7)
  })

  it('use each control that a policy may have, and each template', () => {
    const used = files.flatMap(({ data }) => parseCases(data).policies)
    expect(new Set(used.flatMap(({ grantControls }) => grantControls?.builtInControls ?? []))).toEqual(new Set(BUILT_IN_CONTROLS))
    const ids = used.map(({ id }) => id)
    for (const { name } of TEMPLATES) expect(ids).toContain(name)
  })
})
