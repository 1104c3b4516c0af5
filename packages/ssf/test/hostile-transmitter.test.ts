import { EVENT } from '@caegis/protocol'
import { decodeJwt, SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { createReceiver, type ReceivedEvent } from '../src/receiver/index.ts'
import { QUICK } from './foreign.ts'
import { AUDIENCE, BASE, createLoop, es256, ISSUER, type Key, type Loop, makeKey, type Request, revoke, rs256, startGuard, until } from './loop.ts'
import { stopTime } from './stopped-time.ts'

/** What both ways to receive have in common. */
interface Subject {
  /** Users of the events that it acted on. */
  users(): string[]
  /** Seconds: when the last event happened, as it was understood. */
  at(): number | undefined
  error(): string | undefined
  synced(): boolean
  close(): Promise<unknown>
}

const userOf = (subject: object) => {
  const { sub, user } = subject as { sub?: string; user?: { sub: string } }
  return sub ?? user?.sub ?? ''
}

const WAYS: Record<string, (loop: Loop, timing?: object, waitSeconds?: number) => Subject> = {
  createReceiver(loop, timing = {}, waitSeconds = 0.2) {
    const events: ReceivedEvent[] = []
    const receiver = createReceiver({
      transmitter: ISSUER,
      credentials: { token: async () => 'good' },
      delivery: 'poll',
      audience: AUDIENCE,
      on: { '*': (event) => void events.push(event) },
      fetch: loop.fetch,
      waitSeconds,
      maxAnswer: 1_000_000,
      timing: { ...QUICK, keyPatience: 60_000, ...timing },
    })
    let failed: string | undefined
    // What it takes for final it says once; its owner may try again.
    const start = () =>
      receiver.start().catch((error: { code: string }) => {
        failed = error.code
        if (error.code !== 'not_started') setTimeout(start, 5)
      })
    void start()
    return {
      users: () => events.map(({ subject }) => userOf(subject)),
      at: () => events.at(-1)?.at,
      error: () => receiver.status().error ?? failed,
      synced: () => false,
      close: () => receiver.close(),
    }
  },
  follow(loop, timing = {}, waitSeconds = 0.2) {
    const guard = startGuard(loop, { waitSeconds, maxAnswer: 1_000_000, timing: { ...QUICK, ...timing }, audience: AUDIENCE })
    return {
      users: () => [...new Set([...guard.table.keys()].map((key) => key.replace('user ', '')))],
      at: () => [...guard.table.values()].at(-1)?.t,
      error: () => guard.follower.status().error,
      synced: () => guard.heads.some(({ seq }) => seq > 0),
      close: () => guard.follower.close(),
    }
  },
}

const open: Subject[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})

const METADATA = '/.well-known/ssf-configuration/acme/v2.0'
const KEYS = '/acme/keys'
const isPoll = ({ path }: Request) => path.startsWith('/acme/ssf/poll/')

/** Whatever it is, as the answer to what is asked there. */
function instead(loop: Loop, where: (request: Request) => boolean, answer: () => Response | Promise<Response>): () => number {
  let asked = 0
  loop.intercept = (request, next) => {
    if (!where(request)) return next()
    asked++
    return answer()
  }
  return () => asked
}

