import { createPrivateKey, generateKeyPairSync, hash, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { createCutoffTable, createGuard, createStaticKeys, type Sink, type Source, type Verdict } from '@caegis/guard'
import { createVerifier } from 'fast-jwt'
import { jwtVerify } from 'jose'
import type { Figure } from './figure.ts'
import { frameworks, introspection } from './peers.ts'

const ISSUER = 'https://id.example/contoso/v2.0'
const AUDIENCE = 'api://files'
const TOKENS = 512
const ROUNDS = 11
const SEEN_CALLS = 5000
const CUTOFFS = 100_000
const POLICY = '4f0c2a7e-2f55-4a43-9d3b-0b6f1a2c7d11'

/** The guard's figures and its peers', measured in turn in the same process: medians of interleaved rounds. */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  if (!globalThis.gc) throw new Error('run with --expose-gc: memory cannot be measured without')
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const tokens = Array.from({ length: TOKENS }, () => mint(privateKey))
  await seen(emit, tokens, publicKey)
  await placed(emit, privateKey, publicKey)
  await firstSight(emit, tokens, publicKey)
  const say = (name: string, value: number, unit: string, rest: Partial<Figure> = {}) => emit(figure(name, value, unit, rest))
  const given = { jwk: publicKey.export({ format: 'jwk' }), issuer: ISSUER, audience: AUDIENCE, cutoffs: CUTOFFS }
  await introspection(say, given, tokens)
  await frameworks(say, given, tokens[0] as string)
  await memory(emit)
}

/** A token that was seen before: signature cache, expiry, all cutoffs, freshness. */
async function seen(emit: (figure: Figure) => void, tokens: string[], publicKey: KeyObject): Promise<void> {
  const guard = await startGuard(publicKey)
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  const cached = createVerifier({ key: pem, algorithms: ['ES256'], allowedIss: ISSUER, allowedAud: AUDIENCE, cache: TOKENS * 2 })
  for (const token of tokens) {
    expectAllowed(guard.check(asRequest(token)))
    cached(token)
  }
  // Every change of the table makes each token look once at all its cutoffs again.
  const changing = await startGuard(publicKey)
  for (const token of tokens) expectAllowed(changing.check(asRequest(token)))
  let changes = 0
  const times = rounds(tokens, {
    guard: (request) => guard.check(request),
    'fast-jwt cache': ({ headers }) => cached(headers.authorization.slice(7)),
    // What a cache that files tokens by their digest cannot do without, on this machine, now.
    sha256: ({ headers }) => hash('sha256', headers.authorization.slice(7), 'binary'),
    'guard, cutoffs changed': (request, i) => {
      if (i % TOKENS === 0) changing.merge([cutoff(`someone-${changes++}`)])
      return changing.check(request)
    },
  })
  const mine = times.guard as number
  const peer = times['fast-jwt cache'] as number
  emit(
    figure('check, token seen before', mine, 'us', {
      peer: 'fast-jwt cache',
      ratio: mine / peer,
      budget: '<= fast-jwt cache and <= 3 us',
      holds: mine <= peer && mine <= 3,
    }),
  )
  emit(figure('check, token seen before, cutoffs changed since', times['guard, cutoffs changed'] as number, 'us'))
  emit(figure('fast-jwt cache, token seen before', peer, 'us'))
  emit(figure('sha256 of the token alone', times.sha256 as number, 'us'))
  await guard.close()
  await changing.close()
}

/** A token that leaves a location condition to the guard, beside one that does not: from where it was last shown, and from another place each time. */
async function placed(emit: (figure: Figure) => void, privateKey: KeyObject, publicKey: KeyObject): Promise<void> {
  const guard = await startGuard(publicKey)
  const ranges = Array.from({ length: 10_000 }, (_, i) => `198.${i >> 8}.${i & 255}.0/24`)
  guard.rules([
    { version: 1, since: 0 },
    { policies: [{ id: POLICY, include: 'All', exclude: ['offices'] }] },
    { location: { id: 'offices', kind: 'ip', trusted: true } },
    { ranges },
  ])
  const tokens = Array.from({ length: TOKENS }, () => mint(privateKey, { capolids_latebind: [POLICY] }))
  for (const token of tokens) expectAllowed(guard.check(asRequest(token)))
  const times = rounds(tokens, {
    same: (request) => guard.check(request),
    other: (request, i) => {
      if ((i / TOKENS) & 1) request.socket.remoteAddress = '198.7.3.9'
      return guard.check(request)
    },
  })
  emit(figure('check, token seen before, with a location', times.same as number, 'us'))
  emit(figure('check, token seen before, another place each time', times.other as number, 'us'))
  await guard.close()
}

