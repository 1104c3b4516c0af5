import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLog } from '../src/log.ts'
import { expire } from '../src/store/expire.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

let store: Store
beforeAll(async () => {
  store = await openStore({ file: ':memory:', now: Date.now, log: createLog('silent') })
  const row = (index: number) => ({ tenant: 't', jti: `j${index}`, owner: 'o', sid: null, until: index })
  for (let at = 0; at < 1600; at += 400)
    await store.db
      .insertInto('revoked_tokens')
      .values(Array.from({ length: 400 }, (_, index) => row(at + index)))
      .execute()
})
afterAll(() => store.close())

const left = async () => (await store.db.selectFrom('revoked_tokens').select('until').orderBy('until').execute()).map(({ until }) => until)
const OLD = { table: 'revoked_tokens', key: ['tenant', 'jti'], old: sql`until < ${1501}` } as const

it('removes batch after batch what is old and nothing else, and ends where it is told to', async () => {
  let asked = 0
  await expire(store.db, OLD, () => asked++ > 0)
  expect((await left()).length).toBe(1100)
  await expire(store.db, OLD, () => false)
  expect(await left()).toEqual(Array.from({ length: 99 }, (_, index) => 1501 + index))
})