/** The most that was read of one answer, in bytes. */
let read = 0
function endless(): Response {
  const chunk = new Uint8Array(65_536).fill(0x5b)
  let own = 0
  return new Response(
    new ReadableStream({
      pull(controller) {
        own += chunk.byteLength
        read = Math.max(read, own)
        controller.enqueue(chunk)
      },
    }),
  )
}
/** The same signature with another bit behind its last byte. */
function respelled(jws: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return jws.slice(0, -1) + alphabet[alphabet.indexOf(jws.slice(-1)) ^ 1]
}
const deep = (depth: number) => new Response('[{"a":'.repeat(depth))
const deepMember = (name: string, more = '') => new Response(`{${more}"${name}":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)

describe.each(Object.keys(WAYS))('%s and a transmitter that is hostile', (way) => {
  const begin = (loop: Loop, timing?: object, waitSeconds?: number) => {
    const subject = (WAYS[way] as (typeof WAYS)[string])(loop, timing, waitSeconds)
    open.push(subject)
    return subject
  }
  /** It behaves at last: what it has to say is heard, once. */
  async function recovers(loop: Loop, subject: Subject): Promise<void> {
    loop.intercept = undefined
    loop.alter = undefined
    await until(() => loop.store.streams().length > 0)
    loop.store.commit(revoke('zoe'))
    await until(() => subject.users().includes('zoe'))
  }
  const untouched = () => {
    expect(Reflect.ownKeys(Object.prototype)).toHaveLength(12)
    expect(read).toBeLessThan(2_000_000)
  }

  it.each<[string, () => Response]>([
    [
      'of another issuer',
      () => Response.json({ issuer: 'https://evil.test', jwks_uri: 'https://evil.test/keys', configuration_endpoint: 'https://evil.test/s' }),
    ],
    [
      'whose endpoints have no TLS',
      () => Response.json({ issuer: ISSUER, jwks_uri: 'http://host.test/keys', configuration_endpoint: `${BASE}/streams` }),
    ],
    ['whose endpoints are no URLs', () => Response.json({ issuer: ISSUER, jwks_uri: 'javascript:alert(1)', configuration_endpoint: '//evil.test' })],
    ['without end', endless],
    ['of a gigabyte', () => new Response(new Uint8Array(2 ** 20), { headers: { 'content-length': String(2 ** 30) } })],
    ['nested without end', () => deep(1000)],
    ['nested a hundred thousand deep', () => deepMember('critical_subject_members', `"issuer":"${ISSUER}",`)],
    ['that is about prototypes', () => new Response('{"__proto__":{"issuer":"x"},"constructor":{"prototype":{"polluted":1}}}')],
    ['that is somewhere else', () => Response.redirect('https://evil.test/', 302)],
  ])('metadata %s: nothing else is asked, and no token leaves', async (_, answer) => {
    const loop = createLoop()
    const asked = instead(loop, ({ path }) => path === METADATA, answer)
    const subject = begin(loop)
    await until(() => asked() > 1 && subject.error() !== undefined)
    expect(new Set(loop.requests.map(({ path }) => path))).toEqual(new Set([METADATA]))
    untouched()
    await recovers(loop, subject)
  })

  it.each<[string, () => Promise<unknown[]>]>([
    ['symmetric ones', async () => [{ kty: 'oct', k: Buffer.from(JSON.stringify(es256.jwk)).toString('base64url'), kid: 'es-1', alg: 'ES256' }]],
    ['a private one', async () => [{ ...es256.jwk, d: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }]],
    ['a thousand', async () => Array(1000).fill(es256.jwk)],
    ['those of others, under the same names', async () => [(await makeKey('ES256', 'es-1')).jwk, (await makeKey('RS256', 'rs-1')).jwk]],
    ['none', async () => []],
    ['no objects', async () => [null, 1, 'x', []]],
    ['on no curve', async () => [{ ...es256.jwk, x: 'AAAA', y: 'AAAA' }]],
    ['RSA keys of 512 bits', async () => [{ ...rs256.jwk, n: (rs256.jwk.n as string).slice(0, 86) }]],
  ])('keys that are %s: nothing is acted on, nothing is lost', async (_, make) => {
    const loop = createLoop()
    const keys = await make()
    const asked = instead(
      loop,
      ({ path }) => path === KEYS,
      () => Response.json({ keys }),
    )
    const subject = begin(loop)
    await until(() => loop.store.streams().length > 0)
    loop.store.commit(revoke('alice'))
    await until(() => asked() > 2)
    expect(subject.users()).toEqual([])
    expect(subject.synced()).toBe(false)
    await recovers(loop, subject)
    await until(() => subject.users().includes('alice'))
  })

  it.each<[string, () => Response]>([
    ['without end', endless],
    ['nested without end', () => deep(10_000)],
    ['nested a hundred thousand deep', () => deepMember('sets')],
    ['with a head of depth', () => deepMember('caegis_head', '"sets":{},')],
    ['with SETs that are none', () => new Response('{"sets":{"a":1,"b":null,"c":{"x":1}}}')],
    ['about prototypes', () => new Response('{"sets":{"__proto__":"e30.e30.x","constructor":"e30.e30.x"},"__proto__":{"sets":{}}}')],
    ['that is somewhere else', () => Response.redirect('https://evil.test/', 307)],
    ['of no text', () => new Response(new Uint8Array([0xff, 0xfe, 0x00]))],
  ])('an answer to a poll %s: refused, and asked again', async (_, answer) => {
    const loop = createLoop()
    const subject = begin(loop)
    await until(() => loop.requests.some(isPoll))
    const asked = instead(loop, isPoll, answer)
    await until(() => asked() > 2)
    expect(subject.users()).toEqual([])
    untouched()
    await recovers(loop, subject)
  })

  it('SETs that are forged, for others, or under other names change nothing', async () => {
    const loop = createLoop()
    const subject = begin(loop)
    await until(() => loop.requests.some(isPoll))
    const stranger = await makeKey('ES256', 'es-1')
    const now = Math.floor(Date.now() / 1000)
    const claims = (jti: string, change: object = {}) => ({
      ...{ iss: ISSUER, aud: AUDIENCE, iat: now, jti, txn: 't', caegis_seq: 1, events: { [EVENT.sessionRevoked]: {} } },
      sub_id: { format: 'complex', user: { format: 'iss_sub', iss: ISSUER, sub: 'mallory' } },
      ...change,
    })
    const sign = (payload: Record<string, unknown>, header: object = {}, key: Key | Uint8Array = es256) =>
      new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', typ: 'secevent+jwt', kid: 'es-1', ...header })
        .sign(key instanceof Uint8Array ? key : key.private)
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const sets = {
      none: `${part({ alg: 'none', typ: 'secevent+jwt' })}.${part(claims('none'))}.`,
      hs: await sign(claims('hs'), { alg: 'HS256' }, new TextEncoder().encode(JSON.stringify(es256.jwk))),
      stranger: await sign(claims('stranger'), {}, stranger),
      jwk: await sign(claims('jwk'), { jwk: stranger.jwk }, stranger),
      kid: await sign(claims('kid'), { kid: 'rs-1' }),
      aud: await sign(claims('aud', { aud: 'api://other' })),
      iss: await sign(claims('iss', { iss: 'https://evil.test' })),
      typ: await sign(claims('typ'), { typ: 'JWT' }),
      sub: await sign(claims('sub', { sub: 'mallory' })),
      future: await sign(claims('future', { iat: now * 1000 })),
      name: await sign(claims('another name')),
      twice: await sign(claims('one')),
      thrice: await sign(claims('one')),
      spelled: respelled(await sign(claims('spelled'))),
    }
    let answers = 0
    loop.alter = async (request, response) => {
      if (!isPoll(request)) return response
      answers++
      return Response.json({ ...((await response.json()) as object), sets })
    }
    await until(() => answers > 3)
    expect(subject.users()).toEqual([])
    expect(subject.synced()).toBe(false)
    // A guard says of none of them that it is final.
    if (way === 'follow') expect(loop.requests.every(({ body }) => body?.setErrs === undefined)).toBe(true)
    await recovers(loop, subject)
  })

  it.each<[string, object]>([
    ['for another audience', { aud: 'api://other' }],
    ['of another issuer', { iss: 'https://evil.test' }],
    ['polled without TLS', { delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'http://host.test/poll' } }],
    ['polled at no URL', { delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: { toString: 'x' } } }],
    ['without an id', { stream_id: null }],
    ['with an id of control characters', { stream_id: 'a\nb' }],
  ])('a stream %s is not taken', async (_, change) => {
    const loop = createLoop()
    loop.alter = async (request, response) =>
      request.path === '/acme/ssf/streams' && request.method === 'POST'
        ? Response.json({ ...((await response.json()) as object), ...change }, { status: 201 })
        : request.path === '/acme/ssf/streams' && request.method === 'GET'
          ? Response.json([])
          : response
    const subject = begin(loop)
    await until(() => loop.requests.filter(({ path, method }) => path === '/acme/ssf/streams' && method === 'POST').length > 1)
    expect(loop.requests.some(isPoll)).toBe(false)
    await recovers(loop, subject)
  })

  it('A6: an event time in milliseconds is not believed: the time of the SET is', async () => {
    const loop = createLoop()
    const subject = begin(loop)
    await until(() => loop.store.streams().length > 0)
    const [row] = loop.store.commit(revoke('alice', { t: Date.now() }))
    await until(() => subject.users().includes('alice'))
    expect(subject.at()).toBe(row?.at)
  })

  it('does not follow redirects anywhere', async () => {
    const loop = createLoop()
    const modes = new Set<RequestRedirect | undefined>()
    const { fetch } = loop
    loop.fetch = (input, init) => {
      modes.add(init?.redirect)
      return fetch(input, init)
    }
    await recovers(loop, begin(loop))
    expect(modes).toEqual(new Set(['error']))
  })

  it.each<[string, (request: Request, body: Record<string, unknown>, before: Record<string, unknown>) => object]>([
    ['says that there is more, for ever', () => ({ sets: {}, moreAvailable: true })],
    ['is never done with the same SETs', (_, __, before) => ({ sets: before })],
    ['sends the same garbage', () => ({ sets: { a: 'e30.e30.AA', b: 'nonsense' } })],
    ['sends one garbage after the other', ({ body }) => ({ sets: { [`${JSON.stringify(body).length}-${Math.random()}`]: 'nonsense' } })],
    ['has a head that nothing leads to', (_, { caegis_head: head }) => ({ sets: {}, caegis_head: { ...(head as object), seq: 1000 } })],
    ['goes back and forth', (_, { caegis_head: head }) => ({ sets: {}, caegis_head: { ...(head as object), epoch: 'another' } })],
    ['is paused and enabled', (_, { caegis_head: head }) => ({ sets: {}, caegis_head: { ...(head as object), status: 'paused' } })],
  ])('one that %s is not asked at full speed', async (_, change) => {
    const time = stopTime()
    let subject: Subject | undefined
    try {
      const loop = createLoop({ now: time.now })
      subject = begin(loop, { timeout: 10_000, grace: 5000, backoff: [100, 5000], paused: 1000, idle: 1000, refetchKeys: 1000, status: 60_000 }, 10)
      await time.quiet()
      const before: Record<string, string> = {}
      let last: Record<string, unknown> = {}
      loop.alter = async (request, response) => {
        if (!isPoll(request) || ready()) return response
        last = (await response.json()) as Record<string, unknown>
        Object.assign(before, last.sets)
        return Response.json(last)
      }
      const ready = () => Object.values(before).some((jwt) => EVENT.verification in (decodeJwt(jwt).events as object))
      let polls = 0
      // Everything has been said once: from here on it answers at once, and says nothing new.
      loop.intercept = (request, next) => {
        if (!isPoll(request) || !ready()) return next()
        polls++
        // Who spins would never let go of the event loop.
        return polls > 500 ? new Promise(() => {}) : Response.json({ ...last, ...change(request, last, before) })
      }
      loop.store.commit(revoke('alice'))
      await loop.transmitter.sendVerification(loop.store.streams()[0]?.id as string)
      for (let i = 0; i < 60; i++) await time.advance(1000)
      // About one a second over a minute; the first ones come faster.
      expect(polls).toBeGreaterThan(3)
      expect(polls).toBeLessThan(200)
    } finally {
      void subject?.close()
      open.splice(0)
      await time.advance(10_000)
      time.restore()
    }
  })
})
