import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { Cutoff, CutoffKind, Head } from '@caegis/protocol'
import { createGuard } from '../src/guard.ts'
import { createStaticKeys } from '../src/keys.ts'
import type { GuardOptions } from '../src/options.ts'
import type { Sink } from '../src/source.ts'
import type { Verdict } from '../src/verdict.ts'

export const ISSUER = 'https://id.example/contoso/v2.0'
export const AUDIENCE = 'api://files'
/** The fake wall clock's start, seconds: no test may depend on today. */
export const START = 1_800_000_000

export interface KeyPair {
  privateKey: KeyObject
  publicKey: KeyObject
}

export const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const otherEc = generateKeyPairSync('ec', { namedCurve: 'P-256' })

export function jwkOf({ publicKey }: KeyPair, kid: string, more: object = {}) {
  return { ...publicKey.export({ format: 'jwk' }), kid, ...more }
}

const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url')

/** Signs whatever it is asked to, good or bad. */
export function mint(
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  key: KeyObject | Buffer | string = ec.privateKey,
): string {
  const whole: Record<string, unknown> = { alg: 'ES256', typ: 'at+jwt', kid: 'k1', ...header }
  const base = {
    iss: ISSUER,
    aud: AUDIENCE,
    iat: START - 60,
    nbf: START - 60,
    exp: START + 3600,
    sub: 'alice',
    oid: 'alice',
    tid: 'contoso',
    sid: 's-1',
    jti: 'j-1',
  }
  return signJws(whole, { ...base, client_id: 'files-spa', ...claims }, key)
}

/** Any JWS: members that are objects are written as JSON, text stands as it is. */
export function signJws(header: Record<string, unknown>, payload: object | string, key: KeyObject | Buffer | string): string {
  const input = `${encode(header)}.${typeof payload === 'string' ? Buffer.from(payload).toString('base64url') : encode(payload)}`
  return `${input}.${signature(header.alg, input, key).toString('base64url')}`
}

/** Signs two parts by the issuer's key, whatever they are. */
export function signText(input: string): string {
  return `${input}.${signature('ES256', input, ec.privateKey).toString('base64url')}`
}

function signature(alg: unknown, input: string, key: KeyObject | Buffer | string): Buffer {
  const data = Buffer.from(input)
  if (alg === 'none') return Buffer.alloc(0)
  if (alg === 'HS256') return createHmac('sha256', key).update(data).digest()
  if (alg === 'EdDSA' && (key as KeyObject).asymmetricKeyType === 'ed25519') return sign(null, data, key as KeyObject)
  if (alg === 'RS256') return sign('sha256', data, key as KeyObject)
  if (alg === 'PS256') return sign('sha256', data, { key: key as KeyObject, padding: 6, saltLength: 32 })
  return sign('sha256', data, { key: key as KeyObject, dsaEncoding: 'ieee-p1363' })
}

export function cutoff(kind: CutoffKind, id: string, t: number, more: Partial<Cutoff> = {}): Cutoff {
  return { issuer: ISSUER, kind, id, t, depth: 'access', until: t + 100_800, ...more }
}

export function head(seq: number, asOf: number, more: Partial<Head> = {}): Head {
  return { epoch: 'e1', seq, asOf, status: 'enabled', ...more }
}

/** Both clocks of a guard, moved by hand. Times in seconds. */
export function createClocks(start = START) {
  let wall = start
  let monotonic = 1000
  return {
    now: () => wall * 1000,
    monotonic: () => monotonic * 1000,
    get seconds() {
      return wall
    },
    pass(seconds: number) {
      wall += seconds
      monotonic += seconds
    },
    /** Somebody sets the wall clock. */
    set(seconds: number) {
      wall += seconds
    },
    /** The machine is frozen: the wall goes on, the monotonic clock does not count it. */
    freeze(seconds: number) {
      wall += seconds
    },
  }
}

/** A guard with hand-moved clocks, a source driven by the test, and one key; hydrated unless told otherwise. */
export function startGuard(options: Partial<GuardOptions> & { hydrate?: boolean } = {}) {
  const { hydrate = true, ...rest } = options
  const clocks = createClocks()
  const keys = createStaticKeys({ [ISSUER]: { keys: [jwkOf(ec, 'k1')] } })
  const held: { sink?: Sink; closed: boolean } = { closed: false }
  const source = {
    start(sink: Sink) {
      held.sink = sink
    },
    async close() {
      held.closed = true
    },
  }
  const guard = createGuard({
    issuer: ISSUER,
    audience: AUDIENCE,
    clientId: 'files-api',
    source,
    keys,
    now: clocks.now,
    monotonic: clocks.monotonic,
    ...rest,
  })
  const sink = held.sink as Sink
  if (hydrate) sink.synced(head(0, START))
  return { guard, sink, clocks, keys, held, check: (token: string) => verdictOf(guard.check(request(token))) }
}

export function request(token: string, more: object = {}) {
  return { url: '/files/42', headers: { authorization: `Bearer ${token}` }, ...more }
}

/** Most checks must answer at once; a promise here is a failure. */
export function verdictOf(verdict: Verdict | Promise<Verdict>): Verdict {
  if (verdict instanceof Promise) throw new Error('the verdict was not given at once')
  return verdict
}

/** The code of a denial, or `allowed`. */
export function outcome(verdict: Verdict): string {
  return verdict.allowed ? 'allowed' : verdict.code
}
