import { isDeepStrictEqual } from 'node:util'
import {
  CaegisError,
  cutoffsOf,
  isObject,
  packCutoffs,
  parseChallenges,
  parseClaimsRequest,
  parseCutoffs,
  parseHead,
  parseSet,
  parseSubject,
  readClaimsChallenge,
  trustForeign,
  trustOwn,
} from '../packages/protocol/src/index.ts'
import { arrange, parsePollAnswer, verifyAll } from '../packages/ssf/src/receiver/delivery.ts'
import { discover } from '../packages/ssf/src/receiver/discover.ts'
import { hasPayload, receivedEvent } from '../packages/ssf/src/receiver/handlers.ts'
import { createPushHandler } from '../packages/ssf/src/receiver/push.ts'
import { readSnapshot } from '../packages/ssf/src/receiver/read-snapshot.ts'
import { readConfiguration } from '../packages/ssf/src/receiver/stream-configuration.ts'
import { createTrust } from '../packages/ssf/src/receiver/trust.ts'
import { createJwsVerifier } from '../packages/ssf/src/receiver/verify-jws.ts'
import { verifySet } from '../packages/ssf/src/receiver/verify-set.ts'
import { createMemoryStore, createTransmitter } from '../packages/ssf/src/transmitter/index.ts'
import { parsePollRequest } from '../packages/ssf/src/transmitter/poll-request.ts'
import { mutateJson, mutateJws, mutateText } from './mutate.ts'
import { json, must, read, reading, type Target, taken, texts } from './target.ts'

interface Captures {
  issuer: string
  audience: string
  now: number
  jwks: unknown[]
  sets: string[]
  forged: string[]
  snapshots: { text: string; streamId: string }[]
  pollRequests: string[]
  pollAnswers: string[]
  creates: string[]
  configurations: string[]
  metadata: string[]
  manage: string[]
  challenges: string[]
}

const captures = read<Captures>('captures.json')
const vectors = (name: string) => read<{ in?: unknown; with?: object }[]>(`../packages/protocol/test/vectors/${name}.json`)
const { issuer, audience } = captures
const decode = (part: string | undefined) => Buffer.from(part ?? '', 'base64url').toString()

const verifier = createJwsVerifier({
  jwksUri: 'https://host.test/keys',
  fetch: (async () => Response.json({ keys: captures.jwks })) as typeof fetch,
  now: () => captures.now * 1000,
})
const verify = (jwt: unknown) => verifySet(verifier, jwt, { issuer, audience: [audience], now: captures.now * 1000 })

const signed = new Set(captures.sets)
const everyJws = [...captures.sets, ...captures.forged]
const genuine = captures.sets.map((jws) => decode(jws.split('.')[1]))
const payloads = [...genuine, ...vectors('sets').map((one) => JSON.stringify({ ...(JSON.parse(genuine[0] as string) as object), ...one.with }))]
const subjects = [
  ...genuine.map((one) => JSON.stringify((JSON.parse(one) as { sub_id: unknown }).sub_id)),
  ...texts(vectors('subjects').map((one) => one.in)),
]
const heads = captures.pollAnswers.map((one) => JSON.stringify((JSON.parse(one) as { caegis_head: unknown }).caegis_head))
const strings = (values: unknown[]) => values.filter((one) => typeof one === 'string')
const challenges = [...captures.challenges, ...strings(vectors('challenges').map((one) => one.in))]
const claimsRequests = strings(vectors('claims-requests').map((one) => one.in))
const rows = texts(vectors('rows').map((one) => one.in)).filter((text) => text.length < 5000)
const trusts = [createTrust({}, issuer), createTrust({ issuers: 'any', domains: ['acme.test'], wide: ['tenant'] }, issuer)]

/** Accepted is only what was signed, byte for byte: another spelling of the same signature would be another text under the same name. */
async function checkJws(jws: string): Promise<boolean> {
  const accepted = await taken(() => verify(jws))
  must(accepted === signed.has(jws), accepted ? 'a SET was accepted that nobody signed so' : 'a genuine SET was refused')
  return accepted
}

const push = createPushHandler({
  authorizationHeader: 'Bearer of-the-receiver',
  verify: () => verify,
  accept: async () => 'accepted',
  refused: () => {},
})
const PUSH_ANSWERS = [202, 400, 401, 405, 413, 415, 503]

