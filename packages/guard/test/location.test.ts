import { createHmac } from 'node:crypto'
import { evidenceText, parseClaimsRequest, readClaimsChallenge } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { createGuard } from '../src/guard.ts'
import type { RulesPart } from '../src/read-rules.ts'
import type { Allowed, Verdict } from '../src/verdict.ts'
import { AUDIENCE, cutoff, ISSUER, mint, outcome, START, startGuard, verdictOf } from './tokens.ts'

const KEY = Buffer.alloc(32, 7)
const IN = '198.51.100.7'
const OUT = '203.0.113.9'
const CP1 = { xms_cc: ['cp1'] }
const OFFICE = [{ location: { id: 'office', kind: 'ip', trusted: true } }, { ranges: ['198.51.100.0/24', '2001:db8:1::/48'] }]
/** Everybody is kept out but who is in the office. */
const OFFICE_ONLY = { id: 'office-only', include: 'All', exclude: ['office'] }
const first = (version = 1, since = 0): RulesPart => ({ version, since, evidence: KEY.toString('base64url') })
const RULES: RulesPart[] = [first(), { policies: [OFFICE_ONLY, { id: 'gone', pass: true }] }, ...OFFICE]

function start(options: Parameters<typeof startGuard>[0] = {}, rules = RULES) {
  const guard = startGuard(options)
  if (rules.length > 0) guard.sink.rules(rules)
  const from = (token: string, address?: string, forwarded?: string | string[]): Verdict => {
    const headers = { authorization: `Bearer ${token}`, ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }) }
    return verdictOf(guard.guard.check({ url: '/', headers, ...(address === undefined ? {} : { socket: { remoteAddress: address } }) }))
  }
  return { ...guard, from, at: (token: string, address?: string, forwarded?: string | string[]) => outcome(from(token, address, forwarded)) }
}

const bound = (more: Record<string, unknown> = {}) => mint({ capolids_latebind: ['office-only'], ...CP1, ...more })
const asked = (verdict: Verdict) => {
  if (verdict.allowed) throw new Error('allowed')
  return JSON.parse(readClaimsChallenge(verdict.headers['WWW-Authenticate'])?.claims ?? 'null') as Record<string, any>
}

