import { createHash } from 'node:crypto'
import { type Cutoff, EVENT } from '@caegis/protocol'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { follow } from '../src/receiver/index.ts'
import type { StreamRecord } from '../src/transmitter/index.ts'
import { answering, endFollowers, guardOf, isPoll, jwtOf } from './followers.ts'
import { AUDIENCE, callerOf, createLoop, es256, ISSUER, type Loop, makeKey, revoke, snapshotOf, truth, until } from './loop.ts'

endFollowers()

describe('the loop', () => {
  it('subscribes, hydrates, follows, acknowledges and leaves nothing behind', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'), revoke('bob', { session: 's1' }))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(new Set(guard.told.slice(0, guard.told.indexOf('synced')))).toEqual(new Set(['snapshot']))
    expect(guard.follower.status()).toMatchObject({ state: 'following', position: { seq: 2 } })
    loop.store.commit(revoke('carol'))
    loop.store.commit(revoke('dave', { session: 's2' }))
    await until(() => guard.heads.at(-1)?.seq === 4)
    expect(guard.events.map((event) => event.seq)).toEqual([3, 4])
    expect(guard.table).toEqual(await truth(loop.store))
    await until(() => loop.store.streams()[0]?.acked === 4)
    expect(guard.reasons).toEqual([])
    expect(loop.requests.some(({ body }) => body && 'setErrs' in body)).toBe(false)
    await guard.follower.close()
    expect(guard.follower.status().state).toBe('closed')
    expect(loop.store.streams()).toEqual([])
  })

  it('I5: has one stream, however often the answer to its question got lost', async () => {
    const loop = createLoop()
    let lost = 0
    loop.intercept = async ({ path, method }, next) => {
      const answer = await next()
      if (path.endsWith('/streams') && method === 'POST' && lost++ < 3) throw new TypeError('fetch failed')
      return answer
    }
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(lost).toBe(4)
    expect(loop.store.streams().length).toBe(1)
    // The next one is another.
    await loop.transmitter.remove(callerOf(), loop.store.streams()[0]?.id)
    await until(() => loop.store.streams().length === 1 && guard.follower.status().state === 'following')
  })

  it('a quiet log still proves freshness, head by head', async () => {
    const loop = createLoop({ limits: { hold: 0.01 } })
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 3)
    const times = guard.heads.map((head) => head.asOf)
    expect([...times].sort((a, b) => a - b)).toEqual(times)
    expect(new Set(times).size).toBe(times.length)
  })

  it('a failing poll only ages; a 401 asks for a fresh token once', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    let answer: number | 'throw' = 503
    loop.intercept = ({ path }, next) => {
      if (!isPoll(path)) return next()
      if (answer === 'throw') throw new TypeError('fetch failed')
      return answer === 200 ? next() : new Response(null, { status: answer })
    }
    loop.store.commit(revoke('alice'))
    for (const [status, code] of [
      [503, 'unavailable'],
      ['throw', 'unavailable'],
      [400, 'request_refused'],
    ] as const) {
      answer = status
      await until(() => guard.follower.status().error === code)
    }
    expect(guard.reasons).toEqual([])
    const before = guard.tokens.length
    answer = 401
    await until(() => guard.follower.status().error === 'unauthorized')
    expect(guard.tokens.slice(before)).toContain(true)
    answer = 200
    await until(() => guard.heads.at(-1)?.seq === 1)
    expect(guard.reasons).toEqual([])
    await until(() => guard.follower.status().error === undefined)
  })

  it('one fresh token is enough', async () => {
    const loop = createLoop()
    const used: string[] = []
    const guard = guardOf(loop, {
      token: async ({ fresh }) => {
        used.push(fresh ? 'fresh' : 'cached')
        return fresh ? 'good' : 'old'
      },
    })
    await until(() => guard.heads.length > 0)
    expect(used.slice(0, 2)).toEqual(['cached', 'fresh'])
  })

  it('closes while everything hangs', async () => {
    const loop = createLoop()
    loop.intercept = () => new Promise(() => {})
    const stuck = guardOf(loop)
    await stuck.follower.close()
    const second = createLoop()
    const token = guardOf(second, { token: () => new Promise(() => {}) })
    await new Promise((resolve) => setTimeout(resolve, 10))
    await token.follower.close()
    const third = createLoop()
    const held = guardOf(third)
    await until(() => held.heads.length > 0)
    third.intercept = () => new Promise(() => {})
    await held.follower.close()
    await held.follower.close()
  })

  it('is not constructed with what cannot be right', () => {
    const base = { token: async () => '', on: { snapshot() {}, event() {}, synced() {}, outOfSync() {} } }
    const stream = { subjects: 'complex', alg: 'ES256', guard: true } as const
    expect(() => follow({ ...base, issuer: 'http://localhost:1', stream })).toThrow(TypeError)
    expect(() => follow({ ...base, issuer: ISSUER, stream: { ...stream, subjects: 'simple' } })).toThrow(TypeError)
  })
})

