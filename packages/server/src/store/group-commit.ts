import { type Kysely, sql, type Transaction } from 'kysely'
import { createHooks, type Hooks } from './hooks.ts'
import type { Schema } from './schema.ts'

type Work<T> = (db: Transaction<Schema>) => Promise<T>

interface Job {
  run(db: Transaction<Schema>): Promise<void>
  /** Hands out what {@link run} has found. */
  settle(): void
  fail(error: unknown): void
}

/** Milliseconds of work in one transaction: whoever wants to read waits no longer than that, and for the disk. */
const SLICE = 8

/**
 * Transactions that share a commit: waiting for the disk is what one costs, and those who wait for their turn meanwhile go together (group commit). Each works under
 * the same lock, one after the other, sees what the ones before it did, and is taken back alone when it throws (a savepoint). None is told that it is done before
 * all of it is on the disk.
 */
export function createGroupCommit(db: Kysely<Schema>, hooks: Hooks = createHooks()): <T>(work: Work<T>) => Promise<T> {
  const waiting: Job[] = []
  let running = false

  async function run(): Promise<void> {
    running = true
    while (waiting.length > 0) {
      const taken: Job[] = []
      try {
        let ended: Transaction<Schema> | undefined
        await db.transaction().execute(async (tx) => {
          ended = tx
          const end = performance.now() + SLICE
          do {
            const job = waiting.shift() as Job
            taken.push(job)
            await job.run(tx)
          } while (waiting.length > 0 && performance.now() < end)
        })
        if (ended) hooks.run(ended)
        for (const job of taken) job.settle()
      } catch (error) {
        // One that could not even begin is everybody's who waited for it.
        for (const job of taken.length > 0 ? taken : waiting.splice(0)) job.fail(error)
      }
      // Whoever waits for the connection itself goes first.
      await new Promise((resolve) => setImmediate(resolve))
    }
    running = false
  }

  return (work) =>
    new Promise((resolve, reject) => {
      let outcome: () => void = () => reject(new Error('a transaction ended without its work'))
      waiting.push({
        async run(tx) {
          await sql`savepoint work`.execute(tx)
          const before = hooks.count(tx)
          try {
            const result = await work(tx)
            outcome = () => resolve(result)
          } catch (error) {
            // Where all of it is over already, none of those who shared it is done.
            await sql`rollback to work`.execute(tx).catch(() => {
              throw error
            })
            hooks.forget(tx, before)
            outcome = () => reject(error)
          }
          await sql`release work`.execute(tx)
        },
        settle: () => outcome(),
        fail: reject,
      })
      if (!running) void run()
    })
}
