import type { JsonObject } from '@caegis/protocol'
import type { StreamRecord } from '@caegis/ssf/transmitter'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import { allEvaluate } from '../src/signals/routes.ts'
import { ruleParts } from '../src/signals/rules.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const TENANT = 't'
const NOW = 1_700_000_000
const HORIZON = 100_800
const secrets = createSecrets('x'.repeat(32))
let store: Store
beforeEach(async () => {
  store = await openStore({ file: ':memory:', now: () => NOW * 1000, log: createLog('silent') })
  for (const id of [TENANT, 'other']) {
    const row = { id, name: id, display_name: 'T', epoch: 'e', created_at: 0, policies_version: 5 }
    await store.db.insertInto('tenants').values(row).execute()
  }
})
afterEach(() => store.close())

const read = async (since = 0, api = 'files-api') => {
  const parts: JsonObject[] = []
  for await (const part of ruleParts(store, secrets, { tenant: TENANT, api, since, horizon: HORIZON })) parts.push(part)
  return parts
}
const policy = (id: string, { state = 'enabled', conditions = {}, tenant = TENANT, ...more }: Record<string, any> = {}) =>
  store.db
    .insertInto('policies')
    .values({
      ...{ tenant, id, name: id, state, version: 1, created_at: 0 },
      body: JSON.stringify({
        ...{ id, displayName: id, state, grantControls: { operator: 'OR', builtInControls: ['block'] } },
        conditions: { users: { includeUsers: ['All'] }, applications: { includeApplications: ['All'] }, clientAppTypes: ['all'], ...conditions },
      }),
      ...more,
    })
    .execute()
const location = (id: string, version: number, more: object = {}) =>
  store.db
    .insertInto('locations')
    .values({ tenant: TENANT, id, name: id, kind: 'ip', trusted: 0, body: '{}', ranges: '', version, created_at: 0, ...more })
    .execute()
const outside = (...ids: string[]) => ({ locations: { includeLocations: ['All'], excludeLocations: ids } })

describe('location rules as guards get them', () => {
  it('D5: a policy whose location decides is a rule; whatever is not enforced any more is passed, for as long as a token may name it', async () => {
    await policy('office-only', { conditions: outside('office') })
    await policy('anywhere')
    await policy('disabled', { state: 'disabled', conditions: outside('office') })
    await policy('report-only', { state: 'enabledForReportingButNotEnforced', conditions: outside('office') })
    await policy('deleted', { conditions: outside('office'), deleted_at: NOW - HORIZON })
    await policy('long-gone', { conditions: outside('office'), deleted_at: NOW - HORIZON - 61 })
    await policy('of-others', { tenant: 'other', conditions: outside('office') })
    const [first, second, ...rest] = await read()
    expect(first).toMatchObject({ version: 5, since: 0 })
    expect(second).toEqual({
      policies: [
        { id: 'anywhere', pass: true },
        { id: 'deleted', pass: true },
        { id: 'disabled', pass: true },
        { id: 'office-only', include: ['All'], exclude: ['office'] },
        { id: 'report-only', pass: true },
      ],
    })
    expect(rest).toEqual([])
  })

  it('locations: those that changed since a version, and the names of the others; all of them where that is not known', async () => {
    const countries = { countriesAndRegions: ['DE', 'FR'], includeUnknownCountriesAndRegions: true }
    await location('a', 2, { ranges: '192.0.2.0/24\n2001:db8::/32', trusted: 1 })
    await location('b', 4, { kind: 'country', body: JSON.stringify(countries) })
    await location('c', 3, { deleted_at: NOW })
    const a = [{ location: { id: 'a', kind: 'ip', trusted: true } }, { ranges: ['192.0.2.0/24', '2001:db8::/32'] }]
    const b = { location: { id: 'b', kind: 'country', trusted: false, countries: ['DE', 'FR'], includeUnknown: true } }
    expect((await read()).slice(1)).toEqual([...a, b])
    expect((await read(3)).slice(1)).toEqual([{ kept: ['a'] }, b])
    expect((await read(5)).slice(1)).toEqual([{ kept: ['a', 'b'] }])
    // The guard knows a later version than there is: the database was restored.
    expect(await read(6)).toEqual([{ version: 5, since: 0, evidence: expect.any(String) }, ...a, b])
  })

  it('D2: each API of each tenant has a key of its own', async () => {
    const keys = [await read(), await read(0, 'mail-api')].map(([first]) => first?.evidence)
    expect(Buffer.from(String(keys[0]), 'base64url')).toHaveLength(32)
    expect(keys[0]).not.toBe(keys[1])
  })

  it('very many ranges come in portions that fit into one line each', { timeout: 120_000 }, async () => {
    // `CAEGIS_RANGES=1000000` tries as many as there may be.
    const ranges = Array.from(
      { length: Number(process.env.CAEGIS_RANGES ?? 100_000) },
      (_, i) => `2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::/64`,
    )
    await location('large', 1, { ranges: ranges.join('\n') })
    const parts = (await read()).slice(2) as { ranges: string[] }[]
    expect(Math.max(...parts.map((part) => JSON.stringify(part).length))).toBeLessThan(300_000)
    expect(parts.flatMap((part) => part.ranges)).toEqual(ranges)
  })

  it('D4: left to the guards of an API is only what all of them evaluate', () => {
    const stream = (evaluates?: ('ip' | 'country')[], guard = true) => ({ guard, ...(evaluates && { evaluates }) }) as StreamRecord
    const both = (...streams: StreamRecord[]) => [allEvaluate(streams, 'ip'), allEvaluate(streams, 'country')]
    expect(both(stream(['ip', 'country']), stream(['country', 'ip']))).toEqual([true, true])
    expect(both(stream(['ip', 'country']), stream(['ip']))).toEqual([true, false])
    expect(both(stream(['ip', 'country']), stream())).toEqual([false, false])
    expect(both(stream(['ip']), stream(undefined, false))).toEqual([true, false])
  })
})
