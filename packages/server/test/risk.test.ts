import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assess, statusOf } from '../src/risk/assess.ts'
import type { Assessed } from '../src/risk/detection.ts'
import { distance } from '../src/risk/detections/impossible-travel.ts'
import { DETECTIONS } from '../src/risk/detections.ts'
import { DETECTION_TYPES, type DetectionType } from '../src/risk/finding.ts'
import { levelOnUser, signInLevel, userLevel } from '../src/risk/levels.ts'
import { networkOf, type Signal } from '../src/risk/signal.ts'
import { ALL_GIVEN, NOW, readRiskCases } from './risk-cases.ts'

const RUNS = { numRuns: 500 }
const files = readRiskCases()
const settings = { off: [], given: ALL_GIVEN }
const detectionOf = (type: DetectionType) => {
  const found = DETECTIONS.find((one) => one.type === type)
  if (!found) throw new Error(`there is no detection ${type}`)
  return found
}

describe.each(files)('$file', ({ detection, cases }) => {
  it.each(cases)('$name', ({ input, given, want }) => {
    const said = detectionOf(detection).detect(input, given)
    if (typeof want === 'string') expect(said ?? 'none').toBe(want)
    else expect(said).toMatchObject({ type: detection, ...want })
  })
})

describe('the vectors', () => {
  it('show each detection raised, silent and unknown', () => {
    expect(files.map(({ detection }) => detection).sort()).toEqual([...DETECTION_TYPES].sort())
    for (const { detection, cases } of files) {
      const kinds = new Set(cases.map(({ want }) => (typeof want === 'string' ? want : 'raised')))
      expect([...kinds].sort(), detection).toEqual(['none', 'raised', 'unknown'])
    }
  })
})

describe('each detection', () => {
  it.each(DETECTIONS.map((one) => ({ ...one })))('$type says what it looks at, and when it is wrong', ({ says, falseAlarms }) => {
    for (const text of [says, falseAlarms]) expect(text).toMatch(/^[A-Z].{60,}\.$/)
  })

  it('says nothing once it is turned off, or nothing is given to look it up in', () => {
    for (const { detection, cases } of files) {
      for (const { input, given } of cases) {
        const about = ({ findings, unknown }: ReturnType<typeof assess>) => [...findings.map(({ type }) => type), ...unknown].includes(detection)
        expect(about(assess(input, { off: [detection], given }))).toBe(false)
        const { needs } = detectionOf(detection)
        if (needs) expect(about(assess(input, { off: [], given: { ...given, [needs]: false } }))).toBe(false)
      }
    }
  })

  it('is on, off or unconfigured', () => {
    const status = (type: DetectionType, off: DetectionType[] = [], leaked = true) =>
      statusOf(detectionOf(type), { off, given: { ...ALL_GIVEN, leaked } })
    expect([status('leakedCredentials'), status('leakedCredentials', ['leakedCredentials'], false)]).toEqual(['on', 'off'])
    expect([status('leakedCredentials', [], false), status('bruteForce', [], false)]).toEqual(['unconfigured', 'on'])
  })
})

describe('several together', () => {
  const signal: Signal = {
    at: NOW,
    kind: 'interactive',
    outcome: 'success',
    user: 'alice',
    address: '192.0.2.1',
    network: '192.0.2.0/24',
    country: 'DE',
  }
  const quiet: Assessed = { signal, recent: { user: [], network: [] }, leaked: false, listed: false }

  it('are of the highest level', () => {
    expect(assess(quiet, settings)).toEqual({ level: 'none', findings: [], unknown: [] })
    const { level, findings } = assess({ ...quiet, leaked: true, listed: true }, settings)
    expect([level, findings.map(({ type }) => type)]).toEqual(['high', ['leakedCredentials', 'maliciousIPAddress']])
  })

  it('are unknown when one is, unless another is high', () => {
    expect(assess({ ...quiet, listed: 'unknown' }, settings)).toEqual({ level: undefined, findings: [], unknown: ['maliciousIPAddress'] })
    expect(assess({ ...quiet, listed: 'unknown', leaked: true }, settings).level).toBe('high')
  })

  it('say nothing of what failed, so that strangers put nobody at risk', () => {
    for (const { detection, cases } of files) {
      for (const { input } of cases) {
        const failed = { ...input, signal: { ...input.signal, outcome: 'failure' as const } }
        const { level, findings } = assess(failed, settings)
        expect(
          findings.filter(({ type }) => type !== 'anomalousToken'),
          detection,
        ).toEqual([])
        if (findings.length === 0) expect(level).toBeUndefined()
      }
    }
  })

  it('leave a user at the highest level of what is open', () => {
    expect(userLevel([])).toBe('none')
    const carried = (['signIn', 'user'] as const).map((about) => (['low', 'medium', 'high'] as const).map((level) => levelOnUser({ about, level })))
    expect(carried).toEqual([
      ['none', 'low', 'high'],
      ['low', 'medium', 'high'],
    ])
    expect(
      userLevel([
        { about: 'user', level: 'low' },
        { about: 'signIn', level: 'high' },
        { about: 'user', level: 'medium' },
      ]),
    ).toBe('high')
    expect(
      userLevel([
        { about: 'signIn', level: 'medium' },
        { about: 'signIn', level: 'low' },
      ]),
    ).toBe('low')
    expect([signInLevel([], false), signInLevel([], true), signInLevel([{ level: 'low' }], false), signInLevel([{ level: 'low' }], true)]).toEqual([
      'none',
      undefined,
      'low',
      undefined,
    ])
  })
})

