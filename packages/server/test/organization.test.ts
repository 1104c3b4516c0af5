import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OPEN } from '../src/access/admission.ts'
import { chooseLifetime, HORIZON, LIFETIMES, lifetimesOf } from '../src/access/lifetime.ts'
import { applyTenantFile } from '../src/directory/apply.ts'
import { createDirectory, type Directory } from '../src/directory/directory.ts'
import { organizationPatch, type TokenLifetimes } from '../src/directory/organization.ts'
import { createProvisioning } from '../src/directory/provisioning.ts'
import { parseTenantFile } from '../src/directory/tenant-file.ts'
import { startHousekeeping } from '../src/housekeeping.ts'
import { createAttempt, runAttempt } from '../src/issuer/attempt.ts'
import { readTenant } from '../src/issuer/facts.ts'
import { passFence } from '../src/issuer/fence.ts'
import type { Tenant } from '../src/issuer/tenant.ts'
import { createLog } from '../src/log.ts'
import { createAudits } from '../src/logs/audits.ts'
import { createInspection } from '../src/signals/inspection.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import type { TenantRooms } from '../src/tenants.ts'
import { openStore } from './open-store.ts'

const ISSUER = 'https://id.example/contoso/v2.0'
const BY = { kind: 'system', reason: 'test' } as const
const DAY = 24 * 3600
const log = createLog('silent')
const USERS = ['alice', 'bob'].map((name) => ({ userPrincipalName: `${name}@x.test`, displayName: name }))
const APPS = [
  { appId: 'hr', type: 'daemon', clientSecret: 'x'.repeat(20), permissions: ['graph/SCIM.ReadWrite.All'] },
  { appId: 'former-hr', type: 'daemon', clientSecret: 'x'.repeat(20) },
  { appId: 'other', type: 'daemon', clientSecret: 'x'.repeat(20), permissions: ['graph/.default'] },
]

let now = 0
let store: Store
let tenant: string
let directory: Directory
const apply = (more: object, rest: object = { users: USERS, applications: APPS }) =>
  applyTenantFile(
    store,
    createSecrets('x'.repeat(32)),
    parseTenantFile(JSON.stringify({ tenant: { name: 'contoso', ...more }, ...rest })),
    () => ISSUER,
  )
const audits = async () => (await createAudits(store, tenant).list({ limit: 50 })).value
const version = async () => (await store.db.selectFrom('tenants').select('version').executeTakeFirstOrThrow()).version

beforeEach(async () => {
  now = 1_800_000_000_000
  store = await openStore({ file: ':memory:', now: () => now, log })
  tenant = await apply({ displayName: 'Contoso' })
  directory = createDirectory(store, tenant, ISSUER)
})
afterEach(() => store.close())

const update = (patch: object) => directory.organization.update(BY, organizationPatch.parse(patch))

