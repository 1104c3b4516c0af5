import { setTimeout as sleep } from 'node:timers/promises'
import { sql, type Transaction } from 'kysely'
import type { DatabaseSettings } from '../../database-url.ts'
import type { Log } from '../../log.ts'
import type { Engine, Listeners } from '../engine.ts'
import { createHooks } from '../hooks.ts'
import type { Schema } from '../schema.ts'
import { createDatabaseClock } from './clock.ts'
import { codeOf, connect, STALE_PLAN } from './connect.ts'
import { takeLock } from './locks.ts'
import { migratePostgres } from './migrate.ts'
import { createWakes } from './wakes.ts'

export interface PostgresOptions {
  database: DatabaseSettings
  /** The machine's clock, in milliseconds: only compared with the database's, which decides. */
  now: () => number
  /** Another clock than the database's, in milliseconds, for tests that go through days. */
  clock?: () => number
  listeners: Listeners
  log: Log
}

/** Two that wait for each other, a serialization failure (PostgreSQL's appendix A), a plan of before a migration: the work runs again. */
const REPEATABLE = new Set(['40001', '40P01', STALE_PLAN])
const TRIES = 6

/** Any number of processes over one PostgreSQL. */
export async function createPostgres({ database, now, clock: given, listeners, log }: PostgresOptions): Promise<Engine> {
  const { db, listenOn } = connect(database, log)
  try {
    await migratePostgres(db)
    const measured = await createDatabaseClock(db, now)
    const hooks = createHooks()
    const wakes = createWakes(db, listenOn, listeners, log)

    const repeat = async <T>(work: (tx: Transaction<Schema>) => Promise<T>): Promise<T> => {
      for (let tries = 1; ; tries++) {
        let ended: Transaction<Schema> | undefined
        try {
          const result = await db.transaction().execute((tx) => {
            ended = tx
            return work(tx)
          })
          if (ended) hooks.run(ended)
          return result
        } catch (error) {
          if (tries === TRIES || !REPEATABLE.has(codeOf(error))) throw error
          await sleep(Math.random() * 10 * 2 ** tries)
        }
      }
    }

    return {
      engine: 'postgres',
      db,
      clock: given ? () => given() / 1000 : measured.now,
      skew: measured.skew,
      transaction: (lock, work) =>
        repeat(async (tx) => {
          const at = await takeLock(tx, lock)
          measured.read(at)
          const since = performance.now()
          return work(tx, given ? () => given() / 1000 : () => at + (performance.now() - since) / 1000)
        }),
      hold: async (tx, tenant) => void (await takeLock(tx, { tenant })),
      loosely: (work) =>
        repeat(async (tx) => {
          await sql`set local synchronous_commit = off`.execute(tx)
          await work(tx)
        }),
      after: hooks.add,
      tell: wakes.tell,
      say: wakes.say,
      async close() {
        measured.close()
        await wakes.close()
        await db.destroy()
      },
    }
  } catch (error) {
    await db.destroy()
    throw error
  }
}