describe('a network', () => {
  it.each([
    ['192.0.2.77', '192.0.2.0/24'],
    ['255.255.255.255', '255.255.255.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2:3::4', '2001:db8:1::/48'],
    ['ffff:ffff:ffff:ffff::1', 'ffff:ffff:ffff::/48'],
    ['', ''],
    ['nowhere', ''],
  ])('of %s is %s', (address, network) => expect(networkOf(address)).toBe(network))
})

describe('a distance', () => {
  const at = (latitude: number, longitude: number, radius = 0) => ({ latitude, longitude, radius })
  it.each([
    ['Berlin to Tokyo', at(52.52, 13.4), at(35.68, 139.69), 8917],
    ['one pole to the other', at(90, 0), at(-90, 120), 20_015],
    ['across the date line', at(0, 179.5), at(0, -179.5), 111],
    ['between edges', at(52.52, 13.4, 200), at(48.86, 2.35, 300), 377],
    ['inside each other', at(52.52, 13.4, 600), at(48.86, 2.35, 600), 0],
  ])('%s', (_, a, b, kilometres) => {
    expect(Math.round(distance(a, b))).toBe(kilometres)
    expect(Math.round(distance(b, a))).toBe(kilometres)
  })
})

const COUNTRIES: Record<string, Pick<Signal, 'country' | 'place'>> = {
  '192.0.2.10': { country: 'DE', place: { latitude: 52.5, longitude: 13.4, radius: 20 } },
  '192.0.2.20': { country: 'DE', place: { latitude: 52.5, longitude: 13.4, radius: 20 } },
  '203.0.113.10': { country: 'JP', place: { latitude: 35.7, longitude: 139.7, radius: 20 } },
  '10.0.0.1': { country: null },
  '': { country: null },
}
const past: fc.Arbitrary<Signal> = fc
  .record({
    ago: fc.constantFrom(0, 1, 60, 60, 1800, 3599, 3600, 80_000, 200_000),
    kind: fc.constantFrom('interactive' as const, 'interactive' as const, 'refresh' as const),
    outcome: fc.constantFrom('success' as const, 'failure' as const),
    user: fc.constantFrom('alice', 'bob', 'carol', undefined),
    name: fc.constantFrom('x', 'y', undefined),
    address: fc.constantFrom(...Object.keys(COUNTRIES)),
    browser: fc.constantFrom('laptop', 'theirs', undefined),
    device: fc.constantFrom('d-1', undefined, undefined),
    doubted: fc.constantFrom(true, false, false),
    passwordless: fc.constantFrom(true, false, false, false),
  })
  .map(({ ago, user, name, browser, device, ...rest }) => ({
    ...{ at: NOW - ago, network: networkOf(rest.address), ...COUNTRIES[rest.address], ...rest },
    ...(user !== undefined ? { user } : name !== undefined ? { name } : {}),
    ...(browser === undefined ? {} : { browser }),
    ...(device === undefined ? {} : { device }),
  }))