describe('what a tenant says of itself', () => {
  it('is changed member by member, told to the audit log, and not again when it is so already', async () => {
    now += 1000
    const before = { version: await version(), records: (await audits()).length }
    expect(await directory.organization.read()).toMatchObject({ displayName: 'Contoso', tokenLifetimes: {}, logRetentionDays: null })
    expect((await update({ tokenLifetimes: { ordinaryMinutes: { to: 10, from: 5 } }, logRetentionDays: 7 })).result).toBe(true)
    now += 1000
    expect((await update({ tokenLifetimes: { exceptionMinutes: 30 }, displayName: 'Contoso Ltd' })).result).toBe(true)
    const lifetimes = { ordinaryMinutes: { from: 5, to: 10 }, exceptionMinutes: 30 }
    const said = { displayName: 'Contoso Ltd', tokenLifetimes: lifetimes, logRetentionDays: 7 }
    expect(await directory.organization.read()).toMatchObject(said)
    expect(await version()).toBe(before.version + 2)

    const same = { ...said, tokenLifetimes: { exceptionMinutes: 30, ordinaryMinutes: { from: 5, to: 10 } } }
    expect((await update(same)).result).toBe(false)
    const records = await audits()
    expect(records).toHaveLength(before.records + 2)
    expect(records[0]).toMatchObject({
      ...{ activity: 'Update organization', category: 'DirectoryManagement', by: { system: 'test' } },
      targets: [
        {
          ...{ type: 'Directory', id: tenant, name: 'Contoso Ltd' },
          modified: [
            { name: 'displayName', old: '"Contoso"', new: '"Contoso Ltd"' },
            { name: 'tokenLifetimes', old: JSON.stringify({ ordinaryMinutes: { from: 5, to: 10 } }), new: JSON.stringify(lifetimes) },
          ],
        },
      ],
    })
    expect((await update({ tokenLifetimes: null, logRetentionDays: null })).result).toBe(true)
    expect(await directory.organization.read()).toMatchObject({ tokenLifetimes: {}, logRetentionDays: null })
    // No token dies by any of it.
    expect(await store.db.selectFrom('events').selectAll().execute()).toEqual([])
  })

  it('moves the version with the lifetimes only: a name and retention decide nothing', async () => {
    const before = await version()
    await update({ displayName: 'Other', logRetentionDays: 9 })
    expect(await version()).toBe(before)
  })

  it.each([
    {},
    { tokenLifetimes: { ordinaryMinutes: { from: 4, to: 10 } } },
    { tokenLifetimes: { ordinaryMinutes: { from: 10, to: 1441 } } },
    { tokenLifetimes: { ordinaryMinutes: { from: 11, to: 10 } } },
    { tokenLifetimes: { ordinaryMinutes: { from: 10 } } },
    { tokenLifetimes: { ordinaryMinutes: { from: 10, to: 10.5 } } },
    { tokenLifetimes: { longLivedHours: { from: 0, to: 10 } } },
    { tokenLifetimes: { longLivedHours: { from: 20, to: 29 } } },
    { tokenLifetimes: { longLivedHours: { from: 28, to: 20 } } },
    { tokenLifetimes: { exceptionMinutes: 4 } },
    { tokenLifetimes: { exceptionMinutes: 1441 } },
    { tokenLifetimes: { forever: true } },
    { logRetentionDays: 6 },
    { logRetentionDays: 3661 },
    { displayName: ' ' },
    { name: 'fabrikam' },
  ])('is refused where it is out of bounds: %j', (patch) => {
    expect(() => organizationPatch.parse(patch)).toThrow()
  })

  it('stands in the tenant file, too, which leaves alone what it does not mention', async () => {
    await update({ logRetentionDays: 9 })
    await apply({ settings: { tokenLifetimes: { longLivedHours: { from: 1, to: 2 } } } })
    expect(await directory.organization.read()).toMatchObject({
      ...{ displayName: 'Contoso', tokenLifetimes: { longLivedHours: { from: 1, to: 2 } }, logRetentionDays: 9 },
    })
    const settled = (await audits()).length
    await apply({ displayName: 'Contoso', settings: { tokenLifetimes: { longLivedHours: { from: 1, to: 2 } } } })
    expect(await audits()).toHaveLength(settled)
    expect(() =>
      parseTenantFile('{"tenant": {"name": "contoso", "settings": {"tokenLifetimes": {"longLivedHours": {"from": 1, "to": 29}}}}}'),
    ).toThrow(/line 1: tenant.settings.tokenLifetimes.longLivedHours.to/)
  })
})

describe('how long tokens live', () => {
  const choose = (said: TokenLifetimes, more: Partial<Parameters<typeof chooseLifetime>[0]> = {}) =>
    chooseLifetime(
      {
        ...{ capable: true, cae: true, guards: { live: true, addresses: true, countries: true }, decision: OPEN, now: 0 },
        ...more,
      },
      lifetimesOf(said, LIFETIMES),
    ).seconds

  it('is what the tenant says, and no guard ever refuses the longest that it can say', () => {
    const most: TokenLifetimes = { ordinaryMinutes: { from: 1440, to: 1440 }, longLivedHours: { from: 28, to: 28 }, exceptionMinutes: 1440 }
    expect(organizationPatch.parse({ tokenLifetimes: most })).toEqual({ tokenLifetimes: most })
    expect(choose(most)).toBe(28 * 3600)
    expect(choose(most)).toBeLessThanOrEqual(HORIZON)
    expect(choose(most, { capable: false })).toBe(DAY)
    const least: TokenLifetimes = { ordinaryMinutes: { from: 5, to: 5 }, longLivedHours: { from: 1, to: 1 }, exceptionMinutes: 5 }
    expect(choose(least)).toBe(3600)
    expect(choose(least, { capable: false })).toBe(300)
    const exception = { decision: { ...OPEN, exception: { address: '192.0.2.1', policies: [] } } }
    expect(choose({ ordinaryMinutes: { from: 60, to: 60 }, exceptionMinutes: 20 }, exception)).toBe(20 * 60)
    expect(choose({ ordinaryMinutes: { from: 10, to: 10 }, exceptionMinutes: 20 }, exception)).toBe(10 * 60)
  })

  it('B1: a token that was measured before the change does not leave after it', async () => {
    const attempt = () => {
      const one = createAttempt(now / 1000, { capable: false, acrs: [] }, '')
      one.mints.push({ iat: now / 1000, exp: now / 1000 + 5400, appId: 'hr' })
      return one
    }
    const tenantOf = { id: tenant } as Tenant
    const unmoved = attempt()
    await runAttempt(unmoved, () => readTenant(store, tenantOf))
    await update({ displayName: 'Other' })
    expect(await passFence(store, tenantOf, unmoved)).toMatchObject({ outcome: 'passed' })
    const late = attempt()
    expect((await runAttempt(late, () => readTenant(store, tenantOf))).lifetimes).toEqual({})
    await update({ tokenLifetimes: { ordinaryMinutes: { from: 5, to: 5 } } })
    expect(await passFence(store, tenantOf, late)).toEqual({ outcome: 'moved' })
    const again = attempt()
    expect((await runAttempt(again, () => readTenant(store, tenantOf))).lifetimes).toEqual({ ordinaryMinutes: { from: 5, to: 5 } })
  })
})

