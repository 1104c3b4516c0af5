import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { parseChallenges, readClaimsChallenge } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { protect } from '../src/adapters/node.ts'
import { createGuard } from '../src/guard.ts'
import { createReplays } from '../src/replays.ts'
import type { Verdict } from '../src/verdict.ts'
import { makeCertificate } from './certificates.ts'
import { AUDIENCE, cutoff, ISSUER, mint, otherEc, outcome, request, START, signJws, startGuard, verdictOf } from './tokens.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed = generateKeyPairSync('ed25519')
const holder = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwkOf = (key: KeyObject) => key.export({ format: 'jwk' }) as Record<string, string>
const sha = (text: string | Buffer) => createHash('sha256').update(text).digest('base64url')

/** RFC 7638, written down a second time. */
function thumbprint(key: KeyObject): string {
  const { kty, crv, x, y, n, e } = jwkOf(key)
  const text = {
    EC: `{"crv":"${crv}","kty":"EC","x":"${x}","y":"${y}"}`,
    RSA: `{"e":"${e}","kty":"RSA","n":"${n}"}`,
    OKP: `{"crv":"${crv}","kty":"OKP","x":"${x}"}`,
  }
  return sha(text[kty as 'EC'])
}

const HERE = 'https://api.example/files/42'
const bound = (more: Record<string, unknown> = {}, key = holder.publicKey) => mint({ cnf: { jkt: thumbprint(key) }, ...more })

function proof(
  token: string,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  key: { privateKey: KeyObject; publicKey: KeyObject } = holder,
) {
  const whole = { jti: randomUUID(), htm: 'GET', htu: HERE, iat: START, ath: sha(token), ...claims }
  return signJws({ typ: 'dpop+jwt', alg: 'ES256', jwk: jwkOf(key.publicKey), ...header }, whole, key.privateKey)
}

function start(options: Parameters<typeof startGuard>[0] = {}) {
  const started = startGuard({ origin: 'https://api.example', ...options })
  const show = (token: string, dpop?: string, more: object = {}): Verdict => {
    const headers = { authorization: `DPoP ${token}`, host: 'api.example', ...(dpop === undefined ? {} : { dpop }) }
    return verdictOf(started.guard.check({ method: 'GET', url: '/files/42', headers, ...more }))
  }
  const first = (verdict: Verdict) => {
    if (verdict.allowed) throw new Error('allowed')
    const [challenge] = parseChallenges(verdict.headers['WWW-Authenticate'] ?? '')
    return { scheme: challenge?.scheme, ...Object.fromEntries(challenge?.parameters ?? []) }
  }
  return { ...started, show, first, at: (token: string, dpop?: string, more?: object) => outcome(show(token, dpop, more)) }
}

