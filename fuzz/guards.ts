import type { IncomingMessage } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import { createDiscovery } from '../packages/guard/src/discovery.ts'
import { proxyOf, readOriginal } from '../packages/guard/src/gateway/original.ts'
import { readPath } from '../packages/guard/src/gateway/path.ts'
import { createGuard } from '../packages/guard/src/guard.ts'
import { createJwksKeys } from '../packages/guard/src/jwks.ts'
import { createStaticKeys } from '../packages/guard/src/keys.ts'
import { createProofs } from '../packages/guard/src/proof.ts'
import { readRules } from '../packages/guard/src/read-rules.ts'
import type { Sink } from '../packages/guard/src/source.ts'
import { callerAddress, compileRanges, parseAddress } from '../packages/policy/src/index.ts'
import { formatEvidence } from '../packages/protocol/src/evidence.ts'
import { CaegisError, type Cutoff, isObject, packColumns, parseColumns, parseEvidence, type SecurityEvent } from '../packages/protocol/src/index.ts'
import { createCarrier } from '../packages/ssf/src/receiver/carrier.ts'
import type { ChannelHandlers } from '../packages/ssf/src/receiver/channel.ts'
import { readSegment } from '../packages/ssf/src/receiver/read-segment.ts'
import { createJwsVerifier } from '../packages/ssf/src/receiver/verify-jws.ts'
import { type SegmentName, sealSegment } from '../packages/ssf/src/segment.ts'
import { mutateJws, mutateText } from './mutate.ts'
import { json, must, read, reading, type Target, taken, text } from './target.ts'

const captures = read<{
  issuer: string
  audience: string
  now: number
  jwk: { kid: string }
  jkt: string
  bound: string
  tokens: string[]
  forged: string[]
  proofs: string[]
  forgedProofs: string[]
  fleet: { events: string[]; heads: string[] }
  jwks: string[]
  metadata: string[]
  columns: string[]
  segment: { name: SegmentName; body: string }
  rules: string[]
}>('guard-captures.json')
const { issuer, audience } = captures
const now = () => captures.now * 1000
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

let sink: Sink | undefined
const guard = createGuard({
  ...{ issuer, audience, clientId: 'files-api', now, monotonic: () => 1_000_000, maxTokens: 1000 },
  keys: createStaticKeys({ [issuer]: { keys: [captures.jwk] } }),
  source: {
    start(given) {
      sink = given
    },
    close: async () => {},
  },
})
sink?.synced({ epoch: 'e1', seq: 0, asOf: captures.now, status: 'enabled' })
const tokens = [...captures.tokens, ...captures.forged]
const good = new Set(captures.tokens)

/** Allowed is only what was signed, byte for byte; whatever else comes is refused by a code, never by an exception, and at once. */
async function checkToken(token: string): Promise<boolean> {
  const verdict = await guard.check({ url: '/files/42', headers: { authorization: `Bearer ${token}` } })
  const { allowed } = verdict
  // Blanks around it are no part of it (RFC 9110 section 5.5).
  must(allowed === good.has(token.replace(/^ +| +$/g, '')), allowed ? 'a token was allowed that nobody signed so' : 'a genuine token was refused')
  must(allowed || verdict.status === 400 || verdict.status === 401, 'another status')
  return allowed
}

const proofs = [...captures.proofs, ...captures.forgedProofs]
const proven = new Set(captures.proofs)
const shown = { token: captures.bound, owner: 'alice' }

const verifier = createJwsVerifier({
  jwksUri: 'https://id.example/keys',
  fetch: (async () => Response.json({ keys: [captures.jwk] })) as typeof fetch,
  now,
})
const messages = [...captures.fleet.events, ...captures.fleet.heads]
const brought = new Set(captures.fleet.events)

