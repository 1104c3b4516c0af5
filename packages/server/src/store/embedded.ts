import { type Kysely, sql, type Transaction } from 'kysely'
import type { Log } from '../log.ts'
import type { Engine } from './engine.ts'
import { createGroupCommit } from './group-commit.ts'
import { createHooks } from './hooks.ts'
import { refuseMoved } from './move/mark.ts'
import { createOutage } from './outage.ts'
import type { Schema } from './schema.ts'
import { openSqlite } from './sqlite.ts'

/** One file and one process: a single connection, so that every transaction holds everything. */
export function createEmbedded(file: string, now: () => number, log: Log): Engine {
  refuseMoved(file)
  const db = openSqlite(file, createOutage(log))
  // It could have been moved in between; now that it is open, it cannot be.
  refuseMoved(file)
  const clock = () => now() / 1000
  const hooks = createHooks()
  const transaction = createGroupCommit(db, hooks)

  return {
    engine: 'embedded',
    db,
    clock,
    skew: () => undefined,
    transaction: (_lock, work) => transaction((tx) => work(tx, clock)),
    async hold() {},
    loosely: (work) =>
      // Nobody else has the connection meanwhile: a change of the directory is never written so.
      db.connection().execute(async (one: Kysely<Schema>) => {
        await sql`pragma synchronous = normal`.execute(one)
        try {
          let ended: Transaction<Schema> | undefined
          await one.transaction().execute(async (tx) => {
            ended = tx
            await work(tx)
          })
          if (ended) hooks.run(ended)
        } finally {
          await sql`pragma synchronous = full`.execute(one)
        }
      }),
    after: hooks.add,
    // There is no other process.
    tell() {},
    say() {},
    async close() {
      // Behind all that wait for their turn.
      await transaction(async () => {})
      await db.destroy()
    },
  }
}
