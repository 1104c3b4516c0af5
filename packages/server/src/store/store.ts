import { randomBytes } from 'node:crypto'
import type { DatabaseSettings } from '../database-url.ts'
import type { Log } from '../log.ts'
import { type Change, type Committed, runChange } from './change.ts'
import { createEmbedded } from './embedded.ts'
import type { Engine, Lock, Work } from './engine.ts'
import { createLoader } from './loader.ts'
import { migrate } from './migrations.ts'
import { createWriteBehind, type WriteBehind } from './write-behind.ts'

export interface StoreOptions {
  /** Path of the embedded database, where there is no other. */
  file: string
  /** A PostgreSQL to store in instead. */
  database?: DatabaseSettings | undefined
  /** The machine's clock, in milliseconds: that of the embedded database too. */
  now: () => number
  /** Another clock than PostgreSQL's own, in milliseconds, for tests that go through days. */
  clock?: (() => number) | undefined
  log: Log
}

export interface Position {
  epoch: string
  seq: number
  /** Seconds with a fraction, by the store's clock. */
  asOf: number
}

export interface Store extends WriteBehind, Pick<Engine, 'engine' | 'db' | 'clock' | 'skew' | 'after' | 'hold'> {
  transaction<T>(lock: Lock, work: Work<T>): Promise<T>
  /** The only way in which the directory changes: edit, cutoffs and events in one transaction. */
  commit<T>(change: Change<T>): Promise<Committed<T>>
  /** Where a tenant's log stands. */
  position(tenant: string): Promise<Position>
  /**
   * Says that positions of the log mean other events than before: every guard loads a snapshot.
   * @param epoch the one that is over; nothing happens when another holds already. Returns whether it was renewed.
   */
  renewEpoch(tenant: string, epoch: string): Promise<boolean>
  /** Resolves when the tenant's log has gone past `after`, when {@link wake} is called for it, or when the signal aborts. */
  wait(tenant: string, after: number, signal: AbortSignal): Promise<void>
  /** Wakes those who wait for something of this tenant that is not in the log (a verification that was asked for). */
  wake(tenant: string): void
  /** Tells whoever listens to a topic in another process, and perhaps here: a moment late, or never. Neither topic nor text holds a space. */
  say(topic: string, text: string): void
  /** @returns what ends it */
  listen(topic: string, listener: (text: string) => void): () => void
  close(): Promise<void>
}

export async function createStore({ file, database, now, clock: given, log }: StoreOptions): Promise<Store> {
  /** Who waits for something of a tenant. */
  const waiting = new Map<string, Set<() => void>>()
  /** How far each log is known to have come. */
  const heads = new Map<string, number>()
  /** By which numbers it counts. */
  const epochs = new Map<string, string>()
  const wakeHere = (tenant: string) => {
    for (const one of waiting.get(tenant) ?? []) one()
  }
  const moved = (tenant: string, seq: number) => {
    // Also back: a database that was restored, or lost what its successor had not yet, numbers anew.
    if (heads.get(tenant) === seq) return
    heads.set(tenant, seq)
    wakeHere(tenant)
  }
  const hearing = new Map<string, Set<(text: string) => void>>()
  const said = (topic: string, text: string) => {
    for (const one of hearing.get(topic) ?? []) one(text)
  }
  const listeners = { moved, said, wake: wakeHere, awaited: () => [...waiting].filter(([, some]) => some.size > 0).map(([tenant]) => tenant) }
  const engine = database
    ? await (await import('./postgres/engine.ts')).createPostgres({ database, now, listeners, log, ...(given && { clock: given }) })
    : createEmbedded(file, now, log)
  if (!database) await migrate(engine.db)
  const { db, clock, transaction } = engine
  const later = createWriteBehind(engine, log)
  const wake = (tenant: string) => {
    wakeHere(tenant)
    engine.tell(tenant)
  }

  const load = createLoader(async (ids) => {
    // Before it is read: what is committed meanwhile must not be older than what this says.
    const asOf = clock()
    const rows = await db.selectFrom('tenants').select(['id', 'epoch', 'seq']).where('id', 'in', ids).execute()
    return new Map(rows.map(({ id, epoch, seq }): [string, Position] => [id, { epoch, seq, asOf }]))
  })
  const position = async (tenant: string): Promise<Position> => {
    const found = await load(tenant)
    if (!found) throw new Error('there is no such tenant')
    const before = epochs.get(tenant)
    epochs.set(tenant, found.epoch)
    if (before !== undefined && before !== found.epoch) await renumbered(tenant)
    return found
  }
  /** Positions of before mean other events now, and whoever waits for one behind them would not wait at all. */
  const renumbered = async (tenant: string) => {
    const known = heads.get(tenant)
    const fresh = await load(tenant)
    // What was committed meanwhile has said so itself.
    if (fresh && heads.get(tenant) === known) moved(tenant, fresh.seq)
  }

  const store: Store = {
    ...{ engine: engine.engine, db, clock, position, transaction, skew: engine.skew, after: engine.after, hold: engine.hold },
    ...later,
    async commit(change) {
      // The clock is read inside: a change that waited for its turn must not carry an instant from before it.
      const committed = await transaction({ tenant: change.tenant }, (tx, at) => runChange(tx, change, at(), engine.hold))
      const { txn, seq, elsewhere = [] } = committed
      for (const one of [{ tenant: change.tenant, seq }, ...elsewhere]) {
        log.info('change committed', { tenant: one.tenant, txn, seq: one.seq })
        if ((heads.get(one.tenant) ?? 0) < one.seq) moved(one.tenant, one.seq)
        else wakeHere(one.tenant)
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
    say: engine.say,
    listen(topic, listener) {
      const some = hearing.get(topic) ?? new Set()
      hearing.set(topic, some.add(listener))
      return () => void some.delete(listener)
    },
    async close() {
      await later.close()
      await engine.close()
    },
  }
  return store
}
