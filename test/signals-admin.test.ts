import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { decodeJwt } from 'jose'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { claimsOf, eventually, type Loop, SECRET, startLoop } from './loop.ts'
import { killPrograms, startProgram, temporaryFolder } from './process.ts'
import { createReceiver, openSse, SIGNALS_TENANT, startEndpoint } from './signals-tenant.ts'

let loop: Loop
const ends: (() => unknown)[] = []
const leftovers: (() => void)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  await killPrograms()
  await loop?.close()
  for (const remove of leftovers.splice(0)) remove()
})

const begin = async (options: Parameters<typeof startLoop>[0] = {}) => {
  loop = await startLoop({ tenant: SIGNALS_TENANT, ...options })
  return loop
}
/** The admin API, as one of the daemons. */
const as = (clientId: string) => async (method: string, path: string, body?: object) => {
  const response = await fetch(path.startsWith('https:') ? path : `${loop.origin}/v1.0${path}`, {
    method,
    headers: {
      authorization: `Bearer ${await loop.daemonToken(clientId, `${loop.origin}/.default`)}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const text = await response.text()
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as any, text }
}
const steer = as('nightly')
const look = as('auditor')
const revoke = async (name = 'alice') =>
  (await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)).headers.get('caegis-txn') as string
const listen = async (path: string, options: { clientId?: string; token?: string; headers?: Record<string, string> } = {}) => {
  const token = options.token ?? (await loop.daemonToken(options.clientId ?? 'auditor', `${loop.origin}/.default`))
  const sse = await openSse(`${loop.origin}/v1.0${path}`, token, options.headers)
  ends.push(() => sse.close())
  return sse
}

describe('streams in the admin API', () => {
  it('shows how far each stream is, and never what the receiver keeps secret', async () => {
    await begin({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    const files = createReceiver(loop)
    const endpoint = await startEndpoint(loop.data, () => 503)
    ends.push(endpoint.close)
    const polled = await files.create({ events_requested: [], description: 'SIEM' })
    const pushed = await files.create({
      delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url, authorization_header: 'Bearer of-the-receiver' },
    })
    await loop.guard()
    await revoke()
    const { status, body, text } = await eventually(
      () => look('GET', '/caegis/streams'),
      ({ body }) =>
        body.value.find((one: any) => one.id === pushed)?.lane?.failures > 0 &&
        body.value.find((one: any) => one.guard)?.live &&
        body.value.find((one: any) => one.guard).lag.rows === 0,
      'the list',
    )
    expect(status).toBe(200)
    expect(text).not.toContain('of-the-receiver')
    expect(body['@odata.context']).toBe(`${loop.origin}/v1.0/$metadata#caegis/streams`)
    const { epoch, seq } = await loop.server.store.position(loop.tenant)
    const of = (id: string) => body.value.find((one: any) => one.id === id)
    expect(of(polled)).toMatchObject({
      ...{
        appId: 'files-api',
        audience: 'api://files',
        description: 'SIEM',
        guard: false,
        status: 'enabled',
        live: null,
        lane: null,
        deadLetters: 0,
      },
      ...{ delivery: { method: 'urn:ietf:rfc:8936', endpointUrl: null }, subjects: 'simple', algorithm: 'RS256', statusSetByAdministrator: false },
      ...{
        eventsRequested: [],
        eventsDelivered: [],
        start: { epoch, seq: seq - 1 },
        acked: seq - 1,
        lag: { rows: 1 },
        applied: null,
        hydrated: null,
      },
    })
    expect(of(pushed)).toMatchObject({
      delivery: { method: PUSH_METHOD, endpointUrl: endpoint.url },
      lag: { rows: 1 },
      lane: { failures: expect.any(Number), failingSinceDateTime: expect.any(String) },
    })
    expect(of(pushed).lane.failures).toBeGreaterThan(0)
    expect(body.value.find((one: any) => one.guard)).toMatchObject({
      ...{ subjects: 'complex', algorithm: 'ES256', live: true, lag: { rows: 0, seconds: 0 }, applied: { epoch, seq }, hydrated: { epoch } },
    })
    expect((await look('GET', `/caegis/streams/${polled}`)).body).toMatchObject({ id: polled, appId: 'files-api' })
  })

  it('lists by pages, refuses other options, and knows no other id', async () => {
    await begin()
    const files = createReceiver(loop)
    const made = [await files.create(), await files.create(), await files.create()]
    const first = await look('GET', '/caegis/streams?$top=2')
    expect(first.body.value).toHaveLength(2)
    const second = await look('GET', first.body['@odata.nextLink'])
    expect(second.body).not.toHaveProperty('@odata.nextLink')
    expect([...first.body.value, ...second.body.value].map(({ id }: { id: string }) => id)).toEqual([...made].sort())
    for (const path of [
      '?$filter=a eq b',
      '?$top=0',
      '?$top=1&$top=1',
      '?$skiptoken=../x',
      `/${made[0]}?$select=id`,
      `/${made[0]}/deadLetters?$skiptoken=x`,
      `/${made[0]}/deliveries?$skiptoken=x`,
      `/${made[0]}/deliveries?$filter=state eq 'lost'`,
      `/${made[0]}/deliveries?$filter=userId ne 'x'`,
      `/${made[0]}/deliveries/1?$select=seq`,
    ])
      expect([path, (await look('GET', `/caegis/streams${path}`)).status]).toEqual([path, 400])
    for (const id of ['unknown', '..%2Fusers', 'x'.repeat(300)]) {
      expect(await look('GET', `/caegis/streams/${id}`)).toMatchObject({ status: 404, body: { error: { code: 'Request_ResourceNotFound' } } })
      expect((await steer('POST', `/caegis/streams/${id}/pause`)).status).toBe(404)
    }
  })

  it('lets only who may: reading needs one permission, changing another', async () => {
    await begin()
    const id = await createReceiver(loop).create()
    const denied = { status: 403, body: { error: { code: 'Authorization_RequestDenied' } } }
    const kept = ['', `/${id}`, `/${id}/deadLetters`, `/${id}/deliveries`, `/${id}/deliveries/1`].map((path) => `/caegis/streams${path}`)
    for (const path of [...kept, '/caegis/events']) expect(await as('clerk')('GET', path)).toMatchObject(denied)
    for (const action of ['verify', 'pause', 'enable', 'disable', 'deadLetters/redeliver']) {
      for (const who of [look, as('clerk')]) expect(await who('POST', `/caegis/streams/${id}/${action}`)).toMatchObject(denied)
    }
    expect(await look('DELETE', `/caegis/streams/${id}`)).toMatchObject(denied)
    expect((await fetch(`${loop.origin}/v1.0/caegis/streams`)).status).toBe(401)
    // The rights over streams are none over the streams' own endpoints.
    const token = await loop.daemonToken('nightly', `${loop.origin}/.default`)
    expect((await fetch(`${loop.authority}/ssf/streams`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(401)
  })

  it('what an administrator pauses is told to the receiver, who cannot start it again', async () => {
    await begin()
    const files = createReceiver(loop)
    const id = await files.create()
    expect(await steer('POST', `/caegis/streams/${id}/pause`, { reason: 'investigation' })).toMatchObject({
      ...{ status: 200, body: { id, status: 'paused', statusReason: 'investigation', statusSetByAdministrator: true } },
    })
    const { sets, caegis_head: head } = await files.poll(id)
    expect(head.status).toBe('paused')
    expect(Object.values(sets).map((set) => decodeJwt(set).events)).toEqual([
      { 'https://schemas.openid.net/secevent/ssf/event-type/stream-updated': { status: 'paused', reason: 'investigation' } },
    ])
    await files.poll(id, { ack: Object.keys(sets) })
    expect(await files.call('POST', '/status', { stream_id: id, status: 'enabled' })).toMatchObject({ status: 403, body: { error: 'status_fixed' } })
    await revoke()
    expect((await files.poll(id)).sets).toEqual({})
    expect((await steer('POST', `/caegis/streams/${id}/verify`)).status).toBe(409)
    expect((await steer('POST', `/caegis/streams/${id}/enable`)).body).toMatchObject({ status: 'enabled', statusSetByAdministrator: false })
    // What was held comes now.
    const types = (await files.drain(id)).flatMap((set) => Object.keys(decodeJwt(set).events as object))
    expect(types.map((type) => type.split('/').at(-1))).toEqual(['stream-updated', 'session-revoked'])
    expect((await steer('POST', `/caegis/streams/${id}/verify`)).status).toBe(204)
    expect(
      (await files.drain(id)).map((set) =>
        Object.keys(decodeJwt(set).events as object)[0]
          ?.split('/')
          .at(-1),
      ),
    ).toEqual(['verification'])
    for (const body of [{ reason: '' }, { reason: 'x'.repeat(257) }, { why: 'x' }])
      expect((await steer('POST', `/caegis/streams/${id}/disable`, body)).status).toBe(400)
    expect((await steer('POST', `/caegis/streams/${id}/disable`)).body).toMatchObject({ status: 'disabled' })
    expect((await steer('DELETE', `/caegis/streams/${id}`)).status).toBe(204)
    expect((await files.call('GET', `/streams?stream_id=${id}`)).status).toBe(404)
  })

  it('lists dead letters by pages and sends them once more', async () => {
    await begin({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    let status = 400
    const endpoint = await startEndpoint(loop.data, () => status)
    ends.push(endpoint.close)
    const id = await createReceiver(loop).create({ delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url } })
    for (const name of ['alice', 'bob', 'admin']) await revoke(name)
    await eventually(
      () => look('GET', `/caegis/streams/${id}`),
      ({ body }) => body.deadLetters === 3,
      'the letters',
    )
    const first = await look('GET', `/caegis/streams/${id}/deadLetters?$top=2`)
    expect(first.body.value).toMatchObject([{ reason: 'invalid_request', attempts: 1 }, {}])
    const second = await look('GET', first.body['@odata.nextLink'])
    expect(second.body.value).toHaveLength(1)
    const letters = [...first.body.value, ...second.body.value] as { id: string; seq: number }[]
    expect(letters.map(({ seq }) => seq)).toEqual([1, 2, 3])
    status = 202
    const one = letters[0]?.id as string
    expect((await steer('POST', `/caegis/streams/${id}/deadLetters/redeliver`, { ids: [one, 'unknown'] })).body).toMatchObject({
      ...{ queued: [one], refused: [{ id: 'unknown', reason: 'unknown' }] },
    })
    expect((await steer('POST', `/caegis/streams/${id}/deadLetters/redeliver`)).body.queued).toEqual(letters.slice(1).map((letter) => letter.id))
    await eventually(
      () => endpoint.pushed.length,
      (count) => count === 6,
      'the second delivery',
    )
    expect((await look('GET', `/caegis/streams/${id}/deadLetters`)).body.value).toEqual([])
    for (const body of [{ ids: [] }, { ids: Array.from({ length: 1001 }, String) }, { id: 'x' }])
      expect((await steer('POST', `/caegis/streams/${id}/deadLetters/redeliver`, body)).status).toBe(400)
  })

  it('shows the log as one receiver got it, each SET as it was sent, and when a verification arrived', async () => {
    await begin({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
    const files = createReceiver(loop)
    let status = 202
    const endpoint = await startEndpoint(loop.data, () => status)
    ends.push(endpoint.close)
    const polled = await files.create()
    const pushed = await files.create({
      delivery: { method: PUSH_METHOD, endpoint_url: endpoint.url, authorization_header: 'Bearer of-the-receiver' },
    })
    const txn = await revoke('alice')
    const acked = (id: string) =>
      eventually(
        () => look('GET', `/caegis/streams/${id}/deliveries?$filter=txn eq '${txn}' and state eq 'acked'`),
        ({ body }) => body.value[0]?.times.acked !== undefined,
        'the delivery',
      )
    const [delivery] = (await acked(pushed)).body.value
    expect(delivery).toMatchObject({ txn, type: expect.stringContaining('session-revoked'), times: { sent: { attempt: 1 }, acked: { attempt: 1 } } })
    const { status: found, body, text } = await look('GET', `/caegis/streams/${pushed}/deliveries/${delivery.seq}`)
    expect([found, body.set.claims, body.set.header]).toEqual([200, decodeJwt(endpoint.pushed[0] as string), { typ: 'secevent+jwt', alg: 'RS256' }])
    expect(text).not.toContain('of-the-receiver')
    expect((await look('GET', `/caegis/streams/${polled}/deliveries?$filter=jti eq '${delivery.jti}'`)).body.value).toEqual([])
    const [set] = await files.drain(polled)
    const other = (await acked(polled)).body.value[0]
    expect((await look('GET', `/caegis/streams/${polled}/deliveries/${other.seq}`)).body.set.claims).toEqual(decodeJwt(set as string))
    const alice = (await loop.graph('GET', '/users/alice@contoso.test').then((answer) => answer.json())) as { id: string }
    expect((await look('GET', `/caegis/streams/${polled}/deliveries?$filter=userId eq '${alice.id}'`)).body.value).toHaveLength(1)
    for (const seq of ['2', '0', 'x', '1'.repeat(20)]) expect((await look('GET', `/caegis/streams/${polled}/deliveries/${seq}`)).status).toBe(404)

    const shape = async (id: string) => (await look('GET', `/caegis/streams/${id}`)).body
    expect(await shape(pushed)).toMatchObject({ displayName: 'files-api', successRate: 1, verifiedDateTime: null })
    for (const id of [pushed, polled]) expect((await steer('POST', `/caegis/streams/${id}/verify`)).status).toBe(204)
    await eventually(
      () => shape(pushed),
      (one) => one.verifiedDateTime !== null,
      'the verification',
    )
    expect((await shape(polled)).verifiedDateTime).toBeNull()
    // What a receiver refuses is not verified.
    const asked = await files.poll(polled)
    await files.poll(polled, { setErrs: Object.fromEntries(Object.keys(asked.sets).map((jti) => [jti, { err: 'invalid_request' }])) })
    expect((await shape(polled)).verifiedDateTime).toBeNull()
    await steer('POST', `/caegis/streams/${polled}/verify`)
    await files.drain(polled)
    expect(Date.parse((await shape(polled)).verifiedDateTime)).toBeGreaterThan(0)
    status = 400
    await revoke('bob')
    await eventually(
      () => shape(pushed),
      (one) => one.successRate === 0.5,
      'the rate',
    )
  })

  it('keeps who acted on a stream in the log', async () => {
    let said = ''
    const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said += String(text)
      return true
    })
    ends.push(() => stderr.mockRestore())
    await begin({ settings: { logLevel: 'info' } })
    const id = await createReceiver(loop).create()
    await steer('POST', `/caegis/streams/${id}/pause`)
    await look('POST', `/caegis/streams/${id}/enable`)
    const admin = loop.person('admin', { scopes: [`${loop.origin}/SecurityEvents.ReadWrite.All`] })
    const token = await admin.signIn()
    const gone = await fetch(`${loop.origin}/v1.0/caegis/streams/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })
    expect(gone.status).toBe(204)
    const lines = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const facts = { tenant: loop.tenant, stream: id, receiver: 'files-api' }
    // Who was refused did nothing.
    expect(lines.filter(({ message }) => message === 'an administrator has acted on a stream')).toMatchObject([
      { ...facts, action: 'pause', by: { appId: 'nightly' } },
      { ...facts, action: 'delete', by: { appId: 'caegis-cli', user: claimsOf(token).oid } },
    ])
    expect(said).not.toContain(token)
  })
})

describe('the log in the admin API', () => {
  it('lists what was committed, newest first, by pages and by txn', async () => {
    await begin()
    const txns = [await revoke('alice'), await revoke('bob'), await revoke('alice')]
    const first = await look('GET', '/caegis/events?$top=2')
    expect(first.body.value).toMatchObject([
      { seq: 3, txn: txns[2], type: expect.stringContaining('session-revoked'), payload: { event_timestamp: expect.any(Number) } },
      { seq: 2, txn: txns[1], subject: { format: 'complex' } },
    ])
    const second = await look('GET', first.body['@odata.nextLink'])
    expect(second.body.value.map(({ seq }: { seq: number }) => seq)).toEqual([1])
    expect(second.body).not.toHaveProperty('@odata.nextLink')
    const one = await look('GET', `/caegis/events?$filter=${encodeURIComponent(`txn eq '${txns[1]}'`)}`)
    expect(one.body.value.map(({ seq }: { seq: number }) => seq)).toEqual([2])
    for (const query of ['$filter=seq eq 1', `$filter=${encodeURIComponent("txn eq 'x' or 1 eq 1")}`, '$orderby=seq', '$skiptoken=-1', 'after=1'])
      expect([query, (await look('GET', `/caegis/events?${query}`)).status]).toEqual([query, 400])
  })

  it('streams what is committed, and goes on after Last-Event-ID without a gap', async () => {
    await begin()
    await revoke('alice')
    const { epoch } = await loop.server.store.position(loop.tenant)
    const live = await listen('/caegis/events')
    expect(live.response.headers.get('content-type')).toBe('text/event-stream')
    await eventually(
      () => live.messages,
      (all) => all.length === 1,
    )
    // Whoever is cut off at once can go on from here.
    expect(live.messages).toEqual([{ id: `${epoch}:1` }])
    const txn = await revoke('bob')
    await eventually(
      () => live.messages,
      (all) => all.length === 2,
    )
    expect(live.messages[1]).toMatchObject({ id: `${epoch}:2`, event: 'event', data: { seq: 2, epoch, txn } })
    await live.close()
    for (let i = 0; i < 3; i++) await revoke('alice')
    const again = await listen('/caegis/events', { headers: { 'last-event-id': `${epoch}:2` } })
    await revoke('bob')
    await eventually(
      () => again.messages,
      (all) => all.length === 5,
    )
    expect(again.messages.slice(1).map(({ data }) => data.seq)).toEqual([3, 4, 5, 6])
    const wrong = await look('GET', '/caegis/events?$top=1')
    expect(wrong.status).toBe(200)
    for (const id of ['x', `${epoch}`, `${epoch}:-1`, `${epoch}:1:2`]) {
      const { response } = await listen('/caegis/events', { headers: { 'last-event-id': id } })
      expect([id, response.status]).toEqual([id, 400])
    }
  })

  it('says so when it cannot go on without a gap', async () => {
    await begin()
    for (let i = 0; i < 3; i++) await revoke('alice')
    const { epoch } = await loop.server.store.position(loop.tenant)
    const foreign = await listen('/caegis/events', { headers: { 'last-event-id': 'another-epoch:1' } })
    const ahead = await listen('/caegis/events', { headers: { 'last-event-id': `${epoch}:9` } })
    await loop.server.store.db.deleteFrom('events').where('seq', '<', 3).execute()
    const cut = await listen('/caegis/events', { headers: { 'last-event-id': `${epoch}:1` } })
    await revoke('bob')
    const events = (sse: typeof cut) =>
      eventually(
        () => sse.messages,
        (all) => all.at(-1)?.data?.seq === 4,
      )
    const end = { event: 'event', data: { seq: 4 } }
    expect(await events(foreign)).toMatchObject([
      {},
      { event: 'gap', data: { from: { epoch: 'another-epoch', seq: 1 }, to: { epoch, seq: 3 } } },
      end,
    ])
    expect(await events(ahead)).toMatchObject([{}, { event: 'gap', data: { from: { epoch, seq: 9 }, to: { epoch, seq: 3 } } }, end])
    expect(await events(cut)).toMatchObject([{}, { event: 'gap', id: `${epoch}:2`, data: { to: { epoch, seq: 2 } } }, { data: { seq: 3 } }, end])
  })

  it('C3: ends when the access of its token ends, or what the token was good for is taken away', async () => {
    await begin()
    const admin = loop.person('admin', { scopes: [`${loop.origin}/SecurityEvents.Read.All`] })
    const token = await admin.signIn()
    expect(claimsOf(token).scp).toContain('SecurityEvents.Read.All')
    const live = await listen('/caegis/events', { token })
    expect(live.response.status).toBe(200)
    await eventually(
      () => live.messages,
      (all) => all.length === 1,
    )
    await revoke('admin')
    await live.ended
    // The log still told of it, or not: but nothing after.
    await revoke('bob')
    expect(live.messages.filter(({ data }) => data?.seq === 2)).toEqual([])

    const daemon = await listen('/caegis/events')
    await eventually(
      () => daemon.messages,
      (all) => all.length === 1,
    )
    await loop.server.store.db.updateTable('applications').set({ permissions: '[]' }).where('app_id', '=', 'auditor').execute()
    await revoke('bob')
    await daemon.ended
    expect(daemon.messages).toHaveLength(1)
  })

  it('E9: opens a bounded number of event streams for a tenant', async () => {
    await begin()
    const token = await loop.daemonToken('auditor', `${loop.origin}/.default`)
    const open = await Promise.all(Array.from({ length: 32 }, () => listen('/caegis/events', { token })))
    expect(open.every(({ response }) => response.status === 200)).toBe(true)
    const more = await fetch(`${loop.origin}/v1.0/caegis/events`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } })
    expect(more.status).toBe(429)
    expect(more.headers.get('retry-after')).toBe('5')
    expect(await more.json()).toMatchObject({ error: { code: 'TooManyRequests' } })
    await open[0]?.close()
    await eventually(
      async () => (await listen('/caegis/events', { token })).response.status,
      (status) => status === 200,
      'a free place',
    )
  })
})

describe('the proof as an event stream', () => {
  it('tells each change until every receiver has it, and goes on for what clients and APIs do then', async () => {
    await begin()
    const files = createReceiver(loop)
    const id = await files.create()
    await loop.guard()
    const txn = await revoke()
    const proof = await listen(`/caegis/revocations/${txn}`)
    await eventually(
      () => proof.messages.at(-1)?.data?.receivers,
      (receivers) => receivers?.find((one: any) => one.guard)?.complete === true,
      'the guard',
    )
    expect(proof.state.ended).toBe(false)
    const { sets } = await files.poll(id)
    await files.poll(id, { ack: Object.keys(sets) })
    // Sooner than the next heartbeat: the acknowledgement itself wakes.
    await eventually(
      () => proof.messages.at(-1)?.data.receivers,
      (receivers) => receivers.every((one: any) => one.complete),
      'the other receiver',
    )
    expect(proof.state.ended).toBe(false)
    expect(proof.messages.every(({ event }) => event === 'proof')).toBe(true)
    expect(proof.messages.at(-1)?.data.receivers).toMatchObject([{ complete: true }, { complete: true }])
    const texts = proof.messages.map(({ data }) => JSON.stringify(data))
    expect(new Set(texts).size).toBe(texts.length)
  })

  it('may be read by who reads users or events', async () => {
    await begin()
    const txn = await revoke()
    for (const [who, status] of [
      ['nightly', 200],
      ['auditor', 200],
      ['clerk', 403],
    ] as const)
      expect([who, (await as(who)('GET', `/caegis/revocations/${txn}`)).status]).toEqual([who, status])
    expect((await listen('/caegis/revocations/unknown')).response.status).toBe(404)
    expect((await listen(`/caegis/revocations/${txn}`, { clientId: 'clerk' })).response.status).toBe(403)
  })
})

describe('the command', () => {
  const env = () => ({
    ...{ CAEGIS_DATA: loop.data, CAEGIS_ORIGIN: loop.origin, CAEGIS_TENANT: 'contoso' },
    ...{ CAEGIS_CLIENT_ID: 'nightly', CAEGIS_CLIENT_SECRET: SECRET, XDG_CONFIG_HOME: `${loop.data}/config` },
  })
  const run = (...args: string[]) => startProgram(args, { env: env() }).ended

  it('lists, pauses, starts, verifies and removes streams', async () => {
    await begin()
    const files = createReceiver(loop)
    expect(await run('stream', 'ls')).toMatchObject({ code: 0, stdout: 'There is no stream.\n', stderr: '' })
    const id = await files.create()
    const [text, json] = await Promise.all([run('stream', 'ls'), run('stream', 'ls', '--json')])
    expect(text.stdout).toMatch(new RegExp(`^ID .*\\n${id}  files-api  poll +enabled +- +- +0\\n$`))
    expect(JSON.parse(json.stdout)).toMatchObject({ streams: [{ id, appId: 'files-api' }] })
    expect(await run('stream', 'pause', id, '--reason', 'investigation')).toMatchObject({ code: 0, stdout: `${id} is paused.\n`, stderr: '' })
    expect(await files.call('POST', '/status', { stream_id: id, status: 'enabled' })).toMatchObject({ status: 403 })
    expect(await run('stream', 'verify', id)).toMatchObject({ code: 6, stdout: '', stderr: expect.stringContaining('(409 Conflict)') })
    expect(await run('stream', 'enable', id, '--json')).toMatchObject({ code: 0, stdout: `{"stream":"${id}","command":"enable"}\n` })
    expect((await run('stream', 'verify', id)).code).toBe(0)
    expect(await run('stream', 'letters', id)).toMatchObject({ code: 0, stdout: 'There is no dead letter.\n' })
    expect(await run('stream', 'redeliver', id, '--json')).toMatchObject({ code: 0, stdout: `{"stream":"${id}","queued":[],"refused":[]}\n` })
    expect((await run('stream', 'rm', id)).stdout).toBe(`${id} is deleted.\n`)
    expect(await run('stream', 'rm', id)).toMatchObject({ code: 5, stderr: expect.stringContaining('(404 Request_ResourceNotFound)') })
  })

  it('prints events as they are committed, and leaves none out when the server was away', async () => {
    const folder = temporaryFolder()
    leftovers.push(folder.remove)
    await begin({ data: folder.path })
    const { data, settings } = loop
    const tail = startProgram(['events', 'tail', '--json'], { env: env() })
    const texts = startProgram(['events', 'tail'], { env: env() })
    // Nothing says that it listens but what it prints: events are made until one is.
    const heard = { json: false, text: false }
    void tail.says('stdout', /"seq":/).then(() => (heard.json = true))
    void texts.says('stdout', /session-revoked/).then(() => (heard.text = true))
    for (let i = 0; !(heard.json && heard.text) && i < 100; i++) {
      await revoke('alice')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const before = JSON.parse(tail.stdout().split('\n')[0] as string).seq as number
    // The same data on the same port again.
    const { port } = settings
    await loop.server.close()
    await tail.says('stderr', /trying again/)
    loop = await startLoop({ tenant: SIGNALS_TENANT, data, environment: { CAEGIS_PORT: String(port) } })
    const txn = await revoke('bob')
    await tail.says('stdout', new RegExp(txn))
    await texts.says('stdout', new RegExp(`session-revoked  user=[\\w-]+  txn ${txn}\\n`))
    const seqs = tail
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).seq as number)
    expect(seqs).toEqual(seqs.map((_, i) => before + i))
    tail.signal('SIGTERM')
    texts.signal('SIGTERM')
    await Promise.all([tail.ended, texts.ended])
  })

  it('says at once when it may not, and helps', async () => {
    await begin()
    const clerk = await startProgram(['events', 'tail'], { env: { ...env(), CAEGIS_CLIENT_ID: 'clerk' } }).ended
    expect(clerk).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('(403 Authorization_RequestDenied)') })
    for (const args of [['stream'], ['stream', 'pause'], ['events', 'tail']])
      expect(await run(...args, '--help')).toMatchObject({ code: 0, stdout: expect.stringContaining(`Usage: caegis ${args.join(' ')}`) })
  })
})
