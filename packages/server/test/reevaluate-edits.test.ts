import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDevices } from '../src/directory/devices.ts'
import { createDirectory } from '../src/directory/directory.ts'
import { createGroups } from '../src/directory/groups.ts'
import { startHousekeeping } from '../src/housekeeping.ts'
import { createAttempt, type Reading } from '../src/issuer/attempt.ts'
import { passFence } from '../src/issuer/fence.ts'
import type { Tenant } from '../src/issuer/tenant.ts'
import { createLog } from '../src/log.ts'
import type { Actor, Committed } from '../src/store/change.ts'
import { createLiving, type Living, policy, START, TENANT } from './living.ts'

const ADMIN: Actor = { kind: 'system', reason: 'test' }
let living: Living

beforeEach(async () => {
  living = await createLiving([{ id: 'alice' }, { id: 'bob' }])
})
afterEach(() => living.store.close())

const group = async (...members: string[]) =>
  (await createGroups(living.store, TENANT).createGroup(ADMIN, { displayName: `g${Math.random()}`, members })).result
const directory = () => createDirectory(living.store, TENANT, 'https://us.test')
const work = async (edit: Promise<Committed<unknown>>) => {
  await edit
  await living.worker().run()
  return living.cutoffs()
}
/** A mint that has read the row before the edit: what the fence says of it afterwards. */
const racing = async (reading: Reading, edit: () => Promise<unknown>) => {
  const table = reading.table === 'policies' ? 'tenants' : `${reading.table}s`
  const column = reading.table === 'policies' ? 'policies_version as version' : 'version'
  const { version } = await living.store.db
    .selectFrom(table as 'users')
    .select(column as 'version')
    .where('id', '=', reading.id)
    .executeTakeFirstOrThrow()
  const attempt = createAttempt(living.clock.seconds, { capable: true, acrs: [] }, '')
  attempt.readings.set('one', { reading, version })
  attempt.mints.push({ iat: living.clock.seconds, exp: living.clock.seconds + 60, appId: 'web', user: 'alice', sid: 'late' })
  await edit()
  return (await passFence(living.store, { id: TENANT } as Tenant, attempt)).outcome
}

