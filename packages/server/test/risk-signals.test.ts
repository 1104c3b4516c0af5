import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CompiledQuery } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { insertSignal, readRecent } from '../src/issuer/risk-signals.ts'
import { createLog } from '../src/log.ts'
import { MOST } from '../src/risk/detection.ts'
import { networkOf, type Signal } from '../src/risk/signal.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

const NOW = 1_800_000_000
const folder = mkdtempSync(join(tmpdir(), 'caegis-risk-signals-'))
let store: Store
const signal = (given: Partial<Signal> = {}): Signal => {
  const address = given.address ?? '192.0.2.10'
  return { at: NOW - 7200, kind: 'interactive', outcome: 'success', user: 'alice', network: networkOf(address), browser: 'laptop', ...given, address }
}

beforeAll(async () => {
  store = await openStore({ file: join(folder, 'caegis.db'), now: () => NOW * 1000, log: createLog('silent') })
  const some = (count: number, given: Partial<Signal>) => Array.from({ length: count }, () => signal(given))
  await store.transaction({ tenant: 't' }, async (db) => {
    for (const one of [
      ...some(3, { country: 'DE', place: { latitude: 52.5, longitude: 13.4, radius: 20 } }),
      ...some(MOST.user + 10, { at: NOW - 60, doubted: true, browser: 'theirs' }),
      ...some(4, { at: NOW - 90, outcome: 'failure', browser: 'theirs' }),
      ...some(4, { outcome: 'failure' }),
      ...some(5, { at: NOW - 40 * 86_400 }),
      ...some(6, { user: 'bob', at: NOW - 30, country: null }),
    ])
      await insertSignal(db, 't', one)
    await insertSignal(db, 'other', signal({ at: NOW - 10 }))
  })
})
afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

it('whoever has the password does not have the habits of its owner forgotten by signing in again and again', async () => {
  const { user } = await readRecent(store, 't', signal({ at: NOW, browser: 'new' }))
  expect(user.map(({ at, outcome }) => [NOW - at, outcome])).toEqual([...Array(4).fill([90, 'failure']), ...Array(3).fill([7200, 'success'])])
  expect(user.at(-1)).toEqual(signal({ country: 'DE', place: { latitude: 52.5, longitude: 13.4, radius: 20 } }))
})

it('what is around a sign-in is read where it could say anything', async () => {
  const around = async (given: Partial<Signal>) => (await readRecent(store, 't', signal({ at: NOW, browser: 'new', ...given }))).network.length
  expect(await around({})).toBe(MOST.user + 10 + 4 + 6)
  expect(await around({ browser: 'theirs' })).toBe(MOST.user + 10 + 4 + 6)
  expect(await around({ user: 'bob', browser: 'laptop' })).toBe(0)
  expect([await around({ browser: 'laptop' }), await around({ passwordless: true }), await around({ address: '' })]).toEqual([0, 0, 0])
  const [bob] = (await readRecent(store, 't', signal({ at: NOW, browser: 'new' }))).network
  expect(bob).toMatchObject({ user: 'bob', country: null })
})

it('each of its questions is answered by an index', async () => {
  const asked: CompiledQuery[] = []
  const listening = store.db.withPlugin({
    transformQuery({ node, queryId }) {
      asked.push(store.db.getExecutor().compileQuery(node, queryId))
      return node
    },
    transformResult: async ({ result }) => result,
  })
  await readRecent({ ...store, db: listening }, 't', signal({ at: NOW, browser: 'new' }))
  expect(asked).toHaveLength(3)
  // PostgreSQL plans by its statistics, of which a few rows have none.
  if (store.engine === 'postgres') return
  for (const { sql, parameters } of asked) {
    const { rows } = await store.db.executeQuery<{ detail: string }>(CompiledQuery.raw(`explain query plan ${sql}`, [...parameters]))
    expect(rows.map(({ detail }) => detail).join('; ')).toMatch(/^SEARCH risk_signals USING INDEX risk_signals_(user|network) \(.*at>\?\)$/)
  }
})
