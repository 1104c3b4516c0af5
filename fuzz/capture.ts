/**
 * `node --conditions=caegis-source fuzz/capture.ts`: writes captures.json, what really goes over the wire, for the fuzzer to mutate. Kept as a file, and without
 * private keys, so that a seed names the same inputs everywhere.
 */
import { createHmac, KeyObject, sign as signBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { EVENT, formatChallenge } from '../packages/protocol/src/index.ts'
import { callerOf, createLoop, es256, ISSUER, type Key, makeKey, revoke, rs256, startGuard, until } from '../packages/ssf/test/loop.ts'

const loop = createLoop({ transmitter: { push: true, inactivityTimeout: 600 } })
const caller = callerOf()
const answers = new Map<string, string[]>()
loop.alter = async (request, response) => {
  const kind = request.path
    .split('/')
    .slice(-2)
    .join('/')
    .replace(/poll\/.*/, 'poll')
  answers.set(kind, [...(answers.get(kind) ?? []), await response.clone().text()])
  return response
}
const bodyOf = (answer: { body?: unknown }) => JSON.stringify(answer.body)

const creates = [
  {},
  { delivery: { method: 'urn:ietf:rfc:8936' }, events_requested: [EVENT.sessionRevoked, EVENT.accountDisabled], description: 'Files' },
  { delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://receiver.test/in', authorization_header: 'Bearer of-the-receiver' } },
  { delivery: { method: 'urn:ietf:rfc:8936' }, caegis: { subjects: 'complex', alg: 'ES256', guard: true } },
]
const configurations: string[] = []
for (const body of creates) configurations.push(bodyOf(await loop.transmitter.create(caller, body)))
const [plain = ''] = configurations.map((text) => (JSON.parse(text) as { stream_id: string }).stream_id)

const guard = startGuard(loop)
await until(() => guard.heads.length > 0)
const types = [
  EVENT.sessionRevoked,
  EVENT.credentialChange,
  EVENT.riskLevelChange,
  EVENT.deviceComplianceChange,
  EVENT.tokenClaimsChange,
  EVENT.accountEnabled,
]
const [first] = loop.store.commit(
  ...types.map((type, i) => revoke(`user-${i}`, { type, t: Math.floor(Date.now() / 1000) - i, until: 1_999_999_999 })),
)
loop.store.commit(revoke('user-7', { session: 'session-7' }))
await loop.transmitter.verify(caller, { stream_id: plain, state: 'nonce' })
await until(() => guard.heads.at(-1)?.seq === types.length + 1)
const pollOf = async (body: unknown) => bodyOf(await loop.transmitter.poll(caller, plain, body, new AbortController().signal))
const polled = await pollOf({ returnImmediately: true })
await guard.follower.close()
const again = startGuard(loop)
await until(() => again.heads.length > 0)
await again.follower.close()

const sets = Object.values((JSON.parse(polled) as { sets: Record<string, string> }).sets)
const guarded = (answers.get('poll') ?? []).flatMap((text) => Object.values((JSON.parse(text) as { sets: Record<string, string> }).sets))
const snapshots = (answers.get('ssf/snapshot') ?? []).map((text) => ({
  text,
  streamId: (JSON.parse(Buffer.from(text.trimEnd().split('\n').at(-1)?.split('.')[1] ?? '', 'base64url').toString()) as { stream_id: string })
    .stream_id,
}))

const claims = JSON.parse(Buffer.from(sets.at(-1)?.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>
const part = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const signed = (header: Record<string, unknown>, key: Key, payload: unknown = claims) => {
  const text = `${part({ alg: key.jwk.alg, typ: 'secevent+jwt', kid: key.jwk.kid, ...header })}.${part(payload)}`
  const signature = signBytes('sha256', Buffer.from(text), { key: KeyObject.from(key.private as never), dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}
const hmac = (key: string) => {
  const text = `${part({ alg: 'HS256', typ: 'secevent+jwt', kid: 'es-1' })}.${part(claims)}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}
const foreign = [await makeKey('ES256', 'es-1'), await makeKey('RS256', 'rs-1'), await makeKey('ES256', 'es-9')]
const forged = [
  ...foreign.map((key) => signed({}, key)),
  ...foreign.map((key) => signed({ jwk: key.jwk }, key)),
  signed({ jku: 'https://evil.test/keys', x5u: 'https://evil.test/cert' }, foreign[2] as Key),
  signed({ kid: 'rs-1' }, es256),
  signed({ kid: 'es-1' }, rs256),
  signed({ typ: 'JWT' }, es256),
  signed({ typ: 'at+jwt' }, es256),
  signed({ typ: 'caegis-snapshot+jwt' }, es256),
  signed({ crit: ['exp'], exp: 1 }, es256),
  signed({ crit: ['b64'], b64: false }, es256),
  signed({ crit: [] }, es256),
  signed({ b64: false }, es256, [claims]),
  signed({}, es256, { ...claims, iss: `${ISSUER}/other` }),
  signed({}, es256, { ...claims, aud: 'api://other' }),
  signed({}, es256, { ...claims, sub: 'alice' }),
  signed({}, es256, { ...claims, iat: 1e13 }),
  `${part({ alg: 'none', typ: 'secevent+jwt' })}.${part(claims)}.`,
  hmac(JSON.stringify(es256.jwk)),
  hmac(String(es256.jwk.x)),
  hmac(String(rs256.jwk.n)),
]

const [, realm] = [first, 'https://login.test/acme/v2.0']
const captures = {
  issuer: ISSUER,
  audience: caller.audience,
  /** Seconds: what "now" is for them. */
  now: Math.ceil(Date.now() / 1000),
  jwks: loop.jwks.map(({ d: _, ...key }) => key),
  sets: [...sets, ...guarded.slice(0, 8)],
  forged,
  snapshots,
  pollRequests: [
    ...loop.requests.filter(({ path, body }) => path.includes('/poll/') && body).map(({ body }) => JSON.stringify(body)),
    JSON.stringify({
      maxEvents: 5,
      returnImmediately: true,
      ack: Object.keys(JSON.parse(polled).sets),
      setErrs: { jti: { err: 'invalid_key', description: 'no' } },
    }),
  ]
    .filter((text, i, all) => all.indexOf(text) === i)
    .slice(0, 12),
  pollAnswers: [polled, ...(answers.get('poll') ?? [])].filter((text, i, all) => text.length < 9000 && all.indexOf(text) === i).slice(0, 8),
  creates: creates.map((body) => JSON.stringify(body)),
  configurations,
  metadata: [JSON.stringify(loop.transmitter.metadata())],
  manage: [
    { stream_id: plain, status: 'paused', reason: 'maintenance' },
    { stream_id: plain, subject: { format: 'email', email: 'alice@acme.test' }, verified: true },
    { stream_id: plain, state: 'nonce' },
  ].map((body) => JSON.stringify(body)),
  challenges: [
    formatChallenge({ authorizationUri: realm, clientId: 'files', claims: { nbf: 1_767_225_600, rpAddress: '192.0.2.7' } }),
    'Negotiate abc==, Basic realm="a, b", Bearer error="invalid_token"',
  ],
}
writeFileSync(new URL('captures.json', import.meta.url), `${JSON.stringify(captures, null, 2)}\n`)
