import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CUTOFF_KINDS,
  type Cutoff,
  type CutoffKind,
  type CutoffOutcome,
  clientOf,
  cutoffKeys,
  cutoffPlace,
  cutoffsOf,
  EVENT,
  MAX_ACT_DEPTH,
  MAX_SOURCES,
  mergeCutoffs,
  pairId,
  parseSubject,
  type SecurityEvent,
  scopesOf,
  sourceKeys,
  trustForeign,
  trustOwn,
} from '../src/index.ts'
import { type CutoffVector, cutoffVectors, IAT, OTHER, OWN } from './vectors/cutoffs.ts'

const HORIZON = 100_800

function setOf({ type, subject, payload = {}, iss = OWN }: Pick<CutoffVector, 'type' | 'subject' | 'payload' | 'iss'>): SecurityEvent {
  return { iss, jti: 'j', iat: IAT, aud: ['rp'], subject, type, payload }
}

function only(outcome: CutoffOutcome): Cutoff {
  if (outcome.outcome !== 'cutoffs') throw new Error(`no cutoff: ${outcome.outcome}`)
  expect(outcome.cutoffs).toHaveLength(1)
  return outcome.cutoffs[0] as Cutoff
}

describe('an event becomes at most one cutoff', () => {
  it.each(cutoffVectors)('$spec: $description', (vector) => {
    // What a vector names must be what the parser lets through.
    expect(parseSubject(JSON.parse(JSON.stringify(vector.subject)))).toEqual(vector.subject)
    const outcome = cutoffsOf(setOf(vector), vector.trust === 'foreign' ? trustForeign([OTHER]) : trustOwn(OWN), HORIZON)
    if (typeof vector.want === 'string') expect(outcome.outcome).toBe(vector.want)
    else expect(outcome).toMatchObject({ outcome: 'cutoffs', cutoffs: [{ issuer: OWN, ...vector.want }] })
  })

  it('every event type of the table is known', () => {
    const unknown = Object.values(EVENT).filter((type) => {
      const outcome = cutoffsOf(setOf({ type, subject: { format: 'iss_sub', iss: OWN, sub: 'u' } }), trustOwn(OWN), HORIZON)
      return outcome.outcome === 'unmappable'
    })
    // Their subject is an address by definition, which no token names; and a list without its list is malformed.
    expect(unknown.sort()).toEqual([EVENT.identifierChanged, EVENT.identifierRecycled, EVENT.cutoffs].sort())
  })

  it('A6: the same SET gives the same cutoff on every replica, never later than its own second and five', () => {
    const stamp = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.constant(undefined), fc.constant(null))
    fc.assert(
      fc.property(stamp, (event_timestamp) => {
        const set = setOf({ type: EVENT.sessionRevoked, subject: { format: 'iss_sub', iss: OWN, sub: 'u' }, payload: { event_timestamp } as never })
        const outcome = cutoffsOf(set, trustOwn(OWN), HORIZON)
        expect(outcome).toEqual(cutoffsOf(structuredClone(set), trustOwn(OWN), HORIZON))
        const cutoff = only(outcome)
        expect(Number.isSafeInteger(cutoff.t) && cutoff.t >= 0 && cutoff.t <= IAT + 5).toBe(true)
      }),
    )
  })

  it('A4: after the clock of its issuer was set back, t is later than the SET and still holds; for nobody else, and not without the word of our transmitter', () => {
    const t = IAT + 3600
    const subject = { format: 'iss_sub', iss: OWN, sub: 'u' } as const
    const set = setOf({ type: EVENT.sessionRevoked, subject, payload: { event_timestamp: t, caegis_until: t + 60 } as never })
    expect(cutoffsOf(set, trustOwn(OWN), HORIZON)).toMatchObject({ cutoffs: [{ t, until: t + 60 }] })
    expect(cutoffsOf(set, trustForeign([OWN]), HORIZON)).toMatchObject({ cutoffs: [{ t: IAT }] })
    const plain = { ...set, payload: { event_timestamp: t } }
    expect(cutoffsOf(plain, trustOwn(OWN), HORIZON)).toMatchObject({ cutoffs: [{ t: IAT }] })
  })

  it.each([
    ['no later than the horizon', undefined, IAT + HORIZON],
    ['earlier where the transmitter knows', IAT + 60, IAT + 60],
    ['a fraction is rounded up: a token must not outlive its cutoff', IAT + 60.2, IAT + 61],
    ['never past the horizon', IAT + 10 * HORIZON, IAT + HORIZON],
    ['text is ignored', '5', IAT + HORIZON],
  ])('A8: until is %s', (_, caegis_until, until) => {
    const payload = { caegis_until } as never
    const outcome = cutoffsOf(
      setOf({ type: EVENT.sessionRevoked, subject: { format: 'iss_sub', iss: OWN, sub: 'u' }, payload }),
      trustOwn(OWN),
      HORIZON,
    )
    expect(outcome).toMatchObject({ cutoffs: [{ until }] })
  })

  it('A5: a third party may be allowed more by name', () => {
    const set = setOf({ type: EVENT.accountDisabled, subject: { format: 'complex', application: { format: 'opaque', id: 'a' } }, iss: OTHER })
    expect(cutoffsOf(set, trustForeign([OTHER], ['app']), HORIZON).outcome).toBe('cutoffs')
    expect(cutoffsOf(set, trustForeign([OTHER], ['user']), HORIZON).outcome).toBe('refused')
  })
})

