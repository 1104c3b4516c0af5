import { generateKeyPairSync } from 'node:crypto'
import { readClaimsChallenge } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { VERDICT_CODES } from '../src/errors.ts'
import { createGuard } from '../src/guard.ts'
import { createStaticKeys, type KeySource } from '../src/keys.ts'
import { AUDIENCE, cutoff, ec, head, ISSUER, jwkOf, mint, otherEc, outcome, request, START, startGuard, verdictOf } from './tokens.ts'

const HOUR = 3600
const publicPem = ec.publicKey.export({ type: 'spki', format: 'pem' }) as string
const publicJwk = JSON.stringify(ec.publicKey.export({ format: 'jwk' }))

describe('what a token is refused for', () => {
  const cases: [description: string, token: string, code: string][] = [
    ['a good token', mint(), 'allowed'],
    ['an Entra token: typ JWT', mint({}, { typ: 'JWT' }), 'allowed'],
    ['no typ at all', mint({}, { typ: undefined }), 'allowed'],
    ['the long form of typ', mint({}, { typ: 'application/at+jwt' }), 'allowed'],
    ['one of several audiences', mint({ aud: ['api://other', AUDIENCE] }), 'allowed'],
    ['an act chain of four', mint({ act: chain(4) }), 'allowed'],
    ['no JWS', 'abc', 'token_malformed'],
    ['a JWE of five parts', 'a.b.c.d.e', 'token_malformed'],
    ['a header that is no JSON', `AAAA.${mint().split('.').slice(1).join('.')}`, 'token_malformed'],
    ['a token that is too long', mint({ filler: 'x'.repeat(16_384) }), 'token_malformed'],
    ['characters that a lenient decoder skips', mint().replace('.', '!.'), 'token_malformed'],
    ['the other base64 alphabet', `${mint().slice(0, -3)}+/+`, 'token_malformed'],
    ['a critical extension', mint({}, { crit: ['b64'], b64: false }), 'token_malformed'],
    ['alg none', mint({}, { alg: 'none' }), 'token_algorithm'],
    ['alg none, spelled otherwise', mint({}, { alg: 'NoNe' }), 'token_algorithm'],
    ['HS256 with the public key (PEM) for a secret', mint({}, { alg: 'HS256' }, publicPem), 'token_algorithm'],
    ['HS256 with the public key (JWK) for a secret', mint({}, { alg: 'HS256' }, publicJwk), 'token_algorithm'],
    [
      'an algorithm that is not the key’s',
      mint({}, { alg: 'RS256' }, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
      'token_algorithm',
    ],
    ['a key that came in the header', mint({}, { jwk: jwkOf(otherEc, 'k1') }, otherEc.privateKey), 'token_signature'],
    ['an unknown kid', mint({}, { kid: 'k9' }), 'token_key'],
    ['another key', mint({}, {}, otherEc.privateKey), 'token_signature'],
    ['changed claims', swapClaims(mint(), mint({ sub: 'mallory' })), 'token_signature'],
    ['no signature', `${mint().split('.').slice(0, 2).join('.')}.`, 'token_malformed'],
    ['E9: a SET as token, by its typ', mint({}, { typ: 'secevent+jwt' }), 'token_type'],
    ['E9: a SET as token, by its events', mint({ events: { 'urn:x': {} } }, { typ: 'JWT' }), 'token_type'],
    ['a DPoP proof', mint({}, { typ: 'dpop+jwt' }), 'token_type'],
    ['a logout token', mint({}, { typ: 'logout+jwt' }), 'token_type'],
    ['another issuer', mint({ iss: 'https://id.example/fabrikam/v2.0' }), 'token_issuer'],
    ['another audience', mint({ aud: 'api://other' }), 'token_audience'],
    ['no audience', mint({ aud: undefined }), 'token_audience'],
    ['an expired token', mint({ exp: START - 31 }), 'token_expired'],
    ['an expired token within the leeway', mint({ exp: START - 29 }), 'allowed'],
    ['no exp', mint({ exp: undefined }), 'token_expired'],
    ['nbf ahead', mint({ nbf: START + 61 }), 'token_not_yet'],
    ['A6d: no iat', mint({ iat: undefined }), 'token_issued_at'],
    ['A6d: an iat that is no number', mint({ iat: String(START) }), 'token_issued_at'],
    ['A6d: iat in milliseconds', mint({ iat: START * 1000, exp: START * 1000 + 3600 }), 'token_not_yet'],
    ['A6d: iat in the future', mint({ iat: START + 61 }), 'token_not_yet'],
    ['iat ahead within tolerance', mint({ iat: START + 59 }), 'allowed'],
    ['A8a: a life beyond the horizon', mint({ exp: START - 60 + 28 * HOUR + 301 }), 'token_horizon'],
    ['a life just within the horizon', mint({ exp: START - 60 + 28 * HOUR + 300 }), 'allowed'],
    ['E7: a bound token used as bearer', mint({ cnf: { jkt: 'x' } }), 'token_bound'],
    ['an act chain of five', mint({ act: chain(5) }), 'token_actor'],
    ['sources that cannot be read', mint({ act: chain(1), caegis_from: [['token']] }), 'token_actor'],
    ['an act that is no object', mint({ act: 'someone' }), 'token_actor'],
  ]
  it.each(cases)('%s', (_, token, code) => {
    const { check, guard } = startGuard()
    const verdict = check(token)
    expect(outcome(verdict)).toBe(code)
    // Only what was verified may take up memory.
    expect(guard.status().tokens).toBe(code === 'allowed' ? 1 : 0)
    if (verdict.allowed) return
    expect(verdict.status).toBe(401)
    expect(verdict.headers['WWW-Authenticate']).toMatch(/^Bearer /)
    expect(verdict.headers).not.toHaveProperty('Retry-After')
    expect(JSON.stringify(verdict)).not.toContain(token.slice(-20))
    // A second look says the same.
    expect(outcome(check(token))).toBe(code)
  })

  it('verifies RS256, PS256 and EdDSA by keys of those types only', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const ed = generateKeyPairSync('ed25519')
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const keys = createStaticKeys({
      [ISSUER]: {
        keys: [jwkOf(rsa, 'rsa'), jwkOf(ed, 'ed'), jwkOf(rsa, 'ps-only', { alg: 'PS256' }), jwkOf(weak, 'weak'), jwkOf(ec, 'enc', { use: 'enc' })],
      },
    })
    const { check } = startGuard({ keys })
    expect(outcome(check(mint({}, { alg: 'RS256', kid: 'rsa' }, rsa.privateKey)))).toBe('allowed')
    expect(outcome(check(mint({}, { alg: 'PS256', kid: 'rsa' }, rsa.privateKey)))).toBe('allowed')
    expect(outcome(check(mint({}, { alg: 'EdDSA', kid: 'ed' }, ed.privateKey)))).toBe('allowed')
    expect(outcome(check(mint({}, { alg: 'RS256', kid: 'ps-only' }, rsa.privateKey)))).toBe('token_algorithm')
    expect(outcome(check(mint({}, { alg: 'ES256', kid: 'rsa' })))).toBe('token_algorithm')
    expect(outcome(check(mint({}, { alg: 'RS256', kid: 'weak' }, weak.privateKey)))).toBe('token_key')
    expect(outcome(check(mint({}, { kid: 'enc' })))).toBe('token_key')
    expect(outcome(check(mint({}, { alg: 'EdDSA', kid: 'ed' }, generateKeyPairSync('ed25519').privateKey)))).toBe('token_signature')
  })

  it('ES256: reads signatures whose numbers begin with zeros or with a high bit, and refuses zeros', () => {
    const { check } = startGuard()
    const shapes = new Set<string>()
    // One number in 256 begins with a zero byte.
    for (let i = 0; i < 1500; i++) {
      const token = mint({ jti: `j-${i}` })
      const raw = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
      for (const at of [0, 32]) shapes.add(`${at} ${raw[at] === 0 ? 'zero' : (raw[at] as number) >= 0x80 ? 'high' : 'low'}`)
      if (outcome(check(token)) !== 'allowed') throw new Error(raw.toString('hex'))
    }
    expect(shapes.size).toBe(6)
    const bare = mint().slice(0, mint().lastIndexOf('.'))
    for (const bytes of [Buffer.alloc(64), Buffer.alloc(64, 0xff), Buffer.alloc(63, 1), Buffer.alloc(65, 1)]) {
      expect(outcome(check(`${bare}.${bytes.toString('base64url')}`))).toBe('token_signature')
    }
  })

  it('takes a token without kid only where the issuer has one key', () => {
    const { check, keys } = startGuard()
    expect(outcome(check(mint({}, { kid: undefined })))).toBe('allowed')
    keys.replace(ISSUER, { keys: [jwkOf(ec, 'k1'), jwkOf(otherEc, 'k2')] })
    expect(outcome(check(mint({ jti: 'j-2' }, { kid: undefined })))).toBe('token_key')
  })

  it('E9: refuses junk before looking for a key or computing a signature', () => {
    let asked = 0
    const keys: KeySource = {
      ...createStaticKeys({}),
      find: () => {
        asked++
        return [{ kid: 'k1', algorithms: ['ES256'], gone: false, verify: () => false }]
      },
    }
    const { check } = startGuard({ keys })
    const junk = [
      { aud: 'api://x' },
      { iss: 'https://x.example' },
      { exp: START - 999 },
      { iat: START + 999 },
      { cnf: {} },
      { events: {} },
      { exp: START + 1e6 },
    ]
    for (const claims of junk) expect(check(mint(claims)).allowed).toBe(false)
    for (const header of [{ alg: 'none' }, { alg: 'HS256' }, { typ: 'secevent+jwt' }, { crit: ['x'] }])
      expect(check(mint({}, header, header.alg === 'HS256' ? 'secret' : undefined)).allowed).toBe(false)
    expect(asked).toBe(0)
    expect(outcome(check(mint()))).toBe('token_signature')
    expect(asked).toBe(1)
  })

  it('E9: a flood of unverified tokens leaves nothing behind, a flood of verified ones stays within bounds', () => {
    const { check, guard } = startGuard({ maxTokens: 8 })
    for (let i = 0; i < 50; i++) check(mint({ jti: `forged-${i}` }, {}, otherEc.privateKey))
    expect(guard.status().tokens).toBe(0)
    for (let i = 0; i < 50; i++) expect(outcome(check(mint({ jti: `j-${i}` })))).toBe('allowed')
    expect(guard.status().tokens).toBeLessThanOrEqual(8)
  })

  it('has a text for every code', () => {
    for (const [code, { status, message }] of Object.entries(VERDICT_CODES)) {
      expect(code).toMatch(/^[a-z_]+$/)
      expect([400, 401, 403, 503]).toContain(status)
      expect(message.endsWith('.')).toBe(true)
    }
  })
})

