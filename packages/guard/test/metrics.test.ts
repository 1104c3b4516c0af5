import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FIGURES, FIRST_SIGHT } from '../src/figures.ts'
import { createGuard } from '../src/guard.ts'
import { createStaticKeys } from '../src/keys.ts'
import { metricsText, nameOf } from '../src/metrics.ts'
import { AUDIENCE, cutoff, ISSUER, mint, request, START, startGuard } from './tokens.ts'

/** The exposition format, read back by its grammar: families in one piece, each described first. */
function parse(text: string) {
  expect(text.endsWith('\n')).toBe(true)
  const families = new Map<string, { type: string; samples: Map<string, number> }>()
  let current = ''
  for (const line of text.trimEnd().split('\n')) {
    const described = /^# (HELP|TYPE) ([a-z_]+) (\S.*)$/.exec(line)
    if (described) {
      const [, what, name = '', rest = ''] = described
      if (what === 'HELP') expect(families.has(name), `${name} once`).toBe(false)
      if (what === 'TYPE') families.set(name, { type: rest, samples: new Map() })
      current = name
      continue
    }
    const sample = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (\S+)$/.exec(line)
    expect(sample, line).not.toBeNull()
    const [, name = '', labels = '', value = ''] = sample as RegExpExecArray
    expect(name.replace(/_(bucket|sum|count)$/, families.get(name) ? '$&' : '')).toBe(current)
    const { samples } = families.get(current) as { samples: Map<string, number> }
    expect(samples.has(name + labels), 'a series once').toBe(false)
    samples.set(name + labels, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value))
    expect(samples.get(name + labels)).not.toBeNaN()
  }
  return families
}

const series = (families: ReturnType<typeof parse>) => Object.fromEntries([...families.values()].flatMap(({ samples }) => [...samples]))

describe('the text for Prometheus', () => {
  it('is well formed, and says what the guard counted', async () => {
    const { guard, sink, check, clocks } = startGuard({ decisionLog: { write() {} } })
    const token = mint()
    check(token)
    check(token)
    sink.merge([cutoff('user', 'bob', START)])
    sink.count('applied')
    sink.count('refused', 'a reason that is no label')
    check(mint({ oid: 'bob', xms_cc: ['cp1'] }))
    check('junk "with\\ everything\n')
    clocks.pass(7)
    const text = metricsText(guard)
    const families = parse(text)
    const of = `issuer="${ISSUER}"`
    expect(series(families)).toMatchObject({
      [`caegis_guard_verdicts_total{${of},code="allowed"}`]: 2,
      [`caegis_guard_verdicts_total{${of},code="revoked"}`]: 1,
      [`caegis_guard_verdicts_total{${of},code="token_malformed"}`]: 1,
      [`caegis_guard_verdicts_total{${of},code="stale"}`]: 0,
      [`caegis_guard_challenges_total{${of}}`]: 1,
      [`caegis_guard_cutoffs{${of}}`]: 1,
      [`caegis_guard_cutoffs_memory_bytes{${of}}`]: guard.status().cutoffBytes,
      caegis_guard_tokens: 2,
      [`caegis_guard_staleness_seconds{${of}}`]: 7,
      [`caegis_guard_in_sync{${of}}`]: 1,
      [`caegis_guard_events_total{${of},outcome="applied"}`]: 1,
      [`caegis_guard_events_total{${of},outcome="refused"}`]: 1,
      [`caegis_guard_first_sight_duration_seconds_bucket{${of},le="0.0001"}`]: 3,
      [`caegis_guard_first_sight_duration_seconds_bucket{${of},le="+Inf"}`]: 3,
      [`caegis_guard_first_sight_duration_seconds_count{${of}}`]: 3,
      'caegis_guard_decisions_total{outcome="dropped"}': 0,
    })
    expect(text).not.toMatch(/alice|bob|junk|no label/)
    sink.outOfSync('x')
    expect(series(parse(metricsText(guard)))[`caegis_guard_in_sync{${of}}`]).toBe(0)
  })

  it('its buckets add up', () => {
    const { guard } = startGuard()
    const status = guard.status()
    const one = status.issuers[ISSUER]
    if (one) one.firstSights = { counts: [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4], seconds: 12.5 }
    const all = series(parse(metricsText({ status: () => status })))
    const at = (le: string) => all[`caegis_guard_first_sight_duration_seconds_bucket{issuer="${ISSUER}",le="${le}"}`]
    expect([at('0.0001'), at('0.00025'), at('0.0005'), at('2.5'), at('+Inf')]).toEqual([1, 1, 3, 3, 7])
    expect(all[`caegis_guard_first_sight_duration_seconds_sum{issuer="${ISSUER}"}`]).toBe(12.5)
  })

  it('has as many series as there are issuers, whoever asks for what', async () => {
    const keys = createStaticKeys({})
    const issuers = [ISSUER, 'https://id.example/"x\\'].map((issuer) => ({ issuer, events: 'none' as const, keys }))
    const guard = createGuard({ audience: AUDIENCE, issuers, now: () => START * 1000 })
    const before = parse(metricsText(guard))
    for (let i = 0; i < 500; i++) await guard.check(request(mint({ iss: `https://junk-${i}.example`, jti: `${i}` }, { kid: `k${i}` })))
    await guard.check({ headers: {} })
    const after = parse(metricsText(guard))
    expect(Object.keys(series(after))).toEqual(Object.keys(series(before)))
    expect(series(after)).toMatchObject({ 'caegis_guard_verdicts_total{issuer="",code="token_missing"}': 1 })
    await guard.close()
  })

  it('age is infinite before the first word', () => {
    const text = metricsText(startGuard({ hydrate: false }).guard)
    expect(text).toContain(`caegis_guard_staleness_seconds{issuer="${ISSUER}"} +Inf\n`)
  })
})

describe('the documents', () => {
  const read = (name: string) => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8')

  it('list every metric, with its name here and there, its kind and its labels', () => {
    const rows = [...read('observability.md').matchAll(/^\| `(caegis\.[\w.]+)` \| `(\w+)` \| (\w+) \| (.*?)\|/gm)]
    const listed = rows.map(([, name, written, kind, labels = '']) => [name, written, kind, [...labels.matchAll(/`(\w+)`/g)].map(([, one]) => one)])
    const { guard } = startGuard({ decisionLog: { write() {} }, keys: { ...createStaticKeys({}), fetches: { done: 0, failed: 0 } } })
    const status = guard.status()
    const known = FIGURES.map(({ name, kind, unit, read: of }) => [name, nameOf(name, kind, unit), kind, Object.keys(of(status)[0]?.labels ?? {})])
    const histogram = [FIRST_SIGHT.name, nameOf(FIRST_SIGHT.name, 'histogram', FIRST_SIGHT.unit), 'histogram', ['issuer']]
    const sorted = (all: unknown[]) => all.map((one) => JSON.stringify(one)).sort()
    expect(sorted(listed)).toEqual(sorted([...known, histogram]))
  })

  it('name every member of the status', () => {
    const table = read('guard.md').split('## What `status()` says')[1]?.split('\n## ')[0] ?? ''
    const named = [...table.matchAll(/^\| (.*?) \|/gm)].flatMap(([, names = '']) => [...names.matchAll(/`(\w+)`/g)].map(([, one]) => one as string))
    expect(named.sort()).toEqual(Object.keys(startGuard().guard.status()).sort())
  })
})
