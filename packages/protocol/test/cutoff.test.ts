import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CUTOFF_KINDS,
  type Cutoff,
  cutoffKeys,
  cutoffOf,
  EVENT,
  MAX_ACT_DEPTH,
  mergeCutoffs,
  pairId,
  parseSubject,
  type SecurityEvent,
  trustForeign,
  trustOwn,
} from '../src/index.ts'
import { type CutoffVector, cutoffVectors, IAT, OTHER, OWN } from './vectors/cutoffs.ts'

const HORIZON = 100_800

function setOf({ type, subject, payload = {}, iss = OWN }: Pick<CutoffVector, 'type' | 'subject' | 'payload' | 'iss'>): SecurityEvent {
  return { iss, jti: 'j', iat: IAT, aud: ['rp'], subject, type, payload }
}

describe('an event becomes at most one cutoff', () => {
  it.each(cutoffVectors)('$spec: $description', (vector) => {
    // What a vector names must be what the parser lets through.
    expect(parseSubject(JSON.parse(JSON.stringify(vector.subject)))).toEqual(vector.subject)
    const outcome = cutoffOf(setOf(vector), vector.trust === 'foreign' ? trustForeign([OTHER]) : trustOwn(OWN), HORIZON)
    if (typeof vector.want === 'string') expect(outcome.outcome).toBe(vector.want)
    else expect(outcome).toMatchObject({ outcome: 'cutoff', cutoff: { issuer: OWN, ...vector.want } })
  })

  it('every event type of the table is known', () => {
    const unknown = Object.values(EVENT).filter((type) => {
      const outcome = cutoffOf(setOf({ type, subject: { format: 'iss_sub', iss: OWN, sub: 'u' } }), trustOwn(OWN), HORIZON)
      return outcome.outcome === 'unmappable'
    })
    // Their subject is an address by definition, which no token names.
    expect(unknown.sort()).toEqual([EVENT.identifierChanged, EVENT.identifierRecycled].sort())
  })

  it('A6: the same SET gives the same cutoff on every replica, never later than its own second and five', () => {
    const stamp = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.constant(undefined), fc.constant(null))
    fc.assert(
      fc.property(stamp, (event_timestamp) => {
        const set = setOf({ type: EVENT.sessionRevoked, subject: { format: 'iss_sub', iss: OWN, sub: 'u' }, payload: { event_timestamp } as never })
        const outcome = cutoffOf(set, trustOwn(OWN), HORIZON)
        expect(outcome).toEqual(cutoffOf(structuredClone(set), trustOwn(OWN), HORIZON))
        const { cutoff } = outcome as { cutoff: Cutoff }
        expect(Number.isSafeInteger(cutoff.t) && cutoff.t >= 0 && cutoff.t <= IAT + 5).toBe(true)
      }),
    )
  })

  it.each([
    ['no later than the horizon', undefined, IAT + HORIZON],
    ['earlier where the transmitter knows', IAT + 60, IAT + 60],
    ['a fraction is rounded up: a token must not outlive its cutoff', IAT + 60.2, IAT + 61],
    ['never past the horizon', IAT + 10 * HORIZON, IAT + HORIZON],
    ['text is ignored', '5', IAT + HORIZON],
  ])('A8: until is %s', (_, caegis_until, until) => {
    const payload = { caegis_until } as never
    const outcome = cutoffOf(
      setOf({ type: EVENT.sessionRevoked, subject: { format: 'iss_sub', iss: OWN, sub: 'u' }, payload }),
      trustOwn(OWN),
      HORIZON,
    )
    expect(outcome).toMatchObject({ cutoff: { until } })
  })

  it('A5: a third party may be allowed more by name', () => {
    const set = setOf({ type: EVENT.accountDisabled, subject: { format: 'complex', application: { format: 'opaque', id: 'a' } }, iss: OTHER })
    expect(cutoffOf(set, trustForeign([OTHER], ['app']), HORIZON).outcome).toBe('cutoff')
    expect(cutoffOf(set, trustForeign([OTHER], ['user']), HORIZON).outcome).toBe('refused')
  })
})

