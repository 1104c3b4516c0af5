import { describe, expect, it } from 'vitest'
import type { Proof, ProofReceiver } from '../src/api/proofs.ts'
import { lanesOf } from '../src/screens/proof/receivers.ts'
import { scaleFor } from '../src/screens/proof/scale.ts'
import { sentencesOf } from '../src/screens/proof/summary.ts'

const COMMITTED = Date.parse('2026-05-01T12:00:00.500Z')
const after = (milliseconds: number) => ({ at: new Date(COMMITTED + milliseconds).toISOString() })
const guard = (id: string, more: Partial<ProofReceiver> = {}): ProofReceiver => ({
  ...{ streamId: id, appId: 'files-api', displayName: 'Files', guard: true, status: 'enabled', complete: true },
  ...(more.complete === false ? {} : { sent: { ...after(2), attempt: 1 }, applied: after(4) }),
  ...more,
})
const proofOf = (receivers: ProofReceiver[], more: Partial<Proof> = {}): Proof => ({
  ...{ txn: 't', committedDateTime: new Date(COMMITTED).toISOString(), activity: null, initiatedBy: null, events: [], receiversLeftOut: 0 },
  subject: { kind: 'user', id: 'u', displayName: 'Alice', userId: 'u', userPrincipalName: 'alice@contoso.test', count: 1 },
  ...{ receivers, refusals: [], answers: [] },
  ...more,
})

describe('the proof in sentences', () => {
  it('says when it had arrived, who refused first and what the client did', () => {
    const refusals = [{ streamId: 'a', appId: 'files-api', displayName: 'Files', atDateTime: '', milliseconds: 212 }]
    const answer = { signInId: 's', atDateTime: '', milliseconds: 9000, application: { id: 'spa', displayName: 'Browser' }, policies: [] }
    const proof = proofOf([guard('a'), guard('b', { applied: after(3) }), guard('c')], { refusals, answers: [{ ...answer, outcome: 'signedIn' }] })
    expect(sentencesOf(proof).join(' ')).toBe(
      'Applied by 3 of 3 guards after 4 ms. First request refused by Files after 212 ms. alice signed in again after 9.0 s.',
    )
    const policies = [{ id: 'p', displayName: 'Office only' }]
    expect(sentencesOf({ ...proof, answers: [{ ...answer, outcome: 'blocked', policies }] }).at(-1)).toBe(
      'alice was blocked after 9.0 s by Office only.',
    )
  })

  it('counts guards, and names others only while they are waited for', () => {
    const push = guard('p', { guard: false, complete: false })
    expect(sentencesOf(proofOf([guard('a'), guard('b', { complete: false }), push]))).toEqual([
      'Applied by 1 of 2 guards after 4 ms.',
      '1 other receiver does not have it yet.',
    ])
    expect(sentencesOf(proofOf([guard('a', { complete: false })]))).toEqual(['Applied by 0 of 1 guard.'])
    expect(sentencesOf(proofOf([{ ...push, complete: true, acked: after(30) }]))).toEqual(['Taken by 1 of 1 receiver after 30 ms.'])
    expect(sentencesOf(proofOf([]))).toEqual(['No API listens to this tenant, so nobody had to be told.'])
  })
})

describe('the lines of the picture', () => {
  const textsOf = (...receivers: ProofReceiver[]) => lanesOf(proofOf(receivers)).lanes.map(({ tone, text }) => [tone, text])

  it('say what became of each receiver, and why one does not have it', () => {
    const waiting = { guard: false, complete: false } as const
    expect(textsOf(guard('a', waiting))).toEqual([['warn', 'has not fetched it yet']])
    expect(textsOf(guard('a', { ...waiting, sent: after(2) }))).toEqual([['warn', 'sent, and not acknowledged yet']])
    expect(textsOf(guard('a', { ...waiting, status: 'paused', statusReason: 'investigation' }))).toEqual([
      ['bad', 'its stream is paused: investigation'],
    ])
    expect(textsOf(guard('a', { ...waiting, sent: after(2), failed: { ...after(5), attempt: 3, reason: 'http 503' } }))).toEqual([
      ['bad', 'delivery fails (try 3): it answered HTTP 503'],
    ])
    // Sent once more since.
    expect(textsOf(guard('a', { ...waiting, failed: { ...after(5), reason: 'timeout' }, sent: after(9) }))).toEqual([
      ['warn', 'sent, and not acknowledged yet'],
    ])
    expect(textsOf(guard('a', { applied: undefined as never, dead: { ...after(7), reason: 'invalid_key' } }))).toEqual([
      ['bad', 'did not take it: it could not find the key of the signature'],
    ])
    const { applied: _, ...quiet } = guard('a')
    expect(textsOf(quiet)).toEqual([['quiet', 'has it: it came with all that was in force']])
    expect(textsOf({ ...quiet, guard: false })).toEqual([['quiet', 'was not to be told of it']])
  })

  it('put those in trouble first, tell copies of one API apart, and believe a refusal before the report of it', () => {
    const { lanes } = lanesOf(
      proofOf([
        guard('slow', { applied: after(90) }),
        guard('early', { applied: after(60), refused: after(20) }),
        guard('late', { complete: false }),
      ]),
    )
    expect(lanes.map(({ name, to }) => [name, to])).toEqual([
      ['Files · late', undefined],
      ['Files · earl', 20],
      ['Files · slow', 90],
    ])
    expect(lanesOf(proofOf([guard('only')])).lanes[0]?.name).toBe('Files')
  })

  it('are one for each API where there are hundreds, and one for each of the first that are in trouble', () => {
    const many = Array.from({ length: 500 }, (_, i) => guard(`s${i}`, i % 50 === 7 ? { complete: false } : { applied: after(i + 1) }))
    const others = Array.from({ length: 20 }, (_, i) => guard(`m${i}`, { appId: 'mail-api', displayName: 'Mail' }))
    const { lanes, more } = lanesOf(proofOf([...many, ...others]))
    expect(more).toBe(2)
    expect(lanes.map(({ tone }) => tone)).toEqual([...Array.from({ length: 8 }, () => 'warn'), 'good', 'good'])
    expect(lanes.slice(8).map(({ name, text }) => [name, text])).toEqual([
      ['Files', '490 guards have applied it, half of them after 250 ms, all after 500 ms'],
      ['Mail', '20 guards have applied it, half of them after 4 ms, all after 4 ms'],
    ])
  })
})

describe('the axis', () => {
  it('reaches from nothing to the next round time, and puts times in their order on it', () => {
    expect(scaleFor([]).ticks).toEqual([0, 1, 10, 100])
    const { ticks, at } = scaleFor([4, 212, 9000])
    expect(ticks).toEqual([0, 1, 10, 100, 1000, 10_000])
    expect([at(-5), at(0), at(10_000), at(99_999)]).toEqual([0, 0, 100, 100])
    expect(at(4)).toBeLessThan(at(212))
    expect(scaleFor([10 ** 10]).at(10 ** 10)).toBe(100)
  })
})
