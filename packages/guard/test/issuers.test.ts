import { generateKeyPairSync } from 'node:crypto'
import { readClaimsChallenge } from '@caegis/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { createGuard, type Guard } from '../src/guard.ts'
import type { IssuerOptions, SeveralIssuers } from '../src/issuers.ts'
import { createStaticKeys } from '../src/keys.ts'
import type { Sink, Source } from '../src/source.ts'
import { createProviders, NAMES, optionsOf, PROVIDERS } from './providers.ts'
import { createClocks, cutoff, ec, head, jwkOf, mint, otherEc, outcome, request, START, verdictOf } from './tokens.ts'

const CONTOSO = 'https://id.example/contoso/v2.0'
const FABRIKAM = 'https://id.example/fabrikam/v2.0'
const open: Guard[] = []
afterEach(async () => {
  for (const guard of open.splice(0)) await guard.close()
})

/** A guard for two issuers with the same names for everything: their kids, their users, their applications. */
function startTwo(one: Partial<IssuerOptions> = {}, other: Partial<IssuerOptions> = {}, whole: Partial<SeveralIssuers> = {}) {
  const clocks = createClocks()
  const sinks: Record<string, Sink> = {}
  const closed: string[] = []
  const sourceOf = (issuer: string): Source => ({
    start(sink) {
      sinks[issuer] = sink
    },
    async close() {
      closed.push(issuer)
    },
  })
  const keys = {
    [CONTOSO]: createStaticKeys({ [CONTOSO]: { keys: [jwkOf(ec, 'k1')] } }),
    [FABRIKAM]: createStaticKeys({ [FABRIKAM]: { keys: [jwkOf(otherEc, 'k1')] } }),
  }
  const guard = createGuard({
    ...{ now: clocks.now, monotonic: clocks.monotonic, ...whole },
    issuers: [
      { issuer: CONTOSO, audience: 'api://files', source: sourceOf(CONTOSO), keys: keys[CONTOSO], clientId: 'files-c', ...one },
      { issuer: FABRIKAM, audience: 'api://docs', source: sourceOf(FABRIKAM), keys: keys[FABRIKAM], clientId: 'files-f', ...other },
    ],
  })
  open.push(guard)
  const check = (token: string) => verdictOf(guard.check(request(token)))
  return { guard, clocks, sinks: sinks as { [CONTOSO]: Sink; [FABRIKAM]: Sink }, keys, closed, check, code: (token: string) => outcome(check(token)) }
}
function started(...args: Parameters<typeof startTwo>) {
  const made = startTwo(...args)
  made.sinks[CONTOSO].synced(head(0, START))
  made.sinks[FABRIKAM].synced(head(0, START))
  return made
}
const contoso = (claims: object = {}, key = ec) => mint({ iss: CONTOSO, aud: 'api://files', ...claims }, {}, key.privateKey)
const fabrikam = (claims: object = {}, key = otherEc) => mint({ iss: FABRIKAM, aud: 'api://docs', ...claims }, {}, key.privateKey)

