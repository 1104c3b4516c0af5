import { setImmediate as immediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mayFollow } from '../src/hand-over.ts'
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

  it('E3: a cutoff of a tenant that ends 100,000 connections is in force first, and the event loop turns between its batches', async () => {
    const { check, sink, guard } = startGuard()
    const token = mint()
    let ended = 0
    let most = 0
    let before = 0
    for (let i = 0; i < 100_000; i++) allowed(check(token)).signal.addEventListener('abort', () => ended++)
    sink.merge([cutoff('tenant', 'contoso', START)])
    expect(outcome(check(token))).toBe('revoked')
    while (ended < 100_000) {
      most = Math.max(most, ended - before)
      before = ended
      await immediate()
    }
    expect(most).toBeLessThanOrEqual(512)
    expect(guard.status().live).toBe(0)
  })

  it('E3: 10,000 requests with a signal each leave nothing behind', () => {
    const { check, guard, sink } = startGuard()
    const token = mint()
    for (let i = 0; i < 10_000; i++) {
      const verdict = allowed(check(token))
      expect(verdict.signal.aborted).toBe(false)
      verdict.release()
    }
    expect([guard.status().live, vi.getTimerCount()]).toEqual([0, 0])
    sink.merge([cutoff('user', 'alice', START)])
  })

  it('tells the txn of the change that ended it, not of one that did not', () => {
    const { check, sink } = startGuard()
    const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => allowed(check(mint({ sub: name, oid: name, sid: name }))).signal)
    sink.merge([cutoff('user', 'alice', START - 100)], 1, 'before-her-token')
    expect(alice?.aborted).toBe(false)
    sink.merge([cutoff('user', 'alice', START)], 2, 'disabled')
    sink.merge([cutoff('user', 'bob', START)], 3)
    sink.rules([{ version: 1, since: 0 }])
    sink.merge([cutoff('user', 'alice', START + 1), cutoff('user', 'carol', START)], 4, 'later')
    expect([alice, bob, carol].map((signal) => ({ ...(signal?.reason as object) }))).toMatchObject([
      { code: 'revoked', txn: 'disabled' },
      { code: 'revoked' },
      { code: 'revoked', txn: 'later' },
    ])
    expect(bob?.reason).not.toHaveProperty('txn')
  })

  it('tells the txn of the change that ended it, where ending takes many turns', async () => {
    const { check, sink } = startGuard()
    const crowd = mint({ sub: 'bob', oid: 'bob', sid: 's-2' })
    for (let i = 0; i < 1000; i++) expect(allowed(check(crowd)).signal.aborted).toBe(false)
    const { signal } = allowed(check(mint()))
    sink.merge([cutoff('user', 'bob', START)], 1, 'the crowd')
    sink.merge([cutoff('user', 'alice', START - 100)], 2, 'before-her-token')
    sink.merge([cutoff('user', 'alice', START)], 3, 'disabled')
    for (let i = 0; i < 20 && !signal.aborted; i++) await immediate()
    expect(signal.reason).toMatchObject({ code: 'revoked', txn: 'disabled' })
  })

  it('a location that is left to the guard ends it when the rules change, and no other', () => {
    const rules = (range: string, version: number) => [
      { version, since: 0 },
      { policies: [{ id: 'office-only', include: 'All' as const, exclude: ['office'] }] },
      { location: { id: 'office', kind: 'ip', trusted: true } },
      { ranges: [range] },
    ]
    const { guard, check, sink } = startGuard()
    sink.rules(rules('198.51.100.0/24', 1))
    const headers = { authorization: `Bearer ${mint({ capolids_latebind: ['office-only'] })}` }
    const bound = allowed(guard.check({ url: '/', headers, socket: { remoteAddress: '198.51.100.7' } }) as Verdict)
    const free = allowed(check(mint({ jti: 'j-2' })))
    expect([bound.signal.aborted, free.signal.aborted]).toEqual([false, false])
    sink.rules(rules('203.0.113.0/24', 2))
    expect([bound.signal.aborted, free.signal.aborted]).toEqual([true, false])
    expect(codeOf(bound.signal)).toBe('location')
  })

  describe('E3: a connection is handed a newer token', () => {
    const base = { scp: 'Files.Read Files.Write', xms_cc: ['cp1'] }
    const newer = { ...base, iat: START - 30, jti: 'j-2', exp: START + 7200 }

    it('and hangs on that one from now on', () => {
      const { check, sink, guard, clocks } = startGuard()
      const verdict = allowed(check(mint({ ...base, exp: START + 10 })))
      const { signal } = verdict
      const next = allowed(check(mint(newer)))
      expect(verdict.handOver(next)).toBe(true)
      expect(verdict.claims).toBe(next.claims)
      expect(verdict.signal).toBe(signal)
      expect(guard.status().live).toBe(1)
      next.release()
      sink.merge([cutoff('user', 'alice', START - 60)])
      clocks.pass(60)
      sink.synced(head(1, clocks.seconds))
      vi.advanceTimersByTime(1000)
      expect(signal.aborted).toBe(false)
      sink.merge([cutoff('token', 'j-2', START)], 9, 'gone')
      expect(signal.reason).toMatchObject({ code: 'revoked', txn: 'gone' })
      expect([guard.status().live, vi.getTimerCount()]).toEqual([0, 0])
    })

    it('before its signal was read, too', () => {
      const { check, sink } = startGuard()
      const verdict = allowed(check(mint(base)))
      expect(verdict.handOver(allowed(check(mint(newer))))).toBe(true)
      sink.merge([cutoff('token', 'j-2', START)])
      expect(verdict.signal.aborted).toBe(true)
    })

    it.each([
      ['of another user', { sub: 'bob', oid: 'bob' }],
      ['of another client', { client_id: 'other' }],
      ['for another audience', { aud: ['api://files', 'api://mail'] }],
      ['that another party acts with', { act: { sub: 'mail-api' } }],
      ['that is older', { iat: START - 61 }],
      ['with one more scope', { scp: 'Files.Read Files.Write Files.Delete' }],
      ['with one more scope, written elsewhere', { scope: 'Files.Delete' }],
      ['with a role', { roles: ['Admin'] }],
      ['of another client, as Okta writes it', { client_id: undefined, cid: 'other' }],
    ])('never one %s', (_, more) => {
      const { check, sink, guard } = startGuard()
      const verdict = allowed(check(mint(base)))
      const { signal, claims } = verdict
      const next = allowed(check(mint({ ...newer, ...more })))
      expect(verdict.handOver(next)).toBe(false)
      expect([verdict.claims, verdict.signal, signal.aborted]).toEqual([claims, signal, false])
      expect(guard.status().live).toBe(1)
      sink.merge([cutoff('token', 'j-1', START)])
      expect(signal.aborted).toBe(true)
    })

    it('and one with less is taken', () => {
      const { check } = startGuard()
      expect(allowed(check(mint(base))).handOver(allowed(check(mint({ ...newer, scp: 'Files.Read', iat: START - 60 }))))).toBe(true)
    })

    it('never one of another issuer, or bound to another key: by what the tokens say', () => {
      const token = (claims: object) => ({ times: { iat: 1 }, claims: { iss: 'a', cnf: { jkt: 'x' }, ...claims } }) as never
      expect(mayFollow(token({}), token({}))).toBe(true)
      for (const other of [{ iss: 'b' }, { cnf: { jkt: 'y' } }, { cnf: undefined }]) {
        expect([mayFollow(token(other), token({})), mayFollow(token({}), token(other))]).toEqual([false, false])
      }
    })

    it('never by what has ended, was let go, or is dead itself', () => {
      const { check, sink, guard } = startGuard()
      const [ended, released, good] = [allowed(check(mint(base))), allowed(check(mint(base))), allowed(check(mint({ ...base, jti: 'j-3' })))]
      const dead = allowed(check(mint(newer)))
      expect(ended.signal.aborted).toBe(false)
      released.release()
      expect(released.handOver(dead)).toBe(false)
      sink.merge([cutoff('token', 'j-2', START)])
      expect(good.handOver(dead)).toBe(false)
      sink.merge([cutoff('token', 'j-1', START)])
      const fresh = allowed(check(mint({ ...newer, jti: 'j-4' })))
      expect([ended.handOver(fresh), good.handOver(fresh)]).toEqual([false, true])
      expect(guard.status().live).toBe(0)
    })

    it('never once the old one has ended, told or not', () => {
      const { check, sink, clocks } = startGuard()
      const verdict = allowed(check(mint({ ...base, exp: START + 10 })))
      expect(verdict.signal.aborted).toBe(false)
      clocks.pass(41)
      sink.synced(head(1, clocks.seconds))
      expect(verdict.handOver(allowed(check(mint(newer))))).toBe(false)
      vi.advanceTimersByTime(1000)
      expect(codeOf(verdict.signal)).toBe('token_expired')
    })

    it('never, where a fresh sign-in was asked for, by one of which nobody knows when it was', () => {
      const { guard, check, clocks, sink } = startGuard()
      const recent = guard.require({ maxAge: 300 })
      const at = (claims: object) => allowed(recent.check({ url: '/', headers: { authorization: `Bearer ${mint({ ...claims })}` } }) as Verdict)
      const verdict = at({ ...base, auth_time: START - 100 })
      const { signal } = verdict
      expect(verdict.handOver(allowed(check(mint(newer))))).toBe(false)
      expect(verdict.handOver(at({ ...newer, auth_time: START - 50 }))).toBe(true)
      for (const [seconds, aborted] of [
        [230, false],
        [60, true],
      ] as const) {
        clocks.pass(seconds)
        sink.synced(head(seconds, clocks.seconds))
        vi.advanceTimersByTime(1000)
        expect(signal.aborted).toBe(aborted)
      }
    })

    it.each([
      ['scope', { scope: 'Files.Write' }, { scp: 'Files.Read' }],
      ['roles', { roles: 'Editor' }, { roles: [] }],
      ['acrs', { scope: 'Files.Read', acrs: 'c1' }, { acrs: ['c2'] }],
    ])('and what was asked of it stays asked: %s', (_, asked, less) => {
      const { guard, check } = startGuard()
      const held = { ...base, roles: ['Editor'], acrs: ['c1'] }
      const at = guard.require(asked)
      const first = () => allowed(at.check({ url: '/', headers: { authorization: `Bearer ${mint(held)}` } }) as Verdict)
      const next = { ...newer, roles: ['Editor'], acrs: ['c1'] }
      // By whatever the new verdict was given.
      expect(first().handOver(allowed(check(mint({ ...next, ...less }))))).toBe(false)
      expect(first().handOver(allowed(check(mint({ ...next, jti: 'j-3' }))))).toBe(true)
    })

    it('never by the verdict of another guard, which knows other cutoffs', () => {
      const verdict = allowed(startGuard().check(mint(base)))
      expect(verdict.handOver(allowed(startGuard().check(mint(newer))))).toBe(false)
      expect(verdict.handOver({ ...verdict } as Allowed)).toBe(false)
    })

    it('and stays where it is: what is left to the guard is judged by the address of the connection', () => {
      const { guard, sink } = startGuard()
      const rules = (range: string, version: number) => [
        { version, since: 0 },
        { policies: [{ id: 'office-only', include: 'All' as const, exclude: ['office'] }] },
        { location: { id: 'office', kind: 'ip', trusted: true } },
        { ranges: [range] },
      ]
      sink.rules(rules('198.51.100.0/24', 1))
      const bound = { ...base, capolids_latebind: ['office-only'] }
      const at = (claims: object, remoteAddress: string) =>
        allowed(guard.check({ url: '/', headers: { authorization: `Bearer ${mint({ ...claims })}` }, socket: { remoteAddress } }) as Verdict)
      const verdict = at(bound, '198.51.100.7')
      const { signal } = verdict
      expect(verdict.handOver(at({ ...newer, capolids_latebind: ['office-only'] }, '198.51.100.200'))).toBe(true)
      sink.rules(rules('198.51.100.128/25', 2))
      expect(codeOf(signal)).toBe('location')
    })
  })
})
