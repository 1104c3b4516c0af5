import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CaegisError,
  CUTOFF_DEPTHS,
  CUTOFF_KINDS,
  type Cutoff,
  type CutoffRow,
  cutoffPlace,
  cutoffsOf,
  EVENT,
  event,
  mergeCutoffs,
  packCutoffs,
  pairId,
  parseColumns,
  parseCutoffs,
  type SecurityEvent,
  type Subject,
  trustForeign,
  trustOwn,
} from '../src/index.ts'
import { IAT, OTHER, OWN } from './vectors/cutoffs.ts'
import { vectors } from './vectors/load.ts'

const HORIZON = 100_800
const subject = { format: 'complex', tenant: { format: 'opaque', id: 'contoso' } } as const

function listOf(cutoffs: unknown, iss = OWN): SecurityEvent {
  return { iss, jti: 'j', iat: IAT, aud: ['rp'], subject, type: EVENT.cutoffs, payload: { cutoffs } }
}

it('columns of which the times are no numbers are refused, however deep they nest', () => {
  const deep = JSON.parse(`${'['.repeat(20_000)}1${']'.repeat(20_000)}`) as unknown
  const columns = (from: unknown, t: unknown, lasts: unknown) => [['user', 'access', from, ['alice'], [t], [lasts]]]
  expect([...parseColumns(columns(IAT, 0, 60), OWN)].flat()).toHaveLength(1)
  for (const wrong of [deep, '1', null, [1], {}])
    for (const one of [columns(wrong, 0, 60), columns(IAT, wrong, 60), columns(IAT, 0, wrong)])
      expect(() => [...parseColumns(one, OWN)]).toThrow(expect.objectContaining({ code: 'invalid_cutoffs' }))
})

const row = (t: number, until = IAT + 60): CutoffRow => ['user', 'alice', t, 'access', until]

describe('rows', () => {
  it.each(vectors('rows'))('$spec: $description', ({ in: given, want }) => {
    const whole = given ?? undefined
    if (want === 'bad') {
      expect(() => parseCutoffs(whole, OWN)).toThrow(expect.objectContaining({ code: 'invalid_cutoffs' }))
      // Not in part either, when it comes as an event.
      expect(cutoffsOf(listOf(whole), trustOwn(OWN), HORIZON)).toEqual({ outcome: 'unmappable', reason: 'malformed cutoffs' })
    } else {
      const cutoffs = parseCutoffs(whole, OWN)
      expect(cutoffs.map(({ kind, id, t, depth, until }) => [kind, id, t, depth, until])).toEqual(given)
      for (const { issuer } of cutoffs) expect(issuer).toBe(OWN)
    }
  })

  it('1000 are read, 1001 are not', () => {
    expect(parseCutoffs(Array(1000).fill(row(IAT)), OWN)).toHaveLength(1000)
    expect(() => parseCutoffs(Array(1001).fill(row(IAT)), OWN)).toThrow(CaegisError)
  })

  it('whatever JSON comes, it is read whole or a CaegisError', () => {
    const odd = fc.array(
      fc.oneof(
        fc.jsonValue(),
        fc.tuple(fc.constantFrom<any>(...CUTOFF_KINDS, 1), fc.string(), fc.integer(), fc.constantFrom('access', 'x'), fc.double()),
      ),
    )
    fc.assert(
      fc.property(fc.oneof(odd, fc.jsonValue()), (value) => {
        try {
          expect(parseCutoffs(value, OWN)).toHaveLength((value as unknown[]).length)
        } catch (error) {
          expect(error).toBeInstanceOf(CaegisError)
        }
      }),
    )
  })
})

describe('a list of cutoffs in one event', () => {
  it('only the issuer itself, trusted with every kind, may send one', () => {
    const rows = [row(IAT)]
    expect(cutoffsOf(listOf(rows), trustOwn(OWN), HORIZON).outcome).toBe('cutoffs')
    const refused = { outcome: 'refused', reason: 'may not list cutoffs' }
    expect(cutoffsOf(listOf(rows, OTHER), trustForeign([OTHER]), HORIZON)).toEqual(refused)
    expect(cutoffsOf(listOf(rows, OTHER), trustOwn(OWN), HORIZON)).toEqual(refused)
    expect(cutoffsOf(listOf(rows, OTHER), trustForeign([OWN]), HORIZON)).toEqual(refused)
    for (const kind of CUTOFF_KINDS) {
      const others = CUTOFF_KINDS.filter((one) => one !== kind)
      expect(cutoffsOf(listOf(rows), trustForeign([OWN], others), HORIZON)).toEqual(refused)
    }
    // Whether it is malformed is nobody's business who may not send it.
    expect(cutoffsOf(listOf('x', OTHER), trustForeign([OTHER]), HORIZON)).toEqual(refused)
  })

  it('A5: it speaks of its own issuer, whatever its subject says', () => {
    const set = { ...listOf([row(IAT)]), subject: { format: 'iss_sub', iss: OTHER, sub: 'x' } as Subject }
    expect(cutoffsOf(set, trustOwn(OWN), HORIZON)).toMatchObject({ cutoffs: [{ issuer: OWN }] })
  })

  it('A4: after the clock of their issuer was set back, t is later than the SET and still holds', () => {
    const t = IAT + 3600
    expect(cutoffsOf(listOf([row(t)]), trustOwn(OWN), HORIZON)).toMatchObject({ cutoffs: [{ t }] })
  })

  it.each([
    ['as given', IAT + 60, IAT + 60],
    ['rounded up', IAT + 60.2, IAT + 61],
    ['never past the horizon', IAT + 10 * HORIZON, IAT + HORIZON],
  ])('A8: until is %s', (_, given, until) => {
    expect(cutoffsOf(listOf([row(IAT, given)]), trustOwn(OWN), HORIZON)).toMatchObject({ cutoffs: [{ until }] })
  })
})

