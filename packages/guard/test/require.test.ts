import { parseChallenges, readClaimsChallenge } from '@caegis/protocol'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Checker } from '../src/guard.ts'
import type { Requirement } from '../src/needs.ts'
import type { Allowed, Verdict } from '../src/verdict.ts'
import { cutoff, mint, outcome, request, START, startGuard, verdictOf } from './tokens.ts'

const CP1 = { xms_cc: ['cp1'] }

function start(requirement: Requirement, options: Parameters<typeof startGuard>[0] = {}) {
  const started = startGuard({ authorizationUri: 'https://id.example/authorize', ...options })
  const route: Checker = started.guard.require(requirement)
  const at = (token: string, more: object = {}) => verdictOf(route.check(request(token, more)))
  return { ...started, route, at, of: (claims: Record<string, unknown>, more: object = {}) => outcome(at(mint(claims), more)) }
}

const asked = (verdict: Verdict) => {
  if (verdict.allowed) throw new Error('allowed')
  const challenge = readClaimsChallenge(verdict.headers['WWW-Authenticate'])
  return challenge && JSON.parse(challenge.claims).access_token
}
const parameters = (verdict: Verdict) => {
  if (verdict.allowed) throw new Error('allowed')
  const challenges = parseChallenges(verdict.headers['WWW-Authenticate'] ?? '')
  expect(challenges.map(({ scheme }) => scheme)).toEqual(['bearer'])
  return Object.fromEntries(challenges[0]?.parameters ?? [])
}

