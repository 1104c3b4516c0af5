import { createPrivateKey, generateKeyPairSync, sign as signBytes } from 'node:crypto'
import { decodeJwt } from 'jose'
import { createMemoryQueue, createMemorySeen, createReceiver, type Receiver } from '../src/receiver/index.ts'
import { createPusher, createTransmitter, type Pusher, type PushRequest, type StreamRecord } from '../src/transmitter/index.ts'
import { AUDIENCE, BASE, createLoop, ISSUER, startGuard } from './loop.ts'
import { stopTime } from './stopped-time.ts'

export type Kind = 'push' | 'poll' | 'guard'

/** What the network, or something in front of the receiver, does to one exchange. */
export type Fate =
  | 'ok'
  /** The request never arrives, or arrives when the caller has long given up. */
  | 'lost request'
  | 'late request'
  /** It was processed; the answer never arrives, or only when it is released. */
  | 'lost answer'
  | 'late answer'
  /** It is processed twice. */
  | 'duplicate'
  | '503'
  /** Push only: refused for good, or for a reason that may pass. */
  | '400'
  | '400 key'

/** A process: what it has begun when it dies neither reads nor writes nor hears any more. */
interface Life {
  alive: boolean
  /** Dies before the call of its store that comes after so many. */
  fuse: number | undefined
  died: Promise<never>
  kill(): void
}

/** One receiver: what survives its process (`seen`, `queue`) and what does not. */
export interface Party {
  kind: Kind
  name: string
  url: string
  life: Life
  fates: Fate[]
  /** What it has got hold of: from then on it is refused no more by what stands in front of it. */
  offered: Set<string>
  /** How often its handler still fails. */
  failing: number
  seen: ReturnType<typeof createMemorySeen>
  queue: ReturnType<typeof createMemoryQueue>
  receiver: Receiver | undefined
  guard: ReturnType<typeof startGuard> | undefined
  /** Connections that are open now. */
  open: Set<(silent: boolean) => void>
}

/** What the model is told. */
export interface Observer {
  /** A SET leaves for a receiver: pushed, or in the answer to a poll that was asked since the last change of status; that status. */
  handedOut(party: Party, claims: Record<string, any>, status: string | undefined): void
  /** The handler of a receiver has ended. */
  applied(party: Party, jti: string): void
  /** A receiver was told of a status. */
  told(party: Party, status: string): void
  /** The transmitter gave a SET up. */
  buried(party: Party, id: string): void
  /** The receiver answered 202. */
  accepted(party: Party, jti: string): void
  /** A guard was called synced. */
  synced(party: Party): void
}

interface Late {
  party: Party
  /** Of a push. */
  jti?: string
  release(): void
}

const KEYS = Array.from({ length: 3 }, (_, i) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const kid = `key-${i}`
  return {
    privateKey: createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    kid,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' },
  }
})

/** Turns of the innermost queue. */
const SIGNING = 15
const STORING = 30

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A queue that takes a while until something is safe. */
function slowly(queue: Party['queue'], life: Life): Party['queue'] {
  return {
    ...queue,
    async add(event) {
      for (let i = 0; i < STORING; i++) await undefined
      if (!life.alive) throw new Error('crashed')
      return queue.add(event)
    },
  }
}