describe('where the token is looked for', () => {
  const { guard } = startGuard()
  const token = mint()
  const codeOf = (parts: object) => outcome(verdictOf(guard.check({ headers: {}, ...parts } as never)))
  const statusOf = (parts: object) => {
    const verdict = verdictOf(guard.check({ headers: {}, ...parts } as never))
    return verdict.allowed ? 200 : verdict.status
  }

  it('reads a node request, a Fetch request and a plain object', () => {
    expect(codeOf({ headers: { authorization: `Bearer ${token}` } })).toBe('allowed')
    expect(codeOf({ headers: { Authorization: `bEaReR   ${token} ` } })).toBe('allowed')
    expect(outcome(verdictOf(guard.check(new Request('https://api.example/x?a=b', { headers: { authorization: `bearer ${token}` } }))))).toBe(
      'allowed',
    )
    expect(codeOf({ headers: {}, rawHeaders: ['Host', 'x', 'AUTHORIZATION', `Bearer ${token}`] })).toBe('allowed')
  })

  it.each([
    ['none', {}],
    ['another scheme', { headers: { authorization: 'Basic abc' } }],
    ['a scheme that only begins alike', { headers: { authorization: `Bearerx ${token}` } }],
    ['an empty header', { headers: { authorization: '' } }],
  ])('token_missing, without an error code: %s', (_, parts) => {
    const verdict = verdictOf(guard.check({ headers: {}, ...parts }))
    expect(outcome(verdict)).toBe('token_missing')
    expect(verdict).toMatchObject({ status: 401, headers: { 'WWW-Authenticate': 'Bearer realm=""' } })
  })

  it('token_malformed: more than one header is 400, whatever they hold', () => {
    const twice = [
      { rawHeaders: ['Authorization', `Bearer ${token}`, 'authorization', `Bearer ${token}`] },
      { headers: { authorization: [`Bearer ${token}`, 'x'] } },
    ]
    for (const parts of [...twice, { headers: { authorization: `Bearer ${token}`, Authorization: `Bearer ${token}` } }]) {
      expect(codeOf(parts)).toBe('token_malformed')
      expect(statusOf(parts)).toBe(400)
    }
    const joined = new Headers([
      ['authorization', `Bearer ${token}`],
      ['authorization', `Bearer ${token}`],
    ])
    expect(codeOf({ headers: joined })).toBe('token_malformed')
    expect(codeOf({ headers: { authorization: 'Bearer' } })).toBe('token_malformed')
    expect(codeOf({ headers: { authorization: `Bearer ${token} ${token}` } })).toBe('token_malformed')
  })

  it('token_in_query: a token in the URL is 400, even beside a good header and however it is spelled', () => {
    for (const url of [`/x?access_token=${token}`, '/x?a=1&access_token=', '/x?%61ccess_token=1', 'https://api.example/x?access%5Ftoken=1#f']) {
      const parts = { url, headers: { authorization: `Bearer ${token}` } }
      expect(codeOf(parts)).toBe('token_in_query')
      expect(statusOf(parts)).toBe(400)
    }
    expect(codeOf({ url: '/x?my_access_token_name=1&q=access_token', headers: { authorization: `Bearer ${token}` } })).toBe('allowed')
  })
})

