import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createGuard, type Guard } from '../src/guard.ts'
import type { Sink } from '../src/source.ts'
import { AUDIENCE, ec, head, ISSUER, jwkOf, mint, otherEc, outcome, request, START, signJws, signText } from './tokens.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed = generateKeyPairSync('ed25519')
const JWKS = 'https://id.example/contoso/discovery/v2.0/keys'
const EVIL = 'https://evil.example/keys'
const publicPem = ec.publicKey.export({ type: 'spki', format: 'pem' }) as string
const publicDer = ec.publicKey.export({ type: 'spki', format: 'der' })
const rsaPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
const good = { iss: ISSUER, aud: AUDIENCE, iat: START - 60, exp: START + 3600, sub: 'alice', oid: 'alice', tid: 'contoso', jti: 'j-1' }
const json = JSON.stringify
const part = (text: string) => Buffer.from(text).toString('base64url')
/** Texts of JSON, signed by the issuer: what they say twice cannot be said in an object. */
const raw = (header: string, claims: string) => signText(`${part(header)}.${part(claims)}`)
const HEADER = '{"alg":"ES256","typ":"at+jwt","kid":"k1"}'
const withSignature = (bytes: Buffer) => `${mint().split('.').slice(0, 2).join('.')}.${bytes.toString('base64url')}`

/** A guard with the issuer's own key set, read over HTTP: every address that it asks is written down. */
let guard: Guard
const asked: string[] = []

beforeAll(async () => {
  const answers: Record<string, object> = {
    [`${ISSUER}/.well-known/openid-configuration`]: { issuer: ISSUER, jwks_uri: JWKS, authorization_endpoint: 'https://id.example/authorize' },
    [JWKS]: { keys: [jwkOf(ec, 'k1'), jwkOf(rsa, 'k-rsa', { alg: 'RS256' }), jwkOf(ed, 'k-ed')] },
  }
  guard = createGuard({
    ...{ issuer: ISSUER, audience: AUDIENCE, now: () => START * 1000 },
    source: { start: (sink: Sink) => sink.synced(head(0, START)), async close() {} },
    async fetch(input) {
      asked.push(String(input))
      const answer = answers[String(input)]
      return answer ? Response.json(answer) : new Response(null, { status: 404 })
    },
  })
  await guard.ready()
})
afterAll(async () => {
  await guard.close()
  // Whatever a token named, nobody was asked but the issuer.
  expect(new Set(asked)).toEqual(new Set([`${ISSUER}/.well-known/openid-configuration`, JWKS]))
})

const judge = async (token: string) => outcome(await guard.check(request(token)))

/** Refused at first sight and when it comes again: nothing of it may have been remembered. */
function refused(cases: [what: string, token: string, code: string][]): void {
  it.each(cases)('%s', async (_, token, code) => {
    expect([await judge(token), await judge(token)]).toEqual([code, code])
  })
}

it('what it is compared with is good, however its kind is spelled', async () => {
  expect(await judge(mint())).toBe('allowed')
  for (const typ of ['AT+JWT', 'Application/at+jwt', 'jwt', undefined]) expect(await judge(mint({}, { typ }))).toBe('allowed')
  expect(await judge(mint({}, { alg: 'RS256', kid: 'k-rsa' }, rsa.privateKey))).toBe('allowed')
  expect(await judge(mint({}, { alg: 'EdDSA', kid: 'k-ed' }, ed.privateKey))).toBe('allowed')
  expect(await judge(raw(HEADER, json(good)))).toBe('allowed')
})

/** The next letter of base64url: of 64 bytes the last one of 86 has four bits that say nothing. */
function nextLetter(letter: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return letters[letters.indexOf(letter) ^ 1] as string
}

