import { EVENT } from '@caegis/protocol'
import { SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import type { Receiver } from '../src/receiver/index.ts'
import { createForeign, receive, THEM, US } from './foreign.ts'
import { es256, makeKey, rs256, until } from './loop.ts'

const open: Receiver[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
})
function started(...args: Parameters<typeof receive>) {
  const made = receive(...args)
  open.push(made.receiver)
  return made
}

/** An answer without end; counts what was taken of it. */
function endless(): { response: Response; taken: () => number } {
  let taken = 0
  const chunk = new Uint8Array(65_536).fill(0x20)
  const body = new ReadableStream({
    pull(controller) {
      taken += chunk.byteLength
      if (taken > 2 ** 30) controller.close()
      else controller.enqueue(chunk)
    },
  })
  return { response: new Response(body, { status: 200 }), taken: () => taken }
}

describe('a hostile transmitter', () => {
  it('whose metadata speaks for another issuer, or sends elsewhere, is not used at all', async () => {
    const cases = [
      { issuer: 'https://evil.test' },
      { issuer: `${THEM}/` },
      { jwks_uri: 'http://them.test/keys' },
      { configuration_endpoint: 'file:///etc/passwd' },
      { status_endpoint: 'http://169.254.169.254/' },
      { critical_subject_members: 'session' },
      { critical_subject_members: [1] },
    ]
    for (const change of cases) {
      const foreign = createForeign()
      Object.assign(foreign.metadata, change)
      await expect(started(foreign).receiver.start(), JSON.stringify(change)).rejects.toMatchObject({ code: 'metadata_refused' })
      expect(foreign.asked).toHaveLength(1)
    }
  })

  it('that redirects is not followed', async () => {
    for (const path of ['/.well-known', '/streams', '/poll', '/keys']) {
      const foreign = createForeign()
      const modes: (RequestRedirect | undefined)[] = []
      const { receiver } = started(foreign, {
        fetch: (async (input, init) => {
          modes.push(init?.redirect)
          return new URL(String(input)).pathname.startsWith(path) ? Response.redirect('https://evil.test/', 307) : foreign.fetch(input, init)
        }) as typeof fetch,
      })
      await Promise.race([receiver.start().catch(() => {}), until(() => modes.length > 3)])
      if (path === '/keys') await foreign.send()
      await until(() => receiver.status().error !== undefined)
      expect(new Set(modes)).toEqual(new Set(['error']))
      await receiver.close()
    }
  })

  it('that names a poll endpoint without TLS gets no token there', async () => {
    const foreign = createForeign()
    foreign.intercept = ({ path, method }) =>
      path === '/streams' && method === 'POST'
        ? Response.json(
            {
              stream_id: 'x',
              iss: THEM,
              aud: 'https://us.test/ssf',
              delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'http://them.test/poll/x' },
            },
            { status: 201 },
          )
        : undefined
    await expect(started(foreign).receiver.start()).rejects.toMatchObject({ code: 'stream_refused' })
    expect(foreign.asked.some(({ path }) => path.startsWith('/poll'))).toBe(false)
  })

  it.each(['/.well-known', '/streams', '/keys', '/poll'])('whose answers have no end is cut off: %s', async (path) => {
    const foreign = createForeign()
    const taken: (() => number)[] = []
    const { receiver, events } = started(foreign, { maxAnswer: 1_000_000 })
    foreign.intercept = (asked) => {
      if (!asked.path.startsWith(path)) return undefined
      const one = endless()
      taken.push(one.taken)
      return one.response
    }
    const starting = receiver.start().catch(() => {})
    if (path === '/keys') await foreign.send()
    await until(() => receiver.status().error === 'answer_too_large')
    expect(Math.max(...taken.map((one) => one()))).toBeLessThan(2_000_000)
    foreign.intercept = undefined
    await starting
    await receiver.start()
    await foreign.send()
    await until(() => events.length > 0)
  })

  it.each(['/.well-known', '/streams', '/keys', '/poll'])('that never answers is waited for so long and no longer: %s', async (path) => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign, { timing: { timeout: 20, grace: 20 } })
    let hanging = true
    foreign.intercept = (asked) => (hanging && asked.path.startsWith(path) ? new Promise(() => {}) : undefined)
    const starting = receiver.start()
    if (path === '/keys') await foreign.send()
    if (path === '/poll') await starting
    await until(() => receiver.status().error === 'unavailable')
    hanging = false
    await starting
    await foreign.send()
    await until(() => events.length > 0)
  })

  it('that answers a poll with garbage is asked again, patiently', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    const garbage = ['<html>', '[]', 'null', '{}', '{"sets":[]}', '{"sets":{"a":1}}', '{"sets":{},"caegis_head":7}', '{"sets":', '\u0000']
    let asked = 0
    foreign.intercept = ({ path }) => {
      if (!path.startsWith('/poll') || asked >= garbage.length) return undefined
      return new Response(garbage[asked++])
    }
    await foreign.send()
    await until(() => events.length === 1)
    expect(asked).toBe(garbage.length)
  })

  it('that sends a hundred thousand SETs at once has the first of them looked at, and none kept', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    let once = true
    const good = await foreign.sign(foreign.claims({ jti: 'good' }))
    foreign.intercept = ({ path }) => {
      if (!path.startsWith('/poll') || !once) return undefined
      once = false
      return Response.json({ sets: { good, ...Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`bad-${i}`, 'x'])) } })
    }
    await until(() => Object.keys(foreign.errors).length > 0)
    expect(events).toHaveLength(1)
    expect(Object.keys(foreign.errors)).toHaveLength(999)
    expect(receiver.status().counts.refused).toBe(999)
  })

  it('whose keys flip loses nothing of what it signs with one of them', async () => {
    const foreign = createForeign()
    const other = await makeKey('ES256', 'es-2')
    let flips = 0
    foreign.intercept = ({ path }) => (path === '/keys' ? Response.json({ keys: [flips++ % 3 === 2 ? other.jwk : es256.jwk] }) : undefined)
    const { receiver, events } = started(foreign, { timing: { keyPatience: 60_000 } })
    await receiver.start()
    for (let i = 0; i < 10; i++) {
      foreign.key = i % 2 === 0 ? es256 : other
      await foreign.send()
    }
    await until(() => events.length === 10)
    expect(foreign.errors).toEqual({})
  })

  it('whose keys are no keys refuses itself', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    await foreign.send()
    for (const jwks of [[null], ['x'], [{ kty: 'oct', k: 'AAAA' }], [{ kty: 'EC' }], Array(100).fill(es256.jwk), []]) {
      foreign.jwks = jwks
      const before = foreign.asked.length
      await until(() => foreign.asked.length > before + 4)
    }
    expect(events).toEqual([])
  })

  it('whose SETs are for others, by others or about others changes nothing', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    const none = `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.${Buffer.from(JSON.stringify(foreign.claims({ jti: 'none' }))).toString('base64url')}.`
    const shared = new TextEncoder().encode(JSON.stringify(es256.jwk))
    const cases: [string, string, string][] = [
      ['none', none, 'invalid_key'],
      [
        'hs',
        await new SignJWT(foreign.claims({ jti: 'hs' })).setProtectedHeader({ alg: 'HS256', typ: 'secevent+jwt', kid: 'es-1' }).sign(shared),
        'invalid_key',
      ],
      ['iss', await foreign.sign(foreign.claims({ jti: 'iss', iss: 'https://evil.test' })), 'invalid_issuer'],
      ['aud', await foreign.sign(foreign.claims({ jti: 'aud', aud: ['https://other.test'] })), 'invalid_audience'],
      ['kid', await foreign.sign(foreign.claims({ jti: 'kid' }), { kid: 'rs-1' }), 'invalid_key'],
      ['jwk', await foreign.sign(foreign.claims({ jti: 'jwk' }), { jwk: rs256.jwk, kid: 'x' }), 'invalid_key'],
      ['name', await foreign.sign(foreign.claims({ jti: 'another name' })), 'invalid_request'],
      ['__proto__', await foreign.sign(foreign.claims({ jti: 'x' })), 'invalid_request'],
      ['at', await foreign.sign(foreign.claims({ jti: 'at' }), { typ: 'at+jwt' }), 'invalid_request'],
      ['future', await foreign.sign(foreign.claims({ jti: 'future', iat: Date.now() })), 'invalid_request'],
      ['no-iat', await foreign.sign(foreign.claims({ jti: 'no-iat', iat: undefined })), 'invalid_request'],
      ['exp', await foreign.sign(foreign.claims({ jti: 'exp', exp: 9e9 })), 'invalid_request'],
    ]
    for (const [jti, jwt] of cases) foreign.waiting.set(jti, jwt)
    await until(() => foreign.waiting.size === 0)
    for (const [jti, , err] of cases) {
      // An object's own prototype is no place to look that one up.
      if (jti !== '__proto__') expect(foreign.errors[jti]?.err, jti).toBe(err)
    }
    expect(events).toEqual([])
    expect(foreign.acked).toEqual([])
    const jti = await foreign.about(EVENT.streamUpdated, { status: 'disabled' }, { sub_id: { format: 'opaque', id: 'st_of_somebody_else' } })
    await until(() => foreign.acked.includes(jti))
    expect(receiver.status().state).toBe('running')
  })

  it('that sends the same for ever is not answered for ever at full speed, and nothing happens twice', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    const jwt = await foreign.sign(foreign.claims({ jti: 'one' }))
    let polls = 0
    foreign.intercept = ({ path }) => {
      if (!path.startsWith('/poll')) return undefined
      polls++
      return Response.json({ sets: { one: jwt } })
    }
    await until(() => polls > 10)
    expect(events).toHaveLength(1)
    expect(receiver.status().counts.duplicates).toBeGreaterThan(5)
  })

  it('that sends a storm has every event of it handled once', async () => {
    const foreign = createForeign()
    const { receiver, events } = started(foreign)
    await receiver.start()
    await Promise.all(Array.from({ length: 500 }, (_, i) => foreign.send({ jti: `storm-${i}` })))
    await until(() => foreign.waiting.size === 0)
    expect(new Set(events.map(({ jti }) => jti)).size).toBe(500)
    expect(events).toHaveLength(500)
  })

  it('that pauses and enables the stream in a storm is asked to enable it only so often', async () => {
    const foreign = createForeign()
    const { receiver } = started(foreign, { reenable: true, timing: { reenable: 60_000 } })
    await receiver.start()
    for (let i = 0; i < 50; i++) await foreign.about(EVENT.streamUpdated, { status: i % 2 === 0 ? 'paused' : 'enabled' })
    await until(() => foreign.waiting.size === 0)
    expect(foreign.asked.filter(({ path, method }) => path === '/status' && method === 'POST').length).toBeLessThanOrEqual(1)
  })

  it('that answers the list of streams with anything', async () => {
    const strange = {
      stream_id: 'x',
      iss: 'https://evil.test',
      aud: US,
      delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'https://evil.test/poll' },
    }
    for (const list of [
      '[]',
      '{}',
      JSON.stringify([strange]),
      '[1,null,{"stream_id":7}]',
      JSON.stringify(Array(1000).fill({ stream_id: 'x', aud: 'x', delivery: {} })),
    ]) {
      const foreign = createForeign()
      foreign.intercept = ({ path, method }) => (path === '/streams' && method === 'GET' ? new Response(list) : undefined)
      const { receiver } = started(foreign)
      await receiver.start()
      expect(foreign.streams.size).toBe(1)
    }
  })
})
