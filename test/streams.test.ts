import { createHash } from 'node:crypto'
import { createGuard, type Guard } from '@caegis/guard'
import { afterEach, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { claimsOf, eventually, type Loop, SCOPE, SECRET, startLoop, verdictOf } from './loop.ts'

const CP1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'

interface Polled {
  sets: Record<string, string>
  moreAvailable?: boolean
  caegis_head: { epoch: string; seq: number; asOf: number; status: string }
}

/** The stream endpoints as a receiver calls them. */
async function receiver(loop: Loop, clientId = 'files-api') {
  const token = await loop.daemonToken(clientId, 'ssf.read ssf.manage')
  const call = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${loop.authority}/ssf${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await response.text()
    return { status: response.status, text, json: () => JSON.parse(text) as never }
  }
  return {
    call,
    async create(more: object = { caegis: { subjects: 'complex', alg: 'ES256', guard: true } }): Promise<{ stream_id: string; aud: string }> {
      const made = await call('POST', '/streams', { delivery: { method: 'urn:ietf:rfc:8936' }, ...more })
      expect(made.status).toBe(201)
      return made.json()
    },
    poll: async (id: string, body: object = {}): Promise<Polled> => (await call('POST', `/poll/${id}`, { returnImmediately: true, ...body })).json(),
    snapshot: (id: string) => call('GET', `/snapshot?stream_id=${id}`),
  }
}

let loop: Loop
const guards: Guard[] = []
afterEach(async () => {
  for (const guard of guards.splice(0)) await guard.close()
  await loop?.close()
})

const begin = async (options = {}) => {
  loop = await startLoop(options)
  return loop
}

const revoke = async (name = 'alice') => {
  const answer = await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)
  expect(answer.status).toBe(200)
}
const db = () => loop.server.store.db
const setStatus = async (status: string) => {
  for (const { id, config } of await db().selectFrom('streams').selectAll().execute()) {
    await db()
      .updateTable('streams')
      .set({ config: JSON.stringify({ ...JSON.parse(config), status }) })
      .where('id', '=', id)
      .execute()
  }
  // As the API for it will: a long poll that is being held looks again.
  loop.server.store.wake(loop.tenant)
}
const longTokens = () => createFlow(loop).tokens({ claims: CP1 })
const refreshed = async (refreshToken: string) => {
  const { status, body } = await createFlow(loop).refresh(refreshToken, { claims: CP1, scope: SCOPE })
  expect(status).toBe(200)
  return { ...claimsOf(String(body.access_token)), refreshToken: String(body.refresh_token) } as ReturnType<typeof claimsOf> & {
    refreshToken: string
  }
}