describe('many at once are the same as each by itself', () => {
  const id = fc.constantFrom('a', 'b', 'é"\\')
  const pair = fc.tuple(id, id).map(([a, b]) => pairId(a, b))
  const cutoff: fc.Arbitrary<Cutoff> = fc
    .tuple(
      fc.constantFrom(...CUTOFF_KINDS),
      id,
      pair,
      fc.integer({ min: IAT - 20, max: IAT + 5 }),
      fc.constantFrom(...CUTOFF_DEPTHS),
      fc.nat(HORIZON),
    )
    .map(([kind, one, both, t, depth, life]) => ({
      ...{ issuer: OWN, kind, t, until: t + life },
      id: kind === 'grant' || kind === 'user-device' ? both : one,
      depth: kind === 'token' ? 'access' : depth,
    }))
  /** What a guard knows after it merged them in this order. */
  const merged = (cutoffs: readonly Cutoff[]) => {
    const table = new Map<string, Cutoff>()
    for (const one of cutoffs) {
      const key = cutoffPlace(one)
      const known = table.get(key)
      table.set(key, known ? mergeCutoffs(known, one) : one)
    }
    return Object.fromEntries([...table].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  const read = (set: SecurityEvent) => {
    const outcome = cutoffsOf(JSON.parse(JSON.stringify(set)), trustOwn(OWN), HORIZON)
    if (outcome.outcome !== 'cutoffs') throw new Error(outcome.outcome)
    return outcome.cutoffs
  }
  const lists = fc
    .array(cutoff, { minLength: 1, maxLength: 30 })
    .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray([...list, ...list], { minLength: list.length * 2 })))

  it('a cutoffs SET merges to what its cutoffs merge to, in any order, any number of times', () => {
    fc.assert(
      fc.property(lists, fc.integer({ min: 1, max: 30 }), ([list, again], cut) => {
        const sets = [again.slice(0, cut), again.slice(cut)]
          .flatMap(packCutoffs)
          .map((rows) => listOf(event(EVENT.cutoffs, { cutoffs: rows }).payload.cutoffs))
        expect(merged(sets.flatMap(read))).toEqual(merged(list))
      }),
    )
  })

  it('and to what one event each would merge to', () => {
    const subjectOf = ({ kind, id: name }: Cutoff): Subject => {
      const user = (sub: string) => ({ format: 'iss_sub' as const, iss: OWN, sub })
      const opaque = (value: string) => ({ format: 'opaque' as const, id: value })
      const [first = '', second = ''] = name.split('\n')
      switch (kind) {
        case 'user':
          return user(name)
        case 'token':
          return { format: 'jwt_id', iss: OWN, jti: name }
        case 'grant':
          return { format: 'complex', user: user(first), application: opaque(second) }
        case 'user-device':
          return { format: 'complex', user: user(first), device: opaque(second) }
        default:
          return { format: 'complex', [kind === 'app' ? 'application' : kind]: opaque(name) }
      }
    }
    const alone = (one: Cutoff): SecurityEvent => ({
      ...listOf(undefined),
      type: EVENT.sessionRevoked,
      subject: subjectOf(one),
      payload: event(EVENT.sessionRevoked, { event_timestamp: one.t, caegis_depth: one.depth, caegis_until: one.until }).payload,
    })
    fc.assert(
      fc.property(lists, ([list, again]) => {
        expect(merged(again.flatMap((one) => read(alone(one))))).toEqual(merged(read(listOf(packCutoffs(list)[0]))))
      }),
    )
  })
})

describe('packing', () => {
  it('keeps every cutoff in order, in lists that an event may carry', () => {
    const long = fc.integer({ min: 1, max: 1024 }).chain((size) => fc.constantFrom('x', 'é', '"', '語').map((one) => one.repeat(size)))
    const cutoffs = fc.array(
      long.map((id): Cutoff => ({ issuer: OWN, kind: 'user', id, t: 1, depth: 'access', until: 2 })),
      { minLength: 20, maxLength: 200, size: 'max' },
    )
    fc.assert(
      fc.property(cutoffs, (all) => {
        const lists = packCutoffs(all)
        expect(lists.flat().map(([, id]) => id)).toEqual(all.map(({ id }) => id))
        for (const rows of lists) {
          expect(Buffer.byteLength(JSON.stringify(rows))).toBeLessThanOrEqual(40_000)
          expect(() => event(EVENT.cutoffs, { cutoffs: rows })).not.toThrow()
        }
      }),
      { numRuns: 30 },
    )
  })

  it('a list is as full as it may be', () => {
    const short: Cutoff = { issuer: OWN, kind: 'user', id: 'x', t: 1, depth: 'access', until: 2 }
    expect(packCutoffs([])).toEqual([])
    expect(packCutoffs(Array(2001).fill(short)).map((rows) => rows.length)).toEqual([1000, 1000, 1])
    const session: Cutoff = { issuer: OWN, kind: 'session', id: 's'.repeat(22), t: IAT, depth: 'access', until: IAT + HORIZON }
    const lists = packCutoffs(Array(1000).fill(session))
    const bytes = lists.map((rows) => JSON.stringify(rows).length)
    expect(lists).toHaveLength(2)
    expect(bytes[0]).toBeLessThanOrEqual(40_000)
    expect((bytes[0] ?? 0) + JSON.stringify(lists[1]?.[0]).length + 1).toBeGreaterThan(40_000)
  })
})
