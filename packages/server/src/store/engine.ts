import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'

/**
 * What a transaction holds until its end.
 * `tenant`: all of it, as changes do; `shared`: along with others that share it, as mints do, and never along with a change.
 * `also`: and each of these alone, within the tenant.
 * `name`: alone among those that name the same, for whatever else is read before it is written.
 */
export type Lock = { tenant: string; shared?: boolean; also?: readonly string[] } | { name: string }

/**
 * Part of one transaction. It may run twice (two that wait for each other cannot both go on), so it does nothing outside of it.
 * @param clock the store's clock, first read when the lock was held: seconds with a fraction
 */
export type Work<T> = (db: Transaction<Schema>, clock: () => number) => Promise<T>

/** What the embedded database and PostgreSQL do in ways of their own. */
export interface Engine {
  /** Which it is, for the few queries that each has words of its own for. */
  engine: 'embedded' | 'postgres'
  db: Kysely<Schema>
  /** The store's clock: the only one that decides about tokens and cutoffs. Seconds with a fraction. */
  clock(): number
  /** Seconds that the clock of this machine is ahead of the store's; undefined where they are the same. */
  skew(): number | undefined
  /** Resolves when it is on the disk. */
  transaction<T>(lock: Lock, work: Work<T>): Promise<T>
  /** Takes a tenant's lock, alone, in a transaction that is under way. */
  hold(db: Transaction<Schema>, tenant: string): Promise<void>
  /** The same without a lock, and without waiting for the disk: a power cut may take it. */
  loosely(work: (db: Transaction<Schema>) => Promise<void>): Promise<void>
  /** Runs once the open transaction has ended well, and can be read. */
  after(db: Transaction<Schema>, run: () => void): void
  /** Tells the other processes of this store to {@link Listeners.wake} a tenant. What moves a log tells by itself. */
  tell(tenant: string): void
  /** Tells the other processes, and perhaps this one, something that nothing depends on; see {@link Listeners.said}. */
  say(topic: string, text: string): void
  close(): Promise<void>
}

/** How an engine brings what other processes of the same store have done. */
export interface Listeners {
  /** A tenant's log was read, or said to be, at `seq`. */
  moved(tenant: string, seq: number): void
  wake(tenant: string): void
  /** A process has said something. */
  said(topic: string, text: string): void
  /** Whom somebody waits for here: looked up now and then, because no message is sure to arrive. */
  awaited(): string[]
}
