import { createGuard, type Guard } from '@caegis/guard'
import { decodeJwt } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { createFlow } from './flow.ts'
import { eventually, type Loop, SECRET, startLoop, verdictOf } from './loop.ts'
import { createReceiver, SIGNALS_TENANT } from './signals-tenant.ts'

const HOUR = 3600_000
const DAY = 24 * HOUR
const CP1 = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'

let loop: Loop
/** Milliseconds that the clock of server and guards is ahead. */
let ahead = 0
const now = () => Date.now() + ahead
const guards: Guard[] = []
afterEach(async () => {
  for (const guard of guards.splice(0)) await guard.close()
  await loop?.close()
  ahead = 0
})

const begin = async (options: Parameters<typeof startLoop>[0] = {}) => {
  loop = await startLoop({ tenant: SIGNALS_TENANT, now, ...options })
  return loop
}
const revoke = async (name = 'alice') => {
  const answer = await loop.graph('POST', `/users/${name}@contoso.test/revokeSignInSessions`)
  expect(answer.status).toBe(200)
  return answer.headers.get('caegis-txn') as string
}
const db = () => loop.server.store.db
const seqs = async () => (await db().selectFrom('events').select('seq').orderBy('seq').execute()).map(({ seq }) => seq)
const typesOf = (sets: string[]) =>
  sets.flatMap((set) => Object.entries(decodeJwt(set).events as object)).map(([type, payload]) => [type.split('/').at(-1), payload])
const statusOf = async (id: string) => (await createReceiver(loop).call('GET', `/status?stream_id=${id}`)).body

