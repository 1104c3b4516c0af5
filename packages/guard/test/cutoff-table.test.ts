import { CUTOFF_KINDS, type Cutoff } from '@caegis/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CutoffTable, createCutoffTable } from '../src/cutoff-table.ts'
import { createKeyedHash } from '../src/hash.ts'
import { cutoff, head, mint, outcome, START, startGuard } from './tokens.ts'

const LEEWAY = 30

/** A table by name instead of hash. `bits` keeps only so many of each half, to show what the others are for. */
function named(bits = 32): { table: CutoffTable; raise(name: string, t: number, until?: number): boolean; find(name: string): number } {
  const table = createCutoffTable(LEEWAY)
  const hash = createKeyedHash()
  const low = (half: number) => (bits === 32 ? half : half & ((1 << bits) - 1))
  const halves = (name: string) => {
    hash.of(name)
    return [low(hash.out[0] as number), low(hash.out[1] as number)] as const
  }
  return { table, raise: (name, t, until = t + 100) => table.raise(...halves(name), t, until), find: (name) => table.find(...halves(name)) }
}

describe('the cutoff table', () => {
  it('A12: distinguishes a million random ids without one false match', () => {
    const { table, raise, find } = named()
    const count = 1_000_000
    for (let i = 0; i < count; i++) raise(`in-${i}`, START)
    expect(table.size).toBe(count)
    let found = 0
    for (let i = 0; i < count; i++) if (find(`out-${i}`) !== -1) found++
    expect(found).toBe(0)
    expect(table.bytes / count).toBeLessThanOrEqual(26)
  })

  it('A12: fewer bits would not do: with 8 a half, strangers match', () => {
    const { raise, find } = named(8)
    for (let i = 0; i < 20_000; i++) raise(`in-${i}`, START)
    let found = 0
    for (let i = 0; i < 1000; i++) if (find(`out-${i}`) !== -1) found++
    expect(found).toBeGreaterThan(100)
  })

  it('loses nothing while it grows, and never takes more than 26 bytes a cutoff', () => {
    const { table, raise, find } = named()
    for (let i = 0; i < 60_000; i++) {
      raise(`u-${i}`, START + i)
      if (i > 20_000 && i % 997 === 0) expect(table.bytes / table.size).toBeLessThanOrEqual(26)
    }
    for (let i = 0; i < 60_000; i++) if (find(`u-${i}`) !== START + i) throw new Error(`lost ${i}`)
  })

  it('files the hash of two zeros, and neighbours that collide in place', () => {
    const table = createCutoffTable(LEEWAY)
    table.raise(0, 0, 5, 9)
    for (let i = 1; i < 200; i++) table.raise(0, i, i, 9)
    expect(table.find(0, 0)).toBeGreaterThanOrEqual(5)
    for (let i = 2; i < 200; i++) expect(table.find(0, i)).toBe(i)
    expect(table.find(0, 200)).toBe(-1)
    // The last places of a segment: probing goes round.
    for (let i = 0; i < 200; i++) table.raise(-1, -1 - i, i + 1, 9)
    for (let i = 0; i < 200; i++) expect(table.find(-1, -1 - i)).toBe(i + 1)
  })

  it('I1: merging is max: any order, any duplicates, the same state as a plain Map, and its version tells of every change', () => {
    const entry = fc.record({ name: fc.integer({ min: 0, max: 40 }), t: fc.integer({ min: 0, max: 1000 }), until: fc.integer({ min: 0, max: 2000 }) })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 300 }), fc.infiniteStream(fc.nat()), (entries, random) => {
        const model = new Map<number, number>()
        const { table, raise, find } = named()
        const shuffled = [...entries, ...entries].map((one) => ({ one, at: random.next().value as number })).sort((a, b) => a.at - b.at)
        for (const { one } of shuffled) {
          const before = model.get(one.name) ?? -1
          const version = table.version
          expect(raise(`n-${one.name}`, one.t, one.until)).toBe(one.t > before)
          expect(table.version > version).toBe(one.t > before)
          model.set(one.name, Math.max(before, one.t))
        }
        expect(table.size).toBe(model.size)
        for (let name = 0; name <= 40; name++) expect(find(`n-${name}`)).toBe(model.get(name) ?? -1)
      }),
    )
  })

  it('A8: forgets only what has ended by the transmitter’s time and leeway, keeps the longest end, remembers how far it forgot', () => {
    const entry = fc.record({
      name: fc.integer({ min: 0, max: 2000 }),
      t: fc.integer({ min: 1, max: 1000 }),
      until: fc.integer({ min: 0, max: 2000 }),
    })
    fc.assert(
      fc.property(fc.array(entry, { minLength: 50, maxLength: 800 }), fc.integer({ min: 0, max: 2500 }), (entries, logTime) => {
        const { table, raise, find } = named()
        const model = new Map<string, { t: number; until: number }>()
        for (const [i, { name, t, until }] of entries.entries()) {
          if (i === entries.length >> 1) table.advance(logTime)
          raise(`n-${name}`, t, until)
          const known = model.get(`n-${name}`) ?? { t: -1, until: -1 }
          model.set(`n-${name}`, { t: Math.max(known.t, t), until: Math.max(known.until, until) })
        }
        for (let i = 0; i < 64; i++) table.sweep()
        for (const [name, { t, until }] of model) {
          const found = find(name)
          if (until + LEEWAY >= logTime) expect(found).toBe(t)
          // Whatever went is covered by the mark: a token that it could have hit is taken for expired.
          else if (found === -1) expect(table.forgotten).toBeGreaterThanOrEqual(until)
        }
        expect(table.forgotten + LEEWAY).toBeLessThan(Math.max(logTime, LEEWAY + 1))
      }),
    )
  })

  it('gives memory back', () => {
    const { table, raise } = named()
    for (let i = 0; i < 50_000; i++) raise(`u-${i}`, 10, 20)
    table.advance(20 + LEEWAY)
    for (let i = 0; i < 64; i++) table.sweep()
    expect(table.size).toBe(50_000)
    table.advance(20 + LEEWAY + 1)
    for (let i = 0; i < 64; i++) table.sweep()
    expect(table.size).toBe(0)
    expect(table.bytes).toBeLessThan(20_000)
    expect(table.forgotten).toBe(20)
  })
})