describe('location conditions that are left to the guard', () => {
  it('are met at one address and not at another, at once and at every later request', () => {
    const { at } = start()
    const token = bound()
    for (let i = 0; i < 2; i++) {
      expect([IN, OUT, '2001:db8:1:2::3', '2001:db8:2::1', '::ffff:198.51.100.200', undefined, 'nonsense', IN].map((one) => at(token, one))).toEqual([
        ...['allowed', 'location', 'allowed', 'location'],
        ...['allowed', 'location', 'location', 'allowed'],
      ])
    }
    // What leaves nothing to the guard may come from anywhere.
    expect([at(mint({ jti: 'free' }), OUT), at(mint({ jti: 'none', capolids_latebind: [] }), OUT)]).toEqual(['allowed', 'allowed'])
  })

  it('D2: a client that can answer gets a challenge with the address and evidence of it; another a plain refusal', () => {
    const { from } = start()
    const denied = from(bound(), OUT)
    expect(denied).toMatchObject({ status: 401, code: 'location', body: { error: 'insufficient_claims' } })
    const claims = asked(denied)
    expect(claims).toMatchObject({ access_token: { nbf: { value: String(START - 59) }, xms_rp_ipaddr: { value: OUT } } })
    const { evidence, rpAddress } = parseClaimsRequest(JSON.stringify(claims))
    const facts = { sid: 's-1', azp: 'files-spa', jti: 'j-1', address: String(rpAddress), second: START }
    expect(evidence).toEqual({ second: START, jti: 'j-1', mac: createHmac('sha256', KEY).update(evidenceText(facts)).digest('base64url') })
    // One spelling of an address, whatever socket it came by.
    expect(asked(from(bound(), `::ffff:${OUT}`)).access_token.xms_rp_ipaddr.value).toBe(OUT)

    const plain = from(bound({ xms_cc: undefined, jti: 'j-2' }), OUT)
    expect(plain).toMatchObject({ status: 401, code: 'location', body: { error: 'invalid_token' } })
    if (!plain.allowed) expect(plain.headers['WWW-Authenticate']).not.toContain('claims')
    // No new token would be good from nowhere: nobody is sent for one.
    expect(from(bound(), undefined)).toMatchObject({ status: 401, code: 'location', body: { error: 'invalid_token' } })
  })

  it('A11: what else is wrong stands in the same challenge', () => {
    const { from, sink } = start()
    sink.merge([cutoff('user', 'alice', START - 10)])
    const denied = from(bound(), OUT)
    expect(outcome(denied)).toBe('revoked')
    expect(asked(denied).access_token).toMatchObject({ nbf: { value: String(START - 9) }, xms_rp_ipaddr: { value: OUT }, caegis_evidence: {} })
    expect(asked(from(bound(), IN)).access_token).toEqual({ nbf: { essential: true, value: String(START - 9) } })
  })

  it('D3, D4: the issuer`s verdict is taken for exactly the judged address and policies', () => {
    const { at } = start()
    const judged = (address: string, policies = ['office-only']) => bound({ jti: `j-${address}-${policies}`, caegis_ip: { address, policies } })
    const cases: [token: string, from: string, want: string][] = [
      [judged(OUT), OUT, 'allowed'],
      [judged(OUT), `::ffff:${OUT}`, 'allowed'],
      // Copied to another network it is worth nothing (threat D3).
      [judged(OUT), '203.0.113.10', 'location'],
      [judged('203.0.113.0/24'), OUT, 'location'],
      [judged('2001:db8:2:3::/64'), '2001:db8:2:3:4:5:6:7', 'allowed'],
      [judged('2001:db8:2:3::/64'), '2001:db8:2:4::1', 'location'],
      [judged('2001:db8:2:3::1'), '2001:db8:2:3::1', 'location'],
      [judged(OUT, ['other']), OUT, 'location'],
      [judged(OUT, []), OUT, 'location'],
      [judged(''), '', 'location'],
      [bound({ jti: 'm1', caegis_ip: OUT }), OUT, 'location'],
      [bound({ jti: 'm2', caegis_ip: { address: OUT } }), OUT, 'location'],
      [bound({ jti: 'm3', caegis_ip: { address: OUT, policies: 'office-only' } }), OUT, 'location'],
    ]
    for (const [token, from, want] of cases) expect({ token, from, outcome: at(token, from) }).toEqual({ token, from, outcome: want })
  })

  it('D4: rules that are older or newer than the issuer`s do not make a client ask for ever', () => {
    // The issuer has heard of another office; the guard has not.
    const { from, at, sink } = start()
    const refused = asked(from(bound(), OUT))
    expect(refused.access_token.xms_rp_ipaddr.value).toBe(OUT)
    // Allowed at both addresses by the issuer's rules: the answer to evidence names the judged address and ids all the same.
    const answer = bound({ jti: 'j-2', caegis_ip: { address: OUT, policies: ['office-only'] } })
    expect(at(answer, OUT)).toBe('allowed')
    sink.rules([first(2), { policies: [OFFICE_ONLY] }, { location: { id: 'office', kind: 'ip', trusted: true } }, { ranges: ['192.0.2.0/24'] }])
    expect([at(answer, OUT), at(answer, IN)]).toEqual(['allowed', 'location'])
  })

  it('D5: an unknown policy is unmet, with a challenge; one that is gone is met from anywhere', () => {
    const { from, at } = start()
    const unknown = bound({ jti: 'j-new', capolids_latebind: ['newer-than-the-rules'] })
    expect(asked(from(unknown, IN)).access_token.caegis_evidence).toBeDefined()
    expect(at(bound({ jti: 'j-both', capolids_latebind: ['office-only', 'newer-than-the-rules'] }), IN)).toBe('location')
    expect(at(bound({ jti: 'j-gone', capolids_latebind: ['gone'] }), OUT)).toBe('allowed')
    // Before any rules came, every policy is unknown.
    expect(start({}, []).at(bound(), IN)).toBe('location')
  })

  it('a claim that cannot be read is no claim that nothing is left', () => {
    const { at } = start()
    for (const [i, capolids_latebind] of ['office-only', { 0: 'office-only' }, [1], [''], Array(300).fill('gone')].entries()) {
      expect(at(bound({ jti: `j-${i}`, capolids_latebind }), IN)).toBe('token_malformed')
    }
  })

  it('rules change: new requests and live connections are judged by them at once, each by its own address', () => {
    const { from, at, sink, guard } = start()
    const token = bound()
    const [inside, other] = [IN, '198.51.100.8'].map((one) => (from(token, one) as Allowed).signal)
    const free = (from(mint({ jti: 'free' }), OUT) as Allowed).signal
    // Only one of the two stays in the office.
    sink.rules([first(2), { policies: [OFFICE_ONLY] }, { location: { id: 'office', kind: 'ip', trusted: true } }, { ranges: [IN] }])
    expect([inside?.aborted, other?.aborted, free.aborted]).toEqual([false, true, false])
    expect(other?.reason).toMatchObject({ code: 'location' })
    expect([at(token, IN), at(token, '198.51.100.8')]).toEqual(['allowed', 'location'])
    sink.rules([first(3), { policies: [OFFICE_ONLY] }, { location: { id: 'office', kind: 'ip', trusted: true } }, { ranges: ['192.0.2.1'] }])
    expect(inside?.aborted).toBe(true)
    expect(guard.status().live).toBe(1)
    // From where the last request came too.
    expect([at(token, '192.0.2.1'), at(token, '192.0.2.1')]).toEqual(['allowed', 'allowed'])
    sink.rules([first(3), { policies: [OFFICE_ONLY] }, ...OFFICE])
    expect(at(token, '192.0.2.1')).toBe('location')
    sink.rules([first(3), { policies: [OFFICE_ONLY] }, { location: { id: 'office', kind: 'ip', trusted: true } }, { ranges: ['192.0.2.1'] }])
    // A verdict of before the change, whose signal is first read now.
    const kept = from(mint({ jti: 'k', capolids_latebind: ['office-only'] }), '192.0.2.1') as Allowed
    sink.rules([first(4), { policies: [OFFICE_ONLY] }, ...OFFICE])
    expect(kept.signal.aborted).toBe(true)
  })

  it('what changed since a version goes on what is here; anything else changes nothing', () => {
    const { at, sink, guard } = start()
    const token = bound()
    expect(guard.status().rules).toEqual({ version: 1, policies: 2, locations: 1 })
    sink.rules([
      first(5, 1),
      { policies: [{ ...OFFICE_ONLY, exclude: ['office', 'branch'] }] },
      { kept: ['office'] },
      { location: { id: 'branch', kind: 'ip', trusted: false } },
      { ranges: [OUT] },
    ])
    expect([at(token, IN), at(token, OUT)]).toEqual(['allowed', 'allowed'])
    expect(guard.status().rules).toEqual({ version: 5, policies: 1, locations: 2 })
    const bad: RulesPart[][] = [
      [],
      [{ version: 6 }],
      [first(6, 6), { kept: ['office'] }],
      [first(6, 5), { kept: ['nowhere'] }],
      [first(6, 0), { kept: ['office'] }],
      [first(6), { policies: [{ id: 'x' }] }],
      [first(6), { policies: [{ id: 'x', include: ['y', 2], exclude: [] }] }],
      [first(6), { ranges: [IN] }],
      [first(6), { location: { id: 'x', kind: 'country', countries: ['DE'], includeUnknown: false } }, { ranges: [IN] }],
      [first(6), { location: { id: 'x', kind: 'ip', trusted: true } }, { ranges: ['10.0.0.0/33'] }],
      [first(6), { location: { id: 'x', kind: 'moon' } }],
      [first(6), {}],
    ]
    for (const parts of bad) expect(() => sink.rules(parts), JSON.stringify(parts)).toThrow(expect.objectContaining({ code: 'rules_refused' }))
    expect([at(token, IN), at(token, OUT), at(token, '192.0.2.1')]).toEqual(['allowed', 'allowed', 'location'])
    expect(guard.status().rules.version).toBe(5)
    // Whole again, whatever the number: the issuer's database may be an older one.
    sink.rules([first(2), { policies: [OFFICE_ONLY] }, ...OFFICE])
    expect([at(token, IN), at(token, OUT)]).toEqual(['allowed', 'location'])
  })

  it('countries are asked of the application; without an answer the condition is unmet', () => {
    const rules = [
      first(),
      { policies: [{ id: 'office-only', include: 'All', exclude: ['de'] }] },
      { location: { id: 'de', kind: 'country', countries: ['DE'], includeUnknown: false } },
    ]
    const countries: Record<string, string | null> = { [IN]: 'DE', [OUT]: 'NL', '192.0.2.1': null }
    const country = (address: string) => {
      if (address === '192.0.2.2') throw new Error('no such file')
      return countries[address]
    }
    const { at } = start({ country }, rules)
    expect([IN, OUT, '192.0.2.1', '192.0.2.2', '192.0.2.3', ''].map((one) => at(bound(), one))).toEqual(['allowed', ...Array(5).fill('location')])
    expect(start({}, rules).at(bound(), IN)).toBe('location')
    // It may know better the next time.
    const token = bound()
    expect(at(token, OUT)).toBe('location')
    countries[OUT] = 'DE'
    expect(at(token, OUT)).toBe('allowed')
  })
})