const ofAlice = (signals: Signal[]) => signals.map((one) => ({ ...one, user: 'alice' }))
const assessed: fc.Arbitrary<Assessed> = fc
  .record({
    signal: past.map((one): Signal => ({ ...one, at: NOW, user: 'alice', outcome: 'success', doubted: false })),
    user: fc.array(past, { maxLength: 30 }).map(ofAlice),
    guesses: fc.constantFrom(0, 0, 9, 10, 20),
    network: fc.array(past, { maxLength: 30 }),
    sprayed: fc.constantFrom(0, 0, 8, 12),
    leaked: fc.constantFrom(undefined, true, false, 'unknown' as const),
    listed: fc.constantFrom(undefined, true, false, 'unknown' as const),
    replay: fc.option(
      fc.record({
        at: fc.constant(NOW - 5),
        network: fc.constantFrom('', '192.0.2.0/24', '203.0.113.0/24'),
        grace: fc.boolean(),
        bound: fc.boolean(),
      }),
      { nil: undefined, freq: 2 },
    ),
  })
  .map(({ signal, user, guesses, network, sprayed, leaked, listed, replay }) => {
    const failure: Signal = { at: NOW - 300, kind: 'interactive', outcome: 'failure', address: '203.0.113.10', network: '203.0.113.0/24' }
    return {
      signal,
      recent: {
        user: [...user, ...Array.from({ length: guesses }, () => ({ ...failure, user: 'alice' }))],
        network: [...network, ...Array.from({ length: sprayed }, (_, n) => ({ ...failure, network: signal.network, user: `other-${n}` }))],
      },
      ...(leaked === undefined ? {} : { leaked }),
      ...(listed === undefined ? {} : { listed }),
      ...(replay === undefined ? {} : { replay }),
    }
  })
const shuffled = <T>(list: readonly T[]) => fc.shuffledSubarray([...list], { minLength: list.length, maxLength: list.length })

describe('whatever was recorded', () => {
  it('the order of what came in the same second does not matter', () => {
    const both = assessed.chain((input) =>
      fc.record({ input: fc.constant(input), user: shuffled(input.recent.user), network: shuffled(input.recent.network) }),
    )
    const seen = new Set<string>()
    fc.assert(
      fc.property(both, ({ input, user, network }) => {
        const newestFirst = (list: readonly Signal[]) => [...list].sort((a, b) => b.at - a.at)
        const one = assess({ ...input, recent: { user: newestFirst(input.recent.user), network: newestFirst(input.recent.network) } }, settings)
        expect(assess({ ...input, recent: { user: newestFirst(user), network: newestFirst(network) } }, settings)).toEqual(one)
        for (const { type } of one.findings) seen.add(type)
      }),
      RUNS,
    )
    // Nothing is shown by signals of which no detection ever speaks.
    expect([...seen].sort()).toEqual([...DETECTION_TYPES].sort())
  })

  it('one more good sign-in never raises brute force, nor a spray', () => {
    const says = (type: DetectionType, input: Assessed) => {
      const said = detectionOf(type).detect(input, ALL_GIVEN)
      return said !== undefined && said !== 'unknown'
    }
    fc.assert(
      fc.property(assessed, past, (input, extra) => {
        const good: Signal = { ...extra, user: 'alice', kind: 'interactive', outcome: 'success', doubted: false }
        const more = { ...input, recent: { user: [good, ...input.recent.user], network: [good, ...input.recent.network] } }
        for (const type of ['bruteForce', 'passwordSpray'] as const) if (!says(type, input)) expect(says(type, more), type).toBe(false)
      }),
      RUNS,
    )
  })

  it('a sign-in that was doubted makes nothing familiar', () => {
    fc.assert(
      fc.property(assessed, past, (input, extra) => {
        const doubted: Signal = { ...extra, user: 'alice', kind: 'interactive', outcome: 'success', doubted: true }
        expect(assess({ ...input, recent: { ...input.recent, user: [doubted, ...input.recent.user] } }, settings)).toEqual(assess(input, settings))
      }),
      RUNS,
    )
  })

  it('unknown never yields none', () => {
    fc.assert(
      fc.property(assessed, (input) => {
        const { level, findings, unknown } = assess(input, settings)
        if (unknown.length > 0) expect(level === undefined || level === 'high').toBe(true)
        expect(level === 'none').toBe(findings.length === 0 && unknown.length === 0)
      }),
      RUNS,
    )
  })

  it('who knows less about a sign-in never finds it safer', () => {
    const rank = { none: 0, low: 1, medium: 2, high: 3 }
    fc.assert(
      fc.property(assessed, (input) => {
        const { country: _, place: __, ...signal } = input.signal
        const { leaked, listed, ...rest } = input
        const less: Assessed = {
          ...rest,
          signal,
          ...(leaked === undefined ? {} : { leaked: 'unknown' }),
          ...(listed === undefined ? {} : { listed: 'unknown' }),
        }
        const before = assess(input, settings).level
        const after = assess(less, settings).level
        if (after !== undefined) expect(rank[after]).toBeGreaterThanOrEqual(before === undefined ? 0 : rank[before])
      }),
      RUNS,
    )
  })
})

it('docs/risk.md says of each detection what it says of itself', () => {
  const page = readFileSync(new URL('../../../docs/risk.md', import.meta.url), 'utf8')
  for (const { type, says, falseAlarms } of DETECTIONS) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${type}\` |`))
    expect(row).toContain(says)
    expect(row).toContain(falseAlarms)
  }
})
