import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EVENT } from '@caegis/protocol'
import type { ControlRow, DeliveryRecord, StreamRecord } from '@caegis/ssf/transmitter'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDeliveries } from '../src/signals/deliveries.ts'
import { createStreamStore, liveCutoffs } from '../src/signals/stream-store.ts'
import { createLoader } from '../src/store/loader.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const TENANT = 'tenant-1'
const ISSUER = 'https://id.test/contoso/v2.0'
const POLL = 'urn:ietf:rfc:8936'
const PUSH = 'urn:ietf:rfc:8935'
const REVOKER = { kind: 'system', reason: 'test' } as const

let data: string
let store: Store
let now: number
let logged: string[]
const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void logged.push(message) }

const open = () => openStore({ file: join(data, 'caegis.db'), now: () => now, log })
const streamsOf = (of: Store) => createStreamStore(of, createSecrets('x'.repeat(32)), TENANT, ISSUER, () => {}, 100_800)
const streamOf = (id: string, more: Partial<StreamRecord> = {}): StreamRecord => ({
  ...{ id, receiver: 'files-api', aud: 'api://files', delivery: { method: POLL }, subjects: 'complex', alg: 'ES256', guard: true },
  ...{ eventsDelivered: [], status: 'enabled', createdAt: 1, start: { epoch: 'e', seq: 0 }, acked: 0, ackedAhead: [] },
  ...more,
})
const publish = (count = 1) =>
  store.commit({
    tenant: TENANT,
    actor: REVOKER,
    async edit({ publish: queue }) {
      const user = { format: 'opaque', id: 'u' } as const
      for (let i = 0; i < count; i++) queue({ type: EVENT.sessionRevoked, subject: { complex: { format: 'complex', user } }, reason: 'test' })
    },
  })
const stored = async (id: string) => {
  const row = await store.db.selectFrom('streams').select('progress').where('id', '=', id).executeTakeFirst()
  return row && JSON.parse(row.progress)
}

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
  now = 1_800_000_000_000
  logged = []
  store = await open()
  await store.db.insertInto('tenants').values({ id: TENANT, name: 'contoso', display_name: 'Contoso', epoch: 'e', created_at: 1 }).execute()
})
afterEach(async () => {
  await store.close()
  rmSync(data, { recursive: true, force: true })
})