it('records are kept for as long as the tenant says, and never longer than the server does', async () => {
  const first = (await audits()).length
  const rooms = {
    transmitter: { tidy: async () => {} },
    tenant: { id: tenant, directory, keys: { tend: async () => {} }, signIns: { flush: async () => {} }, audits: { flush: async () => {} } },
  } as unknown as TenantRooms
  const tenants = { find: async () => undefined, openAll: async () => [rooms], close: async () => {} }
  const leases = { hold: () => ({ report: async () => undefined, close: async () => {} }), close: async () => {} }
  const housekeeping = startHousekeeping({ store, leases, tenants, log, retention: 1000 * DAY, logRetention: 20 * DAY })
  const left = async () => {
    await housekeeping.tidy()
    return (await audits()).length
  }
  now += 8 * DAY * 1000
  expect(await left()).toBe(first)
  await update({ logRetentionDays: 7 })
  // What is left is the change itself.
  expect(await left()).toBe(1)
  await update({ logRetentionDays: 3660 })
  now += 19 * DAY * 1000
  expect(await left()).toBe(2)
  now += 2 * DAY * 1000
  expect(await left()).toBe(0)
  await housekeeping.close()
})

it('events are found by the user that they are about, by an index', async () => {
  const idOf = async (name: string) => String((await directory.user(`${name}@x.test`))?.id)
  const [alice, bob] = [await idOf('alice'), await idOf('bob')]
  for (const user of [alice, bob]) await directory.update(BY, user, { enabled: false })
  await directory.update(BY, alice, { enabled: true })
  await directory.organization.stop(BY)
  const { events } = createInspection(store, tenant)
  const all = await events({ limit: 50 })
  const ofAlice = await events({ limit: 50, userId: alice })
  expect(ofAlice.length).toBeGreaterThanOrEqual(2)
  expect(ofAlice).toEqual(all.filter(({ subject }) => JSON.stringify(subject).includes(alice)))
  expect(await events({ limit: 1, userId: alice, before: Number(ofAlice[0]?.seq) })).toEqual([ofAlice[1]])
  expect(await events({ limit: 50, userId: 'nobody' })).toEqual([])
  if (store.engine === 'postgres') return
  const plan = sql`explain query plan select * from events where tenant = 't' and user_id = 'x' order by seq desc limit 9`
  expect(JSON.stringify((await plan.execute(store.db)).rows)).toContain('events_user')
})

it('says which applications write people, who is here from each, and when they last did', async () => {
  const { scimClients, ldapUsers } = createProvisioning(store, tenant)
  const APP = (appId: string) => ({ kind: 'app', appId, iat: Math.floor(now / 1000), address: '' }) as const
  const quiet = { users: 0, groups: 0, enabled: true, lastWriteAt: null }
  expect(await scimClients()).toEqual([{ appId: 'hr', displayName: 'hr', permitted: true, ...quiet }])
  const make = (appId: string, name: string) =>
    directory.createUser(APP(appId), { userPrincipalName: `${name}@y.test`, displayName: name, source: `scim:${appId}` })
  now += 5000
  await make('hr', 'carol')
  const { result: dave } = await make('hr', 'dave')
  const { result: gone } = await make('hr', 'eve')
  await directory.remove(APP('hr'), gone)
  await make('former-hr', 'frank')
  expect(await scimClients()).toEqual([
    { appId: 'former-hr', displayName: 'former-hr', permitted: false, ...quiet, users: 1, lastWriteAt: now },
    { appId: 'hr', displayName: 'hr', permitted: true, ...quiet, users: 2, lastWriteAt: now },
  ])
  expect(await ldapUsers('ldap:hq')).toBe(0)
  await store.db.insertInto('ldap_entries').values({ tenant, source: 'ldap:hq', external_id: 'x', user_id: dave, password: null, held: 0 }).execute()
  expect(await ldapUsers('ldap:hq')).toBe(1)
})
