import { readClaimsChallenge } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createFreshness } from '../src/freshness.ts'
import { createClocks, head, mint, outcome, START, startGuard } from './tokens.ts'

describe('age, in log time', () => {
  const start = () => {
    const clocks = createClocks()
    return { clocks, freshness: createFreshness(clocks) }
  }

  it('is endless before the first head, and counts from when a head was read, whatever the transmitter’s clock says', () => {
    const { clocks, freshness } = start()
    expect(freshness.age()).toBe(Number.POSITIVE_INFINITY)
    // The transmitter's clock is an hour ahead: only differences count.
    freshness.synced(head(1, clocks.seconds + 3600))
    expect(freshness).toMatchObject({ hydrated: true, inSync: true, reason: undefined })
    clocks.pass(7)
    expect(freshness.age()).toBeCloseTo(7)
    freshness.synced(head(1, clocks.seconds + 3600))
    expect(freshness.age()).toBeCloseTo(0)
  })

  it('B1 (b): a head that was read long ago is old although it has just arrived', () => {
    const { clocks, freshness } = start()
    freshness.synced(head(1, clocks.seconds))
    for (let i = 0; i < 10; i++) {
      clocks.pass(10)
      // Answered by a node whose database stands still.
      freshness.synced(head(1, START))
    }
    expect(freshness.age()).toBeGreaterThan(99)
    // A lag that is constant stays visible too.
    freshness.synced(head(2, clocks.seconds - 40))
    expect(freshness.age()).toBeGreaterThan(39)
    expect(freshness.age()).toBeLessThan(41)
    freshness.synced(head(2, clocks.seconds))
    expect(freshness.age()).toBeLessThan(0.1)
  })

  it('an older head that arrives late takes nothing from a newer one', () => {
    const { clocks, freshness } = start()
    freshness.synced(head(5, clocks.seconds))
    clocks.pass(5)
    freshness.synced(head(5, clocks.seconds - 60))
    expect(freshness.age()).toBeCloseTo(5, 1)
  })

  it('B1 (e): time in which the machine was frozen counts, and so does a wall clock that was set', () => {
    const { clocks, freshness } = start()
    freshness.synced(head(1, clocks.seconds))
    clocks.freeze(300)
    expect(freshness.age()).toBeCloseTo(300)
    // The head from before, sent again, does not hide it.
    freshness.synced(head(1, START))
    expect(freshness.age()).toBeCloseTo(300)
    freshness.synced(head(1, clocks.seconds))
    expect(freshness.age()).toBeCloseTo(0)
    clocks.set(-1000)
    clocks.pass(20)
    expect(freshness.age()).toBeCloseTo(20)
  })

  it('a transmitter whose clock runs slow by 100 ppm does not look ever older', () => {
    const { clocks, freshness } = start()
    let theirs = START
    for (let day = 0; day < 30 * 24; day++) {
      clocks.pass(3600)
      theirs += 3600 * (1 - 100e-6)
      freshness.synced(head(1, theirs))
    }
    expect(freshness.age()).toBeLessThan(1)
  })

  it('a transmitter’s clock that was set back looks like a lagging one until the next hydration', () => {
    const { clocks, freshness } = start()
    freshness.synced(head(1, clocks.seconds))
    clocks.pass(10)
    freshness.synced(head(2, clocks.seconds - 3600))
    clocks.pass(600)
    freshness.synced(head(2, clocks.seconds - 3600))
    expect(freshness.age()).toBeGreaterThan(600)
    freshness.outOfSync('hydrating anew')
    freshness.synced(head(2, clocks.seconds - 3600))
    expect(freshness.age()).toBeCloseTo(0)
  })

  it('a log that was replaced or went backwards is out of sync until the source says that it hydrates anew', () => {
    for (const odd of [head(9, START, { epoch: 'e2' }), head(4, START)]) {
      const { freshness } = start()
      freshness.synced(head(5, START))
      freshness.synced(odd)
      expect(freshness.inSync).toBe(false)
      freshness.synced(head(9, START + 1))
      expect(freshness.inSync).toBe(false)
      freshness.synced(odd)
      expect(freshness.inSync).toBe(false)
      freshness.outOfSync('another epoch')
      expect(freshness.reason).toBe('another epoch')
      freshness.synced(odd)
      expect(freshness).toMatchObject({ inSync: true, head: odd })
    }
  })

  it('a head of a stream that is not enabled says nothing, the next enabled one does', () => {
    const { freshness } = start()
    freshness.synced(head(1, START, { status: 'paused' }))
    expect(freshness).toMatchObject({ hydrated: false, inSync: false, reason: 'the stream is paused' })
    freshness.synced(head(1, START))
    freshness.synced(head(1, START, { status: 'disabled' }))
    expect(freshness.inSync).toBe(false)
    freshness.synced(head(2, START))
    expect(freshness.inSync).toBe(true)
  })
})