describe('how far a stream has come', () => {
  it('stays known here where what wrote it was taken back and given up', async () => {
    let job: Promise<void> | undefined
    const soon: Store['soon'] = (work) => {
      job = store
        .transaction({ name: 'progress' }, async (tx) => {
          await work(tx)
          throw new Error('taken back')
        })
        .catch(() => {})
      return job
    }
    const streams = streamsOf({ ...store, soon })
    await publish()
    await streams.createStream(streamOf('s'))
    await streams.saveProgress('s', { acked: 1 }, 'e')
    await job
    await new Promise((resolve) => setImmediate(resolve))
    expect(await stored('s')).toMatchObject({ acked: 0 })
    expect(await streams.getStream('s')).toMatchObject({ acked: 1 })
    await streams.saveProgress('s', { seenAt: 5 }, 'e')
    expect(await streams.getStream('s')).toMatchObject({ acked: 1, seenAt: 5 })
  })

  const logAt = (seq: number) => store.db.updateTable('tenants').set({ seq }).where('id', '=', TENANT).execute()
  beforeEach(() => logAt(300))

  it('B10(d): what several servers know of it is put together, and nothing goes back', async () => {
    const [a, b] = [streamsOf(store), streamsOf(store)]
    await a.createStream(streamOf('one'))
    await a.saveProgress('one', { acked: 7, ackedAhead: [9, 12], seenAt: 20, applied: { epoch: 'e', seq: 7, asOf: 40 }, confirmedAt: 8 }, 'e')
    await b.saveProgress(
      'one',
      { acked: 5, ackedAhead: [6, 11], seenAt: 30, applied: { epoch: 'e', seq: 5, asOf: 35 }, hydrated: { epoch: 'e', at: 3 } },
      'e',
    )
    await store.flush()
    const sum = {
      acked: 7,
      ackedAhead: [9, 11, 12],
      seenAt: 30,
      applied: { epoch: 'e', seq: 7, asOf: 40 },
      confirmedAt: 8,
      hydrated: { epoch: 'e', at: 3 },
    }
    expect(await stored('one')).toEqual(sum)
    for (const one of [a, b]) expect(await one.getStream('one')).toMatchObject(sum)
    await b.saveProgress('one', { acked: 11, ackedAhead: [12], applied: { epoch: 'e', seq: 5, asOf: 35 } }, 'e')
    await store.flush()
    // The half of the one and the half of the other are a whole.
    expect(await a.getStream('one')).toMatchObject({ acked: 12, ackedAhead: [], applied: sum.applied })
  })

  it('B5: what was acknowledged in a log that had gone further is not written into the one that took over', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    await streams.saveProgress('one', { acked: 290, ackedAhead: [295], seenAt: 9 }, 'e')
    await logAt(200)
    await store.flush()
    expect(await stored('one')).toMatchObject({ acked: 0, ackedAhead: [], seenAt: 9 })
    // It has passed that position again, with other events, by the time that somebody noticed.
    await streams.saveProgress('one', { acked: 199 }, 'e')
    await logAt(300)
    expect(await store.renewEpoch(TENANT, 'e')).toBe(true)
    const { epoch } = await streams.head()
    expect((await streams.getStream('one'))?.acked).toBe(0)
    await streams.saveProgress('one', { acked: 150 }, 'e')
    await streams.saveProgress('one', { acked: 3 }, epoch)
    await streams.saveProgress('one', { acked: 250, seenAt: 10 }, 'e')
    expect(await streams.getStream('one')).toMatchObject({ acked: 3, seenAt: 10 })
    await store.flush()
    expect(await stored('one')).toMatchObject({ acked: 3, seenAt: 10 })
  })

  it('is known at once by every reading, and written a moment later', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    await streams.saveProgress('one', { acked: 7, ackedAhead: [9], seenAt: 5 })
    expect(await stored('one')).toMatchObject({ acked: 0 })
    for (const found of [await streams.getStream('one'), (await streams.listStreams('files-api'))[0], (await streams.allStreams())[0]]) {
      expect(found).toMatchObject({ acked: 7, ackedAhead: [9], seenAt: 5 })
    }
    await streams.updateStream('one', (stream) => {
      expect(stream.acked).toBe(7)
      return { config: { description: 'changed' } }
    })
    await store.flush()
    expect(await stored('one')).toMatchObject({ acked: 7, ackedAhead: [9] })
    expect(await streams.getStream('one')).toMatchObject({ acked: 7, description: 'changed' })
  })

  it('I3: what was acknowledged stays so, in whatever order it is said or written', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    await streams.saveProgress('one', { acked: 7 })
    await streams.saveProgress('one', { acked: 5, seenAt: 1 })
    await store.flush()
    await streams.saveProgress('one', { acked: 6 })
    expect((await streams.getStream('one'))?.acked).toBe(7)
    await streams.updateStream('one', () => ({ progress: { acked: 3 } }))
    await store.flush()
    expect(await stored('one')).toMatchObject({ acked: 7, seenAt: 1 })
  })

  it('is written when the store closes, many streams at once', async () => {
    const ids = Array.from({ length: 230 }, (_, i) => `s-${i}`)
    for (const id of ids) await streamsOf(store).createStream(streamOf(id))
    const streams = streamsOf(store)
    await Promise.all(ids.map((id, i) => streams.saveProgress(id, { acked: i + 1 })))
    await store.close()
    store = await open()
    const again = new Map((await streamsOf(store).allStreams()).map((stream) => [stream.id, stream.acked]))
    expect(again).toEqual(new Map(ids.map((id, i) => [id, i + 1])))
  })

  it('is not forgotten when it moves while an earlier word is being written', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    await streams.saveProgress('one', { acked: 1 })
    const meanwhile = store.soon(async () => {
      await streams.saveProgress('one', { acked: 2 })
      // Long enough that the later word goes into another transaction.
      for (const end = performance.now() + 50; performance.now() < end; );
    })
    await store.flush()
    await meanwhile
    expect((await streams.getStream('one'))?.acked).toBe(2)
    await store.flush()
    expect(await stored('one')).toMatchObject({ acked: 2 })
  })

  it('I5: is durable before it returns when it says that a snapshot was loaded', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    await streams.saveProgress('one', { hydrated: { epoch: 'e', at: 3 } })
    expect(await stored('one')).toMatchObject({ hydrated: { epoch: 'e', at: 3 } })
  })

  it('does not bring a deleted stream back', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    await streams.saveProgress('one', { acked: 1 })
    await streams.deleteStream('one')
    await streams.saveProgress('one', { acked: 2 })
    await store.flush()
    expect(await streams.getStream('one')).toBeUndefined()
    expect(await streams.allStreams()).toEqual([])
  })
})

