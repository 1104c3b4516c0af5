import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EVENT, type EventPayload } from '@caegis/protocol'
import { type DeliveryRecord, POLL_METHOD, type StreamRecord } from '@caegis/ssf/transmitter'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Admitted } from '../src/graph/caller.ts'
import { watch } from '../src/graph/revocations.ts'
import { signInRecord } from '../src/logs/sign-in.ts'
import { createSignIns, type SignIns } from '../src/logs/sign-ins.ts'
import { createDeliveries, type Deliveries } from '../src/signals/deliveries.ts'
import { createDeliveryList } from '../src/signals/delivery-list.ts'
import { createStreamStore } from '../src/signals/stream-store.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const TENANT = 'tenant-1'
const ISSUER = 'https://id.test/contoso/v2.0'
const REVOKER = { kind: 'system', reason: 'test' } as const
const HOUR = 3_600_000

let data: string
let store: Store
let now: number
let deliveries: Deliveries
let streams: ReturnType<typeof createStreamStore>
let signIns: SignIns
const log = { debug() {}, info() {}, warn() {}, error() {} }

const streamOf = (id: string, more: Partial<StreamRecord> = {}): StreamRecord => ({
  ...{ id, receiver: 'files-api', aud: 'api://files', delivery: { method: POLL_METHOD }, subjects: 'complex', alg: 'ES256', guard: true },
  ...{ eventsDelivered: [], status: 'enabled', createdAt: 1, start: { epoch: 'e', seq: 0 }, acked: 0, ackedAhead: [] },
  ...more,
})
interface Published {
  user?: string
  type?: (typeof EVENT)[keyof typeof EVENT]
  payload?: EventPayload
}
/** One change with so many events. @returns its txn */
const publish = async (...events: Published[]) => {
  const { txn } = await store.commit({
    tenant: TENANT,
    actor: REVOKER,
    async edit({ publish: queue }) {
      for (const { user = 'u', type = EVENT.sessionRevoked, payload = {} } of events) {
        const who = { format: 'iss_sub', iss: ISSUER, sub: user } as const
        queue({ type, payload, subject: { simple: who, complex: { format: 'complex', user: who } }, reason: 'test' })
      }
    },
  })
  return txn
}
const record = async (...records: [stream: string, seq: number, state: DeliveryRecord['state'], more?: Partial<DeliveryRecord>][]) => {
  deliveries.record(records.map(([stream, seq, state, more]) => ({ stream, seq, jti: `x.${stream}`, state, at: now / 1000, attempt: 1, ...more })))
  await store.flush()
}

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), 'caegis-test-'))
  now = 1_800_000_000_000
  store = await openStore({ file: join(data, 'caegis.db'), now: () => now, log })
  await store.db.insertInto('tenants').values({ id: TENANT, name: 'contoso', display_name: 'Contoso', epoch: 'e', created_at: 1 }).execute()
  deliveries = createDeliveries(store, TENANT, (limit) => streams.firstStreams(limit))
  streams = createStreamStore(store, createSecrets('x'.repeat(32)), TENANT, ISSUER, deliveries.record, 100_800)
  signIns = createSignIns(store, TENANT)
})
afterEach(async () => {
  await store.close()
  rmSync(data, { recursive: true, force: true })
})