describe('A5: keys and cutoffs belong to an issuer', () => {
  const FABRIKAM = 'https://id.example/fabrikam/v2.0'

  it('A5: a key of another issuer does not verify, whatever its kid', () => {
    const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] }, [FABRIKAM]: { keys: [jwkOf(otherEc, 'k2')] } })
    const { check } = startGuard({ keys })
    expect(outcome(check(mint({}, { kid: 'k2' }, otherEc.privateKey)))).toBe('token_key')
    expect(outcome(check(mint({ iss: FABRIKAM }, { kid: 'k2' }, otherEc.privateKey)))).toBe('token_issuer')
  })

  it('A5: a cutoff of the same id at another issuer kills nothing', () => {
    const { check, sink } = startGuard()
    sink.merge([cutoff('app', 'files-spa', START, { issuer: FABRIKAM }), cutoff('user', 'alice', START, { issuer: FABRIKAM })])
    expect(outcome(check(mint()))).toBe('allowed')
    sink.merge([cutoff('app', 'files-spa', START)])
    expect(outcome(check(mint()))).toBe('revoked')
  })

  it('a cutoff of one kind kills nothing of another kind with the same id', () => {
    const { check, sink } = startGuard()
    sink.merge([cutoff('session', 'alice', START), cutoff('device', 'contoso', START), cutoff('token', 's-1', START)])
    expect(outcome(check(mint()))).toBe('allowed')
  })
})