describe('A8: the horizon', () => {
  const DAY = 86_400

  it('A8 (a) (b): a token that outlives the horizon is refused, so that no cutoff need be kept for it', () => {
    const { check } = startGuard()
    expect(outcome(check(mint({ exp: START + 3 * DAY })))).toBe('token_horizon')
    expect(outcome(startGuard({ horizon: 7 * DAY }).check(mint({ exp: START - 60 + 7 * DAY })))).toBe('allowed')
  })

  it('A8 (a): one that was accepted does not come back to life once its cutoff may be gone', () => {
    const { check, sink, clocks, guard } = startGuard()
    const t = START - 60
    const token = mint({ exp: START + 28 * 3600 })
    sink.merge([cutoff('user', 'alice', t, { until: t + 28 * 3600 + 300 })])
    for (let seq = 1; clocks.seconds < START + 3 * DAY; seq++) {
      expect(check(token).allowed).toBe(false)
      clocks.pass(1800)
      sink.synced(head(seq, clocks.seconds))
    }
    expect(guard.status()).toBeDefined()
  })

  it('A8 (c): a wrong local clock makes it forget nothing', () => {
    const { check, sink, clocks, guard } = startGuard()
    const token = mint({ exp: START + 3600 })
    sink.merge([cutoff('user', 'alice', START, { until: START + 3600 })])
    clocks.set(30 * DAY)
    for (let seq = 1; seq < 200; seq++) {
      clocks.pass(2)
      sink.synced(head(seq, START + seq))
    }
    clocks.set(-30 * DAY)
    expect(guard.status().cutoffs).toBe(1)
    expect(outcome(check(token))).toBe('revoked')
  })

  it('A8 (c): nor does a local clock that lags, or is set back after the cutoff went, revive its tokens', () => {
    const { check, sink, clocks, guard } = startGuard()
    const token = mint({ exp: START + 3600 })
    sink.merge([cutoff('user', 'alice', START, { until: START + 3600 })])
    // The transmitter is two hours on; our wall clock stands still.
    for (let seq = 1; seq < 100; seq++) {
      clocks.pass(2)
      sink.synced(head(seq, START + 7200 + seq))
    }
    expect(guard.status().cutoffs).toBe(0)
    expect(outcome(check(token))).toBe('token_expired')
    expect(outcome(check(mint({ exp: START + 3601 })))).toBe('allowed')
  })

  it('A8 (d): the leeway on exp does not outlive the cutoff', () => {
    const { check, sink, clocks } = startGuard({ leeway: 30 })
    const token = mint({ exp: START + 3600 })
    sink.merge([cutoff('user', 'alice', START, { until: START + 3600 })])
    clocks.pass(3600)
    for (let seq = 1; seq < 30; seq++) {
      clocks.pass(1)
      sink.synced(head(seq, clocks.seconds))
      expect(outcome(check(token))).toBe('revoked')
    }
    clocks.pass(1)
    expect(outcome(check(token))).toBe('token_expired')
  })
})

