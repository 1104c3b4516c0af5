import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StreamRecord } from '@caegis/ssf/transmitter'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { signInRecord } from '../src/logs/sign-in.ts'
import { createSignIns } from '../src/logs/sign-ins.ts'
import { createHops } from '../src/signals/hops.ts'
import { createInspection } from '../src/signals/inspection.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const NOW = 1_800_000_000
let folder: string
let store: Store
let streams: StreamRecord[]
let seq = 0

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'caegis-hops-'))
  store = await openStore({ file: join(folder, 'db'), now: () => NOW * 1000, log: quiet })
  await store.db
    .insertInto('tenants')
    .values({ id: 't', name: 't', display_name: 'T', epoch: 'e', created_at: 0 } as never)
    .execute()
  streams = []
  seq = 0
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const look = async () => {
  const { countDeadLetters, committedAt } = createInspection(store, 't')
  const hops = createHops({
    ...{ store, tenant: 't', countDeadLetters, committedAt, maxStaleness: 30 },
    lanes: async () => [],
    streams: { head: async () => ({ epoch: 'e', seq, asOf: NOW + 0.25 }), allStreams: async () => streams },
  })
  const found = await hops.look()
  return Object.fromEntries(found.hops.map((hop) => [hop.hop, hop]))
}
/** An event that was committed so many seconds ago, and milliseconds until each thing came of it. */
const event = async (ago: number, times: Partial<Record<'sent' | 'acked' | 'applied' | 'refused', number>>, { ms = 0, user = 'alice' } = {}) => {
  seq++
  const at = NOW - ago
  const subject = { complex: { format: 'complex', user: { format: 'iss_sub', iss: 'i', sub: user } } }
  await store.db
    .insertInto('events')
    .values({
      tenant: 't',
      seq,
      id: `e${seq}`,
      txn: `x${seq}`,
      type: 'y',
      at,
      ms,
      subject: JSON.stringify(subject),
      payload: '{}',
      origin: null,
      user_id: subject.complex.user.sub,
    })
    .execute()
  for (const [state, after] of Object.entries(times))
    await store.db
      .insertInto('deliveries')
      .values({ tenant: 't', stream: 's1', seq, state, jti: `j${seq}`, txn: `x${seq}`, at: at + (ms + after) / 1000, attempt: 1, reason: null })
      .execute()
}

describe('the hops of the loop', () => {
  it('count from the millisecond of the commit, and leave out what is older than the window', async () => {
    await event(7200, { sent: 60_000, acked: 60_000, applied: 60_000, refused: 60_000 })
    for (let i = 1; i <= 20; i++)
      await event(100 - i, { sent: i, acked: 10 * i, applied: 20 * i, ...(i <= 2 ? { refused: 100 * i } : {}) }, { ms: 900 })
    const hops = await look()
    expect(hops.change).toMatchObject({ count: 20, p50Milliseconds: null })
    expect(hops.log).toMatchObject({ state: 'ok', count: 20, p50Milliseconds: 10, p95Milliseconds: 19 })
    expect(hops.streams).toMatchObject({ count: 20, p50Milliseconds: 100, p95Milliseconds: 190 })
    expect(hops.guards).toMatchObject({ count: 20, p50Milliseconds: 200, p95Milliseconds: 380 })
    expect(hops.refusals).toMatchObject({ count: 2, p50Milliseconds: 100, p95Milliseconds: 200 })
  })

  it('call slow what most revocations wait for too long', async () => {
    for (let i = 0; i < 10; i++) await event(50, { sent: 1500, applied: 1800 })
    const hops = await look()
    expect([hops.log?.state, hops.guards?.state, hops.refusals?.state]).toEqual(['slow', 'ok', 'idle'])
  })

  it('E9: look at a bounded number of events, the newest', async () => {
    await event(60, { sent: 99_000 })
    for (let i = 0; i < 1000; i++) await event(50, i === 0 ? { sent: 7 } : {})
    expect((await look()).log).toMatchObject({ count: 1000, p50Milliseconds: 7, p95Milliseconds: 7 })
  })

  it('follow who was refused to the next token, and to no denial', async () => {
    const signIns = createSignIns(store, 't')
    const signIn = (user: string, ago: number, code: number) =>
      store.transaction({ tenant: 't' }, (tx) =>
        signIns.insert(
          tx,
          signInRecord(NOW - ago, {
            ...{ kind: 'nonInteractiveUser', code, grant: 'refresh_token', correlation: 'c', address: '' },
            user: { id: user, name: user },
          }),
        ),
      )
    await event(100, { refused: 0 })
    await event(100, { refused: 0 }, { user: 'bob' })
    await signIn('alice', 101, 0)
    await signIn('alice', 99, 50173)
    await signIn('alice', 98, 0)
    await signIn('alice', 97, 0)
    await signIn('bob', 99, 50173)
    expect((await look()).signIns).toMatchObject({ state: 'ok', count: 1, backlog: 1, p50Milliseconds: 2000, detail: { followed: 2 } })
  })

  it('tell silence from being behind, and give who has just come the time to load', async () => {
    await event(50, {})
    const guard = (id: string, more: Partial<StreamRecord>) =>
      ({
        ...{ id, receiver: 'files-api', guard: true, status: 'enabled', createdAt: NOW - 500, acked: 1, start: { epoch: 'e', seq: 0 } },
        ...more,
      }) as StreamRecord
    const fresh = { hydrated: { epoch: 'e', at: 1 }, applied: { epoch: 'e', seq: 1, asOf: NOW - 10 }, seenAt: NOW - 10 }
    streams = [
      guard('live', fresh),
      guard('new', { createdAt: NOW - 5 }),
      guard('silent', { ...fresh, applied: { epoch: 'e', seq: 1, asOf: NOW - 40 }, seenAt: NOW - 40 }),
      guard('behind', { ...fresh, applied: { epoch: 'e', seq: 0, asOf: NOW - 50 } }),
      guard('paused', { status: 'paused' }),
      guard('siem', { guard: false, acked: 0, receiver: 'siem' }),
      guard('cut', { guard: false, status: 'disabled', statusReason: 'lagging' }),
      guard('given up', { guard: false, status: 'paused', statusReason: 'delivery fails: http 503' }),
      guard('stopped', { guard: false, status: 'paused', statusReason: 'delivery fails: known', statusFixed: true }),
      guard('stopped itself', { guard: false, status: 'paused', statusReason: 'maintenance' }),
    ]
    await store.db.insertInto('dead_letters').values({ tenant: 't', stream: 'siem', id: 'l', seq: 1, letter: '{}' }).execute()
    const { guards, streams: receivers } = await look()
    expect(guards).toMatchObject({ state: 'stale', backlog: 1, detail: { guards: 4, live: 1, problemsTotal: 2 } })
    expect(guards).toMatchObject({
      detail: {
        problems: [
          { streamId: 'silent', problem: 'silent', displayName: 'files-api' },
          { streamId: 'behind', problem: 'lagging' },
        ],
      },
    })
    expect(receivers).toMatchObject({
      state: 'stale',
      detail: {
        problems: [
          { streamId: 'siem', problem: 'deadLetters', count: 1 },
          { streamId: 'cut', problem: 'lagging' },
          { streamId: 'given up', problem: 'failing' },
        ],
      },
    })
    expect(receivers?.detail).toMatchObject({ streams: 10, enabled: 5, paused: 4, disabled: 1 })
  })
})
