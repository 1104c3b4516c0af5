import type { Cutoff } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createGuard } from '../src/guard.ts'
import { createStaticKeys } from '../src/keys.ts'
import type { GuardOptions } from '../src/options.ts'
import { AUDIENCE, createClocks, cutoff, ec, head, ISSUER, jwkOf, mint, outcome, request, START, startGuard, verdictOf } from './tokens.ts'

/** A guard for an issuer that tells of nothing. */
function startPlain(more: Partial<GuardOptions> = {}) {
  const clocks = createClocks()
  const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] } })
  const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, events: 'none', keys, now: clocks.now, monotonic: clocks.monotonic, ...more })
  return { guard, clocks, check: (token: string) => verdictOf(guard.check(request(token))) }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('an issuer that tells of nothing', () => {
  it('is hydrated at once, never stale in either mode, trusts tokens that live long, and says what it is', async () => {
    for (const staleness of ['best-effort', 'strict'] as const) {
      const { guard, clocks, check } = startPlain({ staleness })
      await guard.ready()
      const long = mint({ exp: START + 90_000, xms_ssm: '1' })
      expect(check(long)).toMatchObject({ allowed: true, stale: false })
      clocks.pass(50_000)
      expect(check(long)).toMatchObject({ allowed: true, stale: false })
      expect(guard.status()).toMatchObject({ proof: 'none', hydrated: true, inSync: true, stale: false, head: undefined, source: undefined })
      await guard.close()
      expect(outcome(check(long))).toBe('not_ready')
    }
  })

  it('A8(e): forgets what can hit no token any more, by the slower of its clocks, and takes such tokens for expired', () => {
    const { guard, clocks } = startPlain({ horizon: 1000 })
    // One segment is swept with each revocation, at most one a second.
    for (let i = 0; i < 4000; i++) {
      guard.revoke({ kind: 'token', id: `t-${i}`, until: clocks.seconds + 100 })
      clocks.pass(1)
    }
    expect(guard.status().cutoffs).toBeLessThan(1000)
    const kept = startPlain({ horizon: 1000 })
    kept.guard.revoke({ kind: 'user', id: 'alice' })
    const token = mint({ exp: START + 900 })
    // The wall clock is set an hour ahead for a while.
    kept.clocks.set(3600)
    for (let i = 0; i < 200; i++) {
      kept.clocks.pass(1.01)
      kept.guard.revoke({ kind: 'user', id: `x-${i}` })
    }
    kept.clocks.set(-3600)
    expect(outcome(kept.check(token))).toBe('revoked')
  })
})

