import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import type { Log } from '../log.ts'
import type { LeaseKeeper } from './leases.ts'
import type { Store } from './store.ts'

export interface LeaseTableOptions {
  store: Pick<Store, 'engine' | 'db' | 'transaction' | 'wait' | 'wake'>
  log: Log
  /** Milliseconds after which a node that does not renew counts as dead. */
  lasts?: number
}

const LASTS = 5000
/** Names in one statement. */
const BATCH = 200
/** Those who wait for a lease wait as for something of a tenant; no tenant has this id. */
const WAITING = 'leases'

/**
 * Who holds what, over a database that many servers share. A node has one row that says until when it lives, by the store's clock, and leases name their node: to renew
 * all of them is to renew one row. Who finds a row that is over removes it; whoever's row is gone has lost everything, even if nobody has taken it yet. All of that goes on
 * under one lock, so no node is removed while it renews, and no lease is taken twice.
 */
export function createLeaseTable({ store, log, lasts = LASTS }: LeaseTableOptions): LeaseKeeper {
  const node = randomBytes(9).toString('base64url')
  /** What the table says that is ours; unknown after a failure, when nobody can say what was committed. */
  let mine: ReadonlySet<string> | undefined
  let begun = false

  return {
    lasts,
    async keep(wanted) {
      const before = mine
      mine = undefined
      const done = await store.transaction({ name: 'leases' }, async (tx, clock) => {
        const now = Math.round(clock() * 1000)
        const until = now + lasts
        // Who stands still in the middle of this must not keep the others from taking over.
        if (store.engine === 'postgres') await sql`select set_config('idle_in_transaction_session_timeout', ${String(lasts)}, true)`.execute(tx)
        const { numUpdatedRows } = await tx.updateTable('nodes').set({ until }).where('id', '=', node).executeTakeFirst()
        const alive = numUpdatedRows > 0n
        if (!alive) await tx.insertInto('nodes').values({ id: node, until }).execute()
        // Further ahead than anybody can have put it: the clock was set back. Who lives renews before it is over.
        await tx.updateTable('nodes').set({ until }).where('until', '>', until).execute()
        const dead = await tx.deleteFrom('nodes').where('until', '<=', now).returning('id').execute()
        const none: ReadonlySet<string> = new Set()
        // Row and leases would fit again; but others may have had them in between.
        if (!alive && begun) return { alive, dead, mine: none, freed: 0 }

        const missing = wanted.filter((name) => !before?.has(name))
        const known = before && missing.length === 0
        // What is ours is looked up each time: a database that took over from another one may know of none of it, and of others who have it.
        const held = known
          ? await tx.selectFrom('leases').select(['name', 'holder']).where('holder', '=', node).execute()
          : await tx.selectFrom('leases').innerJoin('nodes', 'nodes.id', 'leases.holder').select(['name', 'holder']).execute()
        const own = new Set(held.filter(({ holder }) => holder === node).map(({ name }) => name))
        const taken = new Set(held.map(({ name }) => name))
        const free = missing.filter((name) => !taken.has(name))
        for (let at = 0; at < free.length; at += BATCH) {
          const rows = free.slice(at, at + BATCH).map((name) => ({ name, holder: node, report: null }))
          await tx
            .insertInto('leases')
            .values(rows)
            .onConflict((clash) => clash.column('name').doUpdateSet({ holder: node, report: null }))
            .execute()
        }
        for (const name of free) own.add(name)
        const asked = new Set(wanted)
        const unwanted = [...own].filter((name) => !asked.has(name))
        for (const name of unwanted) {
          await tx.deleteFrom('leases').where('name', '=', name).where('holder', '=', node).execute()
          own.delete(name)
        }
        return { alive, dead, mine: own as ReadonlySet<string>, freed: unwanted.length }
      })
      if (done.dead.length > 0) log.warn('a node is gone: its work goes to those who are left', { nodes: done.dead.map(({ id }) => id) })
      if (!done.alive && begun) log.warn('this node was taken for dead: what it did alone ends here', { node })
      if (!begun) log.info('this server shares its work with others', { node })
      begun = true
      mine = done.mine
      if (done.freed > 0) store.wake(WAITING)
      return mine
    },
    async tell(reports) {
      await store.transaction({ name: 'leases' }, async (tx) => {
        for (const [name, report] of reports)
          await tx.updateTable('leases').set({ report }).where('name', '=', name).where('holder', '=', node).execute()
      })
    },
    async reportOf(name) {
      const row = await store.db
        .selectFrom('leases')
        .innerJoin('nodes', 'nodes.id', 'leases.holder')
        .select('report')
        .where('name', '=', name)
        .executeTakeFirst()
      return row?.report ?? undefined
    },
    wait: (signal) => store.wait(WAITING, Number.MAX_SAFE_INTEGER, signal),
    async end() {
      if (!begun) return
      await store.transaction({ name: 'leases' }, async (tx) => {
        await tx.deleteFrom('leases').where('holder', '=', node).execute()
        await tx.deleteFrom('nodes').where('id', '=', node).execute()
      })
      store.wake(WAITING)
    },
  }
}