describe('I1: no grant after revoke', () => {
  it('I1: whatever the order of tokens, cutoffs, duplicates and clocks, the guard refuses exactly what the largest cutoffs cover', () => {
    const tokens = [0, 1, 2].flatMap((user) =>
      [0, 1, 2, 3].map((step) => {
        const iat = START - 40 + step * 10
        return {
          user,
          session: `s-${user}-${step % 2}`,
          iat,
          text: mint({ sub: `u-${user}`, oid: `u-${user}`, sid: `s-${user}-${step % 2}`, jti: `j-${user}-${step}`, iat, nbf: iat }),
        }
      }),
    )
    const step = fc.oneof(
      fc.record({ do: fc.constant('check' as const), token: fc.integer({ min: 0, max: tokens.length - 1 }) }),
      fc.record({
        do: fc.constant('merge' as const),
        kind: fc.constantFrom('user', 'session', 'tenant', 'device'),
        user: fc.integer({ min: 0, max: 2 }),
        half: fc.integer({ min: 0, max: 1 }),
        t: fc.integer({ min: START - 50, max: START }),
        times: fc.integer({ min: 1, max: 3 }),
      }),
      fc.record({ do: fc.constant('head' as const), lag: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ do: fc.constant('clock' as const), by: fc.integer({ min: -5, max: 5 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { check, sink, clocks } = startGuard({ maxTokens: 6 })
        const model = new Map<string, number>()
        let seq = 0
        for (const one of steps) {
          if (one.do === 'head') sink.synced(head(++seq, clocks.seconds - one.lag))
          else if (one.do === 'clock') clocks.set(one.by)
          else if (one.do === 'merge') {
            const id = { user: `u-${one.user}`, session: `s-${one.user}-${one.half}`, tenant: 'contoso', device: 'nobody' }[one.kind] as string
            const kind = one.kind as Cutoff['kind']
            expect(CUTOFF_KINDS).toContain(kind)
            for (let i = 0; i < one.times; i++) sink.merge([cutoff(kind, id, one.t)])
            model.set(`${kind} ${id}`, Math.max(model.get(`${kind} ${id}`) ?? -1, one.t))
          } else {
            const token = tokens[one.token] as (typeof tokens)[number]
            const t = Math.max(...[`user u-${token.user}`, `session ${token.session}`, 'tenant contoso'].map((name) => model.get(name) ?? -1))
            expect(outcome(check(token.text))).toBe(token.iat <= t ? 'revoked' : 'allowed')
          }
        }
      }),
      { numRuns: 60 },
    )
  })
})