/** A token that was never seen: what no cache helps with. */
async function firstSight(emit: (figure: Figure) => void, tokens: string[], publicKey: KeyObject): Promise<void> {
  // Two entries, so that 512 tokens in turn are never found.
  const guard = await startGuard(publicKey, 2)
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  const plain = createVerifier({ key: pem, algorithms: ['ES256'], allowedIss: ISSUER, allowedAud: AUDIENCE })
  const options = { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256'] }
  expectAllowed(guard.check(asRequest(tokens[0] as string)))
  const times = await asyncRounds(400, {
    guard: (i) => guard.check(asRequest(tokens[i % TOKENS] as string)),
    bare: (i) => bare(tokens[i % TOKENS] as string, publicKey),
    'fast-jwt': (i) => plain(tokens[i % TOKENS] as string),
    jose: (i) => jwtVerify(tokens[i % TOKENS] as string, publicKey, options),
  })
  const mine = times.guard as number
  const against = (peer: string) => ({ peer, ratio: mine / (times[peer] as number) })
  emit(
    figure('check, first sight', mine, 'us', {
      ...against('bare'),
      budget: '<= 1.3 x bare node:crypto verify + parse',
      holds: mine <= 1.3 * (times.bare as number),
    }),
  )
  emit(figure('bare node:crypto verify + JSON.parse', times.bare as number, 'us'))
  emit(figure('fast-jwt without cache', times['fast-jwt'] as number, 'us', against('fast-jwt')))
  emit(figure('jose jwtVerify', times.jose as number, 'us', against('jose')))
  await guard.close()
}

async function memory(emit: (figure: Figure) => void): Promise<void> {
  for (const count of [1_000_000, 10_000_000]) {
    await cutoffs(emit, count)
  }
  const before = await settled()
  const map = new Map<string, { t: number; until: number }>()
  for (let i = 0; i < 1_000_000; i++) map.set(`user\n${i.toString(36).padStart(22, '.')}`, { t: 1_800_000_000 + i, until: 1_800_100_000 })
  emit(figure('memory per cutoff in a JS Map at 1 M', (used() - before) / map.size, 'bytes'))
  const lookups = 1_000_000
  const asked = Array.from({ length: lookups }, (_, i) => `user\n${(i & 1 ? (i * 31) % 1_000_000 : i + 1_000_000).toString(36).padStart(22, '.')}`)
  const from = performance.now()
  let hits = 0
  for (const id of asked) if (map.has(id)) hits++
  const elapsed = performance.now() - from
  if (hits !== lookups / 2) throw new Error('the Map lost a cutoff')
  emit(figure('cutoff lookups in a JS Map at 1 M, ids not hashed before', (lookups / elapsed) * 1000, '/s'))
}

async function cutoffs(emit: (figure: Figure) => void, count: number): Promise<void> {
  const before = await settled()
  const name = `${count / 1e6} M`
  const table = createCutoffTable(30)
  const started = performance.now()
  let longest = 0
  let last = started
  for (let i = 0; i < count; i++) {
    table.raise(scatter(i), scatter(i + 0x4000_0000), 1_800_000_000, 1_800_100_000)
    if ((i & 0xff) !== 0) continue
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const elapsed = performance.now() - started
  const bytes = ((await settled()) - before) / table.size
  if (table.size !== count || bytes * count < table.bytes / 2) throw new Error('the memory was not measured')
  emit(figure(`memory per cutoff at ${name}`, bytes, 'bytes', { budget: '<= 26', holds: bytes <= 26 }))
  emit(figure(`cutoffs taken in, at ${name}`, count / elapsed / 1000, 'M/s'))
  emit(figure(`longest 256 insertions, at ${name}`, longest, 'ms'))
  const lookups = 2_000_000
  const from = performance.now()
  let hits = 0
  // Every second one is there.
  for (let i = 0; i < lookups; i++) {
    const one = i & 1 ? (i * 31) % count : i + count
    if (table.find(scatter(one), scatter(one + 0x4000_0000)) > 0) hits++
  }
  const elapsedLookups = performance.now() - from
  if (hits !== lookups / 2) throw new Error('the table lost a cutoff, or made one up')
  emit(figure(`cutoff lookups at ${name}`, (lookups / elapsedLookups) * 1000, '/s'))
}

/** A bijection on 32-bit integers that scatters as a keyed hash does (the finalizer of MurmurHash3): ids are hashed elsewhere. */
function scatter(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** Memory once everything that may go is gone: buffers of unreachable arrays are freed some time after the collection that found them. */
async function settled(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return used()
}

function used(): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function bare(token: string, key: KeyObject): unknown {
  const [header = '', payload = '', signature = ''] = token.split('.')
  JSON.parse(Buffer.from(header, 'base64url').toString())
  const good = verify('sha256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))
  if (!good) throw new Error('signature')
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

/** Microseconds a call, median of the rounds; contestants take turns within each, with requests that were made beforehand and never used. */
function rounds(tokens: string[], contestants: Record<string, (request: BenchRequest, i: number) => unknown>): Record<string, number> {
  const results = new Map<string, number[]>()
  for (let round = -5; round < ROUNDS; round++) {
    for (const [name, call] of Object.entries(contestants)) {
      const requests = Array.from({ length: SEEN_CALLS }, (_, i) => asRequest(tokens[i % TOKENS] as string))
      const from = performance.now()
      for (let i = 0; i < SEEN_CALLS; i++) call(requests[i] as BenchRequest, i)
      if (round >= 0) results.set(name, [...(results.get(name) ?? []), ((performance.now() - from) / SEEN_CALLS) * 1000])
    }
  }
  return medians(results)
}

async function asyncRounds(calls: number, contestants: Record<string, (i: number) => unknown>): Promise<Record<string, number>> {
  const results = new Map<string, number[]>()
  for (let round = -1; round < ROUNDS; round++) {
    for (const [name, call] of Object.entries(contestants)) {
      const from = performance.now()
      for (let i = 0; i < calls; i++) {
        const result = call(i)
        if (result instanceof Promise) await result
      }
      if (round >= 0) results.set(name, [...(results.get(name) ?? []), ((performance.now() - from) / calls) * 1000])
    }
  }
  return medians(results)
}

function medians(results: Map<string, number[]>): Record<string, number> {
  return Object.fromEntries([...results].map(([name, list]) => [name, list.sort((a, b) => a - b)[list.length >> 1] as number]))
}

/** A hydrated guard over 100,000 cutoffs of other people. */
async function startGuard(publicKey: KeyObject, maxTokens = TOKENS * 4) {
  let merge: Sink['merge'] = () => {}
  let rules: Sink['rules'] = () => {}
  const source: Source = {
    start(sink) {
      merge = sink.merge
      rules = sink.rules
      sink.merge(Array.from({ length: CUTOFFS }, (_, i) => cutoff(`other-${i}`)))
      sink.synced({ epoch: 'e', seq: CUTOFFS, asOf: Date.now() / 1000, status: 'enabled' })
    },
    close: async () => {},
  }
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1' }
  const keys = createStaticKeys({ [ISSUER]: { keys: [jwk] } })
  const guard = createGuard({ issuer: ISSUER, audience: AUDIENCE, source, keys, maxTokens, maxStaleness: 3600 })
  await guard.ready()
  return { ...guard, merge, rules }
}

function cutoff(id: string) {
  const t = Math.floor(Date.now() / 1000)
  return { issuer: ISSUER, kind: 'user', id, t, depth: 'access', until: t + 90_000 } as const
}

type BenchRequest = ReturnType<typeof asRequest>

/** A node request as a server would hand it over: the header's text is a new, flat string each time. */
function asRequest(token: string) {
  const authorization = Buffer.from(`Bearer ${token}`, 'latin1').toString('latin1')
  const rawHeaders = ['Host', 'api.example', 'Accept', '*/*', 'Authorization', authorization]
  const socket = { remoteAddress: '198.7.3.8' }
  return { url: '/files/42', headers: { host: 'api.example', accept: '*/*', authorization }, rawHeaders, socket }
}

function expectAllowed(verdict: Verdict | Promise<Verdict>): void {
  if (verdict instanceof Promise || !verdict.allowed) throw new Error('the benchmark token was refused')
}

/** About 1 KB, with the claims of a user's access token. */
function mint(privateKey: KeyObject, more: object = {}): string {
  const iat = Math.floor(Date.now() / 1000)
  const id = () => randomBytes(16).toString('hex')
  const user = id()
  const claims = {
    ...{ iss: ISSUER, aud: AUDIENCE, iat, nbf: iat, exp: iat + 86_400, jti: id(), sub: user, oid: user, tid: id(), sid: id() },
    ...{ client_id: id(), azp: id(), scp: 'Files.Read Files.Write', scope: 'api://files/Files.Read api://files/Files.Write', auth_time: iat - 60 },
    ...{ amr: ['pwd', 'mfa'], acr: '1', ipaddr: '203.0.113.7', deviceid: id(), xms_cc: ['cp1'], xms_ssm: '1' },
    ...more,
  }
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const input = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'k1' })}.${encode(claims)}`
  const key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

function figure(name: string, value: number, unit: string, rest: Partial<Figure> = {}): Figure {
  const round = (number: number) => Number(number.toPrecision(4))
  return { suite: 'guard', name, value: round(value), unit, ...rest, ...(rest.ratio === undefined ? {} : { ratio: round(rest.ratio) }) }
}

if (import.meta.main) await run((line) => console.log(JSON.stringify(line)))
