import { type Kysely, sql } from 'kysely'
import type { Schema } from '../schema.ts'

/**
 * The database's clock, as all processes know it. Between two readings it is worked out from the time that has passed here; a reading arrives late, never early, so what
 * is worked out is never ahead of the database (but for its own jumps), and the latest of all readings is the closest.
 */
export interface DatabaseClock {
  /** Seconds with a fraction. */
  now(): number
  /** A reading that has just arrived. */
  read(at: number): void
  /** Seconds that this machine's own clock is ahead. */
  skew(): number
  close(): void
}

/** Milliseconds between two readings, for whom none comes by. */
const EVERY = 1000
/** Milliseconds for which a reading counts: two clocks run apart by less than 1 ms meanwhile. */
const KEPT = 10_000
/** Seconds: what differs by more is a clock that was set, not an answer that was slow. */
const JUMP = 1

/** @param machine the machine's own clock, in milliseconds, for {@link DatabaseClock.skew} */
export async function createDatabaseClock(db: Kysely<Schema>, machine: () => number): Promise<DatabaseClock> {
  const passed = () => performance.now() / 1000
  /** How far the database is ahead of {@link passed}: the best that is known, and the best since `since`. */
  let best = Number.NEGATIVE_INFINITY
  let next = Number.NEGATIVE_INFINITY
  let since = performance.now()

  const read = (at: number) => {
    const offset = at - passed()
    if (Math.abs(offset - best) > JUMP) {
      best = offset
      next = offset
      since = performance.now()
      return
    }
    best = Math.max(best, offset)
    next = Math.max(next, offset)
    if (performance.now() - since < KEPT) return
    best = next
    next = offset
    since = performance.now()
  }
  const ask = async () => read(await readClock(db))
  await ask()
  const timer = setInterval(() => void ask().catch(() => {}), EVERY).unref()

  return {
    now: () => best + passed(),
    read,
    skew: () => machine() / 1000 - best - passed(),
    close: () => clearInterval(timer),
  }
}

/** A function of the database, so that what is decided there and here follows one clock. */
export const DATABASE_CLOCK = `create function caegis_clock() returns double precision language sql volatile as 'select extract(epoch from clock_timestamp())::float8'`

async function readClock(db: Kysely<Schema>): Promise<number> {
  const { rows } = await sql<{ at: number }>`select caegis_clock() as at`.execute(db)
  return (rows[0] as { at: number }).at
}