describe('what a third party may do', () => {
  const disabled = (subject: CutoffVector['subject'], iss: string) => setOf({ type: EVENT.accountDisabled, subject, iss })
  const own = { format: 'iss_sub', iss: OWN, sub: 'alice' } as const
  const theirs = { format: 'iss_sub', iss: OTHER, sub: 'alice' } as const

  it('A7: account-disabled from another than the issuer is refused, and of its own accounts hits no token of ours', () => {
    expect(cutoffsOf(disabled(own, OTHER), trustForeign([OTHER]), HORIZON)).toEqual({ outcome: 'refused', reason: 'names another issuer' })
    expect(only(cutoffsOf(disabled(theirs, OTHER), trustForeign([OTHER]), HORIZON)).issuer).toBe(OTHER)
  })

  it('A7: within trust it makes a silent or new sign-in decide, and blocks nobody: what is issued afterwards is good', () => {
    const cutoff = only(cutoffsOf(disabled(own, OTHER), trustForeign([OTHER, OWN]), HORIZON))
    expect(cutoff).toMatchObject({ issuer: OWN, kind: 'user', id: 'alice', t: IAT })
    // The rule of every guard: dead when issued at or before t.
    expect([IAT, IAT + 1].map((iat) => iat <= cutoff.t)).toEqual([true, false])
  })

  it('A7: a session or a token that an issuer`s tokens do not name is cut off, and hits none of them', () => {
    const keys = cutoffKeys({ sub: 'alice', oid: 'alice', tid: 'contoso', uti: 'u1' })
    expect(keys?.map(({ kind }) => kind)).toEqual(['tenant', 'user', 'token'])
    const user = { format: 'iss_sub', iss: OWN, sub: 'alice' } as const
    const subject = { format: 'complex', user, session: { format: 'opaque', id: 's1' } } as const
    const { kind, id } = only(cutoffsOf(setOf({ type: EVENT.sessionRevoked, subject }), trustOwn(OWN), HORIZON))
    expect(keys).not.toContainEqual({ kind, id })
  })

  it('A7: whatever a complex subject names, it is one cutoff at most, of what it names, and of a tenant only alone', () => {
    const opaque = fc.constantFrom('a', 'b').map((id) => ({ format: 'opaque' as const, id }))
    const user = fc.constantFrom('alice', 'bob').map((sub) => ({ format: 'iss_sub' as const, iss: OWN, sub }))
    const address = fc.constant({ format: 'email' as const, email: 'a@b.test' })
    const member = fc.oneof(opaque, user, address)
    const names = ['user', 'device', 'session', 'application', 'tenant', 'org_unit', 'group', 'x-site'] as const
    const members = fc.record(Object.fromEntries(names.map((name) => [name, name === 'user' ? fc.oneof(user, address) : member])), {
      requiredKeys: [],
    })
    /** What of a subject a cutoff of each kind must have been made of. */
    const made: Record<CutoffKind, readonly string[]> = {
      ...{ tenant: ['tenant'], user: ['user'], session: ['session'], token: [], app: ['application'], device: ['device'] },
      ...{ grant: ['user', 'application'], 'user-device': ['user', 'device'] },
    }
    const idOf = (one: unknown) => (one as { id?: string }).id ?? (one as { sub?: string }).sub
    fc.assert(
      fc.property(members, (given) => {
        fc.pre(Object.keys(given).length > 0)
        const subject = { format: 'complex', ...given } as CutoffVector['subject']
        const outcome = cutoffsOf(setOf({ type: EVENT.sessionRevoked, subject }), trustOwn(OWN), HORIZON)
        if (outcome.outcome !== 'cutoffs') {
          expect(outcome.outcome).toBe('unmappable')
          return
        }
        const { kind, id } = only(outcome)
        expect(id).toBe(made[kind].map((name) => idOf(given[name])).join('\n'))
        if (kind === 'tenant') expect(Object.keys(given)).toEqual(['tenant'])
        // A pair or a session that is named is never widened to one of its halves.
        if (kind === 'user') for (const name of ['session', 'application', 'device']) expect(given).not.toHaveProperty(name)
        if (kind === 'device' || kind === 'app') expect(given).not.toHaveProperty('user')
        if (kind !== 'session') expect(given).not.toHaveProperty('session')
      }),
      { numRuns: 2000 },
    )
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

  it("A7: reads Entra's names: oid beside a pairwise sub, uti where there is no jti, appid", () => {
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
    const { kind, id } = only(cutoffsOf(setOf({ type: EVENT.sessionRevoked, subject }), trustOwn(OWN), HORIZON))
    expect(cutoffKeys(claims)).toContainEqual({ kind, id })
  })

  const chain = (depth: number): object | undefined =>
    depth === 0 ? undefined : { sub: `agent-${depth}`, client_id: `app-${depth}`, act: chain(depth - 1) }

  it('actors die too, down to depth 4', () => {
    const keys = cutoffKeys({ ...claims, act: chain(MAX_ACT_DEPTH) })
    for (let depth = 1; depth <= MAX_ACT_DEPTH; depth++) {
      expect(keys).toContainEqual({ kind: 'user', id: `agent-${depth}` })
      expect(keys).toContainEqual({ kind: 'app', id: `app-${depth}` })
      expect(keys).toContainEqual({ kind: 'app', id: `agent-${depth}` })
      expect(keys).toContainEqual({ kind: 'grant', id: pairId(String(claims.sub), `app-${depth}`) })
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

  it('A3: what a token was derived from ends it too', () => {
    const from = [
      ['token', 'j0'],
      ['session', 's9'],
      ['user-device', pairId('robot', 'd9')],
      ['token', 'j1'],
    ]
    const keys = cutoffKeys({ ...claims, caegis_from: from }) ?? []
    for (const [kind, id] of from) expect(keys.filter((key) => key.kind === kind && key.id === id)).toHaveLength(1)
    expect(sourceKeys({ caegis_from: from })).toEqual(from.map(([kind, id]) => ({ kind, id })))
    expect(sourceKeys(claims)).toEqual([])
    expect(cutoffKeys({ ...claims, caegis_from: [] })).toEqual(cutoffKeys(claims))
  })

  it.each([
    ['too many', Array.from({ length: MAX_SOURCES + 1 }, (_, n) => ['token', `t${n}`])],
    ['null', null],
    ['text', 'token j0'],
    ['an object', { token: 'j0' }],
    ['a pair too long', [['token', 'j0', 'j1']]],
    ['an unknown kind', [['shoe', 'j0']]],
    ['an id that is none', [['token', '']]],
    ['half a pair', [['grant', 'alice']]],
    ['one bad among good ones', [['token', 'j0'], 'token']],
  ])('E9: sources that are %s are refused, not ignored', (_, from) => {
    expect(cutoffKeys({ ...claims, caegis_from: from })).toBeUndefined()
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
    // The joint cannot occur in an id.
    expect(cutoffKeys({ sub: 'alice\nspa' })).toBeUndefined()
  })

  it.each(['sub', 'oid', 'uid', 'tid', 'sid', 'jti', 'uti', 'azp', 'client_id', 'appid', 'cid', 'deviceid'])(
    'a token whose %s nobody could be cut off by is refused; one that names nothing by it is not',
    (name) => {
      for (const odd of [12345, true, 'x'.repeat(1025), 'a\u0000b', ['alice'], {}])
        expect([odd, cutoffKeys({ [name]: odd })]).toEqual([odd, undefined])
      for (const nothing of [undefined, null, '']) expect(cutoffKeys({ [name]: nothing })).toEqual([])
      expect(cutoffKeys({ act: { [name]: 'alice' } })).toBeDefined()
    },
  )

  it('A7: the client is whoever the issuer calls so', () => {
    for (const name of ['azp', 'client_id', 'appid', 'cid']) expect(clientOf({ [name]: 'spa' })).toBe('spa')
    expect(clientOf({ cid: 'okta', azp: 'ours' })).toBe('ours')
    expect(cutoffKeys({ sub: 'alice', act: { sub: 'agent', cid: 'bot' } })).toContainEqual({ kind: 'grant', id: pairId('alice', 'bot') })
  })

  it('scopes are read wherever an issuer writes them', () => {
    expect(scopesOf({ scp: 'A B', scope: ['B', 'C', 7] })).toEqual(['A', 'B', 'C'])
    expect(scopesOf({ scope: ' A  B ' })).toEqual(['A', 'B'])
    expect([scopesOf({}), scopesOf({ scp: '' }), scopesOf({ scp: { A: 1 } })]).toEqual([[], [], []])
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

  it('A9: one that spares tokens and one that does not are kept apart', () => {
    const [claims, access] = (['claims', 'access'] as const).map(
      (depth): Cutoff => ({ issuer: OWN, kind: 'user', id: 'alice', t: 1, depth, until: 2 }),
    )
    expect(cutoffPlace(claims as Cutoff)).not.toBe(cutoffPlace(access as Cutoff))
    expect(() => mergeCutoffs(claims as Cutoff, access as Cutoff)).toThrow(TypeError)
    expect(mergeCutoffs(claims as Cutoff, { ...(claims as Cutoff), t: 5 })).toMatchObject({ t: 5, depth: 'claims' })
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