describe('the proof of a change', () => {
  it('tells of so many receivers and no more, and how many it leaves out', async () => {
    const txn = await publish({})
    const rows = Array.from({ length: 1203 }, (_, i) => streamOf(`s${String(i).padStart(4, '0')}`))
    for (const one of rows) await streams.createStream(one)
    await record(['s0999', 1, 'applied'], ['s1000', 1, 'applied'])
    const proof = await deliveries.proof(txn)
    expect(proof).toMatchObject({ txn, last: 1, events: [{ seq: 1 }], receiversLeftOut: 203 })
    expect(proof?.receivers.map(({ streamId }) => streamId)).toEqual(rows.slice(0, 1000).map(({ id }) => id))
    expect(proof?.receivers.filter(({ applied }) => applied).map(({ streamId }) => streamId)).toEqual(['s0999'])
    await streams.deleteStream('s0000')
    expect((await deliveries.proof(txn))?.receiversLeftOut).toBe(202)
  })

  it('finds the first refusal of each receiver at whatever event of the change it was', async () => {
    await publish({})
    const txn = await publish({ user: 'a' }, { user: 'b' }, { user: 'c' })
    await publish({})
    for (const id of ['one', 'two']) await streams.createStream(streamOf(id))
    const at = now / 1000
    await record(['one', 1, 'refused'], ['one', 3, 'refused', { at: at + 2 }], ['one', 2, 'refused', { at: at + 3 }], ['two', 5, 'refused'])
    const proof = await deliveries.proof(txn)
    expect(proof).toMatchObject({ last: 4, events: [{ seq: 2 }, { seq: 3 }, { seq: 4 }] })
    expect(proof?.receivers.map(({ streamId, refused }) => [streamId, refused?.at])).toEqual([
      ['one', new Date(now + 2000).toISOString()],
      ['two', undefined],
    ])
  })

  it('names a hundred events of a change of thousands', async () => {
    const txn = await publish(...Array.from({ length: 250 }, () => ({})))
    expect(await deliveries.proof(txn)).toMatchObject({ last: 250, events: { length: 100 } })
  })

  const told = async (options: object) => {
    await streams.createStream(streamOf('one'))
    const txn = await publish({ user: 'alice' })
    const caller = {
      tenant: {
        ...{ id: TENANT, name: 'contoso', signIns, audits: { first: async () => undefined }, devices: { find: async () => undefined } },
        ...{ directory: { user: async () => undefined }, application: async () => ({ enabled: true, permissions: ['graph/.default'] }) },
      },
      signals: {
        deliveries: { ...deliveries, proof: (of: string) => deliveries.proof(of).finally(() => looks.count++) },
        inspection: {
          applicationNames: async () => new Map([['files-api', 'Files']]),
          events: async () => streams.events(0, 100),
        },
      },
      claims: { idtyp: 'app', roles: ['AuditLog.Read.All'], azp: 'a', iat: 1 },
    } as unknown as Admitted
    const gone = new AbortController()
    const looks = { count: 0 }
    const reading = watch(caller, txn, 1, options)(gone.signal, () => gone.signal)[Symbol.asyncIterator]()
    const next = async () => (await reading.next()).value?.[0]?.data as any
    return { next, looks, end: () => gone.abort() }
  }

  it('goes on after its end: first refusals and new sign-ins wake it, those of others do not', async () => {
    const { next, looks, end } = await told({ gap: 0 })
    expect(await next()).toMatchObject({
      ...{ subject: { kind: 'user', id: 'alice' }, refusals: [], answers: [] },
      receivers: [{ complete: false, displayName: 'Files' }],
    })
    const applied = next()
    await streams.saveProgress('one', { applied: { epoch: 'e', seq: 1, asOf: now / 1000 } })
    await record(['one', 1, 'applied'])
    expect(await applied).toMatchObject({ receivers: [{ complete: true }] })
    const refused = next()
    const app = { id: 'browser', object: 'o', name: 'Browser', type: 'spa' }
    const signIn = (user: string, code: number) =>
      signInRecord(now / 1000, {
        ...{ kind: 'interactiveUser', code, grant: 'code', correlation: 'c', address: '', app, user: { id: user, name: user } },
        policies: { status: 'failure', applied: [{ id: 'p', displayName: 'P', result: 'failure' } as never], lifetimes: [] },
      })
    now += 9000
    const [heard, before] = [signIns.changed('all', new AbortController().signal), looks.count]
    await store.transaction({ tenant: TENANT }, (tx) => signIns.insert(tx, signIn('bob', 0)))
    await heard
    // Whoever was woken would look now.
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(looks.count).toBe(before)
    await record(['one', 1, 'refused', { at: now / 1000 }])
    expect((await refused).refusals).toMatchObject([{ streamId: 'one', displayName: 'Files', milliseconds: 9000 }])
    const answered = next()
    now += 1000
    await store.transaction({ tenant: TENANT }, (tx) => signIns.insert(tx, signIn('alice', 53003)))
    expect((await answered).answers).toMatchObject([
      { milliseconds: 10_000, outcome: 'blocked', application: { id: 'browser', displayName: 'Browser' }, policies: [{ id: 'p', displayName: 'P' }] },
    ])
    end()
  })

  it('ends some time after every receiver has it', async () => {
    const { next } = await told({ gap: 0, goesOn: 0 })
    await next()
    const applied = next()
    await streams.saveProgress('one', { applied: { epoch: 'e', seq: 1, asOf: now / 1000 } })
    await record(['one', 1, 'applied'])
    await applied
    expect(await next()).toBeUndefined()
  })
})