describe('what a route asks for', () => {
  it.each<[string, Requirement, Record<string, unknown>, string]>([
    ['a scope in scp', { scope: 'Files.Write' }, { scp: 'Files.Read Files.Write' }, 'allowed'],
    ['a scope in scope', { scope: 'Files.Write' }, { scope: 'Files.Write' }, 'allowed'],
    ['a scope in a list, as Okta writes it', { scope: 'Files.Write' }, { scp: ['Files.Read', 'Files.Write'] }, 'allowed'],
    ['one of two scopes', { scope: 'Files.Read Files.Write' }, { scp: 'Files.Read' }, 'insufficient_scope'],
    ['both of two scopes', { scope: ['Files.Read', 'Files.Write'] }, { scp: 'Files.Write x Files.Read' }, 'allowed'],
    ['a scope whose name begins alike', { scope: 'Files.Write' }, { scp: 'Files.Write.All' }, 'insufficient_scope'],
    ['a scope in another case', { scope: 'Files.Write' }, { scp: 'files.write' }, 'insufficient_scope'],
    ['no scope at all', { scope: 'Files.Write' }, {}, 'insufficient_scope'],
    ['a scope that is a role', { scope: 'Files.Write' }, { scp: 'x', roles: ['Files.Write'] }, 'insufficient_scope'],
    ['one of the roles', { roles: ['Admin', 'Editor'] }, { scp: 'x', roles: ['Editor'] }, 'allowed'],
    ['none of the roles', { roles: 'Admin' }, { scp: 'x', roles: ['Editor'] }, 'insufficient_scope'],
    ['roles that are no list', { roles: 'Admin' }, { scp: 'x', roles: 'Admin' }, 'insufficient_scope'],
    ['of a user both scope and role: one is missing', { scope: 'W', roles: 'Admin' }, { scp: 'x', roles: ['Admin'] }, 'insufficient_scope'],
    ['of a user both scope and role: there', { scope: 'W', roles: 'Admin' }, { scp: 'W', roles: ['Admin'] }, 'allowed'],
    ['of a daemon its role alone', { scope: 'W', roles: 'Admin' }, { idtyp: 'app', roles: ['Admin'] }, 'allowed'],
    ['of a daemon no scope, even if it has one', { scope: 'W' }, { idtyp: 'app', scp: 'W' }, 'insufficient_scope'],
    ['of a daemon a role that it lacks', { scope: 'W', roles: 'Admin' }, { idtyp: 'app', scp: 'W', roles: ['x'] }, 'insufficient_scope'],
    ['of a daemon of Entra, which does not say that it is one', { scope: 'W', roles: 'Admin' }, { sid: undefined, roles: ['Admin'] }, 'allowed'],
    ['of who only has no scopes', { scope: 'W', roles: 'Admin' }, { roles: ['Admin'] }, 'insufficient_scope'],
    ['contexts, all there', { acrs: ['c1', 'c2'] }, { acrs: ['c2', 'c3', 'c1'] }, 'allowed'],
    ['contexts, one missing', { acrs: ['c1', 'c2'] }, { acrs: ['c1'] }, 'insufficient_user_authentication'],
    ['a context in acr (RFC 9470)', { acrs: 'gold' }, { acr: 'gold' }, 'allowed'],
    ['a context that begins alike', { acrs: 'c1' }, { acrs: ['c10'] }, 'insufficient_user_authentication'],
    ['a sign-in that is just new enough', { maxAge: 300 }, { auth_time: START - 300 }, 'allowed'],
    ['a sign-in that is too old', { maxAge: 300 }, { auth_time: START - 301 }, 'insufficient_user_authentication'],
    ['no sign-in time', { maxAge: 300 }, {}, 'insufficient_user_authentication'],
    ['a sign-in time in milliseconds', { maxAge: 300 }, { auth_time: START * 1000 }, 'insufficient_user_authentication'],
    ['a sign-in time that is text', { maxAge: 300 }, { auth_time: String(START) }, 'insufficient_user_authentication'],
  ])('%s', (_, requirement, claims, wanted) => {
    const { at } = start(requirement)
    const token = mint(claims)
    // At first sight, and from the cache.
    expect([outcome(at(token)), outcome(at(token))]).toEqual([wanted, wanted])
  })

  it('is the route’s alone: the guard itself and other routes go on with the same token', () => {
    const { guard, check, at } = start({ scope: 'Files.Write' })
    const token = mint({ scp: 'Files.Read' })
    const read = guard.require({ scope: 'Files.Read' })
    for (let i = 0; i < 2; i++) {
      expect([outcome(at(token)), outcome(check(token)), outcome(verdictOf(read.check(request(token))))]).toEqual([
        'insufficient_scope',
        'allowed',
        'allowed',
      ])
    }
    // A second parameter of what is handed to a framework asks for nothing and takes nothing away.
    const needless = guard.check as (...all: unknown[]) => Verdict
    expect(outcome(needless(request(token), { of: () => ({ forbidden: true }) }))).toBe('allowed')
  })

  it('is refused with 403 and the scopes that are needed (RFC 6750), whatever the client can answer', () => {
    for (const capable of [{}, CP1]) {
      const { at } = start({ scope: 'Files.Read Files.Write', acrs: 'c1', maxAge: 60 })
      const denied = at(mint({ scp: 'Files.Read', ...capable }))
      expect(denied).toMatchObject({ status: 403, body: { error: 'insufficient_scope', code: 'insufficient_scope' } })
      expect(parameters(denied)).toEqual({
        ...{ realm: '', authorization_uri: 'https://id.example/authorize' },
        ...{ error: 'insufficient_scope', scope: 'Files.Read Files.Write' },
      })
    }
    const { at } = start({ roles: 'Admin' })
    expect(parameters(at(mint()))).not.toHaveProperty('scope')
  })

  it('a client that can answer is asked for context and age in one challenge', () => {
    const { at, clocks } = start({ acrs: ['c1', 'c2'], maxAge: 300 })
    const denied = at(mint({ ...CP1, acrs: ['c1'], auth_time: START - 301 }))
    expect(denied).toMatchObject({ status: 401, code: 'insufficient_user_authentication', body: { error: 'insufficient_claims' } })
    const acrs = { essential: true, values: ['c1', 'c2'] }
    expect(asked(denied)).toEqual({ acrs, auth_time: { essential: true, max_age: '300' } })
    // What is met is not asked for, but for contexts: a new sign-in may lose those that the old one had.
    const token = mint({ ...CP1, acrs: ['c1', 'c2'], auth_time: START - 300 })
    expect(outcome(at(token))).toBe('allowed')
    clocks.pass(1)
    expect(asked(at(token))).toEqual({ acrs, auth_time: { essential: true, max_age: '300' } })
    expect(asked(at(mint({ ...CP1, acrs: ['c2'], auth_time: START })))).toEqual({ acrs })
  })

  it('another client is told in the words of RFC 9470', () => {
    const { at } = start({ acrs: ['c1', 'c2'], maxAge: 300 })
    const denied = at(mint({ auth_time: START - 301 }))
    expect(denied).toMatchObject({ status: 401, body: { error: 'insufficient_user_authentication' } })
    const words = { realm: '', authorization_uri: 'https://id.example/authorize', error: 'insufficient_user_authentication', acr_values: 'c1 c2' }
    expect(parameters(denied)).toEqual({ ...words, max_age: '300' })
    expect(parameters(at(mint({ auth_time: START })))).toEqual(words)
    expect(asked(denied)).toBeUndefined()
  })

  it('a daemon is never asked for a newer sign-in: it has none', () => {
    const { at } = start({ maxAge: 300 })
    expect(asked(at(mint({ ...CP1, idtyp: 'app' })))).toBeUndefined()
  })

  it('A11: a revoked token, a wrong place, a missing context and an old sign-in are one challenge', () => {
    const { at, sink } = start({ acrs: 'c1', maxAge: 300 })
    sink.rules([
      { version: 1, since: 0, evidence: Buffer.alloc(32, 7).toString('base64url') },
      { policies: [{ id: 'office-only', include: 'All', exclude: ['office'] }] },
      { location: { id: 'office', kind: 'ip', trusted: true } },
      { ranges: ['198.51.100.0/24'] },
    ])
    sink.merge([cutoff('user', 'alice', START - 5)])
    const token = mint({ ...CP1, auth_time: START - 400, capolids_latebind: ['office-only'] })
    const denied = at(token, { socket: { remoteAddress: '203.0.113.9' } })
    expect(outcome(denied)).toBe('revoked')
    expect(asked(denied)).toEqual({
      nbf: { essential: true, value: String(START - 4) },
      xms_rp_ipaddr: { value: '203.0.113.9' },
      caegis_evidence: { value: expect.any(String) },
      acrs: { essential: true, value: 'c1' },
      auth_time: { essential: true, max_age: '300' },
    })
    // Who cannot answer is refused for what is worst.
    expect(parameters(at(mint({ scp: 'x' }))).error).toBe('invalid_token')
  })

  it('cannot be built of what asks for nothing, or for what no token could have', () => {
    const { guard } = startGuard()
    for (const bad of [
      ...[{}, { scope: '' }, { scope: ' ' }, { scope: [] }, { roles: [] }, { acrs: '' }, { roles: [''] }, { scope: ['a b'] }, { scope: 'a"b' }],
      ...[{ maxAge: 0 }, { maxAge: -1 }, { maxAge: 1.5 }, { maxAge: Number.NaN }, { maxAge: '300' }, { scopes: 'x' }, { scope: 'x', role: 'y' }],
    ]) {
      expect(() => guard.require(bad as Requirement), JSON.stringify(bad)).toThrow(TypeError)
    }
  })
})