describe('writing behind', () => {
  it('what fails takes nothing else with it, and is told in the log', async () => {
    const insert = (id: string) => store.soon((tx) => tx.insertInto('members').values({ tenant: TENANT, group_id: 'g', user_id: id }).execute())
    const all = [insert('a'), store.soon(() => Promise.reject(new Error('broken'))), insert('b')]
    await Promise.all(all)
    const rows = await store.db.selectFrom('members').select('user_id').orderBy('user_id').execute()
    expect(rows.map((row) => row.user_id)).toEqual(['a', 'b'])
    expect(logged).toEqual(['what was put off could not be written'])
  })

  it('lets a change of the directory in between', async () => {
    const order: string[] = []
    const late = Array.from({ length: 200 }, (_, i) =>
      store.soon(async (tx) => {
        await tx
          .insertInto('members')
          .values({ tenant: TENANT, group_id: 'g', user_id: String(i) })
          .execute()
        for (const end = performance.now() + 1; performance.now() < end; );
        order.push('late')
      }),
    )
    const flushed = store.flush()
    const change = publish().then(() => order.push('change'))
    await Promise.all([...late, flushed, change])
    expect(order.indexOf('change')).toBeLessThan(order.lastIndexOf('late'))
  })
})

describe('deliveries', () => {
  const record = (more: Partial<DeliveryRecord>): DeliveryRecord => ({
    stream: 'one',
    seq: 1,
    jti: 'j',
    txn: 't',
    state: 'sent',
    at: 1,
    attempt: 1,
    ...more,
  })

  it('keep the first time of what a receiver did, and the last word of everything else, within one batch and over several', async () => {
    const deliveries = createDeliveries(store, TENANT, async () => [])
    deliveries.record([record({ attempt: 1 }), record({ state: 'acked', at: 5 }), record({ attempt: 2, at: 2 }), record({ state: 'acked', at: 6 })])
    await store.flush()
    deliveries.record([record({ attempt: 3, at: 3 }), record({ state: 'acked', at: 7 }), record({ stream: 'two' })])
    await deliveries.close()
    const rows = await store.db.selectFrom('deliveries').select(['stream', 'state', 'at', 'attempt']).orderBy('stream').orderBy('state').execute()
    expect(rows).toEqual([
      { stream: 'one', state: 'acked', at: 5, attempt: 1 },
      { stream: 'one', state: 'sent', at: 3, attempt: 3 },
      { stream: 'two', state: 'sent', at: 1, attempt: 1 },
    ])
  })

  it('are all there, however many come at once', async () => {
    const deliveries = createDeliveries(store, TENANT, async () => [])
    deliveries.record(Array.from({ length: 1234 }, (_, i) => record({ stream: `s-${i}` })))
    await deliveries.close()
    const { count } = await store.db
      .selectFrom('deliveries')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    expect(count).toBe(1234)
  })
})

