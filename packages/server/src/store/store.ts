import { EventEmitter, once } from 'node:events'
import type { Kysely, Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { type Change, type Committed, runChange } from './change.ts'
import { migrate } from './migrations.ts'
import type { Schema } from './schema.ts'
import { openSqlite } from './sqlite.ts'

export interface StoreOptions {
  /** Path of the database file. */
  file: string
  /** Milliseconds. */
  now: () => number
  log: Log
}

export interface Position {
  epoch: string
  seq: number
  /** Seconds with a fraction, by the store's clock. */
  asOf: number
}

export interface Store {
  db: Kysely<Schema>
  /** The store's clock: the only one that decides about tokens and cutoffs. Seconds with a fraction. */
  clock(): number
  transaction<T>(work: (db: Transaction<Schema>) => Promise<T>): Promise<T>
  /** The only way in which the directory changes: edit, cutoffs and events in one transaction. */
  commit<T>(change: Change<T>): Promise<Committed<T>>
  /** Where a tenant's log stands. */
  position(tenant: string): Promise<Position>
  /** Resolves when the tenant's log has passed `after`, when {@link wake} is called for it, or when the signal aborts. */
  wait(tenant: string, after: number, signal: AbortSignal): Promise<void>
  /** Wakes those who wait for something of this tenant that is not in the log (a verification that was asked for). */
  wake(tenant: string): void
  close(): Promise<void>
}

export async function createStore({ file, now, log }: StoreOptions): Promise<Store> {
  const db = openSqlite(file)
  await migrate(db)
  const commits = new EventEmitter()
  commits.setMaxListeners(0)
  const clock = () => now() / 1000

  const position = async (tenant: string): Promise<Position> => {
    const row = await db.selectFrom('tenants').select(['epoch', 'seq']).where('id', '=', tenant).executeTakeFirstOrThrow()
    return { ...row, asOf: clock() }
  }

  const store: Store = {
    db,
    clock,
    position,
    transaction: (work) => db.transaction().execute(work),
    async commit(change) {
      // The clock is read inside: a change that waited for its turn must not carry an instant from before it.
      const committed = await db.transaction().execute((tx) => runChange(tx, change, Math.floor(clock())))
      log.info('change committed', { tenant: change.tenant, txn: committed.txn, seq: committed.seq })
      commits.emit(change.tenant)
      return committed
    },
    async wait(tenant, after, signal) {
      if (signal.aborted) return
      // Listening starts before the look at the log: a commit between both is heard.
      const enough = new AbortController()
      const woken = once(commits, tenant, { signal: AbortSignal.any([signal, enough.signal]) }).catch(() => {})
      const { seq } = await position(tenant)
      if (seq > after) enough.abort()
      await woken
    },
    wake: (tenant) => void commits.emit(tenant),
    close: () => db.destroy(),
  }
  return store
}
