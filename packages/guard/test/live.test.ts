import { setImmediate as immediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Allowed, Verdict } from '../src/verdict.ts'
import { cutoff, head, ISSUER, jwkOf, mint, otherEc, outcome, START, startGuard } from './tokens.ts'

function allowed(verdict: Verdict): Allowed {
  if (!verdict.allowed) throw new Error(verdict.code)
  return verdict
}

const codeOf = (signal: AbortSignal) => (signal.reason as { code: string }).code

describe('live signals', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('E3: a cutoff aborts the connections that it covers, at once, and no others', () => {
    const { check, sink, guard } = startGuard()
    const alice = allowed(check(mint()))
    const sameToken = allowed(check(mint({ jti: 'j-2' })))
    const bob = allowed(check(mint({ sub: 'bob', oid: 'bob', sid: 's-2' })))
    const later = allowed(check(mint({ iat: START - 5 })))
    expect([alice, sameToken, bob, later].map(({ signal }) => signal.aborted)).toEqual([false, false, false, false])
    expect(guard.status().live).toBe(4)
    sink.merge([cutoff('user', 'alice', START - 60)])
    expect([alice, sameToken, bob, later].map(({ signal }) => signal.aborted)).toEqual([true, true, false, false])
    expect(codeOf(alice.signal)).toBe('revoked')
    expect(guard.status().live).toBe(2)
  })

  it('is in force before any listener runs: what a listener asks is already refused', () => {
    const { check, sink } = startGuard()
    const token = mint()
    const other = mint({ sub: 'bob', oid: 'bob', sid: 's-2' })
    const answers: string[] = []
    allowed(check(token)).signal.addEventListener('abort', () => answers.push(outcome(check(token)), outcome(check(other))))
    sink.merge([cutoff('user', 'alice', START), cutoff('user', 'bob', START)])
    expect(answers).toEqual(['revoked', 'revoked'])
  })

  it('a signal that is first read after the cutoff is aborted from the start', () => {
    const { check, sink } = startGuard()
    const verdict = allowed(check(mint()))
    sink.merge([cutoff('session', 's-1', START)])
    expect(verdict.signal.aborted).toBe(true)
    expect(codeOf(verdict.signal)).toBe('revoked')
  })

  it('is one signal a verdict, made only when read', () => {
    const { check, guard } = startGuard()
    const verdict = allowed(check(mint()))
    expect(guard.status().live).toBe(0)
    expect(verdict.signal).toBe(verdict.signal)
    expect(guard.status().live).toBe(1)
    expect(Object.keys(verdict)).toEqual(['allowed', 'claims', 'subject', 'stale'])
  })

  it('release lets go: nothing is watched, nothing fires, whatever the order', () => {
    const { check, sink, guard } = startGuard()
    const token = mint()
    const kept = allowed(check(token))
    const released = allowed(check(token))
    expect([kept.signal.aborted, released.signal.aborted]).toEqual([false, false])
    released.release()
    released.release()
    expect(guard.status().live).toBe(1)
    const never = allowed(check(token))
    never.release()
    expect(never.signal.aborted).toBe(true)
    expect(codeOf(never.signal)).toBe('released')
    sink.merge([cutoff('user', 'alice', START)])
    expect([kept.signal.aborted, released.signal.aborted]).toEqual([true, false])
    kept.release()
    expect(guard.status().live).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('an ordinary request that ends leaves nothing behind, not even a timer', () => {
    const { check, guard } = startGuard()
    const verdict = allowed(check(mint()))
    expect(verdict.signal.aborted).toBe(false)
    expect(vi.getTimerCount()).toBe(1)
    verdict.release()
    expect(guard.status().live).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('expiry aborts, and not before', () => {
    const { check, clocks, sink } = startGuard()
    const short = allowed(check(mint({ exp: START + 10 })))
    const long = allowed(check(mint({ jti: 'j-2' })))
    expect([short.signal.aborted, long.signal.aborted]).toEqual([false, false])
    for (let second = 1; second <= 41; second++) {
      clocks.pass(1)
      sink.synced(head(second, clocks.seconds))
      vi.advanceTimersByTime(1000)
      expect(short.signal.aborted).toBe(second >= 40)
    }
    expect(codeOf(short.signal)).toBe('token_expired')
    expect(long.signal.aborted).toBe(false)
  })

  it('strict: staleness aborts, best-effort goes on', () => {
    for (const staleness of ['strict', 'best-effort'] as const) {
      const { check, clocks, sink } = startGuard({ staleness })
      const old = allowed(check(mint()))
      const { signal } = old
      clocks.pass(31)
      vi.advanceTimersByTime(1000)
      expect(signal.aborted).toBe(staleness === 'strict')
      sink.synced(head(1, clocks.seconds))
      const other = allowed(check(mint({ jti: 'j-2' }))).signal
      sink.outOfSync('a gap')
      expect(other.aborted).toBe(staleness === 'strict')
    }
  })

  it('a removed key aborts what it vouched for', async () => {
    const { check, keys, sink } = startGuard()
    const { signal } = allowed(check(mint()))
    keys.replace(ISSUER, { keys: [jwkOf(otherEc, 'k2')] })
    sink.keysChanged()
    await immediate()
    expect(codeOf(signal)).toBe('token_key')
  })

  it('close aborts everything', async () => {
    const { check, guard } = startGuard()
    const { signal } = allowed(check(mint()))
    await guard.close()
    expect(signal.aborted).toBe(true)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('E3: a cutoff over thousands ends them in batches, and lets the process breathe between them', async () => {
    const { check, sink, guard } = startGuard()
    const one = mint()
    const signals: AbortSignal[] = []
    for (let i = 0; i < 1000; i++) signals.push(allowed(check(one)).signal)
    for (let i = 0; i < 300; i++) signals.push(allowed(check(mint({ sub: `u-${i}`, oid: `u-${i}`, sid: `s-${i}`, jti: `x-${i}` }))).signal)
    const aborted = () => signals.filter((signal) => signal.aborted).length
    sink.merge([cutoff('tenant', 'contoso', START)])
    expect(outcome(check(one))).toBe('revoked')
    expect(aborted()).toBeGreaterThan(0)
    expect(aborted()).toBeLessThan(500)
    let turns = 0
    for (; aborted() < signals.length && turns < 100; turns++) await immediate()
    expect(turns).toBeGreaterThan(1)
    expect(aborted()).toBe(1300)
    expect(guard.status().live).toBe(0)
  })

  it('a listener that releases or opens others while aborting does no harm', () => {
    const { check, sink, guard } = startGuard()
    const first = allowed(check(mint()))
    const second = allowed(check(mint({ jti: 'j-2' })))
    const bystander = allowed(check(mint({ sub: 'bob', oid: 'bob', sid: 's-2' })))
    first.signal.addEventListener('abort', () => {
      second.release()
      expect(bystander.signal.aborted).toBe(false)
      sink.merge([cutoff('user', 'bob', START)])
    })
    expect(second.signal.aborted).toBe(false)
    sink.merge([cutoff('user', 'alice', START)])
    expect(first.signal.aborted).toBe(true)
    return immediate().then(() => {
      expect(bystander.signal.aborted).toBe(true)
      expect(guard.status().live).toBe(0)
    })
  })
})
