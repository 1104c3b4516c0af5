import { describe, expect, it } from 'vitest'
import type { GuardStatus } from '../src/status.ts'
import { cutoff, ec, head, mint, otherEc, outcome, request, START, startGuard, verdictOf } from './tokens.ts'

const ordinary = mint({ exp: START + 5000 })
const longLived = (jti: string) => mint({ exp: START + 90_000, xms_ssm: '1', jti })

describe('I4: staleness, second by second', () => {
  it('B1, B11: best-effort says so after 30 s, trusts long-lived tokens for 5 min, none of them after 6, ordinary ones always; one head heals it', () => {
    const { check, clocks, sink, guard } = startGuard()
    const tokens = Array.from({ length: 60 }, (_, i) => longLived(`j-${i}`))
    let before = 0
    for (let second = 0; second <= 370; second++) {
      const verdict = check(ordinary)
      expect({ second, allowed: verdict.allowed, stale: verdict.allowed && verdict.stale }).toEqual({ second, allowed: true, stale: second > 30 })
      expect(guard.status().stale).toBe(second > 30)
      const refused = tokens.filter((token) => outcome(check(token)) === 'stale').length
      if (second <= 300) expect({ second, refused }).toEqual({ second, refused: 0 })
      if (second >= 360) expect({ second, refused }).toEqual({ second, refused: tokens.length })
      expect(refused).toBeGreaterThanOrEqual(before)
      // Not all at once: no second of that minute refuses a third of them.
      expect(refused - before).toBeLessThan(tokens.length / 3)
      before = refused
      clocks.pass(1)
    }
    sink.synced(head(0, clocks.seconds))
    expect(check(longLived('j-1'))).toMatchObject({ allowed: true, stale: false })
  })

  it('B1: strict answers 503 from the 31st second, to everybody, until a head has come', () => {
    const { check, clocks, sink } = startGuard({ staleness: 'strict' })
    for (let second = 0; second <= 40; second++) {
      for (const token of [ordinary, longLived('j')])
        expect([second, outcome(check(token))]).toEqual([second, second > 30 ? 'out_of_sync' : 'allowed'])
      clocks.pass(1)
    }
    sink.synced(head(0, clocks.seconds))
    expect(outcome(check(ordinary))).toBe('allowed')
  })

  it('B1: strict ends live connections when it becomes deaf, best-effort keeps them', () => {
    for (const staleness of ['strict', 'best-effort'] as const) {
      const { check, sink } = startGuard({ staleness })
      const verdict = check(ordinary)
      if (!verdict.allowed) throw new Error(verdict.code)
      expect(verdict.signal.aborted).toBe(false)
      sink.outOfSync('the stream is disabled')
      expect(verdict.signal.aborted).toBe(staleness === 'strict')
      verdict.release()
    }
  })

  it('B11: a server that restarts within 40 s is no outage: in best-effort nobody is refused, in strict for ten seconds only', () => {
    for (const [staleness, refused] of [
      ['best-effort', 0],
      ['strict', 9],
    ] as const) {
      const { check, clocks, sink } = startGuard({ staleness })
      let denials = 0
      for (let second = 0; second < 40; second++) {
        // The connection breaks, which the source says at once in either way.
        if (!check(longLived('j')).allowed) denials++
        clocks.pass(1)
      }
      sink.synced(head(0, clocks.seconds))
      expect(check(longLived('j')).allowed).toBe(true)
      expect([staleness, denials]).toEqual([staleness, refused])
    }
  })

  it('B3: a replica that restarts while the issuer is deaf allows nothing, however long that lasts; the one that knows goes on refusing', () => {
    for (const staleness of ['best-effort', 'strict'] as const) {
      const knows = startGuard({ staleness })
      knows.sink.merge([cutoff('user', 'alice', START)])
      const restarted = startGuard({ staleness, hydrate: false })
      for (const wait of [0, 1, 29, 300, 3000]) {
        knows.clocks.pass(wait)
        restarted.clocks.pass(wait)
        expect(outcome(restarted.check(ordinary))).toBe('not_ready')
        expect(outcome(knows.check(ordinary))).toBe('revoked')
      }
    }
  })
})

describe('B10: replicas', () => {
  it('B10(c): a replica that does not hear is itself the one that is stale; the others are not', () => {
    const one = startGuard()
    const other = startGuard()
    one.clocks.pass(31)
    other.clocks.pass(31)
    other.sink.synced(head(0, other.clocks.seconds))
    expect([one.guard.status().stale, other.guard.status().stale]).toEqual([true, false])
  })
})

describe('A8(e), E9: floods', () => {
  it('E9: junk of every kind leaves no token, no cutoff and no live connection behind', () => {
    const { guard, check } = startGuard()
    // What was counted is no more than numbers.
    const kept = ({ verdicts, challenges, firstSights, issuers, ...rest }: GuardStatus) => rest
    const before = kept(guard.status())
    for (let i = 0; i < 2000; i++) {
      check(mint({ jti: `${i}` }, { kid: `made-up-${i}` }, otherEc.privateKey))
      check(mint({ iss: `https://junk-${i}.example` }))
      check(`${i}.${'x'.repeat(i)}.y`)
    }
    expect(kept(guard.status())).toEqual(before)
  })

  it('E9: verified tokens are remembered within the bound, whatever their number, and those in use stay', () => {
    const { guard, check } = startGuard({ maxTokens: 64 })
    const used = mint({ jti: 'used' })
    for (let i = 0; i < 500; i++) {
      expect(outcome(check(mint({ jti: `${i}` }, {}, ec.privateKey)))).toBe('allowed')
      expect(outcome(check(used))).toBe('allowed')
      expect(guard.status().tokens).toBeLessThanOrEqual(64)
    }
  })

  it('A8(e): cutoffs grow by what they weigh and no more, repetition weighs nothing, and what has ended is given back', () => {
    const { guard, sink, clocks } = startGuard({ horizon: 1000 })
    const flood = () =>
      sink.merge(
        (function* () {
          for (let i = 0; i < 50_000; i++) yield cutoff('token', `t-${i}`, START, { until: START + 100 })
        })(),
      )
    flood()
    const { cutoffs, cutoffBytes } = guard.status()
    expect(cutoffs).toBe(50_000)
    expect(cutoffBytes / cutoffs).toBeLessThanOrEqual(26)
    flood()
    expect(guard.status()).toMatchObject({ cutoffs, cutoffBytes })
    for (let i = 0; i < 64; i++) {
      clocks.pass(5)
      sink.synced(head(i, clocks.seconds))
    }
    sink.merge([cutoff('user', 'bob', clocks.seconds)])
    for (let i = 0; i < 64; i++) {
      clocks.pass(5)
      sink.synced(head(64 + i, clocks.seconds))
    }
    expect(guard.status().cutoffs).toBe(1)
    expect(guard.status().cutoffBytes).toBeLessThan(cutoffBytes / 20)
  })

  it('E9: many connections that end leave nothing', () => {
    const { guard } = startGuard()
    for (let i = 0; i < 500; i++) {
      const verdict = verdictOf(guard.check(request(mint({ jti: `${i % 7}` }))))
      if (!verdict.allowed) throw new Error(verdict.code)
      expect(verdict.signal.aborted).toBe(false)
      verdict.release()
    }
    expect(guard.status().live).toBe(0)
  })
})
