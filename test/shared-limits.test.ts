import { expect, it } from 'vitest'
import { readDatabaseUrl } from '../packages/server/src/database-url.ts'
import { createThrottle, type Guesser } from '../packages/server/src/issuer/throttle.ts'
import { createLog } from '../packages/server/src/log.ts'
import { createLimits } from '../packages/server/src/store/limits.ts'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { createStore } from '../packages/server/src/store/store.ts'
import { startPostgres } from './postgres.ts'

const account = (id: string): Guesser[] => [{ kind: 'account', id }]

it('E11: two servers over one PostgreSQL count calls and guesses together, and let no more through than one', async () => {
  const postgres = await startPostgres()
  const database = readDatabaseUrl(await postgres.database(), 8)
  // The clock stands still.
  const open = () => createStore({ file: '', database, now: Date.now, clock: () => 1_800_000_000_000, log: createLog('silent') })
  const stores = [await open(), await open()] as const
  try {
    const [limits, others] = [createLimits(stores[0]), createLimits(stores[1])]
    const counts = await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 ? limits : others).spend('t', 'k', 60)))
    expect(counts.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))

    const secrets = createSecrets('x'.repeat(32))
    const [one, two] = [createThrottle(stores[0], secrets), createThrottle(stores[1], secrets)]
    let tried = 0
    const guess = (i: number) =>
      (i % 2 ? one : two).attempt('t', account('alice'), async () => {
        tried++
        await new Promise((resolve) => setTimeout(resolve, 5))
        return { right: false, value: 'wrong' }
      })
    await Promise.all(Array.from({ length: 24 }, (_, i) => guess(i)))
    expect(tried).toBe(6)
    for (let i = 0; i < 12; i++) await one.count('t', account('bob'))
    expect(await two.waitOf('t', account('bob'))).toBe(64)
  } finally {
    for (const one of stores) await one.close()
    await postgres.close()
  }
})
