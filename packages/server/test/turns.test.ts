import { expect, it } from 'vitest'
import { openStore } from './open-store.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }

it('everybody else has a turn during a long transaction, and sees nothing of it before its end', async () => {
  const store = await openStore({ file: ':memory:', now: Date.now, log })
  await store.db.insertInto('tenants').values({ id: 'one', name: 'one', display_name: 'One', epoch: 'e', created_at: 1 }).execute()
  const name = async () =>
    (await store.db.selectFrom('tenants').select('display_name').where('id', '=', 'one').executeTakeFirstOrThrow()).display_name
  let turns = 0
  let seen: Promise<string> | undefined
  const end = performance.now() + 300
  const change = store.transaction({ tenant: 'one' }, async (tx) => {
    for (let at = 0; performance.now() < end; at++)
      await tx
        .updateTable('tenants')
        .set({ display_name: `Name ${at}` })
        .where('id', '=', 'one')
        .execute()
    await tx.updateTable('tenants').set({ display_name: 'The last' }).where('id', '=', 'one').execute()
  })
  const timer = setInterval(() => {
    if (performance.now() >= end) return
    turns++
    seen ??= name()
  }, 1)
  await change
  clearInterval(timer)
  expect(turns).toBeGreaterThan(0)
  expect(['One', 'The last']).toContain(await seen)
  expect(await name()).toBe('The last')
  await store.close()
})