describe('D6: whose address', () => {
  const token = bound()
  const trustedProxies = ['10.0.0.0/8', '2001:db8:99::/64']

  it('forwarded headers are not believed unless their writer is a proxy that was named', () => {
    expect(start().at(token, OUT, IN)).toBe('location')
    expect(start().at(token, '10.0.0.1', IN)).toBe('location')
    const { at } = start({ trustedProxies })
    expect(at(token, OUT, IN)).toBe('location')
    expect(at(token, '10.0.0.1', IN)).toBe('allowed')
    expect(at(token, '::ffff:10.0.0.1', IN)).toBe('allowed')
    expect(at(token, '2001:db8:99::5', IN)).toBe('allowed')
    expect(at(token, undefined, IN)).toBe('location')
  })

  it.each([
    ['the rightmost that no proxy wrote', `${IN}, ${OUT}`, 'location'],
    ['proxies in between', `${OUT}, ${IN}, 10.0.0.9`, 'allowed'],
    ['several lines', [OUT, `${IN}, 10.0.0.9`], 'allowed'],
    ['mapped IPv6', `::ffff:${IN}`, 'allowed'],
    ['something unreadable next to the proxy', `${IN}, unknown`, 'location'],
    ['something unreadable further left', `unknown, ${IN}`, 'allowed'],
    ['a port', `${IN}:4711`, 'location'],
    ['nobody but proxies', '10.0.0.3, 10.0.0.4', 'location'],
    ['nothing', '', 'location'],
  ] as [string, string | string[], string][])('%s', (_, forwarded, want) => {
    const { at } = start({ trustedProxies })
    expect(at(token, '10.0.0.1', forwarded)).toBe(want)
    // The same connection, another caller.
    expect(at(token, '10.0.0.1', IN)).toBe('allowed')
    expect(at(token, '10.0.0.1', OUT)).toBe('location')
    expect(at(token, '10.0.0.1', forwarded)).toBe(want)
  })

  it('a Fetch request says nothing of its caller by itself', () => {
    const { guard } = start({ trustedProxies })
    const plain = new Request('https://api.test/', { headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': IN } })
    expect(outcome(verdictOf(guard.check(plain)))).toBe('location')
    const known = { url: plain.url, headers: plain.headers, socket: { remoteAddress: '10.0.0.1' } }
    expect(outcome(verdictOf(guard.check(known)))).toBe('allowed')
  })

  it('what cannot be read is refused at once', () => {
    const base = { issuer: ISSUER, audience: AUDIENCE, clientId: 'a', clientSecret: 'b' }
    expect(() => createGuard({ ...base, trustedProxies: ['10.0.0.0/40'] })).toThrow(TypeError)
    expect(() => createGuard({ ...base, country: 'DE' as never })).toThrow(TypeError)
  })
})