describe('B9: the log ends where its retention does', () => {
  it('a stream that still needs what goes ends visibly, whoever has it goes on, and positions stay contiguous', async () => {
    await begin()
    const files = createReceiver(loop)
    const [slow, quick, other] = [await files.create(), await files.create(), await files.create({ events_requested: [] })]
    expect((await files.call('POST', '/status', { stream_id: slow, status: 'paused' })).status).toBe(200)
    const old = await revoke('alice')
    await revoke('bob')
    await files.drain(quick)
    ahead = 6 * DAY
    await loop.server.tidy()
    expect(await seqs()).toEqual([1, 2])
    ahead = 7 * DAY + HOUR
    const young = await revoke('alice')
    await loop.server.tidy()
    expect(await seqs()).toEqual([3])
    expect((await db().selectFrom('deliveries').select('seq').where('seq', '<', 3).execute()).length).toBe(0)
    expect((await loop.graph('GET', `/caegis/revocations/${old}`)).status).toBe(404)
    expect((await loop.graph('GET', `/caegis/revocations/${young}`)).status).toBe(200)

    expect(await statusOf(slow)).toMatchObject({ status: 'disabled', reason: 'lagging' })
    expect(await statusOf(quick)).toMatchObject({ status: 'enabled' })
    // What is not for a stream keeps nothing from going.
    expect(await statusOf(other)).toMatchObject({ status: 'enabled' })
    // It is told, and gets nothing of what came after a hole.
    expect(typesOf(await files.drain(slow))).toEqual([['stream-updated', { status: 'disabled', reason: 'lagging' }]])
    expect(typesOf(await files.drain(quick)).map(([type]) => type)).toEqual(['session-revoked'])
    // Its receiver knows that it has missed something, and may start anew.
    expect((await files.call('POST', '/status', { stream_id: slow, status: 'enabled' })).status).toBe(200)
    await revoke('bob')
    expect(typesOf(await files.drain(slow)).map(([type]) => type)).toEqual(['session-revoked'])
    expect(await seqs()).toEqual([3, 4])
    expect((await loop.server.store.position(loop.tenant)).seq).toBe(4)
  })

  it('a guard that slept past it loads a snapshot, and denies what it must', async () => {
    await begin()
    let asleep = false
    const guard = createGuard({
      ...{ issuer: loop.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET, now },
      fetch: (input, init) => (asleep && !String(input).includes('/discovery/') ? Promise.reject(new TypeError('asleep')) : fetch(input, init)),
    })
    guards.push(guard)
    await guard.ready()
    const stream = async () => (await db().selectFrom('streams').select('id').executeTakeFirst())?.id
    const first = await stream()
    // The poll that is held ends with this one; nothing is heard after it.
    asleep = true
    await revoke('bob')
    await revoke('bob')
    ahead = 7 * DAY + (HOUR * 5) / 6
    const { accessToken } = await createFlow(loop).tokens({ claims: CP1 })
    await revoke('alice')
    ahead = 7 * DAY + HOUR
    await loop.server.tidy()
    expect((await seqs())[0]).toBeGreaterThan(2)
    expect(await stream()).not.toBe(first)
    asleep = false
    await eventually(
      () => guard.status(),
      ({ inSync, head }) => inSync && head?.seq === 3,
      'the resync',
    )
    expect(await stream()).toEqual(expect.any(String))
    expect(await verdictOf(guard, accessToken)).toMatchObject({ allowed: false, code: 'revoked' })
    const fresh = await createFlow(loop).tokens({ claims: CP1 })
    expect(await verdictOf(guard, fresh.accessToken)).toMatchObject({ allowed: true })
    await revoke('alice')
    await eventually(
      () => verdictOf(guard, fresh.accessToken),
      ({ allowed }) => !allowed,
    )
  })

  it('dead letters go with the events that they were of', async () => {
    await begin()
    const files = createReceiver(loop)
    const id = await files.create()
    await revoke('alice')
    ahead = 4 * DAY
    await revoke('bob')
    const { sets } = await files.poll(id)
    await files.poll(id, { setErrs: Object.fromEntries(Object.keys(sets).map((jti) => [jti, { err: 'invalid_request', description: '' }])) })
    const letters = async () =>
      (await loop.graph('GET', `/caegis/streams/${id}/deadLetters`)).json() as Promise<{ value: { seq: number; id: string }[] }>
    const before = (await letters()).value
    expect(before.map(({ seq }) => seq)).toEqual([1, 2])
    ahead = 8 * DAY
    await loop.server.tidy()
    expect((await letters()).value.map(({ seq }) => seq)).toEqual([2])
    const result = await (await loop.graph('POST', `/caegis/streams/${id}/deadLetters/redeliver`, { ids: before.map((one) => one.id) })).json()
    expect(result).toMatchObject({ queued: [before[1]?.id], refused: [{ id: before[0]?.id, reason: 'unknown' }] })
  })

  it('many rows go in batches, and none that is young', async () => {
    await begin()
    const at = Math.floor(now() / 1000) - 8 * 24 * 3600
    const rows = Array.from({ length: 1203 }, (_, i) => ({
      ...{ tenant: loop.tenant, seq: i + 1, id: `old-${i}`, txn: 't', type: 'urn:x', at, payload: '{}' },
      subject: JSON.stringify({ complex: { format: 'complex' } }),
    }))
    for (let i = 0; i < rows.length; i += 100)
      await db()
        .insertInto('events')
        .values(rows.slice(i, i + 100))
        .execute()
    await db().updateTable('tenants').set({ seq: rows.length }).where('id', '=', loop.tenant).execute()
    await revoke('alice')
    await Promise.all([loop.server.tidy(), loop.server.tidy()])
    expect(await seqs()).toEqual([1204])
  })

  it('quotas: streams of a receiver, and how far one may be behind', async () => {
    await begin()
    const files = createReceiver(loop)
    const made = await Promise.all(Array.from({ length: 64 }, () => files.create()))
    expect(await files.call('POST', '/streams', { delivery: { method: 'urn:ietf:rfc:8936' } })).toMatchObject({
      ...{ status: 403, body: { error: 'too_many_streams' } },
    })
    // Another receiver's quota is its own.
    expect(await createReceiver(loop, 'mail-api').create()).toEqual(expect.any(String))
    const [id] = made as [string]
    await db()
      .updateTable('streams')
      .set({ progress: JSON.stringify({ acked: -1_000_001, ackedAhead: [], seenAt: now() / 1000 }) })
      .where('id', '=', id)
      .execute()
    await loop.server.tidy()
    expect(await statusOf(id)).toMatchObject({ status: 'disabled', reason: 'lagging' })
    expect(await statusOf(made[1] as string)).toMatchObject({ status: 'enabled' })
  })

  it('a receiver cannot start what an administrator has stopped, also after it fell behind', async () => {
    await begin()
    const files = createReceiver(loop)
    const id = await files.create()
    await loop.graph('POST', `/caegis/streams/${id}/pause`)
    await revoke('alice')
    ahead = 8 * DAY
    await loop.server.tidy()
    expect(await statusOf(id)).toMatchObject({ status: 'disabled', reason: 'lagging' })
    expect((await files.call('POST', '/status', { stream_id: id, status: 'enabled' })).status).toBe(403)
  })
})

describe('the form of the implementer’s draft', () => {
  it.each([
    ['off', '1_0', false],
    ['on', '1_0-ID2', true],
  ] as const)('is spoken when it is asked for: %s', async (word, version, both) => {
    await begin({ environment: { CAEGIS_SSF_LEGACY_DRAFT: word } })
    const metadata = await (await fetch(`${loop.origin}/.well-known/ssf-configuration/contoso/v2.0`)).json()
    expect(metadata).toMatchObject({ spec_version: version })
    const files = createReceiver(loop)
    const id = await files.create()
    await revoke('alice')
    const [set] = await files.drain(id)
    const { sub_id, events } = decodeJwt(set as string) as { sub_id: object; events: Record<string, { subject?: object }> }
    expect(Object.values(events)[0]?.subject).toEqual(both ? sub_id : undefined)
  })
})