describe('edits of what policies look at', () => {
  it('a membership, however deep, that no token tells of', async () => {
    const [outer, inner] = [await group(), await group('alice')]
    await living.policies([policy('p', { conditions: { users: { includeGroups: [outer] } } })])
    await living.mint({ sid: 'a1', user: 'alice' })
    await living.mint({ sid: 'b1', user: 'bob' })
    expect(await work(createGroups(living.store, TENANT).updateGroup(ADMIN, outer, { add: [inner] }))).toEqual(['session a1 access 0'])
    expect((await living.jobs()).at(-1)).toMatchObject({ scope: '["alice"]', total: 1, done: 1 })
  })

  it('one that is taken away with its group, or by which somebody was let out', async () => {
    const trusted = await group('alice', 'bob')
    await living.policies([policy('p', { conditions: { users: { includeUsers: ['All'], excludeGroups: [trusted] } } })])
    await living.mint({ sid: 'a1', user: 'alice' })
    await living.mint({ sid: 'b1', user: 'bob' })
    const groups = createGroups(living.store, TENANT)
    expect(await work(groups.removeMember(ADMIN, trusted, 'alice'))).toEqual(['session a1 access 0'])
    expect(await work(groups.removeGroup(ADMIN, trusted))).toEqual(['session a1 access 0', 'session b1 access 0'])
  })

  it('a directory role, and who is a guest', async () => {
    await living.policies([
      policy('p', { conditions: { users: { includeRoles: ['admin'] } } }),
      policy('q', { conditions: { users: { includeGuestsOrExternalUsers: { guestOrExternalUserTypes: 'b2bCollaborationGuest' } } } }),
    ])
    await living.mint({ sid: 'a1', user: 'alice' })
    await living.mint({ sid: 'b1', user: 'bob' })
    const byRole = await work(directory().assignDirectoryRole(ADMIN, 'admin', 'alice'))
    expect(byRole.filter((one) => one.startsWith('session'))).toEqual(['session a1 access 0'])
    const byType = await work(directory().update(ADMIN, 'bob', { type: 'guest' }))
    expect(byType.filter((one) => one.startsWith('session'))).toEqual(['session a1 access 0', 'session b1 access 0'])
  })

  it('a device: what was decided for who came from it, and nothing else of the same people', async () => {
    const devices = createDevices(living.store, TENANT)
    const publicKey = { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'B'.repeat(43) } as const
    await devices.create(ADMIN, { id: 'laptop', displayName: 'Laptop', publicKey, compliant: true })
    const rule = { deviceFilter: { mode: 'include', rule: 'device.displayName -startsWith "Lost"' } }
    await living.policies([policy('p', { conditions: { devices: rule } })])
    await living.mint({ sid: 'a1', user: 'alice', device: 'laptop' })
    await living.mint({ sid: 'a2', user: 'alice' })
    expect(await work(devices.update(ADMIN, 'laptop', { displayName: 'Laptop of Alice' }))).toEqual([])
    expect(await work(devices.update(ADMIN, 'laptop', { displayName: 'Lost laptop' }))).toEqual(['session a1 access 0'])
    expect((await living.jobs()).at(-1)).toMatchObject({ total: 1, done: 1, changed: 1 })
  })

  it('D1: what they and the policies say is read anew by a mint that is under way', async () => {
    const known = await group()
    const groups = createGroups(living.store, TENANT)
    const alice = { table: 'user', id: 'alice' } as const
    expect(await racing(alice, async () => {})).toBe('passed')
    expect(await racing(alice, () => groups.addMember(ADMIN, known, 'bob'))).toBe('passed')
    expect(await racing(alice, () => groups.addMember(ADMIN, known, 'alice'))).toBe('moved')
    expect(await racing({ table: 'policies', id: TENANT }, () => living.policies([]))).toBe('moved')
  })

  it('B12: a mint after the edit, in its second, waits until what comes of the edit cannot hit it', async () => {
    await living.mint({ sid: 'a1', user: 'alice' })
    await living.policies([policy('p', { conditions: { users: { includeUsers: ['bob'] } } })])
    const attempt = createAttempt(START, { capable: true, acrs: [] }, '')
    attempt.mints.push({ iat: START, exp: START + 60, appId: 'web', user: 'alice', sid: 'a1' })
    const pass = () => passFence(living.store, { id: TENANT } as Tenant, attempt)
    expect(await pass()).toEqual({ outcome: 'covered', until: START })
    await living.worker().run()
    expect(await pass()).toMatchObject({ outcome: 'passed' })
  })

  it('decisions and jobs that have had their time are removed', async () => {
    await living.mint({ sid: 'a1', user: 'alice', seconds: 60 })
    await living.mint({ sid: 'a2', user: 'alice' })
    await living.policies([])
    await living.worker().run()
    const rows = async () => [
      (await living.store.db.selectFrom('decisions').select('sid').execute()).map(({ sid }) => sid),
      (await living.jobs()).length,
    ]
    const tenants = { find: async () => undefined, openAll: async () => [], close: async () => {} }
    const leases = { hold: () => ({ report: async () => undefined, close: async () => {} }), close: async () => {} }
    const housekeeping = startHousekeeping({ store: living.store, leases, tenants, log: createLog('silent'), retention: 1000, logRetention: 1000 })
    living.clock.seconds += 120
    await housekeeping.tidy()
    expect(await rows()).toEqual([['a2'], 1])
    living.clock.seconds += 1000
    await housekeeping.tidy()
    expect(await rows()).toEqual([['a2'], 0])
    await housekeeping.close()
  })
})
