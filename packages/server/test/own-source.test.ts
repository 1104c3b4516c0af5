import { createGuard, type KeySource, type RulesPart, type Sink } from '@caegis/guard'
import { type Cutoff, cutoffPlace, EVENT, type EventType, event, packCutoffs } from '@caegis/protocol'
import { describe, expect, it, vi } from 'vitest'
import { createLog } from '../src/log.ts'
import { createOwnSource } from '../src/signals/own-source.ts'
import type { Draft } from '../src/store/change.ts'
import { createSecrets } from '../src/store/secrets.ts'
import { openStore } from './open-store.ts'

/** Milliseconds; how long it takes is no matter here. */
const PATIENT = { timeout: 15_000 }

const TENANT = 't'
const ISSUER = 'https://host.test/t/v2.0'
const SECOND = 1_700_000_000
const log = createLog('silent')

const CHANGED: Draft = {
  type: EVENT.keysChanged,
  subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: TENANT } } },
  reason: 'test',
}

async function setUp() {
  const clock = { ahead: 0 }
  const store = await openStore({ file: ':memory:', now: () => SECOND * 1000 + clock.ahead, log })
  await store.db.insertInto('tenants').values({ id: TENANT, name: 'tenant', display_name: 'T', epoch: 'e', created_at: 0 }).execute()
  const told: string[] = []
  const merged = new Map<string, Cutoff>()
  const ruled: RulesPart[] = []
  const sink: Sink = {
    merge(cutoffs) {
      for (const one of cutoffs) merged.set(cutoffPlace(one), one)
    },
    heard() {},
    synced: ({ seq }) => void (told.at(-1) !== `synced ${seq}` && told.push(`synced ${seq}`)),
    outOfSync: (reason) => void told.push(reason),
    keysChanged() {},
    rules: (parts) => void ruled.push(...parts),
    get rulesVersion() {
      return Number(ruled.findLast((part) => 'version' in part)?.version ?? 0)
    },
    count: (outcome, detail) => void told.push(detail === undefined ? outcome : `${outcome}: ${detail}`),
  }
  const source = createOwnSource({
    store,
    secrets: createSecrets('x'.repeat(32)),
    tenant: TENANT,
    issuer: ISSUER,
    api: 'https://host.test',
    horizon: 100_800,
    log,
  })
  /** Writes an event as if a change had, whatever it holds. */
  const append = async (type: EventType, payload: object, cutoffs: Cutoff[] = [], skip = 0) => {
    await store.transaction({ tenant: TENANT }, async (tx) => {
      const { seq } = await tx.selectFrom('tenants').select('seq').where('id', '=', TENANT).executeTakeFirstOrThrow()
      const at = seq + 1 + skip
      const subject = JSON.stringify({ complex: { format: 'complex', tenant: { format: 'opaque', id: TENANT } } })
      const row = { tenant: TENANT, seq: at, id: `e${at}`, txn: 'x', type, at: SECOND, subject, payload: JSON.stringify(payload) }
      await tx.insertInto('events').values(row).execute()
      for (const { issuer: _, ...one } of cutoffs)
        await tx
          .insertInto('cutoffs')
          .values({ tenant: TENANT, spares: one.depth === 'claims' ? 1 : 0, ...one })
          .execute()
      await tx.updateTable('tenants').set({ seq: at }).where('id', '=', TENANT).execute()
    })
    store.wake(TENANT)
  }
  return { store, told, merged, ruled, sink, source, append, clock }
}

const session = (id: string): Cutoff => ({ issuer: ISSUER, kind: 'session', id, t: SECOND, depth: 'access', until: SECOND + 60 })