describe('revocation', () => {
  it.each([
    ['tenant', 'contoso'],
    ['user', 'alice'],
    ['session', 's-1'],
    ['token', 'j-1'],
    ['app', 'files-spa'],
    ['grant', 'alice\nfiles-spa'],
    ['device', 'd-1'],
    ['user-device', 'alice\nd-1'],
    ['user', 'actor-3'],
    ['app', 'actor-0'],
    ['token', 'j-0'],
    ['session', 's-9'],
  ] as const)('a cutoff of kind %s for %j, at either depth, before and after the token was seen', (kind, id) => {
    const from = [
      ['token', 'j-0'],
      ['session', 's-9'],
    ]
    for (const depth of ['access', 'sign-in'] as const) {
      const token = mint({ deviceid: 'd-1', act: chain(4), caegis_from: from })
      const before = startGuard()
      before.sink.merge([cutoff(kind, id, START - 60, { depth })])
      expect(outcome(before.check(token))).toBe('revoked')
      const after = startGuard()
      expect(outcome(after.check(token))).toBe('allowed')
      after.sink.merge([cutoff(kind, id, START - 61, { depth })])
      expect(outcome(after.check(token))).toBe('allowed')
      after.sink.merge([cutoff(kind, id, START - 60, { depth })])
      expect(outcome(after.check(token))).toBe('revoked')
      // What was issued after the cutoff is good at once.
      expect(outcome(after.check(mint({ iat: START - 59, deviceid: 'd-1', act: chain(4), caegis_from: from })))).toBe('allowed')
    }
  })

  it('whom a derived token speaks for is said by its own claims, and not by what it came of', () => {
    const { check } = startGuard()
    const from = [
      ['session', 's-9'],
      ['device', 'd-9'],
      ['token', 'j-0'],
    ]
    const verdict = check(mint({ sid: undefined, act: chain(2), caegis_from: from }))
    expect(verdict).toMatchObject({ allowed: true, subject: { user: 'alice', token: 'j-1' } })
    if (verdict.allowed) for (const kind of ['session', 'device']) expect(verdict.subject).not.toHaveProperty(kind)
  })

  it('A6e: a fractional iat is floored, so the cutoff’s own second does not survive it', () => {
    const { check, sink } = startGuard()
    sink.merge([cutoff('user', 'alice', START - 10)])
    expect(outcome(check(mint({ iat: START - 10 + 0.5 })))).toBe('revoked')
  })

  it('A6a: a time in milliseconds is clamped, not wrapped, and what is no time cannot be applied', () => {
    const { check, sink } = startGuard()
    sink.merge([cutoff('user', 'alice', START * 1000)])
    expect(outcome(check(mint()))).toBe('revoked')
    expect(() => sink.merge([cutoff('user', 'alice', Number.NaN)])).toThrow(TypeError)
  })

  const challengeOf = (verdict: ReturnType<ReturnType<typeof startGuard>['check']>) =>
    verdict.allowed ? undefined : readClaimsChallenge(verdict.headers['WWW-Authenticate'])

  it('A11: the challenge asks for nbf = max(t, iat) + 1, in the issuer’s seconds', () => {
    const { check, sink, clocks } = startGuard({ authorizationUri: 'https://id.example/authorize' })
    // The guard's own clock is wrong by minutes and must not show.
    clocks.pass(45)
    sink.merge([cutoff('user', 'alice', START - 60)])
    const token = mint({ xms_cc: ['CP1'] })
    const verdict = check(token)
    expect(verdict).toMatchObject({ status: 401, code: 'revoked', body: { error: 'insufficient_claims', code: 'revoked' } })
    expect(challengeOf(verdict)).toEqual({
      claims: `{"access_token":{"nbf":{"essential":true,"value":"${START - 59}"}}}`,
      authorizationUri: 'https://id.example/authorize',
      nbf: START - 59,
    })
    if (!verdict.allowed) expect(verdict.headers['WWW-Authenticate']).toContain('client_id="files-api"')
    // The highest of all its cutoffs counts.
    sink.merge([cutoff('session', 's-1', START - 3), cutoff('tenant', 'contoso', START - 30)])
    expect(challengeOf(check(token))?.nbf).toBe(START - 2)
  })

  it('I6: a client that did not say cp1 gets a plain refusal', () => {
    for (const capabilities of [undefined, [], ['cp2'], 'cp', [1]]) {
      const { check, sink } = startGuard()
      sink.merge([cutoff('user', 'alice', START)])
      const verdict = check(mint({ xms_cc: capabilities }))
      expect(verdict).toMatchObject({ status: 401, code: 'revoked', headers: { 'WWW-Authenticate': 'Bearer realm="", error="invalid_token"' } })
      expect(challengeOf(verdict)).toBeUndefined()
    }
  })

  it('a refusal on other grounds is never a challenge, cp1 or not', () => {
    const { check } = startGuard()
    expect(challengeOf(check(mint({ xms_cc: ['cp1'], exp: START - 999 })))).toBeUndefined()
  })

  it('a token seen before is judged anew by every clock and cutoff', () => {
    const { check, clocks, sink } = startGuard({ maxStaleness: 1e6 })
    const token = mint({ exp: START + 100 })
    expect(outcome(check(token))).toBe('allowed')
    clocks.pass(129)
    expect(outcome(check(token))).toBe('allowed')
    clocks.pass(1)
    expect(outcome(check(token))).toBe('token_expired')
    clocks.set(-300)
    expect(outcome(check(token))).toBe('token_not_yet')
    clocks.set(200)
    sink.merge([cutoff('token', 'j-1', START)])
    expect(outcome(check(token))).toBe('revoked')
  })

  it('the claims handed to one request cannot be changed for the next', () => {
    const { check } = startGuard()
    const verdict = check(mint({ roles: ['reader'] }))
    if (!verdict.allowed) throw new Error('refused')
    expect(() => (verdict.claims.roles as string[]).push('admin')).toThrow(TypeError)
    expect(verdict.subject).toEqual({ issuer: ISSUER, tenant: 'contoso', user: 'alice', session: 's-1', token: 'j-1', app: 'files-spa' })
  })
})