/** Transmitter, pusher and receivers over one store, with a network and a clock that do as they are told. */
export function createWorld(observer: Observer) {
  const time = stopTime()
  const loop = createLoop({ now: time.now })
  let key = 0
  loop.jwks = [KEYS[0]?.jwk as never]
  loop.sign = async (payload, { typ }) => {
    // A signature takes a while.
    for (let i = 0; i < SIGNING; i++) await undefined
    const { kid, privateKey } = KEYS[key] as (typeof KEYS)[number]
    const signed = `${part({ alg: 'ES256', typ, kid })}.${part(payload)}`
    return `${signed}.${signBytes('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }

  const parties: Party[] = []
  const late: Late[] = []
  const closing: Promise<unknown>[] = []
  let server: Life
  let pusher: Pusher
  let changes = 0

  function createLife(): Life {
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    const life: Life = {
      alive: true,
      fuse: undefined,
      died: promise,
      kill() {
        life.alive = false
        reject(new TypeError('connection reset'))
      },
    }
    return life
  }

  /** The port as one process sees it. */
  function mortal<T extends object>(port: T, life: Life): T {
    return new Proxy(port, {
      get(target, name) {
        const member = target[name as keyof T]
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          if (life.alive && life.fuse !== undefined && life.fuse-- <= 0) life.kill()
          if (life.alive) return member.apply(target, args)
          const crashed = Promise.reject(new Error('crashed'))
          // Not every caller waits for a promise here.
          crashed.catch(() => {})
          return crashed
        }
      },
    })
  }

  function boot(): void {
    server = createLife()
    const options = {
      issuer: ISSUER,
      base: BASE,
      jwksUri: 'https://host.test/acme/keys',
      store: mortal(loop.store, server),
      sign: loop.sign,
      now: time.now,
      limits: { streams: 1000, window: 8 },
    }
    const transmitter = createTransmitter({ ...options, push: true })
    const record = (id: string) => loop.store.streams().find((stream) => stream.id === id)
    loop.transmitter = {
      ...transmitter,
      async poll(caller, id, body, signal) {
        const [before, since] = [record(id), changes]
        const answer = await transmitter.poll(caller, id, body, signal)
        const party = parties.find(({ name }) => name === before?.description)
        const { sets = {} } = answer.body as { sets?: Record<string, string> }
        // Whoever asks after a stream was stopped gets nothing; an answer that was under way may arrive.
        if (party && before && changes === since) for (const jwt of Object.values(sets)) observer.handedOut(party, decodeJwt(jwt), before.status)
        return answer
      },
    }
    const silent = () => {}
    pusher = createPusher({
      ...options,
      send: sendBy(server),
      pushLimits: { perStream: 3, total: 4, giveUpAfter: 45, backoff: [100, 20_000] },
      log: {
        debug: silent,
        info: silent,
        warn: silent,
        error(message, fields) {
          const party = message.startsWith('dead letter') && parties.find(({ name }) => name === record(String(fields?.stream))?.description)
          if (!party) return
          world.forget((one, jti) => one === party && jti.startsWith(`${fields?.id}.`))
          observer.buried(party, String(fields?.id))
        },
      },
    })
  }

  /** A connection that can be cut, and that ends with the process at either end. */
  async function connected<T>(party: Party, ends: Life[], work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const gone = new AbortController()
    const { promise, reject } = Promise.withResolvers<never>()
    const cut = (silent: boolean) => {
      // Silent: only the caller learns of it.
      if (!silent) gone.abort()
      reject(new TypeError('connection reset'))
    }
    party.open.add(cut)
    try {
      const result = await Promise.race([work(gone.signal), promise, ...ends.map(({ died }) => died)])
      if (ends.some(({ alive }) => !alive)) throw new TypeError('connection reset')
      return result
    } finally {
      party.open.delete(cut)
    }
  }

  /** Answers that are held back until they are released. */
  const held = <T>(party: Party, result: T, jti?: string) =>
    new Promise<T>((resolve) => late.push({ party, ...(jti !== undefined && { jti }), release: () => resolve(result) }))

  function fetchOf(party: Party, life: Life): typeof fetch {
    return async (input, init) => {
      const fate = life.alive ? (party.fates.shift() ?? 'ok') : 'lost request'
      const ask = async (signal: AbortSignal) => loop.fetch(input, { ...init, signal })
      if (fate === 'late request') late.push({ party, release: () => void ask(new AbortController().signal).catch(() => {}) })
      if (fate === 'lost request' || fate === 'late request') throw new TypeError('connection refused')
      if (fate.startsWith('503')) return new Response(null, { status: 503 })
      return connected(party, [life, server], async (cut) => {
        const signal = init?.signal ? AbortSignal.any([init.signal, cut]) : cut
        // Nobody repeats what makes something.
        if (fate === 'duplicate' && !String(input).endsWith('/streams')) void ask(signal).catch(() => {})
        const response = await ask(signal)
        if (fate === 'lost answer') throw new TypeError('connection reset')
        return fate === 'late answer' ? held(party, response) : response
      })
    }
  }

  function sendBy(life: Life) {
    return async (request: PushRequest) => {
      if (!life.alive) throw new Error('crashed')
      const claims = decodeJwt(request.body) as Record<string, any>
      const party = parties.find(({ url }) => url === request.url) as Party
      observer.handedOut(party, claims, world.stream(party)?.status)
      let fate = party.fates.shift() ?? 'ok'
      if (fate.startsWith('400') && party.offered.has(claims.jti)) fate = 'ok'
      const take = async () => {
        const receiver = party.receiver as Receiver
        const { life: taker } = party
        party.offered.add(claims.jti)
        const answer = await receiver.handler({ method: 'POST', headers: request.headers, body: request.body })
        if (taker.alive && answer.status === 202) observer.accepted(party, claims.jti)
        return { status: answer.status, headers: answer.headers, body: answer.body ?? '' }
      }
      if (fate === 'late request') late.push({ party, jti: claims.jti, release: () => void take() })
      if (fate === 'lost request' || fate === 'late request') throw new TypeError('connection refused')
      if (fate === '503') return { status: 503, headers: {}, body: '' }
      if (fate.startsWith('400')) {
        world.forget((_, jti) => jti === claims.jti)
        return { status: 400, headers: {}, body: JSON.stringify({ err: fate === '400' ? 'invalid_request' : 'invalid_key' }) }
      }
      return connected(party, [life, party.life], async () => {
        if (fate === 'duplicate') void take()
        const answer = await take()
        if (fate === 'lost answer') throw new TypeError('connection reset')
        return fate === 'late answer' ? held(party, answer, claims.jti) : answer
      })
    }
  }

  /** A process for a party; the one that it had is gone. */
  function start(party: Party): void {
    const life = createLife()
    party.life = life
    const fetch = fetchOf(party, life)
    if (party.kind === 'guard') {
      const guard = startGuard(loop, {
        fetch,
        maxEvents: 2,
        waitSeconds: 10,
        stream: { subjects: 'complex', alg: 'ES256', guard: true, description: party.name },
        timing: { timeout: 10_000, grace: 5000, backoff: [100, 5000], paused: 1000, idle: 1000, refetchKeys: 1000, close: 2000 },
      })
      party.guard = guard
      const push = guard.heads.push.bind(guard.heads)
      guard.heads.push = (head) => {
        const length = push(head)
        if (life.alive) observer.synced(party)
        return length
      }
      return
    }
    const receiver = createReceiver({
      transmitter: ISSUER,
      credentials: { token: async () => 'good' },
      delivery: party.kind === 'poll' ? 'poll' : { push: { endpointUrl: party.url, authorizationHeader: 'Bearer of-the-receiver' } },
      audience: AUDIENCE,
      description: party.name,
      on: {
        'session-revoked': handle,
        'account-disabled': handle,
        'account-enabled': handle,
        'stream-updated': ({ payload }) => {
          if (life.alive) observer.told(party, payload.status)
        },
      },
      seen: mortal(party.seen, life),
      queue: mortal(slowly(party.queue, life), life),
      fetch,
      now: time.now,
      maxEvents: 3,
      attempts: 1000,
    })
    party.receiver = receiver
    receiver.start().catch(() => {})

    function handle({ jti }: { jti: string }): void {
      if (!life.alive) throw new Error('crashed')
      if (party.failing > 0) {
        party.failing--
        throw new Error('cannot do that now')
      }
      observer.applied(party, jti)
    }
  }

  const world = {
    time,
    loop,
    parties,
    store: loop.store,
    get transmitter() {
      return loop.transmitter
    },
    add(kind: Kind): Party {
      const name = `${kind}-${parties.length}`
      const party: Party = {
        kind,
        name,
        url: `https://${name}.test/in`,
        life: createLife(),
        fates: [],
        offered: new Set(),
        failing: 0,
        seen: createMemorySeen(),
        queue: createMemoryQueue(10_000),
        receiver: undefined,
        guard: undefined,
        open: new Set(),
      }
      parties.push(party)
      start(party)
      return party
    },
    /** The stream that the party has at the transmitter; of a guard the one that it follows. */
    stream(party: Party): StreamRecord | undefined {
      const followed = party.guard?.follower.status().stream
      return loop.store.streams().find(({ id, description }) => (party.kind === 'guard' ? id === followed : description === party.name))
    },
    /** Asks the transmitter in the party's name, apart from what it is doing. */
    call: (party: Party, path: string, body: Record<string, unknown>) =>
      fetchOf(party, party.life)(`${BASE}/${path}`, { method: 'POST', headers: { authorization: 'Bearer good' }, body: JSON.stringify(body) }),
    crashServer(fuse: number) {
      server.fuse = fuse
      if (fuse === 0) server.kill()
    },
    crash(party: Party, fuse: number) {
      party.life.fuse = fuse
      if (fuse === 0 || party.kind === 'guard') party.life.kill()
    },
    /** Nothing dies any more. */
    calm() {
      server.fuse = undefined
      for (const party of parties) {
        party.life.fuse = undefined
        party.fates = []
        party.failing = 0
      }
    },
    rotate(sudden: boolean) {
      key = (key + 1) % KEYS.length
      const { jwk } = KEYS[key] as (typeof KEYS)[number]
      loop.jwks = (sudden ? [jwk] : [...loop.jwks.filter(({ kid }) => kid !== jwk.kid), jwk].slice(-2)) as typeof loop.jwks
    },
    /** Around each change of a status. */
    async change(work: () => Promise<unknown>) {
      changes++
      await work()
      changes++
    },
    /** What was held back arrives, in whatever order it is asked for. */
    release(pick: number) {
      const [one] = late.splice(pick % Math.max(1, late.length), 1)
      one?.release()
      return one !== undefined
    },
    /** Old packets with a SET that the transmitter will not send again: nobody could put those in order. */
    forget(which: (party: Party, jti: string) => boolean) {
      for (const one of [...late]) if (one.jti !== undefined && which(one.party, one.jti)) late.splice(late.indexOf(one), 1)
    },
    cut(party: Party, silent: boolean) {
      for (const one of [...party.open]) one(silent)
    },
    /** Lets happen what needs no time, and starts what has died. */
    async settle() {
      await time.quiet()
      for (let i = 0; i < 3; i++) {
        if (!server.alive) {
          closing.push(pusher.close().catch(() => {}))
          boot()
        }
        for (const party of parties) {
          if (party.life.alive) continue
          closing.push((party.receiver?.close() ?? party.guard?.follower.close() ?? Promise.resolve()).catch(() => {}))
          start(party)
        }
        await time.quiet()
      }
    },
    async end() {
      for (const { life } of parties) life.kill()
      server.kill()
      for (const { receiver, guard } of parties) closing.push((receiver?.close() ?? guard?.follower.close() ?? Promise.resolve()).catch(() => {}))
      closing.push(pusher.close())
      while (world.release(0));
      await time.advance(6000)
      time.restore()
      await Promise.all(closing)
    },
  }
  boot()
  return world
}

export type World = ReturnType<typeof createWorld>