describe('the server’s own log', () => {
  it('a list of cutoffs is merged whole', async () => {
    const { store, told, merged, sink, source, append } = await setUp()
    source.start(sink)
    await vi.waitFor(() => expect(told).toEqual(['synced 0']), PATIENT)
    const cutoffs = [...['s1', 's2'].map(session), { ...session('s1'), depth: 'claims' as const }]
    await append(EVENT.cutoffs, event(EVENT.cutoffs, { cutoffs: packCutoffs(cutoffs)[0] ?? [] }).payload)
    await vi.waitFor(() => expect(told).toEqual(['synced 0', 'applied', 'synced 1']), PATIENT)
    expect([...merged.values()]).toEqual(cutoffs)
    await source.close()
    await store.close()
  })

  it('D5: location rules are in force before the position of the event that told of them is applied', async () => {
    const { store, told, ruled, sink, source, append } = await setUp()
    const load = sink.rules
    source.start(sink)
    await vi.waitFor(() => expect(told).toEqual(['synced 0']), PATIENT)
    expect(ruled).toMatchObject([{ version: 0, since: 0 }])
    let tries = 0
    sink.rules = (parts) => {
      if (++tries < 3) throw new Error('cannot be read')
      told.push('rules')
      load(parts)
    }
    await store.db.updateTable('tenants').set({ policies_version: 4 }).where('id', '=', TENANT).execute()
    await append(EVENT.locationRulesChanged, {})
    await vi.waitFor(() => expect(told).toContain('synced 1'), PATIENT)
    expect(told).toEqual(['synced 0', 'none', 'none', 'none', 'rules', 'synced 1'])
    expect(ruled).toMatchObject([{ version: 0 }, { version: 4 }])
    await source.close()
    await store.close()
  })

  it('a log that ends before its head: out of sync, until the live cutoffs are read', async () => {
    const { store, told, sink, source } = await setUp()
    source.start(sink)
    await vi.waitFor(() => expect(told).toEqual(['synced 0']), PATIENT)
    await store.db.updateTable('tenants').set({ seq: 1 }).where('id', '=', TENANT).execute()
    store.wake(TENANT)
    await vi.waitFor(() => expect(told).toEqual(['synced 0', 'the log has a hole', 'synced 1']), PATIENT)
    await source.close()
    await store.close()
  })

  it.each([
    ['a list of cutoffs that cannot be read', { cutoffs: [['session']] }, 0, ['unmappable: malformed cutoffs', 'malformed cutoffs']],
    ['a hole in the log', {}, 1, ['the log has a hole']],
  ])('%s: out of sync, until the live cutoffs are read', async (_, payload, skip, reasons) => {
    const { store, told, merged, sink, source, append } = await setUp()
    source.start(sink)
    await vi.waitFor(() => expect(told).toEqual(['synced 0']), PATIENT)
    await append(EVENT.cutoffs, payload, [session('s1')], skip)
    await vi.waitFor(() => expect(told).toEqual(['synced 0', ...reasons, `synced ${1 + skip}`]), PATIENT)
    expect([...merged.values()]).toEqual([session('s1')])
    await source.close()
    await store.close()
  })

  it.each(['is behind', 'has other events at the same positions', 'has another last event'])(
    'B5: a log that %s while the server runs gets a new epoch',
    async (what) => {
      const { store, told, merged, sink, source, append } = await setUp()
      source.start(sink)
      await vi.waitFor(() => expect(told).toEqual(['synced 0']), PATIENT)
      const write = (id: string) =>
        append(EVENT.cutoffs, event(EVENT.cutoffs, { cutoffs: packCutoffs([session(id)])[0] ?? [] }).payload, [session(id)])
      await write('s1')
      await write('s2')
      await vi.waitFor(() => expect(told).toContain('synced 2'), PATIENT)
      const epoch = async () => (await store.position(TENANT)).epoch
      expect(await epoch()).toBe('e')
      await store.db.deleteFrom('events').where('seq', '=', 2).execute()
      if (what === 'is behind') {
        await store.db.updateTable('tenants').set({ seq: 1 }).where('id', '=', TENANT).execute()
        store.wake(TENANT)
      } else {
        await store.db.updateTable('events').set({ seq: 2, id: 'another' }).where('seq', '=', 1).execute()
        if (what.includes('positions')) await write('s3')
        else store.wake(TENANT)
      }
      await expect.poll(epoch, PATIENT).not.toBe('e')
      const { seq } = await store.position(TENANT)
      await vi.waitFor(() => expect(told.at(-1)).toBe(`synced ${seq}`), PATIENT)
      // Merged, never replaced: what it knew of the lost events it still knows.
      expect([...merged.keys()]).toEqual(expect.arrayContaining([cutoffPlace(session('s1')), cutoffPlace(session('s2'))]))
      await write('s4')
      await vi.waitFor(() => expect(told.at(-1)).toBe(`synced ${seq + 1}`), PATIENT)
      expect(merged.has(cutoffPlace(session('s4')))).toBe(true)
      await source.close()
      await store.close()
    },
  )

  it('B1: a clock that was ahead and is set right makes it begin anew: it would look old for as long as the clock was ahead', async () => {
    const { store, told, sink, source, append, clock } = await setUp()
    source.start(sink)
    await vi.waitFor(() => expect(told).toEqual(['synced 0']), PATIENT)
    clock.ahead = 3600_000
    await append(EVENT.keysChanged, {})
    await vi.waitFor(() => expect(told.at(-1)).toBe('synced 1'), PATIENT)
    clock.ahead = 0
    store.wake(TENANT)
    await vi.waitFor(() => expect(told.slice(-2)).toEqual(['the clock was set back', 'synced 1']), PATIENT)
    await source.close()
    await store.close()
  })

  it('B5: nobody waits for a position of the log of before, and those who wait for the next one wait', async () => {
    const { store, append } = await setUp()
    await append(EVENT.keysChanged, {})
    const { seq, epoch } = await store.position(TENANT)
    await store.commit({ tenant: TENANT, actor: { kind: 'system', reason: 'test' }, edit: async ({ publish }) => publish(CHANGED) })
    expect((await store.position(TENANT)).seq).toBe(seq + 1)
    // As another database has it, which takes over.
    await store.db.deleteFrom('events').where('seq', '>', seq).execute()
    await store.db.updateTable('tenants').set({ seq }).where('id', '=', TENANT).execute()
    await store.renewEpoch(TENANT, epoch)
    expect((await store.position(TENANT)).seq).toBe(seq)
    const end = new AbortController()
    let ended = false
    const waited = store.wait(TENANT, seq, end.signal).then(() => {
      ended = true
    })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(ended).toBe(false)
    await store.commit({ tenant: TENANT, actor: { kind: 'system', reason: 'test' }, edit: async ({ publish }) => publish(CHANGED) })
    await waited
    await store.close()
  })

  it('B5: a guard follows it into a new epoch, whoever began that: its positions count again, and nobody waits for them', async () => {
    const { store, source, append } = await setUp()
    const keys: KeySource = { ready: async () => {}, find: () => [], learn: () => undefined, changed: async () => {}, close() {} }
    const guard = createGuard({ issuer: ISSUER, audience: 'https://host.test', clientId: 'caegis', source, keys, now: () => SECOND * 1000 })
    await guard.ready()
    const at = async () => ({ inSync: true, reason: undefined, head: { ...(await store.position(TENANT)), asOf: expect.any(Number) } })
    for (const round of [1, 2]) {
      await append(EVENT.cutoffs, event(EVENT.cutoffs, { cutoffs: packCutoffs([session(`s${round}`)])[0] ?? [] }).payload, [session(`s${round}`)])
      expect(await store.renewEpoch(TENANT, (await store.position(TENANT)).epoch)).toBe(true)
      await append(EVENT.keysChanged, {})
      await vi.waitFor(async () => expect(guard.status()).toMatchObject(await at()), PATIENT)
      expect(guard.status().cutoffs).toBe(round)
    }
    await guard.close()
    await store.close()
  })
})