/** A fleet's message before a guard at the beginning of the log: whatever is put in force was signed for it. */
async function receive(kind: string, message: string): Promise<boolean> {
  let on: ChannelHandlers | undefined
  let verified: Promise<unknown> = Promise.resolve()
  const took: SecurityEvent[] = []
  const carrier = createCarrier({
    ...{ issuer, now, log: quiet, quiet: 60_000 },
    channel: {
      open(handlers) {
        on = handlers
      },
      restart() {},
      close: async () => {},
    },
    verifier: () => ({
      ...verifier,
      verify(jws: string, typ: string) {
        const answer = verifier.verify(jws, typ)
        verified = answer.catch(() => {})
        return answer
      },
    }),
    position: () => ({ epoch: 'e1', seq: took.length }),
    take: async (event) => void took.push(event),
    synced: () => true,
  })
  on?.[kind === 'head' ? 'head' : 'event'](message)
  await verified
  await new Promise(setImmediate)
  const { counts } = carrier.status()
  await carrier.close()
  must(took.length === 0 || brought.has(message), 'an event was put in force that nobody signed')
  must(counts.heads === 0 || captures.fleet.heads.includes(message), 'a head counted that nobody signed')
  return counts.refused === 0
}

/** What a cache holds under the name of a genuine segment is refused; what the segment itself says is read with bounds. */
async function readColumns(columns: string): Promise<boolean> {
  const { body, ...name } = sealSegment(Buffer.from(columns))
  const options = { endpoint: 'https://host.test/segments', issuer, timeout: 1000, signal: new AbortController().signal }
  const cutoffs: Cutoff[] = []
  const accepted = await taken(async () => {
    const fetched = (async () => new Response(new Uint8Array(body))) as typeof fetch
    for (const batch of await readSegment(name, { ...options, fetch: fetched })) cutoffs.push(...batch)
  })
  if (accepted) {
    const again = [...parseColumns(JSON.parse(JSON.stringify(packColumns(cutoffs))), issuer)].flat()
    must(isDeepStrictEqual(packColumns(again), packColumns(cutoffs)), 'packed and read again, they are others')
  }
  return accepted
}

/** A character each of its bytes. */
const segmentText = Buffer.from(captures.segment.body, 'base64').toString('latin1')

async function openCached(held: string): Promise<boolean> {
  const options = { endpoint: 'https://host.test/segments', issuer, timeout: 1000, signal: new AbortController().signal }
  const opened = await taken(async () => {
    for (const _ of await readSegment(captures.segment.name, {
      ...options,
      fetch: (async () => new Response(Buffer.from(held, 'latin1'))) as typeof fetch,
    }));
  })
  must(opened === (held === segmentText), opened ? 'a segment was taken that is another' : 'a genuine segment was refused')
  return opened
}

const table = compileRanges(['127.0.0.0/8', '10.0.0.0/8'])
const FORWARDED = ['198.51.100.7', '198.51.100.7, 10.0.0.1', '2001:db8::1, ::ffff:10.0.0.1', '[2001:db8::1]:443, 10.1.2.3', 'unknown, 10.0.0.1']

const PATHS = [
  'nginx GET /files/42?a=1 api.example',
  'caddy POST /files/a%20b api.example:8443',
  'traefik DELETE /a;x=1/b [2001:db8::1]:443',
  'apache HEAD /%C3%A9/ api.example',
  'envoy PUT /files/ api.example',
]

/** As a proxy asks: its name, method, target and host. */
function ask(input: string): boolean {
  const [name = '', method = '', target = '', ...rest] = input.split(' ')
  const host = rest.join(' ')
  const lines = {
    ...{ 'x-original-method': method, 'x-original-uri': target, 'x-original-host': host },
    ...{ 'x-forwarded-method': method, 'x-forwarded-uri': target, 'x-forwarded-host': host },
  }
  const url = name === 'envoy' ? `/auth/envoy${target}` : `/auth/${name}`
  const proxy = proxyOf(url)
  if (proxy === undefined) return false
  const original = readOriginal({ url, method, headers: { host, ...lines } } as unknown as IncomingMessage, proxy)
  if (!original) return false
  must(URL.canParse(original.url), 'a URL that is none')
  const path = readPath(original.target)
  if (!path) return false
  must(
    path.exact.every((one) => !/[/\\\p{Cc}]/u.test(one) && one !== '.' && one !== '..'),
    'a separator in a segment',
  )
  const again = readPath(`/${path.exact.map(encodeURIComponent).join('/')}`)
  must(again !== undefined && isDeepStrictEqual(again.loose, path.loose), 'read once more, it is another path')
  return true
}

