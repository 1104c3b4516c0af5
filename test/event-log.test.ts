import { describe, expect, it } from 'vitest'
import { claimsOf, eventually } from './loop.ts'
import { signalsWorld } from './signals-world.ts'

const { begin, look, revoke, listen } = signalsWorld()

describe('the log of events in the admin API', () => {
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
    const loop = await begin()
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
    const loop = await begin()
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
    const loop = await begin()
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
    const loop = await begin()
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