describe('heads', () => {
  it('B1: empty answers prove nothing while the position is behind', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    let deaf = true
    let answers = 0
    loop.alter = answering(
      isPoll,
      (body) => {
        answers++
        return { ...body, sets: {} }
      },
      () => deaf,
    )
    loop.store.commit(revoke('alice'))
    await until(() => answers > 5)
    expect(guard.heads.every((head) => head.seq === 0)).toBe(true)
    deaf = false
    await until(() => guard.heads.at(-1)?.seq === 1)
  })

  it('B1(a): a paused stream is out of sync, however many 200 it answers', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const { id } = loop.store.streams()[0] as StreamRecord
    loop.store.setStatus(id, 'paused')
    await until(() => guard.reasons.length > 0)
    const heard = guard.heads.length
    loop.store.commit(revoke('alice'))
    const polls = loop.requests.length
    await until(() => loop.requests.length > polls + 5)
    expect(guard.heads.length).toBe(heard)
    expect(guard.reasons).toEqual(['stream paused'])
    expect(guard.follower.status()).toMatchObject({ state: 'out of sync', reason: 'stream paused' })
    loop.store.setStatus(id, 'enabled')
    await until(() => guard.heads.at(-1)?.seq === 1)
    expect(guard.follower.status().state).toBe('following')
  })

  it('B1(a): disabled likewise', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    loop.store.setStatus(loop.store.streams()[0]?.id as string, 'disabled')
    await until(() => guard.reasons.includes('stream disabled'))
  })

  it('an answer without a head is no proof', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    loop.alter = answering(isPoll, ({ sets }) => ({ sets }))
    await until(() => guard.follower.status().error === 'answer_malformed')
    expect(guard.heads.filter((head) => head.seq > 0)).toEqual([])
  })

  it('I4: an answer that is older than the snapshot is not where freshness is measured from', async () => {
    const loop = createLoop()
    let asked = 0
    loop.alter = answering(isPoll, (body) => {
      asked++
      const head = body.caegis_head as { asOf: number }
      return { ...body, caegis_head: { ...head, asOf: head.asOf - 30 } }
    })
    const guard = guardOf(loop)
    await until(() => asked > 3)
    expect(guard.heads).toEqual([])
    expect(guard.follower.status().state).toBe('starting')
    loop.alter = undefined
    await until(() => guard.heads.length > 0)
    // What keeps answers of its own has none to this.
    const snapshots = loop.requests.filter(({ path }) => path.endsWith('/snapshot')).map(({ query }) => query.get('asked'))
    expect(snapshots.length).toBeGreaterThan(0)
    expect(new Set(snapshots.filter((one) => one !== null)).size).toBe(snapshots.length)
  })

  it('B5: another epoch means another snapshot; merged, never replaced', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'), revoke('bob'))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    loop.store.restore(1)
    loop.store.commit(revoke('carol'), revoke('dave'))
    const { epoch } = await loop.store.head()
    await until(() => guard.heads.at(-1)?.epoch === epoch)
    expect(guard.reasons).toEqual(['the log has a new epoch'])
    for (const user of ['alice', 'bob', 'carol', 'dave']) expect(guard.table.has(`user ${user}`)).toBe(true)
    loop.store.commit(revoke('erin'))
    await until(() => guard.table.has('user erin'))
  })

  it('B5: a log that went backwards in the same epoch, too', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'), revoke('bob'))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    let once = true
    loop.alter = answering(
      isPoll,
      (body) => {
        once = false
        return { ...body, sets: {}, caegis_head: { ...(body.caegis_head as object), seq: 1 } }
      },
      () => once,
    )
    await until(() => guard.reasons.includes('the log went backwards') && guard.told.at(-1) === 'synced')
    expect(loop.requests.filter(({ path }) => path.endsWith('/snapshot'))).toHaveLength(2)
  })

  it('B5: the log is replaced between stream and snapshot', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'), revoke('bob'))
    let restored = false
    loop.intercept = ({ path }, next) => {
      if (path.endsWith('/snapshot') && !restored) {
        restored = true
        loop.store.restore(1)
      }
      return next()
    }
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(guard.follower.status()).toMatchObject({ state: 'following', position: { seq: 1 } })
    await until(() => loop.store.streams().length === 1)
  })
})

