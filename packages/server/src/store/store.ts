import { randomBytes } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import type { Log } from '../log.ts'
import { type Change, type Committed, runChange } from './change.ts'
import { createGroupCommit } from './group-commit.ts'
import { createLoader } from './loader.ts'
import { migrate } from './migrations.ts'
import type { Schema } from './schema.ts'
import { openSqlite } from './sqlite.ts'
import { createWriteBehind, type WriteBehind } from './write-behind.ts'

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

export interface Store extends WriteBehind {
  db: Kysely<Schema>
  /** The store's clock: the only one that decides about tokens and cutoffs. Seconds with a fraction. */
  clock(): number
  transaction<T>(work: (db: Transaction<Schema>) => Promise<T>): Promise<T>
  /** The only way in which the directory changes: edit, cutoffs and events in one transaction. */
  commit<T>(change: Change<T>): Promise<Committed<T>>
  /** Where a tenant's log stands. */
  position(tenant: string): Promise<Position>
  /**
   * Says that positions of the log mean other events than before: every guard loads a snapshot.
   * @param epoch the one that is over; nothing happens when another holds already. Returns whether it was renewed.
   */
  renewEpoch(tenant: string, epoch: string): Promise<boolean>
  /** Resolves when this process has taken the tenant's log past `after`, when {@link wake} is called for it, or when the signal aborts. */
  wait(tenant: string, after: number, signal: AbortSignal): Promise<void>
  /** Wakes those who wait for something of this tenant that is not in the log (a verification that was asked for). */
  wake(tenant: string): void
  close(): Promise<void>
}

export async function createStore({ file, now, log }: StoreOptions): Promise<Store> {
  const db = openSqlite(file)
  await migrate(db)
  const later = createWriteBehind(db, log)
  const transaction = createGroupCommit(db)
  const clock = () => now() / 1000
  /** Who waits for something of a tenant. */
  const waiting = new Map<string, Set<() => void>>()
  /** How far this process has seen each log come. */
  const heads = new Map<string, number>()
  const wake = (tenant: string) => {
    for (const one of waiting.get(tenant) ?? []) one()
  }

  const load = createLoader(async (ids) => {
    const rows = await db.selectFrom('tenants').select(['id', 'epoch', 'seq']).where('id', 'in', ids).execute()
    const asOf = clock()
    return new Map(rows.map(({ id, epoch, seq }): [string, Position] => [id, { epoch, seq, asOf }]))
  })
  const position = async (tenant: string): Promise<Position> => {
    const found = await load(tenant)
    if (!found) throw new Error('there is no such tenant')
    return found
  }

  const store: Store = {
    db,
    clock,
    position,
    ...later,
    transaction,
    async commit(change) {
      // The clock is read inside: a change that waited for its turn must not carry an instant from before it.
      const committed = await transaction((tx) => runChange(tx, change, clock()))
      const { txn, seq, elsewhere = [] } = committed
      for (const one of [{ tenant: change.tenant, seq }, ...elsewhere]) {
        heads.set(one.tenant, Math.max(one.seq, heads.get(one.tenant) ?? 0))
        log.info('change committed', { tenant: one.tenant, txn, seq: one.seq })
        wake(one.tenant)
      }
      return committed
    },
    async renewEpoch(tenant, epoch) {
      const { numUpdatedRows } = await db
        .updateTable('tenants')
        .set({ epoch: randomBytes(9).toString('base64url') })
        .where('id', '=', tenant)
        .where('epoch', '=', epoch)
        .executeTakeFirst()
      wake(tenant)
      return numUpdatedRows > 0n
    },
    async wait(tenant, after, signal) {
      if (signal.aborted) return
      const { promise: woken, resolve } = Promise.withResolvers<void>()
      const end = () => resolve()
      const waiters = waiting.get(tenant) ?? new Set()
      waiting.set(tenant, waiters)
      // Listening starts before the look at the log: a commit between both is heard.
      waiters.add(end)
      signal.addEventListener('abort', end, { once: true })
      try {
        if ((heads.get(tenant) ?? 0) <= after) await woken
      } finally {
        waiters.delete(end)
        signal.removeEventListener('abort', end)
      }
    },
    wake,
    async close() {
      // Behind all that wait for their turn.
      await transaction(async () => {})
      await later.flush()
      await db.destroy()
    },
  }
  return store
}
