import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { decodeJwt } from 'jose'
import { describe, expect, it, vi } from 'vitest'
import { claimsOf, eventually } from './loop.ts'
import { createReceiver, startEndpoint } from './signals-tenant.ts'
import { signalsWorld } from './signals-world.ts'

const { begin, as, steer, look, revoke, ends } = signalsWorld()

describe('streams in the admin API', () => {
  it('shows how far each stream is, and never what the receiver keeps secret', async () => {
    const loop = await begin({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
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
    const loop = await begin()
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
    const loop = await begin()
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
    const loop = await begin()
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
    const loop = await begin({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
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
    const loop = await begin({ environment: { CAEGIS_DIAL_ALLOW: 'localhost' } })
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
    const loop = await begin({ settings: { logLevel: 'info' } })
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