describe('a token that is bound to a key', () => {
  it('RFC 7638: its thumbprint is that of the example', () => {
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw'
    expect(sha(`{"e":"AQAB","kty":"RSA","n":"${n}"}`)).toBe('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
  })

  it.each([
    ['ES256', holder],
    ['RS256', rsa],
    ['PS256', rsa],
    ['EdDSA', ed],
  ])('is good with a proof signed by %s, at first sight and from the cache', (alg, key) => {
    const { at } = start()
    const token = bound({}, key.publicKey)
    for (let i = 0; i < 3; i++) expect(at(token, proof(token, {}, { alg }, key))).toBe('allowed')
  })

  it('E7: is refused as a bearer token, whatever else the request holds, and on cache hits too', () => {
    const { at, first, guard } = start()
    const token = bound()
    const bearer = (dpop?: string) =>
      verdictOf(guard.check({ method: 'GET', url: '/files/42', headers: { authorization: `Bearer ${token}`, ...(dpop ? { dpop } : {}) } }))
    expect([outcome(bearer()), outcome(bearer(proof(token)))]).toEqual(['token_bound', 'token_bound'])
    expect(at(token, proof(token))).toBe('allowed')
    expect([outcome(bearer()), outcome(bearer(proof(token)))]).toEqual(['token_bound', 'token_bound'])
    expect(bearer()).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
    expect(first(bearer())).toMatchObject({ scheme: 'dpop', error: 'invalid_token', algs: 'ES256 RS256 PS256 EdDSA' })
  })

  it('E7: the proof is looked at on cache hits too', () => {
    const { at, show, first } = start()
    const token = bound()
    expect(at(token, proof(token))).toBe('allowed')
    const denied = show(token)
    expect(denied).toMatchObject({ status: 401, code: 'invalid_dpop_proof', body: { error: 'invalid_dpop_proof' } })
    expect(first(denied)).toMatchObject({ scheme: 'dpop', error: 'invalid_dpop_proof', algs: 'ES256 RS256 PS256 EdDSA' })
    expect(at(token, proof(token, {}, {}, otherEc))).toBe('invalid_dpop_proof')
    expect(at(token, proof(token, { htm: 'POST' }))).toBe('invalid_dpop_proof')
    expect(at(token, proof(token))).toBe('allowed')
  })

  const other = mint({ jti: 'other', cnf: { jkt: thumbprint(holder.publicKey) } })
  it.each<[string, (token: string) => string]>([
    ['for another method', (token) => proof(token, { htm: 'get' })],
    ['for another path', (token) => proof(token, { htu: 'https://api.example/files/43' })],
    ['for another host', (token) => proof(token, { htu: 'https://evil.example/files/42' })],
    ['for another port', (token) => proof(token, { htu: 'https://api.example:8443/files/42' })],
    ['for plain http', (token) => proof(token, { htu: 'http://api.example/files/42' })],
    ['for a URL with a name in it', (token) => proof(token, { htu: 'https://api.example@evil.example/files/42' })],
    ['for a user at this host', (token) => proof(token, { htu: 'https://u:p@api.example/files/42' })],
    ['for a path alone', (token) => proof(token, { htu: '/files/42' })],
    ['for a path in another case', (token) => proof(token, { htu: 'https://api.example/Files/42' })],
    ['for no URL', (token) => proof(token, { htu: undefined })],
    ['for another token', () => proof(other)],
    ['for no token', (token) => proof(token, { ath: undefined })],
    ['of before', (token) => proof(token, { iat: START - 61 })],
    ['of the future', (token) => proof(token, { iat: START + 61 })],
    ['without an instant', (token) => proof(token, { iat: undefined })],
    ['with an instant as text', (token) => proof(token, { iat: String(START) })],
    ['in milliseconds', (token) => proof(token, { iat: START * 1000 })],
    ['without an id', (token) => proof(token, { jti: undefined })],
    ['with an empty id', (token) => proof(token, { jti: '' })],
    ['with an endless id', (token) => proof(token, { jti: 'x'.repeat(257) })],
    ['of another key, signed by it', (token) => proof(token, {}, {}, otherEc)],
    ['of the right key, signed by another', (token) => proof(token, {}, { jwk: jwkOf(holder.publicKey) }, otherEc)],
    ['with the private key in it', (token) => proof(token, {}, { jwk: jwkOf(holder.privateKey) })],
    ['without a key', (token) => proof(token, {}, { jwk: undefined })],
    ['that names a key', (token) => proof(token, {}, { jwk: undefined, kid: 'k1', jku: 'https://evil.example/keys' })],
    ['with alg none', (token) => proof(token, {}, { alg: 'none' })],
    [
      'with a key’s text for a secret',
      (token) =>
        proof(
          token,
          {},
          { alg: 'HS256' },
          { publicKey: holder.publicKey, privateKey: Buffer.from(JSON.stringify(jwkOf(holder.publicKey))) as never },
        ),
    ],
    ['with a symmetric key', (token) => proof(token, {}, { jwk: { kty: 'oct', k: 'AAAA' } })],
    ['with an algorithm that is not the key’s', (token) => proof(token, {}, { alg: 'EdDSA' }, holder)],
    ['of another kind', (token) => proof(token, {}, { typ: 'JWT' })],
    ['without a kind', (token) => proof(token, {}, { typ: undefined })],
    ['with a critical extension', (token) => proof(token, {}, { crit: ['b64'] })],
    ['twice', (token) => `${proof(token)}, ${proof(token)}`],
    ['that is the token', (token) => token],
    ['that is nothing', () => ''],
    ['that is endless', (token) => proof(token, { filler: 'x'.repeat(9000) })],
  ])('is refused with a proof %s', (_, make) => {
    const { at } = start()
    const token = bound()
    const made = make(token)
    expect(at(token, made)).toBe('invalid_dpop_proof')
    expect(at(token, proof(token))).toBe('allowed')
  })

  it('takes no proof twice, however the clock is set, and each token of one key its own', () => {
    const { at, clocks } = start({ maxStaleness: 1e6 })
    const token = bound({ exp: START + 9000 })
    const once = proof(token, { iat: START + 30 })
    expect(at(token, once)).toBe('allowed')
    for (const seconds of [0, 30, 59, 1]) {
      clocks.pass(seconds)
      expect(at(token, once)).toBe('invalid_dpop_proof')
    }
    // Beyond its life, and back again.
    clocks.set(60)
    expect(at(token, proof(token, { iat: clocks.seconds }))).toBe('allowed')
    clocks.set(-61)
    expect(at(token, once)).toBe('invalid_dpop_proof')
  })

  it('one spelling of a URL is another one’s (RFC 3986 section 6.2)', () => {
    const { at } = start()
    const token = bound()
    for (const htu of ['HTTPS://API.EXAMPLE:443/files/42', 'https://api.example/files/42?x=1#y', 'https://api.example/%66iles/x/../42']) {
      expect([htu, at(token, proof(token, { htu }))]).toEqual([htu, 'allowed'])
    }
    expect(at(token, proof(token, { htu: 'https://api.example/%c3%a4' }), { url: '/%C3%A4?a=b' })).toBe('allowed')
    expect(at(token, proof(token, { htu: 'https://api.example/a%2fb' }), { url: '/a/b' })).toBe('invalid_dpop_proof')
    // What a router has taken off is part of the URL.
    expect(at(token, proof(token), { url: '/42', originalUrl: '/files/42' })).toBe('allowed')
    expect(at(token, proof(token), { url: '/42' })).toBe('invalid_dpop_proof')
  })

  it('without an origin of its own the connection and the Host header say where the request went', () => {
    const { at } = start({ origin: [] })
    const token = bound()
    const tls = { socket: { encrypted: true } }
    expect(at(token, proof(token), tls)).toBe('allowed')
    expect(at(token, proof(token))).toBe('invalid_dpop_proof')
    expect(at(token, proof(token, { htu: 'http://api.example/files/42' }))).toBe('allowed')
    // A WHATWG request says it all.
    expect(at(token, proof(token), { url: HERE })).toBe('allowed')
    // HTTP/2 has no `Host`, and where somebody sends one all the same it says nothing (RFC 9113 section 8.3.1).
    const over2 = (host: object) => ({
      headers: { authorization: `DPoP ${token}`, dpop: proof(token), ':authority': 'api.example', ...host },
      ...tls,
    })
    expect(at(token, undefined, over2({}))).toBe('allowed')
    expect(at(token, undefined, over2({ host: 'evil.example' }))).toBe('allowed')
    expect(at(token, undefined, over2({ host: 'api.example', ':authority': 'evil.example' }))).toBe('invalid_dpop_proof')
    const named = start({ origin: ['https://one.example', 'https://api.example'] })
    expect(named.at(token, proof(token), { headers: { authorization: `DPoP ${token}`, host: 'internal:8080', dpop: proof(token) } })).toBe('allowed')
  })

  it('over HTTP/2 and TLS, a proof is good where the request was sent to, and nowhere else', async () => {
    const door = protect(start({ origin: [] }).guard)
    const { cert, key } = makeCertificate('localhost')
    const server = createSecureServer({ cert, key }, (incoming, response) => door(incoming, response, () => void response.end()))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const session = connect(origin, { rejectUnauthorized: false })
    const token = bound()
    const ask = async (htu: string) => {
      const [answer] = await once(session.request({ ':path': '/files/42', authorization: `DPoP ${token}`, dpop: proof(token, { htu }) }), 'response')
      return answer[':status']
    }
    expect(await ask(`${origin}/files/42`)).toBe(200)
    for (const htu of [HERE, `${origin}/files/43`, `${origin.replace('https', 'http')}/files/42`]) expect([htu, await ask(htu)]).toEqual([htu, 401])
    session.destroy()
    server.close()
  })

  it('a nonce is asked for where the API wants one, good for a while and at every replica', () => {
    const nonceSecret = 'a secret that all replicas have in common'
    const { show, first, at, clocks } = start({ nonceSecret })
    const token = bound()
    const ask = () => {
      const denied = show(token, proof(token, { iat: clocks.seconds }))
      expect(denied).toMatchObject({ status: 401, code: 'use_dpop_nonce', body: { error: 'use_dpop_nonce' } })
      expect(first(denied)).toMatchObject({ scheme: 'dpop', error: 'use_dpop_nonce' })
      return denied.allowed ? '' : (denied.headers['DPoP-Nonce'] as string)
    }
    const nonce = ask()
    expect(nonce).toMatch(/^[A-Za-z0-9_-]{43}$/)
    const using = (which: unknown) => at(token, proof(token, { nonce: which, iat: clocks.seconds }))
    expect(using(nonce)).toBe('allowed')
    expect(start({ nonceSecret }).at(token, proof(token, { nonce }))).toBe('allowed')
    expect(start({ nonceSecret: `${nonceSecret}!` }).at(token, proof(token, { nonce }))).toBe('use_dpop_nonce')
    expect([using(`${nonce}x`), using(1), using(undefined)]).toEqual(['use_dpop_nonce', 'use_dpop_nonce', 'use_dpop_nonce'])
    clocks.pass(120)
    expect(using(nonce)).toBe('allowed')
    clocks.pass(120)
    expect(using(nonce)).toBe('use_dpop_nonce')
    expect(using(ask())).toBe('allowed')
  })

  it('is judged like any other besides: revoked, expired, too little', () => {
    const { at, show, sink, first, guard } = start()
    const token = bound({ xms_cc: ['cp1'] })
    expect(at(token, proof(token))).toBe('allowed')
    const route = guard.require({ scope: 'Files.Write' })
    const denied = verdictOf(route.check({ method: 'GET', url: '/files/42', headers: { authorization: `DPoP ${token}`, dpop: proof(token) } }))
    expect(first(denied)).toMatchObject({ scheme: 'dpop', error: 'insufficient_scope', scope: 'Files.Write' })
    sink.merge([cutoff('user', 'alice', START)])
    const revoked = show(token, proof(token))
    expect(readClaimsChallenge(revoked.allowed ? '' : revoked.headers['WWW-Authenticate'])?.nbf).toBe(START + 1)
    expect(first(revoked)).toMatchObject({ scheme: 'dpop', error: 'insufficient_claims', algs: 'ES256 RS256 PS256 EdDSA' })
    // Whoever cannot show the key learns nothing of it.
    expect(at(token)).toBe('invalid_dpop_proof')
  })

  it('a proof for a token that is bound to nothing is refused: somebody took the binding off', () => {
    const { at, show, first } = start()
    const token = mint()
    expect(at(token, proof(token))).toBe('token_unbound')
    expect(first(show(token, proof(token)))).toMatchObject({ scheme: 'bearer', error: 'invalid_token' })
  })

  it('conditions that nobody here can verify are not passed over', () => {
    const { check, at } = start()
    const jkt = thumbprint(holder.publicKey)
    for (const cnf of [{}, null, 'x', [], { jkt: 1 }, { jkt: 'x' }, { jwk: {} }, { kid: 'k' }, { jkt, kid: 'k' }, { jkt, 'x5t#S256': 1 }]) {
      const token = mint({ cnf })
      expect([JSON.stringify(cnf), outcome(check(token)), at(token, proof(token))]).toEqual([JSON.stringify(cnf), 'token_bound', 'token_bound'])
    }
  })
})

describe('remembering proofs', () => {
  it('is bounded, refuses when it is full, and one key cannot fill it for all', () => {
    let now = 0
    const replays = createReplays({ now: () => now, life: 120, limit: 320 })
    for (let i = 0; i < 20; i++) expect(replays.take('greedy', `j-${i}`, 'mallory')).toBe('new')
    expect(replays.take('greedy', 'more', 'mallory')).toBe('full')
    expect(replays.take('greedy', 'j-0', 'mallory')).toBe('again')
    for (let i = 0; i < 140; i++) expect(replays.take(`k-${i}`, 'j', `u-${i}`)).toBe('new')
    expect(replays.take('last', 'j', 'last')).toBe('full')
    // The same id of another key is another proof.
    now += 119_999
    expect([replays.take('greedy', 'j-0', 'mallory'), replays.take('last', 'j', 'last')]).toEqual(['again', 'full'])
    now += 1
    expect([replays.take('greedy', 'j-0', 'mallory'), replays.take('last', 'j', 'last')]).toEqual(['again', 'new'])
    now += 120_000
    expect([replays.take('greedy', 'j-0', 'mallory'), replays.take('last', 'j', 'last')]).toEqual(['new', 'again'])
    now += 240_000
    expect(replays.take('last', 'j', 'last')).toBe('new')
    now -= 500_000
    expect(replays.take('last', 'j', 'last')).toBe('again')
  })

  it('one subject with ever new keys, and one key for many subjects, have a share of it', () => {
    const { show } = start({ maxProofs: 160 })
    const keys = Array.from({ length: 11 }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }))
    const said = keys.map((key) => {
      const token = bound({ sub: 'mallory', oid: 'mallory' }, key.publicKey)
      return outcome(show(token, proof(token, {}, {}, key)))
    })
    expect(said).toEqual([...Array(10).fill('allowed'), 'dpop_full'])
    const tokens = Array.from({ length: 11 }, (_, i) => bound({ sub: `u-${i}`, oid: `u-${i}` }))
    expect(tokens.map((token) => outcome(show(token, proof(token))))).toEqual([...Array(10).fill('allowed'), 'dpop_full'])
    const other = bound({ sub: 'alice', oid: 'alice' }, keys[10]?.publicKey)
    expect(outcome(show(other, proof(other, {}, {}, keys[10])))).toBe('allowed')
  })

  it('a request that it cannot tell of is 503, not let through', () => {
    const { show } = start({ maxProofs: 16 })
    const token = bound()
    expect(show(token, proof(token)).allowed).toBe(true)
    expect(show(token, proof(token))).toMatchObject({ status: 503, code: 'dpop_full' })
  })
})