describe('several issuers in one guard', () => {
  it('each token is judged by its own issuer: keys, audience, and where to sign in again', () => {
    const { code, check, sinks } = started({ authorizationUri: `${CONTOSO}/authorize` }, { authorizationUri: `${FABRIKAM}/authorize` })
    for (let i = 0; i < 2; i++) expect([code(contoso()), code(fabrikam())]).toEqual(['allowed', 'allowed'])
    expect([code(contoso({ aud: 'api://docs' })), code(fabrikam({ aud: 'api://files' }))]).toEqual(['token_audience', 'token_audience'])
    for (const issuer of [CONTOSO, FABRIKAM] as const) sinks[issuer].merge([cutoff('user', 'alice', START, { issuer })])
    const uri = (token: string) => {
      const verdict = check(token)
      return verdict.allowed ? undefined : readClaimsChallenge(verdict.headers['WWW-Authenticate'])?.authorizationUri
    }
    expect(uri(contoso({ xms_cc: ['cp1'] }))).toBe(`${CONTOSO}/authorize`)
    expect(uri(fabrikam({ xms_cc: ['cp1'] }))).toBe(`${FABRIKAM}/authorize`)
  })

  it('A5: a kid never crosses: the same name is another key at another issuer', () => {
    const { code, keys } = started()
    expect(code(fabrikam({}, ec))).toBe('token_signature')
    expect(code(contoso({}, otherEc))).toBe('token_signature')
    keys[FABRIKAM].replace(FABRIKAM, { keys: [jwkOf(ec, 'k9')] })
    expect(code(mint({ iss: CONTOSO, aud: 'api://files' }, { kid: 'k9' }))).toBe('token_key')
    // A key source that knows several issuers does not lend one's keys to another.
    const shared = createStaticKeys({ [FABRIKAM]: { keys: [jwkOf(otherEc, 'k1')] } })
    expect(started({ keys: shared }).code(contoso({}, otherEc))).toBe('token_key')
  })

  it('A5: a cutoff never crosses, whoever says it and whatever it calls itself', () => {
    const { code, sinks, guard } = started()
    sinks[FABRIKAM].merge([cutoff('app', 'files-spa', START, { issuer: FABRIKAM }), cutoff('tenant', 'contoso', START, { issuer: FABRIKAM })])
    expect([code(contoso()), code(fabrikam())]).toEqual(['allowed', 'revoked'])
    // Fabrikam's transmitter speaks of Contoso's users.
    sinks[FABRIKAM].merge([cutoff('user', 'alice', START, { issuer: CONTOSO })])
    expect(code(contoso())).toBe('allowed')
    guard.revoke({ issuer: CONTOSO, kind: 'user', id: 'bob' })
    const bob = { sub: 'bob', oid: 'bob', tid: 't', client_id: 'c' }
    expect([code(contoso(bob)), code(fabrikam(bob))]).toEqual(['revoked', 'allowed'])
  })

  it('A5, A8(c): the clock of one transmitter makes nothing of another’s forgotten', () => {
    const { code, sinks, clocks } = started()
    sinks[CONTOSO].merge([cutoff('user', 'alice', START, { issuer: CONTOSO })])
    for (let i = 0; i < 200; i++) {
      clocks.pass(1.01)
      sinks[FABRIKAM].synced(head(0, START + 9e6 + i))
    }
    sinks[CONTOSO].synced(head(0, clocks.seconds))
    expect(code(contoso())).toBe('revoked')
  })

  it('one deaf issuer makes neither the others stale nor their tokens refused', () => {
    const { code, check, sinks, clocks, guard } = started({ staleness: 'strict' }, {})
    clocks.pass(100)
    sinks[FABRIKAM].synced(head(0, clocks.seconds))
    expect(code(contoso())).toBe('out_of_sync')
    expect(check(fabrikam())).toMatchObject({ allowed: true, stale: false })
    expect(guard.status()).toMatchObject({ stale: true, inSync: true, issuers: { [CONTOSO]: { stale: true }, [FABRIKAM]: { stale: false } } })
    sinks[CONTOSO].synced(head(0, clocks.seconds))
    sinks[FABRIKAM].outOfSync('a gap')
    expect(check(contoso())).toMatchObject({ allowed: true, stale: false })
    expect(check(fabrikam())).toMatchObject({ allowed: true, stale: true })
    expect(guard.status()).toMatchObject({ inSync: false, reason: `${FABRIKAM}: a gap` })
  })

  it('B3: an issuer that is not hydrated allows none of its own tokens, and hinders no other’s; ready() waits for all', async () => {
    const { code, sinks, guard } = startTwo()
    let ready = false
    const waiting = guard.ready().then(() => {
      ready = true
    })
    expect([code(contoso()), code(fabrikam())]).toEqual(['not_ready', 'not_ready'])
    sinks[FABRIKAM].synced(head(0, START))
    await new Promise((resolve) => setImmediate(resolve))
    expect([code(contoso()), code(fabrikam()), ready]).toEqual(['not_ready', 'allowed', false])
    expect(guard.status()).toMatchObject({ hydrated: false, issuers: { [FABRIKAM]: { hydrated: true } } })
    sinks[CONTOSO].synced(head(0, START))
    await waiting
    expect(code(contoso())).toBe('allowed')
  })

  it('E3: a cutoff of one issuer ends its own live connections only; keys that change, too', async () => {
    const { check, sinks, keys } = started()
    const [one, other] = [check(contoso()), check(fabrikam())]
    if (!one.allowed || !other.allowed) throw new Error('refused')
    expect([one.signal.aborted, other.signal.aborted]).toEqual([false, false])
    sinks[FABRIKAM].merge([cutoff('user', 'alice', START, { issuer: FABRIKAM })])
    expect([one.signal.aborted, other.signal.aborted]).toEqual([false, true])
    keys[CONTOSO].replace(CONTOSO, { keys: [] })
    sinks[CONTOSO].keysChanged()
    await new Promise((resolve) => setImmediate(resolve))
    expect(one.signal.aborted).toBe(true)
  })

  it('of no issuer that is known, or of none at all: refused, cheaply and without a word about the others', () => {
    const { guard, code, check } = started({ authorizationUri: `${CONTOSO}/authorize` })
    const cases: [string, string][] = [
      [mint({ iss: 'https://strangers.example' }), 'token_issuer'],
      [mint({ iss: undefined }), 'token_issuer'],
      [mint({ iss: [CONTOSO] }), 'token_issuer'],
      [mint({ iss: '__proto__' }), 'token_issuer'],
      [mint({ iss: `${CONTOSO}/` }), 'token_issuer'],
      ['abc', 'token_malformed'],
      ['a.b.c', 'token_malformed'],
      [`${mint().split('.')[0]}.AAAA.AAAA`, 'token_malformed'],
      [mint({ iss: CONTOSO, filler: 'x'.repeat(20_000) }), 'token_malformed'],
    ]
    for (const [token, wanted] of cases) expect(code(token)).toBe(wanted)
    expect(guard.status().tokens).toBe(0)
    const missing = verdictOf(guard.check({ headers: {} }))
    expect(missing).toMatchObject({ code: 'token_missing', headers: { 'WWW-Authenticate': 'Bearer realm=""' } })
    expect(check(contoso()).allowed).toBe(true)
  })

  it('a route asks the same of all of them', () => {
    const { guard } = started()
    const route = guard.require({ scope: 'Files.Write' })
    const code = (token: string) => outcome(verdictOf(route.check(request(token))))
    expect([code(contoso({ scp: 'Files.Write' })), code(fabrikam({ scp: 'Files.Read' }))]).toEqual(['allowed', 'insufficient_scope'])
  })

  it('tokens are remembered within one bound, each with its issuer; status sums and tells each', () => {
    const { guard, code } = started({}, {}, { maxTokens: 8 })
    for (let i = 0; i < 40; i++) expect([code(contoso({ jti: `${i}` })), code(fabrikam({ jti: `${i}` }))]).toEqual(['allowed', 'allowed'])
    const status = guard.status()
    expect(status.tokens).toBeLessThanOrEqual(8)
    expect(Object.keys(status.issuers)).toEqual([CONTOSO, FABRIKAM])
    guard.revoke({ issuer: CONTOSO, kind: 'user', id: 'a' })
    guard.revoke({ issuer: FABRIKAM, kind: 'user', id: 'a' })
    expect(guard.status()).toMatchObject({ cutoffs: 2, proof: 'heads', issuers: { [CONTOSO]: { cutoffs: 1 } } })
  })

  it('close closes all; nothing is allowed then', async () => {
    const { guard, closed, code } = started()
    const token = contoso()
    expect(code(token)).toBe('allowed')
    await guard.close()
    expect(closed).toEqual([CONTOSO, FABRIKAM])
    expect([code(token), code(fabrikam())]).toEqual(['not_ready', 'not_ready'])
  })

  it('whose it is has to be said', () => {
    const { guard } = started()
    expect(() => guard.revoke({ kind: 'user', id: 'a' })).toThrow(TypeError)
    expect(() => guard.revoke({ kind: 'user', id: 'a', issuer: 'https://id.example/others' })).toThrow(TypeError)
    expect(() => guard.receiver()).toThrow(TypeError)
    expect(() => guard.receiver(CONTOSO)).toThrow(TypeError)
    const one = { issuer: CONTOSO, audience: 'a', events: 'none' } as const
    const make = (options: object) => () => createGuard(options as SeveralIssuers)
    for (const options of [
      ...[{ issuers: [] }, { issuers: {} }, { issuers: [undefined] }, { issuers: [one, one] }, { issuers: [{ ...one, audience: undefined }] }],
      ...[
        { issuers: [one], clientSecret: 's' },
        { issuers: [one], issuer: CONTOSO },
        { issuers: [one], events: 'none' },
      ],
      ...[{ issuers: [{ ...one, fetch }] }, { issuers: [{ ...one, trustedProxies: [] }] }],
      { issuers: [one, { ...one, issuer: FABRIKAM, events: { credentials: {} } }] },
    ]) {
      expect(make(options)).toThrow(TypeError)
    }
  })

  it('what an issuer does not say is the guard’s own word', () => {
    const { guard } = started({ audience: undefined as never }, {}, { audience: 'api://files' })
    expect(outcome(verdictOf(guard.check(request(contoso()))))).toBe('allowed')
  })
})

