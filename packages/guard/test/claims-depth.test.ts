import { type Cutoff, cutoffsOf, EVENT, packCutoffs, parseCutoffs, type SecurityEvent, trustForeign, trustOwn } from '@caegis/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Sink, Source } from '../src/source.ts'
import type { Allowed } from '../src/verdict.ts'
import { cutoff, head, ISSUER, mint, outcome, START, startGuard } from './tokens.ts'

const IAT = START - 60
const capable = mint({ xms_cc: ['CP1'], jti: 'j-cp1' })
const plain = mint({ jti: 'j-plain' })
const claims = (id: string, t: number) => cutoff('user', id, t, { depth: 'claims' })

describe('A9: cutoffs that spare who cannot answer a challenge', () => {
  it('a token with cp1 is refused with a challenge, one without goes on; another user notices nothing', () => {
    const { check, sink } = startGuard()
    const other = mint({ sub: 'bob', oid: 'bob', sid: 's-2', jti: 'j-2', xms_cc: ['cp1'] })
    for (const token of [capable, plain, other]) expect(outcome(check(token))).toBe('allowed')
    sink.merge([claims('alice', IAT)], 1)
    const denied = check(capable)
    expect(outcome(denied)).toBe('revoked')
    if (!denied.allowed) expect(denied.headers['WWW-Authenticate']).toContain('insufficient_claims')
    expect([check(plain), check(other)].map(outcome)).toEqual(['allowed', 'allowed'])
    // At first sight too.
    expect(outcome(check(mint({ jti: 'j-new' })))).toBe('allowed')
    expect(outcome(check(mint({ jti: 'j-new', xms_cc: ['cp1'] })))).toBe('revoked')
  })

  it.each(['access', 'sign-in'] as const)('a later one of depth %s ends the spared token too, and so does an earlier one that covers it', (depth) => {
    const { check, sink } = startGuard()
    sink.merge([claims('alice', IAT)])
    sink.merge([cutoff('user', 'alice', IAT - 1, { depth })])
    expect(outcome(check(plain))).toBe('allowed')
    sink.merge([cutoff('user', 'alice', IAT, { depth })])
    expect(outcome(check(plain))).toBe('revoked')
    // The later one that spares does not stand for it.
    sink.merge([claims('alice', IAT + 30)])
    expect(outcome(check(plain))).toBe('revoked')
  })

  it('live connections: those of tokens with cp1 end, the others stay', () => {
    const { check, sink, guard } = startGuard()
    const [one, two] = [capable, plain].map((token) => (check(token) as Allowed).signal)
    sink.merge([claims('alice', IAT)])
    expect([one?.aborted, two?.aborted]).toEqual([true, false])
    sink.merge([cutoff('user', 'alice', IAT)])
    expect(two?.aborted).toBe(true)
    expect(guard.status().live).toBe(0)
  })

  it('the first refusal because of such an event is told', () => {
    const { told, sink, check } = startTelling()
    sink.merge([claims('alice', IAT)], 7)
    check(plain)
    expect(told).toEqual([])
    check(capable)
    expect(told).toEqual([7])
  })

  it('a foreign transmitter spares nobody: what it says so is of depth access', () => {
    const event: SecurityEvent = {
      ...{ iss: ISSUER, jti: 'e', iat: START, aud: ['x'], type: EVENT.tokenClaimsChange },
      subject: { format: 'iss_sub', iss: ISSUER, sub: 'alice' },
      payload: { event_timestamp: IAT, caegis_depth: 'claims' },
    }
    for (const [trust, left] of [
      [trustOwn(ISSUER), 'allowed'],
      [trustForeign([ISSUER]), 'revoked'],
    ] as const) {
      const { check, sink } = startGuard()
      const meaning = cutoffsOf(event, trust, 1000)
      if (meaning.outcome !== 'cutoffs') throw new Error(meaning.outcome)
      sink.merge(meaning.cutoffs)
      expect([check(capable), check(plain)].map(outcome)).toEqual(['revoked', left])
    }
  })

  it('any order, any number of times, as rows of a snapshot or as events: a token with cp1 hears of all, one without of all but these', () => {
    const one: fc.Arbitrary<Cutoff> = fc
      .tuple(
        fc.constantFrom(['user', 'alice'] as const, ['session', 's-1'] as const, ['user', 'bob'] as const),
        fc.constantFrom('claims' as const, 'access' as const, 'sign-in' as const),
        fc.integer({ min: -2, max: 2 }),
      )
      .map(([[kind, id], depth, by]) => cutoff(kind, id, IAT + by, { depth }))
    const lists = fc
      .array(one, { minLength: 1, maxLength: 8 })
      .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray([...list, ...list], { minLength: list.length })))
    fc.assert(
      fc.property(lists, fc.nat(8), ([list, again], cut) => {
        const hit = (cutoffs: Cutoff[]) => cutoffs.some(({ id, t }) => id !== 'bob' && IAT <= t)
        const { check, sink } = startGuard()
        const snapshot = [...list, ...again].slice(0, list.length + cut)
        for (const rows of packCutoffs(snapshot)) sink.merge(parseCutoffs(JSON.parse(JSON.stringify(rows)), ISSUER))
        for (const later of again) sink.merge([later])
        expect(outcome(check(capable))).toBe(hit(list) ? 'revoked' : 'allowed')
        expect(outcome(check(plain))).toBe(hit(list.filter(({ depth }) => depth !== 'claims')) ? 'revoked' : 'allowed')
      }),
    )
  })
})

/** A guard, and what it tells its source of first refusals. */
function startTelling() {
  const told: number[] = []
  const held: { sink?: Sink } = {}
  const source: Source = {
    start(sink) {
      held.sink = sink
    },
    refused: (seq) => void told.push(seq),
    close: async () => {},
  }
  const guard = startGuard({ source, hydrate: false })
  const sink = held.sink as Sink
  sink.synced(head(0, START))
  return { ...guard, sink, told }
}