const gone = AbortSignal.abort()
const caller = { receiver: 'files-api', audience, scopes: new Set(['ssf.read', 'ssf.manage']) }
const known = (JSON.parse(captures.configurations[0] as string) as { stream_id: string }).stream_id
/** Of one stream, so that a body that was mutated elsewhere still finds its own. */
const configurations = captures.configurations.map((text) => JSON.stringify({ ...(JSON.parse(text) as object), stream_id: known }))
const log = createMemoryStore({ issuer, now: () => captures.now * 1000 })
const transmitter = createTransmitter({
  issuer,
  base: 'https://host.test/acme/ssf',
  jwksUri: 'https://host.test/acme/keys',
  store: log,
  sign: async () => captures.sets[0] as string,
  now: () => captures.now * 1000,
  push: true,
  inactivityTimeout: 600,
})
log.commit({ type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked', subject: { complex: { format: 'opaque', id: 'x' } } })

const OPERATIONS = ['create', 'update', 'replace', 'updateStatus', 'addSubject', 'removeSubject', 'verify', 'poll'] as const
const BODIES: Partial<Record<(typeof OPERATIONS)[number], string[]>> = {
  create: captures.creates,
  update: configurations,
  replace: configurations,
  poll: captures.pollRequests,
}
const ANSWERS = [200, 201, 202, 204, 400, 403, 404, 429]

/** A call of the transmitter, about a stream that lives for this call only. */
async function callTransmitter(input: string): Promise<boolean> {
  const space = input.indexOf(' ')
  const name = input.slice(0, space) as (typeof OPERATIONS)[number]
  if (!OPERATIONS.includes(name)) return false
  const kind = captures.creates[input.length % captures.creates.length] as string
  const { stream_id: id } = (await transmitter.create(caller, JSON.parse(kind))).body as { stream_id: string }
  try {
    let body: unknown
    try {
      body = JSON.parse(input.slice(space + 1).replaceAll(known, id))
    } catch {
      // The host hands over `undefined` for what is no JSON.
    }
    const answer = name === 'poll' ? await transmitter.poll(caller, id, body, gone) : await transmitter[name](caller, body)
    must(ANSWERS.includes(answer.status), `status ${answer.status}`)
    JSON.stringify(answer.body)
    return answer.status < 300
  } finally {
    for (const stream of log.streams()) await log.deleteStream(stream.id)
  }
}

const { text: sealed, streamId } = captures.snapshots.at(-1) as Captures['snapshots'][number]
const { head: start } = JSON.parse(sealed.slice(0, sealed.indexOf('\n'))) as { head: { epoch: string } }
const lines = captures.snapshots.flatMap(({ text }) => text.trimEnd().split('\n'))

const content = sealed.slice(0, sealed.lastIndexOf('{"seal"'))
const sealIn = (line: string) => (JSON.parse(line) as { seal?: unknown }).seal
const seal = sealIn(sealed.slice(content.length))

async function* chunksOf(text: string): AsyncGenerator<Uint8Array, void, undefined> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700)
}