describe('what staleness means for a request', () => {
  const ordinary = mint({ iat: START - 60, exp: START + 5000 })
  const longLived = mint({ iat: START - 60, exp: START + 90_000, xms_cc: ['cp1'], xms_ssm: '1' })
  const unsaid = mint({ iat: START - 60, exp: START + 90_000 })

  it('B1 (a): a paused stream makes the guard stale at once, although it goes on answering', () => {
    const { check, sink, guard } = startGuard()
    expect(check(ordinary)).toMatchObject({ allowed: true, stale: false })
    sink.outOfSync('the stream is paused')
    expect(check(ordinary)).toMatchObject({ allowed: true, stale: true })
    expect(guard.status()).toMatchObject({ inSync: false, stale: true, reason: 'the stream is paused' })
    sink.synced(head(0, START))
    expect(check(ordinary)).toMatchObject({ allowed: true, stale: false })
  })

  it('best-effort: stale after maxStaleness, and says so', () => {
    const { check, clocks } = startGuard()
    clocks.pass(30)
    expect(check(ordinary)).toMatchObject({ allowed: true, stale: false })
    clocks.pass(0.5)
    expect(check(ordinary)).toMatchObject({ allowed: true, stale: true })
  })

  it('B11: best-effort stops trusting long-lived tokens after trustStale, spread over a further minute, ordinary ones never', () => {
    const { check, clocks } = startGuard()
    clocks.pass(300)
    expect(outcome(check(longLived))).toBe('allowed')
    clocks.pass(60)
    const verdict = check(longLived)
    expect(verdict).toMatchObject({ allowed: false, status: 401, code: 'stale' })
    if (!verdict.allowed) expect(readClaimsChallenge(verdict.headers['WWW-Authenticate'])?.nbf).toBe(START - 59)
    const plain = check(unsaid)
    expect(plain).toMatchObject({ allowed: false, code: 'stale', headers: { 'WWW-Authenticate': 'Bearer realm="", error="invalid_token"' } })
    expect(check(ordinary)).toMatchObject({ allowed: true, stale: true })
  })

  it('B11: not all at once, and each token at the same instant at every replica', () => {
    const one = startGuard()
    const other = startGuard()
    const tokens = Array.from({ length: 100 }, (_, i) => mint({ exp: START + 90_000, jti: `j-${i}` }))
    let before = 0
    for (const wait of [300, 15, 15, 15, 15]) {
      one.clocks.pass(wait)
      other.clocks.pass(wait)
      const refused = tokens.filter((token) => !one.check(token).allowed)
      expect(tokens.filter((token) => !other.check(token).allowed)).toEqual(refused)
      if (wait !== 300) expect(refused.length).toBeGreaterThan(before)
      before = refused.length
    }
    expect(before).toBe(100)
  })

  it('out of sync: the age counts from the last head, not from when the fault was noticed', () => {
    const { check, clocks, sink } = startGuard()
    clocks.pass(290)
    sink.outOfSync('a gap')
    expect(outcome(check(longLived))).toBe('allowed')
    clocks.pass(70)
    expect(outcome(check(longLived))).toBe('stale')
  })

  it('strict: 503 without Retry-After until in sync, and what is known to be revoked stays 401', () => {
    const { check, clocks, sink } = startGuard({ staleness: 'strict', maxStaleness: 10 })
    clocks.pass(10.5)
    const verdict = check(ordinary)
    expect(verdict).toMatchObject({ allowed: false, status: 503, code: 'out_of_sync' })
    if (!verdict.allowed) expect(Object.keys(verdict.headers)).toEqual(['Cache-Control'])
    sink.merge([{ issuer: 'https://id.example/contoso/v2.0', kind: 'user', id: 'alice', t: START, depth: 'access', until: START + 1e5 }])
    expect(outcome(check(ordinary))).toBe('revoked')
    sink.synced(head(1, clocks.seconds))
    expect(outcome(check(mint({ sub: 'bob', oid: 'bob' })))).toBe('allowed')
    sink.outOfSync('unknown stream')
    expect(outcome(check(mint({ sub: 'bob', oid: 'bob' })))).toBe('out_of_sync')
  })

  it('B1 (e): strict refuses the first request after a freeze', () => {
    const { check, clocks } = startGuard({ staleness: 'strict' })
    clocks.freeze(300)
    expect(outcome(check(ordinary))).toBe('out_of_sync')
  })

  it('traffic proves nothing: cutoffs that arrive without a head leave the guard as old as it was', () => {
    const { guard, clocks, sink } = startGuard()
    clocks.pass(100)
    sink.merge([{ issuer: 'https://id.example/contoso/v2.0', kind: 'user', id: 'x', t: START, depth: 'access', until: START + 1e5 }])
    sink.count('applied')
    expect(guard.status()).toMatchObject({ stale: true, age: 100 })
  })
})
