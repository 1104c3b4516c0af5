import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLocations } from '../src/directory/locations.ts'
import { createPolicies } from '../src/directory/policies.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const ADMIN = { kind: 'system', reason: 'test' } as const
const log = { debug() {}, info() {}, warn() {}, error() {} }

let store: Store
beforeAll(async () => {
  store = await openStore({ file: ':memory:', now: Date.now, log })
  for (const id of ['one', 'two'])
    await store.db
      .insertInto('tenants')
      .values({ id, name: id, display_name: id, epoch: 'e', created_at: 1, issuer: `https://id.test/${id}` })
      .execute()
})
afterAll(() => store.close())

/** `CAEGIS_RANGES=1000000` tries as many as there may be. */
const RANGES = Number(process.env.CAEGIS_RANGES ?? 100_000)

describe('a named location', () => {
  it('of very many ranges is stored, listed without them, and read back', { timeout: 120_000 }, async () => {
    const locations = createLocations(store, 'one')
    const ranges = Array.from({ length: RANGES }, (_, at) => `${10 + (at >> 18)}.${(at >> 10) & 255}.${(at >> 2) & 255}.${(at & 3) << 6}/26`)
    const { result: id } = await locations.create(ADMIN, { displayName: 'Everywhere', ipRanges: ranges })
    const { value } = await locations.list.page({ limit: 10 })
    expect(value).toMatchObject([{ id, json: { displayName: 'Everywhere' } }])
    expect(JSON.stringify(value).length).toBeLessThan(500)
    // A new name does not touch them.
    await locations.update(ADMIN, id, { displayName: 'Almost everywhere' })
    const found = await locations.find(id)
    expect(found?.ranges?.join() === ranges.join()).toBe(true)
    expect((await store.db.selectFrom('audits').select('record').execute()).every(({ record }) => record.length < 2000)).toBe(true)
    await expect(locations.update(ADMIN, id, { ipRanges: new Array(1_000_001).fill('192.0.2.1') })).rejects.toMatchObject({
      code: 'invalid_location',
    })
    await locations.remove(ADMIN, id)
    // The row stays, and of its ranges nothing.
    const row = store.db.selectFrom('locations').select(['ranges', 'deleted_at']).where('id', '=', id)
    expect(await row.executeTakeFirst()).toEqual({ ranges: '', deleted_at: expect.any(Number) })
  })

  it('is looked at by those who trust it, or name it, and the living are decided again for no other', async () => {
    const [locations, policies] = [createLocations(store, 'two'), createPolicies(store, 'two')]
    const until = Math.floor(store.clock()) + 3600
    const decision = { user_id: 'u', sid: 's', app_id: 'a', resource: 'r', device_id: null, capable: 1, version: 0, signals: '{}', fingerprint: '' }
    await store.db
      .insertInto('decisions')
      .values({ tenant: 'two', id: 'd', tokens_until: until, outcome: 'allow', ...decision })
      .execute()
    const jobs = async () => (await store.db.selectFrom('reevaluations').select('id').where('tenant', '=', 'two').execute()).length
    const place = (displayName: string, isTrusted: boolean) => locations.create(ADMIN, { displayName, isTrusted, ipRanges: ['192.0.2.0/24'] })
    const { result: named } = await place('named', false)
    const { result: other } = await place('other', false)
    const rule = {
      ...{ displayName: 'rule', state: 'enabled', grantControls: { operator: 'OR', builtInControls: ['mfa'] } },
      conditions: {
        ...{ users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] } },
        locations: { includeLocations: ['All'], excludeLocations: [named] },
      },
    }
    expect(await jobs()).toBe(0)
    const { result: id } = await policies.create(ADMIN, rule)
    const step = async (work: () => Promise<unknown>) => {
      const before = await jobs()
      await work()
      return (await jobs()) - before
    }
    const moved = { ipRanges: ['198.51.100.0/24'] }
    expect(await step(() => locations.update(ADMIN, named, moved))).toBe(1)
    expect(await step(() => locations.update(ADMIN, named, { displayName: 'still named' }))).toBe(0)
    expect(await step(() => locations.update(ADMIN, other, moved))).toBe(0)
    expect(await step(() => locations.update(ADMIN, other, { isTrusted: true }))).toBe(0)
    expect(
      await step(() => policies.update(ADMIN, id, { conditions: { locations: { includeLocations: ['All'], excludeLocations: ['AllTrusted'] } } })),
    ).toBe(1)
    expect(await step(() => locations.update(ADMIN, other, { ipRanges: ['203.0.113.0/24'] }))).toBe(1)
    expect(await step(() => locations.update(ADMIN, other, { isTrusted: false }))).toBe(1)
    expect(await step(() => place('new', false))).toBe(0)
    expect(await step(() => place('new and trusted', true))).toBe(1)
    expect(await step(() => policies.update(ADMIN, id, { state: 'enabledForReportingButNotEnforced' }))).toBe(1)
    expect(await step(() => place('newer and trusted', true))).toBe(0)
  })
})