describe('signatures', () => {
  refused([
    ['alg none without a signature', `${mint({}, { alg: 'none' })}`, 'token_algorithm'],
    ['alg none with the signature of another', `${mint({}, { alg: 'none' })}${mint().split('.')[2]}`, 'token_algorithm'],
    ...['None', 'NONE', 'nOnE', '', 'es256', 'ES256 ', 'ES384', 'ES256K', 'HS512', 'RSA-OAEP', 'dir'].map((alg): [string, string, string] => [
      `alg ${json(alg)}`,
      mint({}, { alg }),
      'token_algorithm',
    ]),
    ...[null, 1, ['ES256'], { toString: 'ES256' }, undefined].map((alg): [string, string, string] => [
      `alg ${json(alg)}`,
      mint({}, { alg }),
      'token_algorithm',
    ]),
    ['HS256 with the public key as PEM', mint({}, { alg: 'HS256' }, publicPem), 'token_algorithm'],
    ['HS256 with the public key as PEM, without its last line end', mint({}, { alg: 'HS256' }, publicPem.trim()), 'token_algorithm'],
    ['HS256 with the public key as DER', mint({}, { alg: 'HS256' }, publicDer), 'token_algorithm'],
    ['HS256 with the public key as JWK', mint({}, { alg: 'HS256' }, json(jwkOf(ec, 'k1'))), 'token_algorithm'],
    ['HS256 with an RSA key as PEM', mint({}, { alg: 'HS256', kid: 'k-rsa' }, rsaPem), 'token_algorithm'],
    ['HS256 with nothing', mint({}, { alg: 'HS256' }, ''), 'token_algorithm'],
    ['RS256 under the kid of an EC key', mint({}, { alg: 'RS256' }, rsa.privateKey), 'token_algorithm'],
    ['ES256 under the kid of an RSA key', mint({}, { kid: 'k-rsa' }), 'token_algorithm'],
    ['EdDSA under the kid of an EC key', mint({}, { alg: 'EdDSA' }, ed.privateKey), 'token_algorithm'],
    ['PS256 where the key is for RS256', mint({}, { alg: 'PS256', kid: 'k-rsa' }, rsa.privateKey), 'token_algorithm'],
    ['ES256 of r = s = 0', withSignature(Buffer.alloc(64)), 'token_signature'],
    [
      'ES256 of r = s = n',
      withSignature(Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'.repeat(2), 'hex')),
      'token_signature',
    ],
    ['ES256 that is too short', withSignature(Buffer.alloc(63, 1)), 'token_signature'],
    ['ES256 as DER', withSignature(Buffer.from('3006020101020101', 'hex')), 'token_signature'],
    ['an empty signature', `${mint().split('.').slice(0, 2).join('.')}.`, 'token_malformed'],
  ])
})

describe('keys that the token brings or names', () => {
  const own = jwkOf(otherEc, 'k1')
  const theirs = otherEc.privateKey
  refused([
    ['jwk', mint({}, { jwk: own }, theirs), 'token_signature'],
    ['jwk without kid', mint({}, { jwk: own, kid: undefined }, theirs), 'token_key'],
    ['jwk under a kid of its own', mint({}, { jwk: own, kid: 'evil' }, theirs), 'token_key'],
    ['jku', mint({}, { jku: EVIL }, theirs), 'token_signature'],
    ['jku under a kid of its own', mint({}, { jku: EVIL, kid: 'evil' }, theirs), 'token_key'],
    ['jku that begins like ours', mint({}, { jku: `${JWKS}@evil.example/`, kid: 'evil' }, theirs), 'token_key'],
    ['x5u', mint({}, { x5u: EVIL }, theirs), 'token_signature'],
    ['x5c', mint({}, { x5c: [publicDer.toString('base64')] }, theirs), 'token_signature'],
    ['x5t#S256', mint({}, { 'x5t#S256': 'AAAA', kid: undefined }, theirs), 'token_key'],
    ['iss whose keys the attacker has', mint({ iss: 'https://evil.example/v2.0' }, {}, theirs), 'token_issuer'],
    ...[
      '../../k1',
      '/dev/null',
      "x' UNION SELECT 'k1",
      'k1/../k1',
      'file:///etc/passwd',
      EVIL,
      '__proto__',
      'constructor',
      'toString',
      'K1',
      ' k1',
      'k1 ',
    ].map((kid): [string, string, string] => [`kid ${json(kid)}`, mint({}, { kid }, theirs), 'token_key']),
    ...['', 'k1\0', null, 1, ['k1'], { k1: 1 }, 'k'.repeat(300)].map((kid): [string, string, string] => [
      `kid ${json(kid).slice(0, 20)}`,
      mint({}, { kid }),
      'token_key',
    ]),
  ])

  it('those of a good token are not looked at either', async () => {
    expect(await judge(mint({}, { jku: EVIL, x5u: EVIL, jwk: own, x5c: ['AAAA'] }))).toBe('allowed')
  })
})

describe('A5: issuers are compared byte by byte', () => {
  refused(
    [
      ...[`${ISSUER}/`, ISSUER.toUpperCase(), ISSUER.replace('id.', 'ID.'), ISSUER.replace('contoso', 'Contoso'), ISSUER.replace('https', 'http')],
      ...[ISSUER.replace('example/', 'example:443/'), ` ${ISSUER}`, `${ISSUER}\0`, `${ISSUER}#`, ISSUER.replace('contoso', 'cont%6fso')],
      ...[ISSUER.replace('contoso', './contoso'), ISSUER.slice(0, -1), [ISSUER], { [ISSUER]: 1 }, '', null, 1, true, undefined],
    ].map((iss): [string, string, string] => [`${json(iss)}`, mint({ iss }), 'token_issuer']),
  )
})

describe('audiences', () => {
  refused(
    [
      ...['api://files/', 'API://files', 'api://Files', 'api://file', 'api://files2', ' api://files', 'api://files api://other', '*', ''],
      ...[[], [[AUDIENCE]], { [AUDIENCE]: true }, [{ aud: AUDIENCE }], [`${AUDIENCE},x`], null, 1, undefined],
      [...Array.from({ length: 32 }, (_, at) => `api://${at}`), AUDIENCE],
    ].map((aud): [string, string, string] => [json(aud)?.slice(0, 40) ?? 'none', mint({ aud }), 'token_audience']),
  )
})

describe('E9: other things that the issuer signs', () => {
  const of = (typ: string | undefined, more: Record<string, unknown> = {}, drop: string[] = []) =>
    mint({ ...more, ...Object.fromEntries(drop.map((name) => [name, undefined])) }, { typ })
  refused([
    ['a Security Event Token', of('secevent+jwt', { events: { 'urn:x': {} } }), 'token_type'],
    ['the same, by the long name', of('application/secevent+jwt', { events: { 'urn:x': {} } }), 'token_type'],
    ['one that says at+jwt', of('at+jwt', { events: {} }), 'token_type'],
    ['one without exp', of(undefined, { events: {} }, ['exp']), 'token_type'],
    ['a logout token', of('logout+jwt', { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }), 'token_type'],
    ['a logout token of old', of('JWT', { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }), 'token_type'],
    ['an ID token: its audience is a client', of('JWT', { aud: 'files-spa', nonce: 'n' }, ['client_id', 'scp']), 'token_type'],
    ['an ID token without a nonce', of('JWT', { aud: 'files-spa' }), 'token_audience'],
    ['an ID token whose client is the API: nonce', of('JWT', { nonce: 'n' }), 'token_type'],
    ['an ID token whose client is the API: at_hash, no typ', of(undefined, { at_hash: 'x' }), 'token_type'],
    ['an ID token whose client is the API: c_hash', of('JWT', { c_hash: 'x' }), 'token_type'],
    ['an ID token whose client is the API: s_hash', of('JWT', { s_hash: 'x' }), 'token_type'],
    ['Keycloak’s ID token', of('JWT', { typ: 'ID' }), 'token_type'],
    ['Keycloak’s refresh token', of('JWT', { typ: 'Refresh' }), 'token_type'],
    ['Keycloak’s offline token', of('JWT', { typ: 'Offline' }), 'token_type'],
    ['a refresh token', of('rt+jwt'), 'token_type'],
    ['a refresh token that is no JWT', 'rt_6Yk1n2-Zo9', 'token_malformed'],
    ['a proof of possession', of('dpop+jwt', { htm: 'GET', htu: 'https://api.example/' }), 'token_type'],
    ['an introspection answer (RFC 9701)', of('token-introspection+jwt'), 'token_type'],
    ['a request object (RFC 9101)', of('oauth-authz-req+jwt'), 'token_type'],
    ['a client assertion', mint({ iss: 'files-spa', sub: 'files-spa' }, { typ: 'JWT' }), 'token_issuer'],
    ...['at+jwt ', 'at jwt', 'at+jwt;x', 'text/at+jwt', 'application/jwt', 'JWS', 'JOSE', '', null, 1, ['at+jwt'], {}].map(
      (typ): [string, string, string] => [`typ ${json(typ)}`, mint({}, { typ }), 'token_type'],
    ),
  ])

  it('an access token of Keycloak may hold a nonce, one that says at+jwt whatever it likes', async () => {
    expect(await judge(of('JWT', { typ: 'Bearer', nonce: 'n' }))).toBe('allowed')
    expect(await judge(of('at+jwt', { nonce: 'n' }))).toBe('allowed')
  })
})

describe('forms', () => {
  const nested = signJws({ alg: 'ES256', typ: 'JWT', cty: 'JWT', kid: 'k1' }, mint(), ec.privateKey)
  const twice = (member: string) => raw(HEADER, `${json(good).slice(0, -1)},${member}}`)
  refused([
    ['a JWE', [part('{"alg":"dir","enc":"A256GCM"}'), '', 'AAAA', 'AAAA', 'AAAA'].join('.'), 'token_malformed'],
    ['a JWE of three parts', mint({}, { alg: 'dir', enc: 'A256GCM' }), 'token_algorithm'],
    ['a JWT in a JWT', nested, 'token_malformed'],
    ['JSON serialization', json({ payload: part(json(good)), signatures: [] }), 'token_malformed'],
    ['two parts', mint().split('.').slice(0, 2).join('.'), 'token_malformed'],
    ['four parts', `${mint()}.AAAA`, 'token_malformed'],
    ['three dots', '...', 'token_malformed'],
    ['a header of 20 KB', mint({}, { filler: 'x'.repeat(20_000) }), 'token_malformed'],
    ['brackets without end', `${part('['.repeat(9000))}.${part('{}')}.AAAA`, 'token_malformed'],
    ['a header that is a list', raw('["ES256"]', json(good)), 'token_malformed'],
    ['claims that are a list', raw(HEADER, json([good])), 'token_malformed'],
    ['claims that are null', raw(HEADER, 'null'), 'token_malformed'],
    ['claims that are text', raw(HEADER, json(json(good))), 'token_malformed'],
    ['crit', mint({}, { crit: ['exp'] }), 'token_malformed'],
    ['crit that is empty', mint({}, { crit: [] }), 'token_malformed'],
    ['crit that is null', mint({}, { crit: null }), 'token_malformed'],
    ['b64 false', mint({}, { b64: false, crit: ['b64'] }), 'token_malformed'],
    ['alg twice', raw('{"alg":"none","typ":"at+jwt","kid":"k1","alg":"ES256"}', json(good)), 'token_malformed'],
    ['kid twice', raw('{"alg":"ES256","kid":"k1","kid":"k1"}', json(good)), 'token_malformed'],
    ['aud twice', twice(`"aud":"${AUDIENCE}"`), 'token_malformed'],
    ['exp twice', twice(`"exp":${START + 9999}`), 'token_malformed'],
    ['sub twice, once by an escape', twice('"\\u0073ub":"admin"'), 'token_malformed'],
    ['__proto__ twice', twice('"__proto__":1,"__proto__":{"sub":"admin"}'), 'token_malformed'],
    ['a member after an escaped quote, twice', twice('"x\\\\\\":{[":"}\\"","sub":"admin"'), 'token_malformed'],
    ['a byte order mark', raw(`\ufeff${HEADER}`, json(good)), 'token_malformed'],
    ['padding', mint().replaceAll('.', '=.'), 'token_malformed'],
    ['a line break', mint().replace('.', '.\n'), 'token_malformed'],
    ['another spelling of its signature, by the bits behind its last byte', mint().replace(/.$/, (last) => nextLetter(last)), 'token_malformed'],
  ])

  it('what stands in texts and deeper is no member twice', async () => {
    expect(await judge(twice('"x":{"a":1,"sub":{"sub":[{"sub":2}]}},"y":"sub\\":\\"{:","z":":"'))).toBe('allowed')
    expect(await judge(mint({ sub: 'a', __proto__: undefined, note: '"sub":1' }))).toBe('allowed')
  })
})
