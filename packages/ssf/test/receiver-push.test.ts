import { EVENT, type SecurityEvent } from '@caegis/protocol'
import { SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { createMemoryQueue, createMemorySeen, type EventQueue, type Receiver } from '../src/receiver/index.ts'
import { createForeign, HEADER, PUSH, receive, THEM } from './foreign.ts'
import { es256, makeKey, until } from './loop.ts'

const open: Receiver[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})
async function started(options: Parameters<typeof receive>[1] = {}, foreign = createForeign()) {
  const made = receive(foreign, { delivery: PUSH, ...options })
  open.push(made.receiver)
  await made.receiver.start()
  return { foreign, ...made }
}

describe('a push', () => {
  it('is accepted with an empty 202, acted on once, and answered the same when it comes again', async () => {
    const { foreign, receiver, events } = await started()
    const first = await foreign.push({ jti: 'one' })
    expect(first).toEqual({ status: 202, headers: { 'cache-control': 'no-store' } })
    await until(() => events.length === 1)
    expect(await foreign.push({ jti: 'one' })).toEqual(first)
    // Signed, but with other content under the same name: the first one stands.
    expect(await foreign.push({ jti: 'one', sub_id: { format: 'email', email: 'x@them.test' } })).toEqual(first)
    await Promise.all(Array.from({ length: 20 }, () => foreign.push({ jti: 'two' })))
    await until(() => events.length === 2 && receiver.status().waiting === 0)
    await foreign.push({ jti: 'three' })
    await until(() => events.length === 3)
    expect(events.map(({ jti }) => jti)).toEqual(['one', 'two', 'three'])
  })

  it('is refused with the code of each mistake, and the language of its text', async () => {
    const { foreign, receiver, events } = await started()
    const future = Math.floor(Date.now() / 1000) + 120
    const cases: [string, string | Promise<string>][] = [
      ['invalid_issuer', foreign.sign(foreign.claims({ iss: 'https://evil.test' }))],
      ['invalid_audience', foreign.sign(foreign.claims({ aud: 'https://somebody.test' }))],
      ['invalid_key', foreign.sign(foreign.claims(), {}, await makeKey('ES256', 'es-1'))],
      ['invalid_key', `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.e30.`],
      ['invalid_key', new SignJWT(foreign.claims()).setProtectedHeader({ alg: 'HS256', typ: 'secevent+jwt' }).sign(new Uint8Array(32))],
      ['invalid_request', foreign.sign(foreign.claims(), { typ: 'at+jwt' })],
      ['invalid_request', foreign.sign(foreign.claims({ iat: future }))],
      ['invalid_request', foreign.sign(foreign.claims({ sub: 'alice' }))],
      ['invalid_request', foreign.sign(foreign.claims({ events: { [EVENT.sessionRevoked]: {}, [EVENT.accountDisabled]: {} } }))],
      ['invalid_request', foreign.sign(foreign.claims({ sub_id: { format: 'odd' } }))],
      ['invalid_request', foreign.sign(foreign.claims({ events: { [EVENT.credentialChange]: {} } }))],
      ['access_denied', foreign.sign(foreign.claims({ sub_id: { format: 'iss_sub', iss: 'https://other.test', sub: 'u' } }))],
      ['invalid_state', foreign.sign(foreign.claims({ sub_id: subjectOf(receiver), events: { [EVENT.verification]: { state: 'x' } } }))],
      ['invalid_request', ''],
      ['invalid_request', 'nonsense'],
      ['invalid_request', '{"sets":{}}'],
      ['invalid_request', '....'],
    ]
    for (const [err, jwt] of cases) {
      const answer = await foreign.pushJwt(await jwt)
      expect(answer, err).toMatchObject({ status: 400, headers: { 'content-type': 'application/json', 'content-language': 'en' } })
      expect(JSON.parse(answer.body as string)).toEqual({ err, description: expect.any(String) })
    }
    expect(receiver.status().counts.refused).toBe(cases.length)
    expect(events).toEqual([])
    expect(receiver.status().waiting).toBe(0)
  })

  it('is judged by its header first: 401, 415, 413, 405', async () => {
    const { foreign, events } = await started()
    const jwt = await foreign.sign(foreign.claims())
    const status = async (headers: Record<string, string>, body = jwt) => (await foreign.pushJwt(body, headers)).status
    expect(await status({ authorization: `${HEADER}x` })).toBe(401)
    expect(await status({ authorization: HEADER.toLowerCase() })).toBe(401)
    expect(await status({ authorization: '' })).toBe(401)
    expect((await foreign.pushJwt(jwt, { authorization: 'Basic x' })).headers['www-authenticate']).toBe('Bearer')
    const { handler } = foreign.receiver as Receiver
    const type = { 'content-type': 'application/secevent+jwt' }
    expect((await handler({ headers: type, body: jwt })).status).toBe(401)
    expect((await handler({ headers: { ...type, authorization: [HEADER, HEADER] }, body: jwt })).status).toBe(401)
    expect((await handler({ headers: { ...type, authorization: HEADER, Authorization: 'x' }, body: jwt })).status).toBe(401)
    expect((await handler({ method: 'PUT', headers: { ...type, authorization: HEADER }, body: jwt })).status).toBe(405)
    expect(await status({ 'content-type': 'application/json' })).toBe(415)
    expect(await status({ 'content-type': 'application/secevent+jwt-not' })).toBe(415)
    expect(await status({}, 'x'.repeat(65_537))).toBe(413)
    expect(events).toEqual([])
    expect(await status({ 'content-type': 'Application/SecEvent+JWT; charset=utf-8' })).toBe(202)
    expect((await handler({ headers: new Headers({ ...type, authorization: HEADER }), body: Buffer.from(jwt) })).status).toBe(202)
  })

  it('needs no header where none was agreed on', async () => {
    const { foreign } = await started({ delivery: { push: { endpointUrl: 'https://us.test/in' } } })
    expect((await foreign.push({}, { authorization: 'Bearer whatever' })).status).toBe(202)
  })

  it('is answered 503, "again please", while nothing can be said about it', async () => {
    const foreign = createForeign()
    const early = receive(foreign, { delivery: PUSH })
    open.push(early.receiver)
    expect(await foreign.push()).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    await early.receiver.start()
    foreign.intercept = ({ path }) => (path === '/keys' ? new Response(null, { status: 500 }) : undefined)
    expect((await foreign.push()).status).toBe(503)
    foreign.intercept = undefined
    expect((await foreign.push()).status).toBe(202)
  })

  it('B6: under a key that is newer than the last look is answered 503, not 400, until the budget allows another look', async () => {
    let clock = Date.now()
    const { foreign, events } = await started({ now: () => clock, timing: { refetchKeys: 1000 } })
    await foreign.push()
    foreign.key = await makeKey('ES256', 'es-2')
    foreign.jwks = [foreign.key.jwk]
    expect((await foreign.push()).status).toBe(503)
    clock += 1000
    expect((await foreign.push()).status).toBe(202)
    await until(() => events.length === 2)
  })

  it('is not taken in poll mode', async () => {
    const { foreign } = await started({ delivery: 'poll' })
    expect((await foreign.push()).status).toBe(404)
  })
})

