/**
 * `node --conditions=caegis-source fuzz/capture-guard.ts`: writes guard-captures.json, what guards are shown, for the fuzzer to mutate. The keys are made for it and thrown
 * away, so that a seed names the same inputs everywhere.
 */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { AUDIENCE, ec, ISSUER, jwkOf, mint, otherEc, START, signJws } from '../packages/guard/test/tokens.ts'
import { EVENT, packColumns } from '../packages/protocol/src/index.ts'
import { sealSegment } from '../packages/ssf/src/segment.ts'
import { fleetAudience, HEAD_TYPE } from '../packages/ssf/src/wire.ts'

const holder = otherEc.publicKey.export({ format: 'jwk' })
const { crv, kty, x, y } = holder
const jkt = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
const bound = mint({ jti: 'j-bound', cnf: { jkt } })
const ath = createHash('sha256').update(bound).digest('base64url')
const proof = (claims: object, header: object = {}) =>
  signJws(
    { alg: 'ES256', typ: 'dpop+jwt', jwk: { crv, kty, x, y }, ...header },
    { jti: 'p-1', htm: 'GET', htu: 'https://api.example/files/42', iat: START, ath, ...claims },
    otherEc.privateKey,
  )

const tokens = [
  mint(),
  mint({ jti: 'j-2', xms_cc: ['cp1'], xms_ssm: '1', exp: START + 90_000, scp: 'Files.Read', roles: ['Reader'], amr: ['pwd', 'mfa'] }),
  mint({ jti: 'j-3', act: { sub: 'agent', client_id: 'agent', act: { sub: 'other' } }, azp: 'files-spa' }),
]
const forged = [
  mint({ jti: 'j-4', capolids_latebind: ['policy-1'], ipaddr: '192.0.2.7', deviceid: 'd-1', acrs: ['c1'] }),
  mint({}, {}, otherEc.privateKey),
  mint({ iss: 'https://id.example/other/v2.0' }),
  mint({ aud: 'api://other' }),
  mint({ iat: START + 3600 }),
  mint({ exp: START - 3600 }),
  mint({ iat: undefined }),
  mint({}, { typ: 'secevent+jwt' }),
  mint({}, { kid: 'k2' }),
  mint({}, { alg: 'none' }),
  mint({}, { alg: 'HS256' }, JSON.stringify(jwkOf(ec, 'k1'))),
  mint({ cnf: { 'x5t#S256': 'AAAA' } }),
]

const aud = fleetAudience(ISSUER)
const revoked = (seq: number) =>
  signJws(
    { alg: 'ES256', typ: 'secevent+jwt', kid: 'k1' },
    {
      ...{ iss: ISSUER, aud, iat: START, jti: `e-${seq}`, txn: `t-${seq}`, caegis_seq: seq, caegis_epoch: 'e1' },
      sub_id: { format: 'complex', user: { format: 'iss_sub', iss: ISSUER, sub: 'alice' } },
      events: { [EVENT.sessionRevoked]: { event_timestamp: START, initiating_entity: 'admin' } },
    },
    ec.privateKey,
  )
const headOf = (seq: number, asOf: number) =>
  signJws(
    { alg: 'ES256', typ: HEAD_TYPE, kid: 'k1' },
    { iss: ISSUER, aud, caegis_head: { epoch: 'e1', seq, asOf, status: 'enabled' } },
    ec.privateKey,
  )

const cutoffs = ['user', 'session', 'app', 'grant'].flatMap((kind, k) =>
  Array.from({ length: 5 }, (_, i) => ({
    ...{ issuer: ISSUER, kind: kind as 'user', id: kind === 'grant' ? `alice\napp-${i}` : `${kind}-${i}`, t: START - i },
    ...{ depth: k % 2 === 0 ? ('access' as const) : ('sign-in' as const), until: START + 3600 },
  })),
)

const columns = [JSON.stringify(packColumns(cutoffs)), JSON.stringify(packColumns(cutoffs.slice(0, 3)))]
const { body, ...name } = sealSegment(Buffer.from(columns[0] as string))

const captures = {
  ...{ issuer: ISSUER, audience: AUDIENCE, now: START, jwk: jwkOf(ec, 'k1'), jkt, bound },
  ...{ tokens, forged },
  proofs: [proof({}), proof({ jti: 'p-2', htu: 'https://api.example/files/42?a=1' })],
  forgedProofs: [
    proof({ htm: 'POST' }),
    proof({ ath: 'x' }),
    proof({ iat: START - 3600 }),
    proof({}, { jwk: jwkOf(ec, 'k') }),
    proof({}, { typ: 'JWT' }),
  ],
  fleet: { events: [1, 2, 3].map(revoked), heads: [headOf(1, START), headOf(3, START + 1)] },
  jwks: [
    JSON.stringify({ keys: [jwkOf(ec, 'k1', { use: 'sig', alg: 'ES256' }), jwkOf(otherEc, 'k2')] }),
    JSON.stringify({
      keys: [
        { kty: 'RSA', n: 'u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0', e: 'AQAB', kid: 'r' },
        { kty: 'oct', kid: 'o' },
      ],
    }),
  ],
  metadata: [
    {
      ...{ issuer: ISSUER, jwks_uri: `${ISSUER}/keys`, token_endpoint: `${ISSUER}/token`, authorization_endpoint: `${ISSUER}/authorize` },
      token_endpoint_auth_methods_supported: ['client_secret_post'],
    },
  ].map((one) => JSON.stringify(one)),
  columns,
  segment: { name, body: Buffer.from(body).toString('base64') },
  rules: [
    JSON.stringify([
      { version: 3, since: 0, evidence: Buffer.from('evidence of an API').toString('base64url') },
      {
        policies: [
          { id: 'policy-1', include: 'All', exclude: ['office'] },
          { id: 'policy-2', pass: true },
        ],
      },
      { kept: ['home'] },
      { location: { id: 'office', kind: 'ip', trusted: true } },
      { ranges: ['192.0.2.0/24', '2001:db8::/32', '198.51.100.7/32'] },
      { location: { id: 'abroad', kind: 'country', countries: ['FR', 'IT'], includeUnknown: false } },
    ]),
  ],
}
writeFileSync(new URL('guard-captures.json', import.meta.url), `${JSON.stringify(captures, null, 2)}\n`)