describe('the log as one receiver gets it', () => {
  const list = (stream: StreamRecord, page: object = {}) => createDeliveryList(store, TENANT, ISSUER, false).list(stream, { limit: 100, ...page })
  const states = async (stream: StreamRecord, page: object = {}) => (await list(stream, page)).value.map(({ row, state }) => [row.seq, state])

  it('says of each event what became of it', async () => {
    await publish(...Array.from({ length: 10 }, () => ({})), { type: EVENT.accountEnabled })
    const of = streamOf('one', { guard: false, eventsDelivered: [EVENT.sessionRevoked], start: { epoch: 'e', seq: 1 }, acked: 2, ackedAhead: [4] })
    const at = now / 1000
    await record(
      ...(
        [
          [3, 'sent'],
          [3, 'acked'],
          [5, 'sent'],
          [6, 'sent'],
        ] as const
      ).map(([seq, state]) => ['one', seq, state] as [string, number, typeof state]),
      ['one', 6, 'failed', { at: at + 1, reason: 'http_503' }],
      ['one', 7, 'sent'],
      ['one', 7, 'dead', { reason: 'invalid_request' }],
      // Redelivered: on its way, and arrived.
      ['one', 8, 'dead'],
      ['one', 8, 'sent', { at: at + 1 }],
      ['one', 9, 'dead'],
      ['one', 9, 'sent', { at: at + 1 }],
      ['one', 9, 'acked', { at: at + 2 }],
      ['two', 10, 'acked'],
    )
    expect(await states(of)).toEqual([
      [11, 'notSent'],
      [10, 'pending'],
      [9, 'acked'],
      [8, 'sent'],
      [7, 'dead'],
      [6, 'pending'],
      [5, 'sent'],
      [4, 'acked'],
      [3, 'acked'],
      [2, 'acked'],
    ])
    expect((await list(of, { state: 'pending' })).value[1]?.times).toMatchObject({ failed: { attempt: 1, reason: 'http_503' } })
    const guard = streamOf('guard', { applied: { epoch: 'e', seq: 10, asOf: 1 }, acked: 10 })
    await record(['guard', 9, 'applied'], ['guard', 9, 'refused'])
    expect(await states(guard, { before: 12, limit: 3 })).toEqual([
      [11, 'pending'],
      [10, 'applied'],
      [9, 'refused'],
    ])
    // Another incarnation of the log: its positions are not these.
    expect(await states(streamOf('old', { start: { epoch: 'x', seq: 5 }, applied: { epoch: 'x', seq: 11, asOf: 1 } }), { before: 2 })).toEqual([
      [1, 'pending'],
    ])
  })

  it('is searched by user, type, change, name and state, page after page', async () => {
    const txn = await publish({ user: 'ann' }, { user: 'bob' })
    await publish({ user: 'ann', type: EVENT.accountDisabled })
    await publish({ type: EVENT.cutoffs, payload: { cutoffs: [['user', 'ann', 1, 'access', 2]] } })
    const of = streamOf('one')
    await record(['one', 2, 'applied'])
    expect(await states(of, { userId: 'ann' })).toEqual([
      [4, 'pending'],
      [3, 'pending'],
      [1, 'pending'],
    ])
    expect(await states(of, { userId: 'an' })).toEqual([])
    expect(await states(of, { userId: 'x\'"%' })).toEqual([])
    expect(await states(of, { type: EVENT.accountDisabled })).toEqual([[3, 'pending']])
    expect(await states(of, { txn })).toEqual([
      [2, 'applied'],
      [1, 'pending'],
    ])
    expect(await states(of, { txn, state: 'applied' })).toEqual([[2, 'applied']])
    const { value, next } = await list(of, { limit: 2 })
    expect(value).toHaveLength(2)
    expect((await list(of, { before: next })).value.map(({ row }) => row.seq)).toEqual([2, 1])
    const [last] = value
    expect(await states(of, { jti: last?.jti })).toEqual([[4, 'pending']])
    for (const jti of ['x', 'x.one', `${last?.row.id}.two`]) expect(await states(of, { jti })).toEqual([])
  })

  it('looks at so many rows a page, and goes on behind them', async () => {
    await publish({ user: 'rare' })
    for (let i = 0; i < 11; i++) await publish(...Array.from({ length: 1000 }, () => ({})))
    const of = streamOf('one')
    const first = await list(of, { userId: 'rare' })
    expect(first).toEqual({ value: [], next: 1002 })
    expect(await states(of, { userId: 'rare', before: first.next })).toEqual([[1, 'pending']])
    const byState = await list(of, { state: 'dead' })
    expect(byState.value).toEqual([])
    expect(byState.next).toBeGreaterThan(0)
  })

  it('says what the SET said, the same however often it is asked', async () => {
    await publish({ user: 'ann' }, { type: EVENT.accountEnabled })
    const { find } = createDeliveryList(store, TENANT, ISSUER, false)
    const of = streamOf('one', { guard: false, subjects: 'simple', eventsDelivered: [EVENT.sessionRevoked] })
    const found = await find(of, 1)
    expect(found).toMatchObject({
      state: 'pending',
      set: {
        header: { typ: 'secevent+jwt', alg: 'ES256' },
        claims: {
          iss: ISSUER,
          jti: found?.jti,
          aud: 'api://files',
          sub_id: { format: 'iss_sub', sub: 'ann' },
          events: { [EVENT.sessionRevoked]: {} },
        },
      },
    })
    expect(await find(of, 1)).toEqual(found)
    expect(await find(of, 2)).toMatchObject({ state: 'notSent', set: undefined })
    for (const seq of [0, 3]) expect(await find(of, seq)).toBeUndefined()
  })
})

describe('how well deliveries go', () => {
  it('is counted by the hour for a day, by the word that the receiver gives', async () => {
    const rates = async () =>
      Object.fromEntries(await deliveries.successRates([streamOf('guard'), streamOf('push', { guard: false }), streamOf('quiet')]))
    expect(await rates()).toEqual({})
    await record(
      ['guard', 1, 'acked'],
      ['guard', 1, 'applied'],
      ['guard', 2, 'sent'],
      ['push', 1, 'acked'],
      ['push', 2, 'acked'],
      ['push', 3, 'acked'],
    )
    now += HOUR
    await record(['push', 4, 'failed'], ['push', 4, 'dead', { reason: 'gave up: http_503' }], ['push', 5, 'sent'])
    expect(await rates()).toEqual({ guard: 1, push: 0.75 })
    await record(['push', 5, 'dead', { reason: 'invalid_request' }])
    expect((await rates()).push).toBe(0.6)
    now += 23 * HOUR
    expect(await rates()).toEqual({ push: 0 })
    await streams.deleteStream('push')
    expect(await rates()).toEqual({})
  })
})