describe('revoke', () => {
  it('cuts off at once by each kind, with the guard’s own second, and returns the cutoff', () => {
    const kinds = [
      ['tenant', 'contoso'],
      ['user', 'alice'],
      ['session', 's-1'],
      ['token', 'j-1'],
      ['app', 'files-spa'],
      ['device', 'd-1'],
      ['grant', ['alice', 'files-spa']],
      ['user-device', ['alice', 'd-1']],
    ] as const
    for (const [kind, id] of kinds) {
      const { guard, check } = startPlain()
      const token = mint({ deviceid: 'd-1' })
      expect(outcome(check(token))).toBe('allowed')
      const made = guard.revoke({ kind, id })
      expect(made).toEqual({ issuer: ISSUER, kind, id: [id].flat().join('\n'), t: START, depth: 'access', until: START + 28 * 3600 + 300 })
      expect(outcome(check(token))).toBe('revoked')
      expect(outcome(check(mint({ iat: START + 1, deviceid: 'd-1' })))).toBe('allowed')
      // Another replica takes it as it is.
      const other = startPlain()
      expect(other.guard.revoke(made)).toEqual(made)
      expect(outcome(other.check(token))).toBe('revoked')
    }
  })

  it('B4(c): merges by maximum with what the issuer says, and outlives hydration and resync', () => {
    const { guard, sink, check } = startGuard({ hydrate: false })
    guard.revoke({ kind: 'user', id: 'alice', t: START - 10 })
    expect(outcome(check(mint({ iat: START - 5 })))).toBe('not_ready')
    sink.merge([cutoff('user', 'alice', START - 20)])
    sink.synced(head(1, START))
    expect(outcome(check(mint({ iat: START - 10 })))).toBe('revoked')
    guard.revoke({ kind: 'user', id: 'alice', t: START - 30 })
    sink.outOfSync('another epoch')
    sink.merge([cutoff('user', 'bob', START)])
    sink.synced(head(0, START, { epoch: 'e2' }))
    expect(outcome(check(mint({ iat: START - 10, jti: 'j-2' })))).toBe('revoked')
    expect(outcome(check(mint({ iat: START - 9, jti: 'j-3' })))).toBe('allowed')
  })

  it('E3: ends the live connections that it covers, and no others', () => {
    const { guard, check } = startPlain()
    const alice = check(mint())
    const bob = check(mint({ sub: 'bob', oid: 'bob', sid: 's-2' }))
    if (!alice.allowed || !bob.allowed) throw new Error('refused')
    expect([alice.signal.aborted, bob.signal.aborted]).toEqual([false, false])
    guard.revoke({ kind: 'session', id: 's-1' })
    expect([alice.signal.aborted, bob.signal.aborted]).toEqual([true, false])
    void guard.close()
  })

  it('depth claims spares tokens without cp1', () => {
    const { guard, check } = startPlain()
    guard.revoke({ kind: 'user', id: 'alice', depth: 'claims' })
    expect(outcome(check(mint()))).toBe('allowed')
    expect(outcome(check(mint({ xms_cc: ['cp1'] })))).toBe('revoked')
  })

  it.each([
    ['no kind', { id: 'a' }],
    ['a strange kind', { kind: 'group', id: 'a' }],
    ['no id', { kind: 'user' }],
    ['an empty id', { kind: 'user', id: '' }],
    ['a number', { kind: 'user', id: 7 }],
    ['half a pair', { kind: 'grant', id: 'alice' }],
    ['a pair of three', { kind: 'grant', id: ['a', 'b', 'c'] }],
    ['a pair where none is', { kind: 'user', id: ['a', 'b'] }],
    ['another issuer', { kind: 'user', id: 'a', issuer: 'https://id.example/fabrikam' }],
    ['milliseconds', { kind: 'user', id: 'a', t: START * 1000 }],
    ['a time to come', { kind: 'user', id: 'a', t: START + 61 }],
    ['no time', { kind: 'user', id: 'a', t: Number.NaN }],
    ['a text for a time', { kind: 'user', id: 'a', t: '1' }],
    ['an end before it', { kind: 'user', id: 'a', t: START, until: START - 1 }],
    ['a strange depth', { kind: 'user', id: 'a', depth: 'all' }],
    ['nothing', undefined],
  ])('TypeError: %s, and nobody is cut off', (_, revocation) => {
    const { guard } = startPlain()
    expect(() => guard.revoke(revocation as never)).toThrow(TypeError)
    expect(guard.status().cutoffs).toBe(0)
  })

  it('an end beyond the horizon is cut to it: tokens are refused by then', () => {
    const { guard } = startPlain({ horizon: 1000 })
    expect(guard.revoke({ kind: 'user', id: 'a', until: START + 1e6 }).until).toBe(START + 1000)
    expect(guard.revoke({ kind: 'user', id: 'a', until: START + 10.5 }).until).toBe(START + 11)
  })
})

describe('a store', () => {
  it('B3: nothing is allowed before it was read, though that fails at first; what is revoked is put there', async () => {
    const added: Cutoff[] = []
    let tries = 0
    const loaded = Promise.withResolvers<Cutoff[]>()
    const store = {
      load: (issuer: string) => {
        expect(issuer).toBe(ISSUER)
        if (tries++ === 0) throw new Error('down')
        return loaded.promise
      },
      add: (cutoffs: readonly Cutoff[]) => void added.push(...cutoffs),
    }
    const { guard, check } = startPlain({ store })
    expect(outcome(check(mint()))).toBe('not_ready')
    let ready = false
    const waiting = guard.ready().then(() => {
      ready = true
    })
    guard.revoke({ kind: 'user', id: 'carol' })
    await turn()
    expect([ready, tries]).toEqual([false, 1])
    // What is another issuer's in a store that several share is not this one's.
    loaded.resolve([cutoff('user', 'alice', START), cutoff('user', 'bob', START, { issuer: 'https://id.example/fabrikam' })])
    await waiting
    expect(outcome(check(mint()))).toBe('revoked')
    expect(outcome(check(mint({ sub: 'bob', oid: 'bob' })))).toBe('allowed')
    expect(outcome(check(mint({ sub: 'carol', oid: 'carol' })))).toBe('revoked')
    expect(added).toEqual([cutoff('user', 'carol', START, { until: START + 28 * 3600 + 300 })])
  })

  it('one that cannot be written to revokes all the same, and says so', async () => {
    const errors: string[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void errors.push(message) }
    const store = { load: () => [], add: () => Promise.reject(new Error('full')) }
    const { guard, check } = startPlain({ store, log })
    await guard.ready()
    guard.revoke({ kind: 'user', id: 'alice' })
    expect(outcome(check(mint()))).toBe('revoked')
    await turn()
    expect(errors).toEqual([expect.stringContaining('could not be stored')])
  })

  it('close ends the reading', async () => {
    const { guard } = startPlain({ store: { load: () => Promise.reject(new Error('down')), add() {} } })
    const waiting = guard.ready()
    await guard.close()
    await expect(waiting).rejects.toMatchObject({ code: 'guard_closed' })
  })
})