describe('reading together', () => {
  it('a thousand who ask at once get their own answers', async () => {
    const streams = streamsOf(store)
    const ids = Array.from({ length: 1000 }, (_, i) => `s-${i}`)
    for (const id of ids) await streams.createStream(streamOf(id))
    await streams.addControl('s-17', { id: 'c', type: EVENT.verification, at: 1, payload: {} })
    const found = await Promise.all([...ids, 'nobody'].map((id) => streams.getStream(id)))
    expect(found.map((stream) => stream?.id)).toEqual([...ids, undefined])
    const controls = await Promise.all(ids.map((id) => streams.listControls(id)))
    expect(controls.map((list) => list.length)).toEqual(ids.map((id) => (id === 's-17' ? 1 : 0)))
    await publish(5)
    const pages = await Promise.all([0, 2, 5, 0, 3].map((after, i) => streams.events(after, i === 3 ? 2 : 10)))
    expect(pages.map((page) => page.map((row) => row.seq))).toEqual([[1, 2, 3, 4, 5], [3, 4, 5], [], [1, 2], [4, 5]])
  })

  it('I4: a question is never answered by a read that had begun before it, and no query names too many', async () => {
    const queries: { keys: string[]; answer: () => void }[] = []
    const load = createLoader(
      (keys) => new Promise<Map<string, string>>((resolve) => queries.push({ keys, answer: () => resolve(new Map(keys.map((key) => [key, key]))) })),
    )
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const first = [load('a'), load('b'), load('a')]
    await turn()
    const second = load('a')
    await turn()
    expect(queries.map(({ keys }) => [...new Set(keys)])).toEqual([['a', 'b'], ['a']])
    for (const { answer } of queries) answer()
    expect(await Promise.all([...first, second])).toEqual(['a', 'b', 'a', 'a'])
    const names = Array.from({ length: 1500 }, (_, i) => String(i))
    const many = Promise.all(names.map((name) => load(name)))
    await turn()
    const late = queries.splice(2)
    expect(Math.max(...late.map(({ keys }) => keys.length))).toBe(512)
    for (const { answer } of late) answer()
    expect(await many).toEqual(names)
  })

  it('finds the push streams among the others, whatever these call themselves', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('poll', { description: `"method":"${PUSH}"` }))
    await streams.createStream(
      streamOf('push', { guard: false, delivery: { method: PUSH, endpointUrl: 'https://r.test/', authorizationHeader: 'secret' } }),
    )
    expect((await streams.allStreams(PUSH)).map((stream) => stream.id)).toEqual(['push'])
    expect((await streams.allStreams(PUSH))[0]?.delivery.authorizationHeader).toBe('secret')
    expect((await streams.allStreams()).length).toBe(2)
  })
})

describe('control events', () => {
  it('come in the order in which they were queued, of the same second too, and as they were', async () => {
    const streams = streamsOf(store)
    await streams.createStream(streamOf('one'))
    const control = (id: string, more: Partial<ControlRow> = {}): ControlRow => ({
      id,
      type: EVENT.verification,
      at: 1_800_000_000,
      payload: {},
      ...more,
    })
    for (const id of ['z', 'm', 'a']) {
      now += 1
      await streams.addControl('one', control(id, { payload: { state: id } }))
    }
    expect(await streams.listControls('one')).toEqual(['z', 'm', 'a'].map((id) => control(id, { payload: { state: id } })))
    now += 1
    await streams.updateStream('one', () => ({ control: control('u', { type: EVENT.streamUpdated }) }))
    expect((await streams.listControls('one')).map((one) => one.id)).toEqual(['z', 'm', 'a', 'u'])
    await streams.updateStream('one', () => ({ control: control('b', { type: EVENT.streamUpdated }), replaces: EVENT.streamUpdated }))
    await streams.removeControls('one', ['m'])
    expect((await streams.listControls('one')).map((one) => one.id)).toEqual(['z', 'a', 'b'])
  })
})

describe('a stream that is deleted', () => {
  const letter = { id: 'l', seq: 1, at: 1, attempts: 1, reason: 'http 400' }
  const left = async () => {
    const of = (table: 'controls' | 'dead_letters') => store.db.selectFrom(table).select(['stream', 'id']).execute()
    return [...(await of('controls')), ...(await of('dead_letters'))]
  }
  const begin = async () => {
    const [one, other] = [streamsOf(store), streamsOf(store)]
    await one.createStream(streamOf('s'))
    const add = () =>
      Promise.all([other.addControl('s', { id: 'c', type: EVENT.verification, at: 1, payload: {} }), other.addDeadLetters('s', [letter])])
    return { one, add }
  }

  it('gets nothing more from another server, and what it had is replaced as long as it is there', async () => {
    const { one, add } = await begin()
    await add()
    await add()
    expect(await left()).toEqual([
      { stream: 's', id: 'c' },
      { stream: 's', id: 'l' },
    ])
    expect(await one.listDeadLetters('s')).toEqual([letter])
    await one.deleteStream('s')
    await add()
    expect(await left()).toEqual([])
  })

  it('gets nothing while that happens either', async () => {
    const { add } = await begin()
    const end = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const removal = store.transaction({ name: `stream ${TENANT} s` }, async (tx) => {
      await tx.deleteFrom('streams').where('id', '=', 's').execute()
      begun.resolve()
      await end.promise
    })
    await begun.promise
    const added = add()
    await Promise.race([added, new Promise((resolve) => setTimeout(resolve, 300))])
    end.resolve()
    await Promise.all([removal, added])
    expect(await left()).toEqual([])
  })
})

