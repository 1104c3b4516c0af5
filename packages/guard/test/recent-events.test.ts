import { describe, expect, it } from 'vitest'
import { createRecentEvents } from '../src/recent-events.ts'
import type { Sink, Source } from '../src/source.ts'
import { cutoff, head, mint, START, startGuard } from './tokens.ts'

/** A guard whose source keeps what it is told. */
function start() {
  const told: [number, number][] = []
  let sink: Sink | undefined
  const source: Source = {
    start(given) {
      sink = given
    },
    refused: (seq, at) => void told.push([seq, at]),
    close: async () => {},
  }
  const guard = startGuard({ source, hydrate: false })
  const given = sink as unknown as Sink
  given.synced(head(0, START))
  return { ...guard, sink: given, told }
}

describe('the first refusal because of an event', () => {
  it('is told to the source once, with the position of the event and the time', () => {
    const { sink, told, check, clocks } = start()
    check(mint())
    sink.merge([cutoff('user', 'alice', START - 10)], 7)
    expect(told).toEqual([])
    clocks.pass(5)
    expect(check(mint({ oid: 'bob', sub: 'bob', jti: 'b', sid: 'b' })).allowed).toBe(true)
    expect(told).toEqual([])
    expect(check(mint()).allowed).toBe(false)
    expect(told).toEqual([[7, START + 5]])
    check(mint())
    check(mint({ jti: 'other' }))
    expect(told).toHaveLength(1)
  })

  it('is not told of a snapshot, nor of a token that some other cutoff refuses', () => {
    const { sink, told, check } = start()
    sink.merge([cutoff('user', 'alice', START - 10)])
    // This one came later, and does not reach as far as the token.
    sink.merge([cutoff('session', 's-1', START - 100)], 3)
    expect(check(mint()).allowed).toBe(false)
    expect(told).toEqual([])
  })

  it('is told of each event that refuses the token, and of an event of many cutoffs once', () => {
    const { sink, told, check, clocks } = start()
    sink.merge([cutoff('user', 'alice', START - 10)], 4)
    sink.merge([cutoff('session', 's-1', START - 10), cutoff('session', 's-2', START - 10), cutoff('user', 'carol', START - 10)], 5)
    check(mint())
    expect(told.map(([seq]) => seq).sort()).toEqual([4, 5])
    check(mint({ sid: 's-2', oid: 'dave', sub: 'dave', jti: 'd' }))
    check(mint({ sid: 's-3', oid: 'carol', sub: 'carol', jti: 'c' }))
    expect(told).toHaveLength(2)
    // The same again is another event.
    clocks.pass(100)
    sink.merge([cutoff('user', 'alice', START - 10)], 6)
    check(mint())
    expect(told.at(-1)).toEqual([6, START + 100])
  })

  it('is not told once the log may be another one', () => {
    const { sink, told, check } = start()
    sink.merge([cutoff('user', 'alice', START - 10)], 4)
    sink.outOfSync('the log has a new epoch')
    sink.synced(head(1, START, { epoch: 'e2' }))
    expect(check(mint()).allowed).toBe(false)
    expect(told).toEqual([])
  })

  it('is remembered for the newest cutoffs only', () => {
    const recent = createRecentEvents(3)
    for (let seq = 1; seq <= 5; seq++) recent.learnFrom({ seq })(seq, seq, START)
    const of = (key: number) => recent.refused(new Int32Array([key, key]), START).first
    expect([of(1), of(2), of(3), of(4), of(5)]).toEqual([[], [], [3], [4], [5]])
    const large = recent.learnFrom({ seq: 9 })
    for (let key = 1; key <= 10; key++) large(key, key, START)
    expect([of(7), of(8), of(9)]).toEqual([[], [9], []])
  })
})