describe('a connection of a route', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('E3: ends when its sign-in becomes too old for the route, and only there', () => {
    const { at, check, clocks, guard } = start({ maxAge: 300 })
    const token = mint({ auth_time: START - 100 })
    const strict = at(token) as Allowed
    const strictest = verdictOf(guard.require({ maxAge: 150 }).check(request(token))) as Allowed
    const plain = check(token) as Allowed
    const signals = [strict, strictest, plain].map(({ signal }) => signal)
    const reason = () => (strict.signal.reason as { code: string }).code
    const ends = (seconds: number) => {
      clocks.pass(seconds)
      vi.advanceTimersByTime(1000)
      return signals.map(({ aborted }) => aborted)
    }
    expect(ends(50)).toEqual([false, false, false])
    expect(ends(1)).toEqual([false, true, false])
    expect(ends(149)).toEqual([false, true, false])
    expect(ends(1)).toEqual([true, true, false])
    expect(reason()).toBe('insufficient_user_authentication')
    expect(guard.status().live).toBe(1)
    plain.release()
    // One that is read too late is aborted from the start.
    const late = mint({ jti: 'late', auth_time: clocks.seconds - 300 })
    const verdict = at(late) as Allowed
    clocks.pass(1)
    expect(verdict.signal.aborted).toBe(true)
  })
})
