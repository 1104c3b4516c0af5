import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type Kind, secretsIn } from '../tools/secrets.ts'

/** Drawn or put together here, so that this file holds none. */
const drawn = (bytes: number) => randomBytes(bytes).toString('base64url')
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const jwk = pair.privateKey.export({ format: 'jwk' })
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
/** A drawn one may lack a digit or a letter, once in many thousand times. */
const secret = `aZ1${drawn(30)}`
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.repeat(2)

const PLANTED: [Kind, string, string][] = [
  ['private key', 'PEM', pem],
  ['private key', 'PEM in a text', JSON.stringify({ key: pem })],
  ['private key', 'JWK', JSON.stringify(jwk)],
  ['private key', 'JWK in a source', `const key = { kty: 'EC', d: '${jwk.d}' }`],
  ['token of a service', 'AWS', `AK${'IA'}${letters.slice(0, 16)}`],
  ['token of a service', 'GitHub', `gh${'p_'}${randomBytes(18).toString('hex')}`],
  ['token of a service', 'npm', `//host/:x=np${'m_'}${randomBytes(18).toString('hex')}`],
  ['token of a service', 'NATS', `SU${letters.slice(0, 56)}`],
  ['signed token', 'JWT', `${part({ alg: 'ES256', kid: 'k' })}.${part({ sub: 'alice', iat: 1 })}.${drawn(64)}`],
  ['secret', 'YAML', `clientSecret: ${secret}`],
  ['secret', 'environment', `CAEGIS_KEY_SECRET=${secret}`],
  ['secret', 'source', `const password = '${secret}'`],
  ['secret', 'JSON', JSON.stringify({ refresh_token: secret })],
  ['password in a URL', 'PostgreSQL', `postgres://caegis:${secret}@db.test/caegis`],
  ['registry', 'lock file', `"resolved": "https://npm${'.'}company.test/x/-/x-1.0.0.tgz"`],
  ['registry', 'token', `//host.test/:_auth${'Token'}=x`],
  ['path of a machine', 'home', `/ho${'me'}/alice/project`],
  ['path of a machine', 'macOS', `/Us${'ers'}/alice/project`],
  ['path of a machine', 'this one', `see /srv/${'build'}/caegis/notes`],
]

describe('what should not be public', () => {
  it.each(PLANTED)('finds each kind, and says where without repeating it: %s, %s', (kind, _, planted) => {
    const found = secretsIn(`first line\n\n  ${planted}\nlast`, ['/srv/build/caegis'])
    expect(found).toContainEqual({ kind, line: 3 })
    expect(JSON.stringify(found)).not.toContain(planted.slice(-12))
  })

  it.each([
    `clientSecret: process.env.FILES_SECRET`,
    `const secret = randomBytes(32).toString('base64url')`,
    `password: 'correct horse battery staple'`,
    `token: 'a-token-for-the-figures-of-metrics'`,
    `"refreshTokenExpiresInSecondsOfTheTenant": 1`,
    `secret: '${'A1a'.repeat(20)}'`,
    `{ "kty": "EC", "x": "${jwk.x}", "y": "${jwk.y}" }`,
    `"integrity": "sha512-${drawn(64)}"`,
    `https://registry.npmjs.org/caegis and https://www.npmjs.com/package/x`,
    `GET /Users/:id and ${'/users/alice'}`,
    `postgres://user:password@host:port/database`,
  ])('leaves alone what is none: %s', (text) => {
    expect(secretsIn(text, ['/srv/build/caegis'])).toEqual([])
  })
})