describe('E7: who may read a stream', () => {
  it('ssf scopes are for applications with cae only, by client credentials', async () => {
    await begin()
    for (const scope of ['ssf.read', 'ssf.manage', 'ssf.read ssf.manage', `${loop.authority}/ssf/.default`]) {
      const { status, body } = await loop.token({ grant_type: 'client_credentials', client_id: 'nightly', client_secret: SECRET, scope })
      expect({ scope, status, error: body.error }).toEqual({ scope, status: 400, error: 'invalid_scope' })
    }
    const token = await loop.daemonToken('nightly', 'api://files/.default')
    const response = await fetch(`${loop.authority}/ssf/streams`, { headers: { authorization: `Bearer ${token}` } })
    expect(response.status).toBe(401)
    const admin = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    expect((await fetch(`${loop.authority}/ssf/streams`, { headers: { authorization: `Bearer ${admin}` } })).status).toBe(401)
    const streams = await loop.daemonToken('files-api', 'ssf.read ssf.manage')
    expect((await fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${streams}` } })).status).toBe(401)
  })

  it('the audience comes from the registered application, and nobody else gets near its streams', async () => {
    await begin()
    const files = await receiver(loop)
    const mail = await receiver(loop, 'mail-api')
    const stream = await files.create({
      aud: 'api://mail',
      iss: 'https://evil.test',
      receiver: 'mail-api',
      caegis: { subjects: 'complex', alg: 'ES256', guard: true },
    })
    expect(stream).toMatchObject({ aud: 'api://files', iss: loop.issuer })
    await revoke()
    const [set] = Object.values((await files.poll(stream.stream_id)).sets)
    expect(claimsOf(set as string)).toMatchObject({ aud: 'api://files', iss: loop.issuer })

    const id = stream.stream_id
    const attempts: [string, string, object?][] = [
      ['GET', `/streams?stream_id=${id}`],
      ['GET', `/status?stream_id=${id}`],
      ['POST', `/poll/${id}`, { returnImmediately: true }],
      ['POST', `/poll/${id}`, { returnImmediately: true, ack: ['x'], caegis_applied: { epoch: 'x', seq: 1 } }],
      ['POST', '/verify', { stream_id: id }],
      ['GET', `/snapshot?stream_id=${id}`],
      ['DELETE', `/streams?stream_id=${id}`],
    ]
    for (const [method, path, body] of attempts) {
      const answer = await mail.call(method, path, body)
      expect(`${method} ${path.slice(0, 8)}: ${answer.status}`).toBe(`${method} ${path.slice(0, 8)}: 404`)
      expect(answer.text).not.toContain(id)
    }
    expect((await mail.call('GET', '/streams')).json()).toEqual([])
    expect((await files.call('GET', `/status?stream_id=${id}`)).json()).toMatchObject({ status: 'enabled' })
    expect(Object.keys((await files.poll(id)).sets)).toHaveLength(1)
  })

  it('a stream that is no guard stream gets no snapshot: it lists everybody', async () => {
    await begin()
    const files = await receiver(loop)
    const { stream_id: id } = await files.create({})
    expect((await files.snapshot(id)).status).toBe(403)
  })

  it('E7, B4: segments of a snapshot may be kept by any cache, which learns nothing', async () => {
    await begin()
    await longTokens()
    await revoke()
    const files = await receiver(loop)
    const { text } = await files.snapshot((await files.create()).stream_id)
    const [, line = ''] = text.split('\n')
    const [[digest, bytes]] = (JSON.parse(line) as { segments: [[string, number]] }).segments
    const url = `${loop.authority}/ssf/segments/${digest}`
    const answer = await fetch(url)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-control')).toBe('public, max-age=86400, immutable')
    expect(answer.headers.get('etag')).toBe(`"${digest}"`)
    expect(answer.headers.get('set-cookie')).toBeNull()
    const body = Buffer.from(await answer.arrayBuffer())
    expect(body.length).toBe(bytes)
    expect(createHash('sha256').update(body).digest('base64url')).toBe(digest)
    const { id } = await db().selectFrom('users').select('id').where('upn', '=', 'alice@contoso.test').executeTakeFirstOrThrow()
    expect(body.includes(id)).toBe(false)
    const again = await fetch(url, { headers: { 'if-none-match': `"${digest}"` } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect((await fetch(url, { method: 'HEAD' })).headers.get('content-length')).toBe(String(bytes))
    for (const other of ['x'.repeat(43), `${digest}x`, '..%2Fsnapshot'])
      expect((await fetch(`${loop.authority}/ssf/segments/${other}`)).status).toBe(404)
    expect((await fetch(`${loop.origin}/nobody/ssf/segments/${digest}`)).status).toBe(404)
  })
})

describe('B1: what a guard hears is not what it knows', () => {
  it.each(['best-effort', 'strict'] as const)('B1(a): a paused stream answers, and the guard says out of sync (%s)', async (staleness) => {
    await begin()
    const guard = await loop.guard({ staleness })
    const { accessToken } = await longTokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    await setStatus('paused')
    await eventually(
      () => guard.status(),
      ({ inSync }) => !inSync,
      'out of sync',
    )
    const [{ id }] = (await db().selectFrom('streams').select('id').execute()) as [{ id: string }]
    await revoke()
    const polled = await (await receiver(loop)).poll(id)
    expect(polled).toMatchObject({ sets: {}, caegis_head: { status: 'paused' } })
    const verdict = await verdictOf(guard, accessToken)
    if (staleness === 'strict') {
      expect(verdict).toMatchObject({ allowed: false, status: 503, code: 'out_of_sync' })
      expect((verdict as { headers: object }).headers).not.toHaveProperty('Retry-After')
    } else expect(verdict).toMatchObject({ allowed: true, stale: true })
    await setStatus('enabled')
    await eventually(
      () => verdictOf(guard, accessToken),
      (one) => !one.allowed && one.code === 'revoked',
      'the revocation',
    )
  })

  it('B1(e): knowledge ages by the wall clock, also while no timer fires', async () => {
    await begin()
    let frozen = 0
    const guard = await loop.guard({ now: () => Date.now() + frozen, staleness: 'strict' })
    const { accessToken } = await longTokens()
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: true })
    frozen = 5 * 60_000
    // The very first request after the thaw, before anything was polled.
    expect(guard.check({ headers: { authorization: `Bearer ${accessToken}` } })).toMatchObject({ allowed: false, status: 503 })
  })

  it('I4: every poll answer carries a head that moves with the log', async () => {
    await begin()
    const files = await receiver(loop)
    const { stream_id: id } = await files.create()
    let last = -1
    for (let i = 0; i < 3; i++) {
      await revoke()
      const { caegis_head: head } = await files.poll(id, { maxEvents: i === 2 ? 0 : 10 })
      const { seq, epoch } = await loop.server.store.position(loop.tenant)
      expect(head).toEqual({ epoch, seq, asOf: expect.any(Number), status: 'enabled' })
      expect(head.seq).toBeGreaterThan(last)
      expect(Math.abs(head.asOf - Date.now() / 1000)).toBeLessThan(30)
      last = head.seq
    }
    const plain = await files.create({})
    expect(await files.poll(plain.stream_id)).toHaveProperty('caegis_head.seq', last)
  })

  it('I4: a guard that hears nothing gets stale, then challenges long-lived tokens while ordinary ones pass', async () => {
    await begin()
    let blocked = false
    const fetch: typeof globalThis.fetch = (...given) => (blocked ? Promise.reject(new TypeError('blocked')) : globalThis.fetch(...given))
    const guard = await loop.guard({ fetch, maxStaleness: 0.4, trustStale: 0.8, trustStaleSpread: 0 })
    const long = (await longTokens()).accessToken
    const ordinary = (await createFlow(loop).tokens()).accessToken
    expect(claimsOf(long).xms_ssm).toBe('1')
    blocked = true
    await eventually(
      () => guard.status(),
      ({ stale }) => stale,
      'stale',
    )
    expect(await verdictOf(guard, ordinary)).toMatchObject({ allowed: true, stale: true })
    const refused = await eventually(
      () => verdictOf(guard, long),
      ({ allowed }) => !allowed,
      'the refusal',
    )
    expect(refused).toMatchObject({ status: 401, code: 'stale', headers: { 'WWW-Authenticate': expect.stringContaining('claims=') } })
    expect(await verdictOf(guard, ordinary)).toMatchObject({ allowed: true, stale: true })
    blocked = false
    await eventually(
      () => verdictOf(guard, long),
      (one) => one.allowed && !one.stale,
      'the recovery',
    )
  })
})

describe('B3, B4, I3: nothing is missed', () => {
  it('B3: a guard that starts while the server is down allows nothing', async () => {
    await begin()
    const first = await loop.guard()
    const { accessToken } = await longTokens()
    await revoke()
    await eventually(
      () => verdictOf(first, accessToken),
      ({ allowed }) => !allowed,
    )
    await first.close()
    const fetch = () => Promise.reject(new TypeError('down'))
    for (const staleness of ['best-effort', 'strict'] as const) {
      const second = createGuard({ issuer: loop.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET, fetch, staleness })
      guards.push(second)
      for (let i = 0; i < 5; i++) {
        expect(await verdictOf(second, accessToken)).toMatchObject({ allowed: false, status: 503, code: 'not_ready' })
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  })

  it('B4(a): events that commit while a snapshot is made, before or after its content is read, are not lost', async () => {
    await begin()
    const alice = await longTokens()
    const bob = await createFlow(loop, { username: 'bob@contoso.test' }).tokens({ claims: CP1 })
    const admin = await createFlow(loop, { username: 'admin@contoso.test' }).tokens({ claims: CP1 })
    const { store } = loop.server
    const real = store.position
    let looks = 0
    // The transmitter looks at the position before the content, and once more behind it to see that the log is still the same.
    store.position = async (tenant) => {
      const look = new Error().stack?.includes('snapshot') ? ++looks : 0
      if (look === 1) await revokeDirectly('admin')
      if (look === 2) await revokeDirectly('bob')
      const position = await real(tenant)
      if (look === 1) await revokeDirectly('alice')
      return position
    }
    const guard = await loop.guard()
    store.position = real
    expect(looks).toBeGreaterThanOrEqual(2)
    for (const { accessToken } of [admin, alice, bob]) {
      await eventually(
        () => verdictOf(guard, accessToken),
        (one) => !one.allowed && one.code === 'revoked',
        'the revocation',
      )
    }
  })

  it('B4(d): a stream that is deleted under a live guard is made anew, and nothing is missed', async () => {
    await begin()
    const guard = await loop.guard()
    const { accessToken } = await longTokens()
    const before = await db().selectFrom('streams').select('id').execute()
    await db().deleteFrom('streams').execute()
    // While it does not exist, and before the guard has noticed.
    await revoke()
    await eventually(
      () => verdictOf(guard, accessToken),
      (one) => !one.allowed && one.code === 'revoked',
      'the revocation',
    )
    const after = await eventually(
      () => db().selectFrom('streams').select('id').execute(),
      (rows) => rows.length === 1,
    )
    expect(after[0]?.id).not.toBe(before[0]?.id)
    await eventually(
      () => guard.status(),
      ({ inSync }) => inSync,
    )
  })

  it('B8: a retry is the same SET: only its signature may differ', async () => {
    let ahead = 0
    await begin({ now: () => Date.now() + ahead })
    const files = await receiver(loop)
    const { stream_id: id } = await files.create()
    await revoke()
    const first = (await files.poll(id)).sets
    // Signed anew: what was signed is remembered for a minute.
    ahead = 600_000
    await loop.graph('DELETE', '/users/alice@contoso.test')
    const second = (await files.poll(id, { maxEvents: 1 })).sets
    const [jti] = Object.keys(first) as [string]
    expect(Object.keys(second)).toEqual([jti])
    const [one, two] = [first[jti] as string, second[jti] as string]
    expect(two.split('.').slice(0, 2)).toEqual(one.split('.').slice(0, 2))
    expect(two).not.toBe(one)
  })

  it('I3: a guard that loses every second answer ends equal to one that loses none', async () => {
    await begin()
    let count = 0
    const lossy: typeof globalThis.fetch = async (input, init) => {
      const response = await globalThis.fetch(input, init)
      if (String(input).includes('/poll/') && count++ % 2 === 0) {
        await response.arrayBuffer()
        throw new TypeError('the answer was lost')
      }
      return response
    }
    const [whole, half] = [await loop.guard(), await loop.guard({ fetch: lossy })]
    const people = ['alice', 'bob', 'admin'] as const
    const tokens = await Promise.all(
      ['alice', 'bob'].map(async (name) => (await createFlow(loop, { username: `${name}@contoso.test` }).tokens()).accessToken),
    )
    for (let i = 0; i < 12; i++) await revoke(people[i % 3])
    const { seq } = await loop.server.store.position(loop.tenant)
    for (const guard of [whole, half]) {
      await eventually(
        () => guard.status(),
        ({ head, inSync }) => inSync && head?.seq === seq,
        'the same position',
      )
    }
    expect(count).toBeGreaterThan(1)
    expect(half.status().cutoffs).toBe(whole.status().cutoffs)
    expect(half.status().refused).toBe(0)
    for (const token of tokens) for (const guard of [whole, half]) expect(await verdictOf(guard, token)).toMatchObject({ code: 'revoked' })
  })
})

describe('I5: long-lived tokens only while all guards are live', () => {
  it('a silent second stream, a paused one, one without a snapshot: ordinary; streams of another API do not count', async () => {
    await begin()
    const { refreshToken } = await longTokens()
    const life = ({ exp, iat }: { exp: number; iat: number }) => exp - iat
    let last = await refreshed(refreshToken)
    expect(life(last)).toBeLessThanOrEqual(5400)
    expect(last).not.toHaveProperty('xms_ssm')

    // Another API's guard does not watch over files.
    const mail = createGuard({ issuer: loop.issuer, audience: 'api://mail', clientId: 'mail-api', clientSecret: SECRET })
    guards.push(mail)
    await mail.ready()
    last = await refreshed(last.refreshToken)
    expect(last).not.toHaveProperty('xms_ssm')

    await loop.guard()
    const long = async () => {
      last = await refreshed(last.refreshToken)
      return last.xms_ssm === '1'
    }
    await eventually(long, (is) => is, 'a long-lived token')
    expect(life(last)).toBeGreaterThanOrEqual(20 * 3600)
    // A silent stream of another API takes nothing away either.
    await (await receiver(loop, 'mail-api')).create()
    expect(await long()).toBe(true)

    // A second copy of the API that has not loaded its snapshot.
    const files = await receiver(loop)
    const { stream_id: id } = await files.create()
    expect(await long()).toBe(false)
    await files.poll(id, { caegis_applied: await loop.server.store.position(loop.tenant) })
    expect(await long()).toBe(false)
    await files.call('DELETE', `/streams?stream_id=${id}`)
    expect(await long()).toBe(true)

    // A stream for reporting is no guard, and neither helps nor harms.
    await files.create({})
    expect(await long()).toBe(true)

    await setStatus('paused')
    expect(await long()).toBe(false)
    await setStatus('enabled')
    await eventually(long, (is) => is, 'a long-lived token again')
  })

  it('a guard that fell silent: ordinary', async () => {
    let ahead = 0
    await begin({ now: () => Date.now() + ahead })
    const files = await receiver(loop)
    const { stream_id: id } = await files.create()
    await files.snapshot(id)
    const applied = async () => {
      const { epoch, seq } = await loop.server.store.position(loop.tenant)
      await files.poll(id, { caegis_applied: { epoch, seq } })
    }
    await applied()
    let last = { refreshToken: (await longTokens()).refreshToken } as Awaited<ReturnType<typeof refreshed>>
    last = await refreshed(last.refreshToken)
    expect(last.xms_ssm).toBe('1')
    ahead = 31_000
    last = await refreshed(last.refreshToken)
    expect(last).not.toHaveProperty('xms_ssm')
    // It is heard of again, but says nothing about what it applied.
    await files.poll(id)
    last = await refreshed(last.refreshToken)
    expect(last).not.toHaveProperty('xms_ssm')
    // What only says "still here" is written once a second.
    ahead += 2000
    await applied()
    last = await refreshed(last.refreshToken)
    expect(last.xms_ssm).toBe('1')
  })
})

/** A revocation without the admin API. */
async function revokeDirectly(name: string): Promise<void> {
  const { id } = await db().selectFrom('users').select('id').where('upn_key', '=', `${name}@contoso.test`).executeTakeFirstOrThrow()
  await loop.server.store.commit({
    tenant: loop.tenant,
    actor: { kind: 'system', reason: 'test' },
    async edit({ publish }) {
      publish({
        type: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
        subject: { complex: { format: 'complex', user: { format: 'iss_sub', iss: loop.issuer, sub: id } } },
        reason: 'test',
        cut: { kind: 'user', id, depth: 'sign-in' },
      })
    },
  })
}