describe('rows', () => {
  it('have the column that was added after the statement was first used', async () => {
    await store.db.insertInto('members').values({ tenant: TENANT, group_id: 'g', user_id: 'u' }).execute()
    const all = () => store.db.selectFrom('members').selectAll().execute()
    expect(await all()).toEqual([{ tenant: TENANT, group_id: 'g', user_id: 'u' }])
    await sql`alter table members add column later text default 'x'`.execute(store.db)
    expect(await all()).toEqual([{ tenant: TENANT, group_id: 'g', user_id: 'u', later: 'x' }])
  })
})

describe('waiting for the log', () => {
  it('ends when it has moved, when somebody is woken, and when the caller has gone; all at once for a thousand', async () => {
    const streams = streamsOf(store)
    const gone = new AbortController()
    const still = new AbortController()
    const woken = Array.from({ length: 1000 }, () => streams.wait(0, still.signal))
    await publish()
    await Promise.all(woken)
    await streams.wait(0, still.signal)
    const waiting = streams.wait(1, gone.signal)
    gone.abort()
    await waiting
    const called = streams.wait(1, still.signal)
    store.wake(TENANT)
    await called
    // PostgreSQL calls whoever told it as well, a moment later: to be woken for nothing costs a look.
    if (store.engine === 'embedded')
      expect(await Promise.race([streams.wait(1, still.signal), new Promise((resolve) => setTimeout(resolve, 50, 'waits'))])).toBe('waits')
    still.abort()
  })
})

describe('the live cutoffs', () => {
  it('are all there, each once, over many pages and several kinds; those that are over are not', async () => {
    const rows = [...Array(2500).keys()].map((i) => ({
      ...{ tenant: TENANT, kind: ['app', 'session', 'user'][i % 3] as string, id: `id-${(i * 7919) % 2500}`, t: 1, depth: 'access' as const },
      until: i % 10 === 0 ? 1 : now / 1000 + 100,
    }))
    for (let i = 0; i < rows.length; i += 500)
      await store.db
        .insertInto('cutoffs')
        .values(rows.slice(i, i + 500))
        .execute()
    // What would break a row that is put together carelessly.
    await store.db
      .insertInto('cutoffs')
      .values({ ...(rows[1] as (typeof rows)[number]), id: 'a"],["\n\u2028é["' })
      .execute()
    const found: string[] = []
    for await (const batch of liveCutoffs(store, TENANT, ISSUER)) found.push(...batch.map(({ kind, id }) => `${kind} ${id}`))
    const wanted = rows.filter(({ until }) => until > 1).map(({ kind, id }) => `${kind} ${id}`)
    expect(found.length).toBe(wanted.length + 1)
    expect(new Set(found)).toEqual(new Set([...wanted, 'session a"],["\n\u2028é["']))

    // A9: beside each its like that spares tokens, whichever side of a page's end they fall on.
    for (let i = 0; i < rows.length; i += 500) {
      await store.db
        .insertInto('cutoffs')
        .values(rows.slice(i, i + 500).map((row) => ({ ...row, depth: 'claims' as const, spares: 1 as const })))
        .execute()
    }
    const read: unknown[] = []
    for await (const batch of streamsOf(store).cutoffs()) read.push(...batch.map(({ kind, id, t, depth, until }) => [kind, id, t, depth, until]))
    expect(read.length).toBe(found.length + wanted.length)
    expect(new Set(read.map((row) => JSON.stringify(row))).size).toBe(read.length)
  })
})