describe('E2: a key that goes takes its tokens with it', () => {
  it('E2: tokens verified before are refused at once, and forgotten', async () => {
    const { check, guard, keys, sink } = startGuard()
    const token = mint({ xms_cc: ['cp1'] })
    expect(outcome(check(token))).toBe('allowed')
    keys.replace(ISSUER, { keys: [jwkOf(otherEc, 'k2')] })
    const verdict = check(token)
    expect(outcome(verdict)).toBe('token_key')
    // A client with a cache could not get past it without a challenge.
    if (!verdict.allowed) expect(readClaimsChallenge(verdict.headers['WWW-Authenticate'])?.nbf).toBe(START - 59)
    sink.keysChanged()
    await Promise.resolve()
    await Promise.resolve()
    expect(guard.status().tokens).toBe(0)
  })

  it('a key that comes back is asked again', () => {
    const { check, keys } = startGuard()
    const token = mint()
    check(token)
    keys.replace(ISSUER, { keys: [jwkOf(otherEc, 'k2')] })
    expect(outcome(check(token))).toBe('token_key')
    keys.replace(ISSUER, { keys: [jwkOf(ec, 'k1')] })
    expect(outcome(check(token))).toBe('allowed')
  })

  it('a key that stays keeps its tokens', () => {
    const { check, keys, guard } = startGuard()
    const token = mint()
    check(token)
    keys.replace(ISSUER, { keys: [jwkOf(otherEc, 'k2'), jwkOf(ec, 'k1')] })
    expect(outcome(check(token))).toBe('allowed')
    expect(guard.status().tokens).toBe(1)
  })
})