describe('snapshot', () => {
  const snapshotText = async (response: Response) => (await response.text()).split('\n')

  it('B4(a): what commits between position and content is not lost', async () => {
    const loop = createLoop({
      wrap: (store) => ({
        ...store,
        // Read at once, as one statement would; the commit falls between the two reads, whichever comes first.
        async *cutoffs() {
          const content: Cutoff[][] = []
          for await (const batch of store.cutoffs()) content.push(batch)
          if (loop.store.streams().length > 0 && !content.flat().some(({ id }) => id === 'between')) loop.store.commit(revoke('between'))
          yield* content
        },
      }),
    })
    loop.store.commit(revoke('alice'))
    const guard = guardOf(loop)
    await until(() => guard.heads.some((head) => head.seq === 2))
    expect(guard.table.has('user between')).toBe(true)
    expect(guard.events.map((event) => event.seq)).toEqual([2])
  })

  it('B4(b): one that is older than the stream is refused', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    // A cache keeps the first snapshot of each stream id; here the transmitter seals old content for whoever asks.
    let stale = true
    const old = await loop.store.head()
    loop.store.commit(revoke('bob'))
    loop.intercept = async ({ path, query }, next) => {
      if (!path.endsWith('/snapshot') || !stale) return next()
      const lines = `${JSON.stringify({ head: { ...old, status: 'enabled' } })}\n`
      const { createHash } = await import('node:crypto')
      const seal = await jwtOf(
        {
          iss: ISSUER,
          aud: AUDIENCE,
          iat: Math.floor(Date.now() / 1000),
          stream_id: query.get('stream_id'),
          epoch: old.epoch,
          seq: old.seq,
          sha256: createHash('sha256').update(lines).digest('base64url'),
        },
        'caegis-snapshot+jwt',
      )
      return new Response(`${lines}${JSON.stringify({ seal })}\n`)
    }
    const guard = guardOf(loop)
    await until(() => guard.reasons.includes('snapshot refused (older than the stream)'))
    expect(guard.told).not.toContain('synced')
    stale = false
    await until(() => guard.heads.length > 0)
    expect(guard.table.has('user bob')).toBe(true)
  })

  it('B4(d): 404 and 410 mean a new stream and a new snapshot', async () => {
    for (const status of [404, 410]) {
      const loop = createLoop()
      const guard = guardOf(loop)
      await until(() => guard.heads.length > 0)
      const { id } = loop.store.streams()[0] as StreamRecord
      await loop.store.deleteStream(id)
      let once = true
      if (status === 410) {
        loop.intercept = ({ path }, next) => {
          if (!isPoll(path) || !once) return next()
          once = false
          return new Response(null, { status })
        }
      }
      loop.store.commit(revoke('missed'))
      await until(() => guard.table.has('user missed') && guard.told.at(-1) === 'synced')
      expect(guard.reasons).toEqual(['unknown stream'])
      expect(loop.store.streams()[0]?.id).not.toBe(id)
    }
  })

  const broken: [string, (lines: string[], loop: Loop) => string[] | Promise<string[]>][] = [
    ['cut before the seal', (lines) => lines.slice(0, 2).concat('')],
    ['cut inside a line', (lines) => [...lines.slice(0, 1), lines[1]?.slice(0, 20) ?? '']],
    ['without a line', (lines) => lines.filter((line) => !line.includes('cutoffs'))],
    ['with a changed byte', (lines) => lines.map((line) => line.replace('alice', 'malic'))],
    ['with another position', (lines) => lines.map((line) => line.replace('"seq":1', '"seq":9'))],
    ['with something behind the seal', (lines) => [...lines.slice(0, -1), '{"cutoffs":[]}', '']],
    ['with an endless line', (lines) => [...lines.slice(0, 1), `{"cutoffs":[["user","${'x'.repeat(1_100_000)}"`]],
    ['empty', () => ['']],
    ['sealed for another stream', (lines) => reseal(lines, { stream_id: 'other' })],
    ['sealed for another audience', (lines) => reseal(lines, { aud: 'api://other' })],
    ['sealed by another issuer', (lines) => reseal(lines, { iss: 'https://evil.test' })],
    ['sealed as something else', (lines) => reseal(lines, {}, 'secevent+jwt')],
    [
      'with a cutoff that cannot be read, though it is sealed',
      (lines) => {
        const changed = lines.map((line) => line.replace('["user"', '["group"'))
        const sealed = changed.slice(0, -2).map((line) => `${line}\n`)
        return reseal(changed, { sha256: createHash('sha256').update(sealed.join('')).digest('base64url') })
      },
    ],
    ['sealed by a strange key', async (lines) => reseal(lines, {}, 'caegis-snapshot+jwt', await makeKey('ES256', 'es-1'))],
  ]
  async function reseal(lines: string[], change: Record<string, unknown>, typ = 'caegis-snapshot+jwt', key = es256): Promise<string[]> {
    const { seal } = JSON.parse(lines.at(-2) as string) as { seal: string }
    const claims = JSON.parse(Buffer.from(seal.split('.')[1] as string, 'base64url').toString()) as Record<string, unknown>
    const forged = await new SignJWT({ ...claims, ...change }).setProtectedHeader({ alg: 'ES256', typ, kid: 'es-1' }).sign(key.private)
    return [...lines.slice(0, -2), JSON.stringify({ seal: forged }), '']
  }
  it.each(broken)('B4: one that is %s proves nothing', async (_, change) => {
    const loop = createLoop()
    // What comes later is in no segment yet.
    await snapshotOf(loop)
    loop.store.commit(revoke('alice'))
    let bad = true
    loop.intercept = async ({ path }, next) => {
      const response = await next()
      if (!path.endsWith('/snapshot') || !bad) return response
      return new Response((await change(await snapshotText(response), loop)).join('\n'))
    }
    const guard = guardOf(loop)
    await until(() => guard.reasons.some((reason) => reason.startsWith('snapshot refused')))
    expect(guard.told.filter((told) => !told.startsWith('out of sync'))).toEqual([])
    expect(guard.table.size).toBe(0)
    bad = false
    await until(() => guard.heads.length > 0)
    expect(guard.table.has('user alice')).toBe(true)
  })

  it('a sealed one with nothing changed passes the same way', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('alice'))
    loop.intercept = async ({ path }, next) => {
      const response = await next()
      return path.endsWith('/snapshot') ? new Response((await reseal(await snapshotText(response), {})).join('\n')) : response
    }
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(guard.reasons).toEqual([])
  })

  it('carries thousands, in lines that a reader can bound', async () => {
    const loop = createLoop()
    loop.store.commit(...Array.from({ length: 2500 }, (_, i) => revoke(`user-${i}`, i % 2 ? { session: `s${i}` } : {})))
    loop.store.commit(...Array.from({ length: 40 }, (_, i) => revoke(`${'ü'.repeat(1000)}${i}`)))
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    expect(guard.table).toEqual(await truth(loop.store))
    expect(guard.told.filter((told) => told === 'snapshot').length).toBeGreaterThan(2)
  })
})