describe('the keys of a token', () => {
  const claims = { iss: OWN, sub: 'alice', oid: 'alice', tid: 'contoso', sid: 's1', jti: 'j1', azp: 'spa', client_id: 'spa', deviceid: 'd1' }

  it('has one of every kind', () => {
    const keys = cutoffKeys(claims) ?? []
    expect(keys.map(({ kind }) => kind).sort()).toEqual([...CUTOFF_KINDS].sort())
    expect(keys).toContainEqual({ kind: 'grant', id: pairId('alice', 'spa') })
    expect(keys).toContainEqual({ kind: 'user-device', id: pairId('alice', 'd1') })
  })

  it("reads Entra's names: oid beside a pairwise sub, uti, appid", () => {
    const keys = cutoffKeys({ sub: 'pairwise', oid: 'alice', uti: 'u1', appid: 'spa' })
    expect(keys).toEqual(
      expect.arrayContaining([
        { kind: 'user', id: 'pairwise' },
        { kind: 'user', id: 'alice' },
        { kind: 'token', id: 'u1' },
        { kind: 'app', id: 'spa' },
        { kind: 'grant', id: pairId('alice', 'spa') },
      ]),
    )
  })

  it('a cutoff that an event makes is found among them', () => {
    const subject = parseSubject({
      format: 'complex',
      user: { format: 'iss_sub', iss: OWN, sub: 'alice' },
      application: { format: 'opaque', id: 'spa' },
    })
    const outcome = cutoffOf(setOf({ type: EVENT.sessionRevoked, subject }), trustOwn(OWN), HORIZON) as { cutoff: Cutoff }
    expect(cutoffKeys(claims)).toContainEqual({ kind: outcome.cutoff.kind, id: outcome.cutoff.id })
  })

  const chain = (depth: number): object | undefined =>
    depth === 0 ? undefined : { sub: `agent-${depth}`, client_id: `app-${depth}`, act: chain(depth - 1) }

  it('actors die too, down to depth 4', () => {
    const keys = cutoffKeys({ ...claims, act: chain(MAX_ACT_DEPTH) })
    for (let depth = 1; depth <= MAX_ACT_DEPTH; depth++) {
      expect(keys).toContainEqual({ kind: 'user', id: `agent-${depth}` })
      expect(keys).toContainEqual({ kind: 'app', id: `app-${depth}` })
      expect(keys).toContainEqual({ kind: 'app', id: `agent-${depth}` })
    }
  })

  it.each([
    ['deeper than 4', chain(MAX_ACT_DEPTH + 1)],
    ['null', null],
    ['text', 'agent'],
    ['a list', [{ sub: 'agent' }]],
  ])('E9: an act chain that is %s is refused, not ignored', (_, act) => {
    expect(cutoffKeys({ ...claims, act })).toBeUndefined()
  })

  it('odd claims give no keys and no throw; no key stands twice', () => {
    const value = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant('same'), fc.array(fc.string()), fc.object())
    const names = ['sub', 'oid', 'tid', 'sid', 'jti', 'uti', 'azp', 'client_id', 'appid', 'deviceid']
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), (odd) => {
        const keys = cutoffKeys(odd) ?? []
        expect(new Set(keys.map(({ kind, id }) => `${kind} ${id}`)).size).toBe(keys.length)
        for (const { id } of keys) expect(typeof id).toBe('string')
      }),
    )
  })

  it('a pair is not another pair', () => {
    expect(pairId('a', 'b')).not.toBe(pairId('ab', ''))
    // The joint cannot occur in an id: a claim that holds it yields no key.
    expect(cutoffKeys({ sub: 'alice\nspa' })).toEqual([])
  })
})

describe('merging', () => {
  const cutoff: fc.Arbitrary<Cutoff> = fc.record({
    issuer: fc.constant(OWN),
    kind: fc.constant('user' as const),
    id: fc.constant('alice'),
    t: fc.nat(50),
    depth: fc.constantFrom('access' as const, 'sign-in' as const),
    until: fc.nat(50),
  })

  it('is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(cutoff, cutoff, cutoff, (a, b, c) => {
        expect(mergeCutoffs(a, b)).toEqual(mergeCutoffs(b, a))
        expect(mergeCutoffs(mergeCutoffs(a, b), c)).toEqual(mergeCutoffs(a, mergeCutoffs(b, c)))
        expect(mergeCutoffs(a, a)).toEqual(a)
        expect(mergeCutoffs(mergeCutoffs(a, b), b)).toEqual(mergeCutoffs(a, b))
      }),
    )
  })

  it('takes the latest instant, the longest until, and the deeper depth', () => {
    fc.assert(
      fc.property(cutoff, cutoff, (a, b) => {
        const merged = mergeCutoffs(a, b)
        expect(merged.t).toBe(Math.max(a.t, b.t))
        expect(merged.until).toBe(Math.max(a.until, b.until))
        expect(merged.depth).toBe([a.depth, b.depth].includes('sign-in') ? 'sign-in' : 'access')
      }),
    )
  })

  it('any order, any number of times, gives the same state', () => {
    const lists = fc
      .array(cutoff, { minLength: 1, maxLength: 8 })
      .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray([...list, ...list], { minLength: list.length * 2 })))
    fc.assert(
      fc.property(lists, ([list, again]) => {
        expect(list.reduce((a, b) => mergeCutoffs(a, b))).toEqual(again.reduce((a, b) => mergeCutoffs(a, b)))
      }),
    )
  })
})