describe('accept, then act', () => {
  it('the answer does not wait for the handler, but for the queue', async () => {
    const order: string[] = []
    const memory = createMemoryQueue()
    const queue: EventQueue = {
      ...memory,
      async add(event) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        order.push('stored')
        return memory.add(event)
      },
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const { foreign } = await started({
      queue,
      on: {
        'session-revoked': async () => {
          await promise
          order.push('handled')
        },
      },
    })
    expect((await foreign.push()).status).toBe(202)
    order.push('answered')
    resolve()
    await until(() => order.length === 3)
    expect(order).toEqual(['stored', 'answered', 'handled'])
  })

  it('of several processes with one queue, those accept that do not act, and the one that acts is told', async () => {
    const shared = createMemoryQueue()
    const foreign = createForeign()
    const acting = await started({ queue: shared }, foreign)
    const other = await started(
      { queue: { ...shared, add: async (event) => ((await shared.add(event)) === 'full' ? 'full' : 'elsewhere'), list: () => [] } },
      foreign,
    )
    expect(await foreign.push({ jti: 'one' })).toMatchObject({ status: 202 })
    expect(other.receiver.status().waiting).toBe(0)
    await acting.receiver.resume()
    await until(() => acting.events.length === 1)
    await acting.receiver.resume()
    await until(() => acting.receiver.status().waiting === 0)
    expect([acting.events.length, other.events.length, await shared.list()]).toEqual([1, 0, []])
  })

  it('a full queue, or one that fails, is 503, and nothing accepted is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = new Set<string>()
    const { foreign, receiver } = await started({
      queue: createMemoryQueue(5),
      on: {
        'session-revoked': async ({ jti }) => {
          await promise
          done.add(jti)
        },
      },
    })
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => foreign.push({ jti: `s${i}` })))
    const accepted = answers.flatMap(({ status }, i) => (status === 202 ? [`s${i}`] : []))
    expect(accepted).toHaveLength(5)
    expect(answers.filter(({ status }) => status === 503)).toHaveLength(45)
    resolve()
    await until(() => receiver.status().waiting === 0)
    expect([...done].sort()).toEqual(accepted.sort())
    expect((await foreign.push()).status).toBe(202)

    const broken: EventQueue = {
      add: () => {
        throw new Error('disk full')
      },
      remove() {},
      list: () => [],
    }
    const second = await started({ queue: broken })
    expect((await second.foreign.push()).status).toBe(503)
    expect(second.events).toEqual([])
  })

  it('a handler that throws is tried again, then the event is given up and said to be', async () => {
    const failed: [SecurityEvent, unknown][] = []
    let calls = 0
    const { foreign, receiver } = await started({
      attempts: 3,
      onFailed: (event, error) => void failed.push([event, error]),
      on: {
        'session-revoked': ({ jti }) => {
          calls++
          if (jti === 'poison' || calls < 2) throw new Error('no')
        },
      },
    })
    await foreign.push({ jti: 'flaky' })
    await until(() => receiver.status().counts.handled === 1)
    expect(calls).toBe(2)
    await foreign.push({ jti: 'poison' })
    await until(() => failed.length === 1)
    expect(calls).toBe(5)
    expect(failed[0]).toMatchObject([{ jti: 'poison' }, { message: 'no' }])
    await until(() => receiver.status().waiting === 0)
    expect((await foreign.push({ jti: 'poison' })).status).toBe(202)
    expect(receiver.status().counts).toMatchObject({ handled: 1, failed: 4, lost: 1, duplicates: 1 })
    expect(calls).toBe(5)
  })

  it('B7: events of one subject keep their order through failures; other subjects do not wait', async () => {
    const done: string[] = []
    let failing = true
    const { foreign, receiver } = await started({
      attempts: 1e6,
      on: {
        '*': ({ jti }) => {
          if (jti === 'disabled' && failing) throw new Error('no')
          done.push(jti)
        },
      },
    })
    const about = (jti: string, sub: string) => foreign.push({ jti, sub_id: { format: 'iss_sub', iss: THEM, sub } })
    await about('disabled', 'alice')
    await about('enabled', 'alice')
    await about('else', 'bob')
    await until(() => done.length === 1 && receiver.status().counts.failed > 2)
    expect(done).toEqual(['else'])
    failing = false
    await until(() => done.length === 3)
    expect(done).toEqual(['else', 'disabled', 'enabled'])
  })

  it('what an earlier process accepted is acted on after the restart, and nothing that it had done', async () => {
    const queue = createMemoryQueue()
    const seen = createMemorySeen()
    const event = (jti: string): SecurityEvent => ({
      iss: THEM,
      jti,
      iat: 1,
      aud: ['x'],
      subject: { format: 'opaque', id: jti },
      type: EVENT.sessionRevoked,
      payload: {},
    })
    await queue.add(event('done'))
    await queue.add(event('waiting'))
    await seen.add(THEM, 'done')
    const { receiver, events } = await started({ queue, seen })
    await until(() => receiver.status().waiting === 0)
    expect(events.map(({ jti }) => jti)).toEqual(['waiting'])
    expect(await queue.list()).toEqual([])
  })

  it('no more handlers than allowed run at once', async () => {
    let now = 0
    let most = 0
    const { foreign, receiver } = await started({
      concurrency: 3,
      on: {
        'session-revoked': async () => {
          most = Math.max(most, ++now)
          await new Promise((resolve) => setTimeout(resolve, 1))
          now--
          if (most === 3 && Math.random() < 0.5) throw new Error('again')
        },
      },
    })
    await Promise.all(Array.from({ length: 30 }, (_, i) => foreign.push({ sub_id: { format: 'opaque', id: `u${i}` } })))
    await until(() => receiver.status().waiting === 0)
    expect(most).toBe(3)
  })

  it('closing waits for what was accepted, but not for ever', async () => {
    const { foreign, receiver, events } = await started()
    await foreign.push()
    await receiver.close()
    expect(events).toHaveLength(1)
    expect((await foreign.push()).status).toBe(503)
    const stuck = await started({ on: { 'session-revoked': () => new Promise(() => {}) } })
    await stuck.foreign.push()
    await stuck.receiver.close({ delete: true })
    expect(stuck.foreign.streams.size).toBe(0)
  })
})

it('no SET, token or header is in the log', async () => {
  const { foreign, receiver } = await started({ attempts: 1, on: { 'session-revoked': () => Promise.reject(new Error('secret detail')) } })
  const jwt = await foreign.sign(foreign.claims())
  await foreign.pushJwt(jwt)
  await foreign.pushJwt(`${jwt}x`)
  await foreign.pushJwt(jwt, { authorization: 'Bearer guess' })
  await foreign.push({ sub_id: { format: 'iss_sub', iss: 'https://other.test', sub: 'u' } })
  await until(() => receiver.status().counts.lost === 1)
  foreign.intercept = () => new Response(null, { status: 500 })
  await until(() => receiver.status().error !== undefined)
  const text = JSON.stringify(foreign.logged)
  expect(foreign.logged.length).toBeGreaterThan(3)
  for (const secret of [jwt, jwt.split('.')[2] as string, 'in-91', 'guess', 'Bearer good', 'u-204', 'secret detail'])
    expect(text).not.toContain(secret)
  expect(JSON.stringify(receiver.status())).not.toContain('in-91')
  expect(es256.jwk.kid).toBeDefined()
})

function subjectOf(receiver: Receiver) {
  return { format: 'opaque', id: receiver.status().stream }
}