describe('a token that is bound to a certificate (RFC 8705)', () => {
  const der = Buffer.from('not really a certificate, but bytes are bytes')
  const token = mint({ cnf: { 'x5t#S256': sha(der) } })
  const socket = (raw?: Buffer, more: object = {}) => ({ socket: { remoteAddress: '198.51.100.7', getPeerCertificate: () => ({ raw }), ...more } })
  const at = (started: ReturnType<typeof startGuard>, more: object) => outcome(verdictOf(started.guard.check(request(token, more))))

  it('E7: is good on a connection with that certificate, and on no other', () => {
    const started = startGuard()
    for (let i = 0; i < 2; i++) {
      const own = socket(der)
      expect([at(started, own), at(started, own)]).toEqual(['allowed', 'allowed'])
      expect(at(started, socket(Buffer.from('another')))).toBe('token_bound')
      expect([at(started, socket()), at(started, {}), at(started, { socket: { remoteAddress: '::1' } })]).toEqual([
        'token_bound',
        'token_bound',
        'token_bound',
      ])
      expect(at(started, { socket: { getPeerCertificate: () => null } })).toBe('token_bound')
    }
    // Said by anybody in a header it counts for nothing.
    expect(at(started, { headers: { authorization: `Bearer ${token}`, 'client-cert': `:${der.toString('base64')}:` } })).toBe('token_bound')
  })

  it.each([
    ['as RFC 9440 writes it', `:${der.toString('base64')}:`],
    ['as Caddy does', der.toString('base64')],
    ['as nginx does', encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`)],
  ])('a trusted proxy may say which one its client showed, %s', (_, text) => {
    const started = startGuard({ trustedProxies: ['10.0.0.0/8'], clientCertificateHeader: 'Client-Cert' })
    const said = (value: string | string[], remoteAddress: string, raw?: Buffer) =>
      at(started, { headers: { authorization: `Bearer ${token}`, 'client-cert': value }, ...socket(raw, { remoteAddress }) })
    expect(said(text, '10.0.0.7')).toBe('allowed')
    expect(said(text, '198.51.100.7')).toBe('token_bound')
    expect(said(text, '198.51.100.7', der)).toBe('allowed')
    // The certificate of the proxy is not its client's.
    expect(said('', '10.0.0.7', der)).toBe('token_bound')
    for (const bad of [[text, text], `${text}, ${text}`, '%', '::', 'x'.repeat(20_000)]) expect(said(bad, '10.0.0.7')).toBe('token_bound')
  })

  it('both conditions of one token must be met', () => {
    const both = mint({ cnf: { 'x5t#S256': sha(der), jkt: thumbprint(holder.publicKey) } })
    const { at: show } = start()
    expect(show(both, proof(both), socket(der))).toBe('allowed')
    expect(show(both, proof(both), socket())).toBe('token_bound')
    expect(show(both, undefined, socket(der))).toBe('invalid_dpop_proof')
  })
})

it('options that make no sense are refused', () => {
  const build = (options: object) => () => createGuard({ issuer: ISSUER, audience: AUDIENCE, source: { start() {}, async close() {} }, ...options })
  for (const origin of ['api.example', 'https://api.example/', 'https://api.example/files', [''], ['https://API.example']])
    expect(build({ origin })).toThrow(TypeError)
  expect(build({ nonceSecret: 'short' })).toThrow(TypeError)
  expect(build({ clientCertificateHeader: 'client-cert' })).toThrow(TypeError)
  expect(build({ clientCertificateHeader: 'a b', trustedProxies: ['10.0.0.0/8'] })).toThrow(TypeError)
})