describe('the stream that is made', () => {
  it.each([
    ['iss', { iss: 'https://evil.test' }],
    ['caegis', { caegis: undefined }],
    ['caegis', { caegis: { subjects: 'simple', alg: 'ES256', guard: true, start: { epoch: 'e', seq: 0 } } }],
    ['start', { caegis: { subjects: 'complex', alg: 'ES256', guard: true } }],
    ['delivery', { delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'http://host.test/poll' } }],
  ])('must be the one asked for: %s', async (what, change) => {
    const loop = createLoop()
    loop.intercept = async ({ path, method }, next) => {
      const response = await next()
      if (!path.endsWith('/streams') || method !== 'POST') return response
      return Response.json({ ...((await response.json()) as object), ...change }, { status: 201 })
    }
    const guard = guardOf(loop)
    await until(() => guard.reasons.includes(`stream refused (${what})`) || guard.follower.status().error === 'stream_refused')
    expect(guard.heads).toEqual([])
    expect(guard.told).not.toContain('snapshot')
  })

  it('must be for the configured audience', async () => {
    const loop = createLoop()
    const guard = guardOf(loop, { audience: 'api://other' })
    await until(() => guard.reasons.includes('stream refused (aud)'))
    await guard.follower.close()
    expect(loop.store.streams()).toEqual([])
  })
})

