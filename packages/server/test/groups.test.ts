import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDirectory } from '../src/directory/directory.ts'
import { createGroups, type Groups } from '../src/directory/groups.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const ADMIN = { kind: 'system', reason: 'test' } as const
const log = { debug() {}, info() {}, warn() {}, error() {} }

let store: Store
let groups: Groups
/** Ids by name: of users in small letters, of groups in large ones. */
const ids: Record<string, string> = {}

// A holds a and B; B holds b, c and C; C holds c and, in a circle, A. Each tenant has as many of the same names.
beforeAll(async () => {
  store = await openStore({ file: ':memory:', now: Date.now, log })
  for (const tenant of ['two', 'one']) {
    await store.db.insertInto('tenants').values({ id: tenant, name: tenant, display_name: tenant, epoch: 'e', created_at: 1 }).execute()
    const directory = createDirectory(store, tenant, `https://id.test/${tenant}/v2.0`)
    groups = createGroups(store, tenant)
    for (const name of ['a', 'b', 'c'])
      ids[name] = (await directory.createUser(ADMIN, { userPrincipalName: `${name}@${tenant}.test`, displayName: name })).result
    for (const name of ['A', 'B', 'C', 'D']) ids[name] = (await groups.createGroup(ADMIN, { displayName: name })).result
    for (const [group, member] of ['Aa', 'AB', 'Bb', 'Bc', 'BC', 'Cc', 'CA'].map(([group, member]) => [ids[group as string], ids[member as string]]))
      await groups.addMember(ADMIN, group as string, member as string)
  }
})
afterAll(() => store.close())

const namesOf = ({ value }: { value: { displayName: string }[] }) =>
  value
    .map(({ displayName }) => displayName)
    .sort()
    .join('')

describe('who is in a group', () => {
  it.each([
    ['A', false, 'a', 'B'],
    ['B', false, 'bc', 'C'],
    ['A', true, 'abc', 'ABC'],
    ['B', true, 'abc', 'ABC'],
    ['D', false, '', ''],
    ['D', true, '', ''],
  ])('%s, those of groups in it as well: %s', async (name, deep, users, inside) => {
    const members = groups.membersOf(ids[name] as string, deep)
    expect(namesOf(await members.users.page({ limit: 10 }))).toBe(users)
    expect(namesOf(await members.groups.page({ limit: 10 }))).toBe(inside)
    expect([await members.users.count(), await members.groups.count()]).toEqual([users.length, inside.length])
  })

  it.each([
    ['c', false, 'BC'],
    ['a', true, 'ABC'],
    ['C', false, 'B'],
    ['C', true, 'ABC'],
    ['D', true, ''],
  ])('what %s is in, groups that hold these as well: %s', async (name, deep, holding) => {
    const list = groups.groupsOf(ids[name] as string, deep)
    expect(namesOf(await list.page({ limit: 10 }))).toBe(holding)
    expect(await list.count()).toBe(holding.length)
  })
})