describe('construction, hydration, end', () => {
  it('refuses to be built without issuer, audience or a way to hear of revocations', () => {
    const build = (options: object) => () => startGuard({ hydrate: false, ...options })
    expect(build({ issuer: undefined })).toThrow(TypeError)
    expect(build({ issuer: 'http://id.example/' })).toThrow(TypeError)
    for (const audience of [undefined, '', [], ['']]) expect(build({ audience })).toThrow(TypeError)
    expect(build({ source: undefined })).toThrow(TypeError)
    expect(build({ source: undefined, clientSecret: '' })).toThrow(TypeError)
    expect(build({ staleness: 'whatever' })).toThrow(TypeError)
    expect(build({ maxStaleness: Number.NaN })).toThrow(TypeError)
  })

  it('refuses an option that it does not know, and names the one that may be meant', () => {
    const build = (options: object) => () => startGuard({ hydrate: false, ...options })
    expect(build({ stalenes: 'strict' })).toThrow(new TypeError('createGuard has no option stalenes: is it staleness?'))
    expect(build({ clientID: 'files-api' })).toThrow(new TypeError('createGuard has no option clientID: is it clientId?'))
    expect(build({ trustedProxy: [] })).toThrow(new TypeError('createGuard has no option trustedProxy: is it trustedProxies?'))
    for (const name of ['strict', 'constructor', '__proto'])
      expect(build({ [name]: true })).toThrow(new TypeError(`createGuard has no option ${name}`))
    const own = { issuer: 'https://two.example/', events: 'none' as const, stalenes: 'strict' }
    expect(() => createGuard({ audience: 'api://files', issuers: [own] })).toThrow(/no option stalenes: is it staleness\?/)
  })

  it('refuses a log that could not be written to later on', () => {
    const build = (log: unknown) => () => startGuard({ hydrate: false, log: log as Console })
    for (const log of [console.log, null, 'console', {}, { info() {}, warn() {}, error() {} }]) expect(build(log)).toThrow(/^log has the functions/)
    const { guard } = build(console)()
    return guard.close()
  })

  it('B3: before its first hydration a guard allows nothing, in either mode', async () => {
    for (const staleness of ['best-effort', 'strict'] as const) {
      const { check, sink, guard } = startGuard({ hydrate: false, staleness })
      const blank = check(mint())
      expect(blank).toMatchObject({ status: 503, code: 'not_ready' })
      if (!blank.allowed) expect(Object.keys(blank.headers)).toEqual(['Cache-Control'])
      // Half a snapshot is no hydration.
      sink.merge([cutoff('user', 'bob', START)])
      sink.outOfSync('the snapshot broke off')
      expect(outcome(check(mint()))).toBe('not_ready')
      let ready = false
      const waiting = guard.ready().then(() => {
        ready = true
      })
      await Promise.resolve()
      expect(ready).toBe(false)
      sink.synced(head(1, START))
      await waiting
      expect(outcome(check(mint()))).toBe('allowed')
    }
  })

  it('after close nothing is allowed, and who waited for ready() is told', async () => {
    const { guard, check, held } = startGuard({ hydrate: false })
    const waiting = guard.ready()
    await guard.close()
    await expect(waiting).rejects.toMatchObject({ code: 'guard_closed' })
    expect(held.closed).toBe(true)
    expect(outcome(check(mint()))).toBe('not_ready')
  })

  it('answers at once where it can, and counts what it was told', () => {
    const { guard, sink, check } = startGuard()
    expect(guard.check(request(mint()))).not.toBeInstanceOf(Promise)
    check(mint({ jti: 'j-2' }))
    sink.merge([cutoff('user', 'bob', START), cutoff('user', 'bob', START - 1), cutoff('user', 'carol', START)])
    sink.count('applied')
    sink.count('unmappable', 'unknown event type')
    sink.count('unmappable', 'unknown event type')
    expect(guard.status()).toMatchObject({
      ...{ hydrated: true, inSync: true, reason: undefined, stale: false, age: 0, cutoffs: 2, tokens: 2, live: 0 },
      ...{ applied: 1, none: 0, unmappable: 2, refused: 0, details: { 'unknown event type': 2 }, head: head(0, START) },
    })
  })
})

function chain(depth: number): object {
  let act: object | undefined
  for (let i = 0; i < depth; i++) act = { sub: `actor-${i}`, ...(act === undefined ? {} : { act }) }
  return act as object
}

/** The first token's header and signature around the second's claims. */
function swapClaims(one: string, other: string): string {
  const [header, , signature] = one.split('.')
  return [header, other.split('.')[1], signature].join('.')
}
