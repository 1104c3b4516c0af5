import { CaegisError, EVENT } from '@caegis/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDirectory, type Directory } from '../src/directory/directory.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const ADMIN = { kind: 'system', reason: 'test' } as const
const log = { debug() {}, info() {}, warn() {}, error() {} }

let store: Store
let directory: Directory

beforeEach(async () => {
  store = await openStore({ file: ':memory:', now: Date.now, log })
  for (const id of ['one', 'two']) {
    await store.db.insertInto('tenants').values({ id, name: id, display_name: id, epoch: 'e', created_at: 1 }).execute()
  }
  directory = createDirectory(store, 'one', 'https://id.test/one/v2.0')
})
afterEach(() => store.close())

const events = async () => (await store.db.selectFrom('events').select(['type', 'payload']).orderBy('seq').execute()).map(({ type }) => type)
const versionOf = async (id: string) => (await store.db.selectFrom('users').select('version').where('id', '=', id).executeTakeFirstOrThrow()).version
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error) => (error instanceof CaegisError ? error.code : String(error)),
  )

describe('users that other systems keep', () => {
  const kim = {
    userPrincipalName: 'kim@one.test',
    displayName: 'Kim',
    source: 'hr',
    externalId: '17',
    mail: 'kim@mail.test',
    givenName: 'Kim',
    surname: 'Roe',
  }

  it('are found by what that system calls them, and by nobody else', async () => {
    const { result: id } = await directory.createUser(ADMIN, kim)
    expect(await directory.userOf('hr', '17')).toMatchObject({
      id,
      mail: 'kim@mail.test',
      givenName: 'Kim',
      surname: 'Roe',
      source: 'hr',
      externalId: '17',
    })
    expect(await directory.userOf('crm', '17')).toBeUndefined()
    expect(await createDirectory(store, 'two', 'https://id.test/two/v2.0').userOf('hr', '17')).toBeUndefined()
    await directory.remove(ADMIN, id)
    expect(await directory.userOf('hr', '17')).toBeUndefined()
  })

  it('saved again as they are, they do not change: no event, and no decision is seen to be old', async () => {
    const { result: id } = await directory.createUser(ADMIN, kim)
    const before = await versionOf(id)
    const { source, ...same } = kim
    await directory.update(ADMIN, id, { ...same, enabled: true })
    expect([await versionOf(id), await events()]).toEqual([before, []])
    await directory.update(ADMIN, id, { surname: 'Doe' })
    expect([await versionOf(id), await events()]).toEqual([before + 1, []])
  })

  it('take no name and no external id that a living user has; those of the dead are free', async () => {
    const { result: id } = await directory.createUser(ADMIN, kim)
    expect(await codeOf(directory.createUser(ADMIN, { ...kim, externalId: '18' }))).toBe('user_exists')
    expect(await codeOf(directory.createUser(ADMIN, { ...kim, userPrincipalName: 'KIM@one.test', externalId: '18' }))).toBe('user_exists')
    expect(await codeOf(directory.createUser(ADMIN, { ...kim, userPrincipalName: 'lee@one.test' }))).toBe('user_exists')
    const { result: lee } = await directory.createUser(ADMIN, { ...kim, userPrincipalName: 'lee@one.test', source: 'crm' })
    expect(await codeOf(directory.update(ADMIN, lee, { userPrincipalName: 'kim@ONE.test' }))).toBe('user_exists')
    expect(await codeOf(directory.update(ADMIN, id, { userPrincipalName: 'Kim@One.test', externalId: '19' }))).toBe('done')
    await directory.remove(ADMIN, id)
    expect(await codeOf(directory.update(ADMIN, lee, { userPrincipalName: 'kim@ONE.test' }))).toBe('done')
    expect((await directory.user('kim@one.test'))?.id).toBe(lee)
  })

  it('E8: an account has one living guest in a tenant; whoever was one beside it before stays so, and ends with it', async () => {
    const guest = (name: string, id = 'gina') => ({
      ...{ userPrincipalName: `${name}@one.test`, displayName: name, type: 'guest' as const, home: { issuer: 'https://id.test/two/v2.0', id } },
    })
    const { result: first } = await directory.createUser(ADMIN, guest('gina'))
    expect(await codeOf(directory.createUser(ADMIN, guest('twin')))).toBe('user_exists')
    expect(await codeOf(directory.createUser(ADMIN, guest('other', 'olga')))).toBe('done')
    expect(await codeOf(createDirectory(store, 'two', 'https://id.test/two/v2.0').createUser(ADMIN, guest('gina')))).toBe('done')
    await store.db
      .updateTable('users')
      .set({ home: JSON.stringify(guest('gina').home) })
      .where('upn_key', '=', 'other@one.test')
      .execute()
    expect(await codeOf(directory.update(ADMIN, first, { displayName: 'Gina' }))).toBe('done')
    expect(await codeOf(directory.createUser(ADMIN, guest('twin')))).toBe('user_exists')
    await directory.remove(ADMIN, first)
    expect(await codeOf(directory.createUser(ADMIN, guest('twin')))).toBe('user_exists')
    await directory.remove(ADMIN, 'other@one.test')
    expect(await codeOf(directory.createUser(ADMIN, guest('twin')))).toBe('done')
  })

  it('a new name is in the next token: the change is an event; an address only where an API asks for it', async () => {
    const { result: id } = await directory.createUser(ADMIN, kim)
    await directory.update(ADMIN, id, { mail: 'kim@new.test' })
    expect(await events()).toEqual([])
    await directory.update(ADMIN, id, { userPrincipalName: 'roe@one.test' })
    expect(await events()).toEqual([EVENT.tokenClaimsChange])
    await store.db
      .insertInto('applications')
      .values({
        ...{ tenant: 'one', id: 'a', app_id: 'api', display_name: 'API', type: 'api', enabled: 1, cae: 1, redirect_uris: '[]' },
        ...{ identifier_uris: '[]', scopes: '[]', permissions: '[]', optional_claims: '["email"]' },
      })
      .execute()
    await directory.update(ADMIN, id, { mail: null })
    expect(await events()).toEqual([EVENT.tokenClaimsChange, EVENT.tokenClaimsChange])
    const last = await store.db.selectFrom('events').select('payload').where('seq', '=', 2).executeTakeFirstOrThrow()
    expect(JSON.parse(last.payload).claims).toEqual({ email: 'roe@one.test' })
  })
})