describe('a plain transmitter', () => {
  it('is followed without snapshot, heads or our members, and never called synced', async () => {
    const loop = createLoop()
    loop.store.commit(revoke('before'))
    loop.intercept = async ({ path, body }, next) => {
      if (body && Object.keys(body).some((name) => name.startsWith('caegis'))) return new Response(null, { status: 400 })
      const response = await next()
      if (!response.ok || response.status === 204) return response
      const content = (await response.json()) as Record<string, unknown>
      if (path.startsWith('/.well-known')) content.caegis_snapshot_endpoint = undefined
      if (isPoll(path)) content.caegis_head = undefined
      return Response.json(content, { status: response.status })
    }
    const guard = guardOf(loop, { stream: { subjects: 'simple', alg: 'RS256', guard: false, events: [EVENT.sessionRevoked] } })
    await until(() => loop.store.streams().length > 0)
    loop.store.commit(revoke('alice'), revoke('bob', { session: 's' }), revoke('carol', { type: EVENT.accountEnabled }))
    await until(() => guard.events.length === 1)
    await until(() => loop.store.streams()[0]?.acked === 4 || loop.store.streams()[0]?.acked === 2)
    expect(guard.events[0]?.subject).toEqual({ format: 'iss_sub', iss: ISSUER, sub: 'alice' })
    expect(guard.told).toEqual(['event'])
    expect(guard.follower.status()).toMatchObject({ state: 'following' })
    expect(guard.follower.status()).not.toHaveProperty('position')
  })

  it('acts once on what is delivered twice, and one that cannot be applied does not hold up the others', async () => {
    const loop = createLoop({ limits: { redeliverAfter: 0, hold: 0.05 } })
    const guard = guardOf(loop, { stream: { subjects: 'simple', alg: 'RS256', guard: false } })
    await until(() => loop.store.streams().length > 0)
    let failing = true
    guard.onEvent = (set) => {
      if (failing && (set.subject as { sub?: string }).sub === 'bad') throw new Error('no')
    }
    // The answer after the first delivery is repeated: acknowledgements are dropped on their way for a while.
    let dropped = 0
    loop.intercept = ({ path, body }, next) => {
      if (isPoll(path) && body?.ack && dropped < 3) {
        dropped++
        body.ack = undefined
      }
      return next()
    }
    loop.store.commit(revoke('bad'), revoke('alice'))
    await until(() => guard.events.length === 1 && guard.reasons.length > 0)
    failing = false
    await until(() => guard.events.length === 2)
    await until(() => loop.store.streams()[0]?.acked === 2)
    expect(guard.events.map((event) => (event.subject as { sub?: string }).sub)).toEqual(['alice', 'bad'])
    expect(guard.heads).toEqual([])
  })

  it('a guard does not accept it', async () => {
    const loop = createLoop()
    loop.alter = answering(
      (path) => path.startsWith('/.well-known'),
      (body) => ({ ...body, caegis_snapshot_endpoint: undefined }),
    )
    const guard = guardOf(loop)
    await until(() => guard.reasons.includes('stream refused (the transmitter has no snapshot)'))
    expect(loop.store.streams()).toEqual([])
  })
})