describe('all of them at once, over HTTP', () => {
  it('an API takes tokens of every provider; one that is down is waited for, and its tokens alone are refused', async () => {
    const providers = createProviders()
    providers.down.add('Keycloak')
    const clocks = createClocks()
    const issuers = NAMES.map((name) => ({ ...optionsOf(name) }))
    const guard = createGuard({ issuers, fetch: providers.fetch, now: clocks.now, monotonic: clocks.monotonic })
    open.push(guard)
    const code = async (token: string) => outcome(await guard.check(request(token)))
    const others = NAMES.filter((name) => name !== 'Keycloak')
    for (const name of others) expect([name, await code(providers.token(name))]).toEqual([name, 'allowed'])
    expect(await code(providers.token('Keycloak'))).toBe('not_ready')
    providers.down.clear()
    await guard.ready()
    expect(await code(providers.token('Keycloak'))).toBe('allowed')
    // None of them signs for another.
    const strange = generateKeyPairSync('rsa', { modulusLength: 2048 })
    for (const name of NAMES) {
      for (const other of NAMES) {
        if (other === name) continue
        const { issuer, audience } = PROVIDERS[other]
        expect(await code(providers.token(name, { iss: issuer, aud: audience, jti: `${name} ${other}` }))).not.toBe('allowed')
      }
      expect(await code(providers.token(name, { jti: 'x' }, { alg: 'RS256', kid: 'none' }, strange))).toBe('token_key')
    }
  })
})