const EVIDENCE = [
  formatEvidence({ second: captures.now, jti: 'j-1', mac: Buffer.alloc(32, 7).toString('base64url') } as never),
  formatEvidence({ second: 1, jti: 'j.2', mac: 'AAAA' } as never),
]

export const GUARDS: Target[] = [
  { name: 'access token', weight: 16, arbitrary: 'text', make: (random) => mutateJws(random.pick(tokens), tokens, random), run: checkToken },
  {
    name: 'proof of a key',
    weight: 6,
    arbitrary: 'text',
    make: (random) => mutateJws(random.pick(proofs), proofs, random),
    run(proof) {
      // Each has seen nothing yet: what is good, is good once.
      const request = { method: 'GET', url: '/files/42', headers: { host: 'api.example', dpop: proof }, socket: { encrypted: true } }
      const fault = createProofs({ now, origins: [], nonceSecret: undefined, maxProofs: 100 }).fault(request, shown, captures.jkt)
      must((fault === undefined) === proven.has(proof), fault === undefined ? 'a proof was taken that nobody signed so' : `a genuine proof: ${fault}`)
      return fault === undefined
    },
  },
  {
    name: 'fleet message',
    weight: 6,
    arbitrary: 'text',
    make: (random) => `${random.pick(['head', 'event'])} ${mutateJws(random.pick(messages), messages, random)}`,
    run: (input) => receive(input.slice(0, input.indexOf(' ')), input.slice(input.indexOf(' ') + 1)),
  },
  {
    name: 'keys of an issuer',
    weight: 4,
    arbitrary: 'json',
    make: json(captures.jwks),
    async run(input) {
      const source = createJwksKeys({
        ...{ issuer, monotonic: () => 0, log: quiet, refreshEvery: 1_000_000_000 },
        discovery: { read: async () => ({ jwksUri: 'https://id.example/keys' }) as never, known: undefined },
        fetch: (async () => new Response(input)) as typeof fetch,
      })
      // Whatever it is, a guard that cannot read it asks again, and goes on with what it has.
      for (let i = 0; i < 20 && source.fetches?.done === 0 && source.fetches.failed === 0; i++) await new Promise(setImmediate)
      source.close()
      return source.fetches?.done === 1
    },
  },
  {
    name: 'metadata of an issuer',
    weight: 4,
    arbitrary: 'json',
    make: json(captures.metadata),
    async run(input) {
      const found = await createDiscovery({ issuer, fetch: (async () => new Response(input)) as typeof fetch })
        .read()
        .catch((error: unknown) => {
          if (error instanceof CaegisError) return undefined
          throw error
        })
      const urls = [found?.jwksUri, found?.tokenEndpoint, found?.authorizationEndpoint]
      must(
        urls.every((url) => url === undefined || new URL(url).protocol === 'https:'),
        'an endpoint without TLS',
      )
      return found !== undefined
    },
  },
  { name: 'columns of a segment', weight: 5, arbitrary: 'json', make: json(captures.columns), run: readColumns },
  {
    name: 'segment in a cache',
    weight: 2,
    arbitrary: 'text',
    make: (random) => (random.below(10) === 0 ? segmentText : mutateText(segmentText, [segmentText], random)),
    run: openCached,
  },
  {
    name: 'location rules',
    weight: 5,
    arbitrary: 'json',
    make: json(captures.rules),
    run: reading((value) => {
      // As they come out of a snapshot.
      if (!Array.isArray(value) || !value.every(isObject)) throw new CaegisError('refused', 'no parts')
      readRules(value)
    }),
  },
  { name: 'evidence', weight: 2, arbitrary: 'text', make: text(EVIDENCE), run: (input) => parseEvidence(input) !== undefined },
  {
    name: 'forwarded header',
    weight: 4,
    arbitrary: 'text',
    make: text(FORWARDED),
    run(input) {
      const address = callerAddress(table, '10.9.9.9', input.split('\n'))
      must(callerAddress(table, '203.0.113.9', input) === '203.0.113.9', 'a header of somebody who is no proxy was believed')
      return parseAddress(address) !== undefined
    },
  },
  {
    name: 'request of a proxy',
    weight: 5,
    arbitrary: 'text',
    make: (random) => (random.below(8) === 0 ? random.pick(PATHS) : mutateText(random.pick(PATHS), PATHS, random)),
    run: ask,
  },
]