export const SIGNALS: Target[] = [
  { name: 'signed SET', weight: 24, arbitrary: 'text', make: (random) => mutateJws(random.pick(everyJws), everyJws, random), run: checkJws },
  {
    name: 'SET',
    weight: 12,
    arbitrary: 'json',
    make: json(payloads),
    run: reading((value) => {
      const set = parseSet(value)
      for (const trust of [trustOwn(issuer), trustForeign([issuer])]) cutoffsOf(set, trust, 100_800)
      hasPayload(set)
      receivedEvent(set)
    }),
  },
  {
    name: 'subject',
    weight: 12,
    arbitrary: 'json',
    make: json(subjects),
    run: reading((value) => {
      const subject = parseSubject(value)
      must(isDeepStrictEqual(parseSubject(subject), subject), 'read once more, it is another subject')
      must(Object.getPrototypeOf(subject) === Object.prototype, 'a subject with a prototype of its own')
      for (const trust of trusts) trust(subject)
    }),
  },
  {
    name: 'cutoffs',
    weight: 4,
    arbitrary: 'json',
    make: json(rows),
    run: reading((value) => {
      const cutoffs = parseCutoffs(value, issuer)
      must(
        isDeepStrictEqual(
          [...packCutoffs(cutoffs)].flatMap((list) => parseCutoffs(list, issuer)),
          cutoffs,
        ),
        'packed and read again, they are others',
      )
    }),
  },
  {
    name: 'poll request',
    weight: 8,
    arbitrary: 'json',
    make: json(captures.pollRequests),
    run: reading((value) => {
      const request = isObject(value) ? parsePollRequest(value, { events: 100, maxEvents: 1000 }) : 'body'
      if (typeof request === 'string') throw new CaegisError('refused', request)
      must(request.ack.length <= 10_000 && request.errors.length <= 10_000 && request.maxEvents <= 1000, 'a poll without bounds')
      must(
        request.errors.every(([, err]) => /^[\w.:-]{1,64}$/.test(err)),
        'a code that must not be logged',
      )
    }),
  },
  {
    name: 'poll answer',
    weight: 7,
    arbitrary: 'json',
    make: json(captures.pollAnswers),
    run: reading(async (value) => {
      if (!isObject(value)) throw new CaegisError('refused', 'body')
      const answer = parsePollAnswer(value, true)
      must(answer.sets.length <= 1000, 'too many SETs')
      const { events } = await verifyAll(answer.sets.slice(0, 2), verify)
      must(
        events.every(({ jti }) => answer.sets.some(([name, jws]) => name === jti && signed.has(jws))),
        'an event that nobody signed',
      )
      arrange(events, 0)
    }),
  },
  {
    name: 'transmitter',
    weight: 12,
    arbitrary: 'json',
    make: (random) => {
      const name = random.pick(OPERATIONS)
      const bodies = BODIES[name] ?? captures.manage
      return `${name} ${json(bodies)(random)}`
    },
    run: callTransmitter,
  },
  { name: 'stream configuration', weight: 6, arbitrary: 'json', make: json(captures.configurations), run: reading(readConfiguration) },
  {
    name: 'metadata',
    weight: 4,
    arbitrary: 'json',
    make: json(captures.metadata),
    run: (input) =>
      taken(async () => {
        const found = await discover({ issuer, fetch: (async () => new Response(input)) as typeof fetch })
        const urls = [found.jwksUri, found.configurationEndpoint, found.statusEndpoint, found.verificationEndpoint, found.snapshotEndpoint]
        must(
          urls.every((url) => url === undefined || url.startsWith('https:') || new URL(url).protocol === 'https:'),
          'an endpoint without TLS',
        )
      }),
  },
  { name: 'head', weight: 4, arbitrary: 'json', make: json(heads), run: reading(parseHead) },
  {
    name: 'snapshot',
    weight: 4,
    arbitrary: 'text',
    make(random) {
      const changed = sealed.trimEnd().split('\n')
      const at = random.below(changed.length)
      switch (random.below(4)) {
        case 0:
          return mutateText(
            sealed,
            captures.snapshots.map(({ text }) => text),
            random,
          )
        case 1:
          changed.splice(at, 1, ...(random.below(2) === 0 ? [] : [random.pick(lines), changed[at] as string]))
          break
        case 2:
          changed.splice(random.below(changed.length), 0, ...changed.splice(at, 1))
          break
        default:
          changed[at] = mutateJson(changed[at] as string, lines, random)
      }
      return `${changed.join('\n')}\n`
    },
    async run(input) {
      const expected = { issuer, audience: [audience], streamId, notBefore: { epoch: start.epoch, seq: 0 }, now: captures.now * 1000 }
      const accepted = await taken(() => readSnapshot(chunksOf(input), verifier, expected))
      must(accepted || input !== sealed, 'a genuine snapshot was refused')
      // The last line itself is not covered by the seal in it; there is nothing else in it that is read.
      must(!accepted || (input.startsWith(content) && sealIn(input.slice(content.length)) === seal), 'a snapshot was accepted that nobody sealed')
      return accepted
    },
  },
  {
    name: 'push',
    weight: 3,
    arbitrary: 'text',
    make: (random) =>
      `${mutateText(random.pick(['Bearer of-the-receiver', 'application/secevent+jwt']), ['Bearer'], random)}\n${random.pick(everyJws)}`,
    async run(input) {
      const end = input.indexOf('\n')
      const [header, body] = [input.slice(0, end), input.slice(end + 1)]
      const right = { authorization: 'Bearer of-the-receiver', 'content-type': 'application/secevent+jwt' }
      const wrong = header.includes('/') ? { 'content-type': header } : { authorization: header }
      const { status } = await push({ method: 'POST', headers: { ...right, ...wrong }, body })
      must(PUSH_ANSWERS.includes(status), `status ${status}`)
      if (status === 202) must(signed.has(body.trim()), 'a push was accepted that nobody signed')
      return status === 202
    },
  },
  {
    name: 'challenge',
    weight: 4,
    arbitrary: 'text',
    make: (random) => mutateText(random.pick(challenges), challenges, random),
    run: (input) =>
      taken(() => {
        parseChallenges(input)
        const found = readClaimsChallenge(input)
        if (!found) throw new CaegisError('refused', 'none')
        must(isObject(JSON.parse(found.claims)), 'claims that are no object')
      }),
  },
  { name: 'claims request', weight: 4, arbitrary: 'json', make: json(claimsRequests), run: (input) => taken(() => parseClaimsRequest(input)) },
]
