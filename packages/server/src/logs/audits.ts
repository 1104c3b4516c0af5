import { sql } from 'kysely'
import { type Audit, type AuditEntry, actorOf, auditRecord, insertAudit } from '../store/audit.ts'
import type { Actor } from '../store/change.ts'
import type { AuditRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { firstId } from '../store/time-id.ts'
import { createFlood } from './flood.ts'
import { LOOK, type Page, type Paging } from './page.ts'

export type { Audit }

/** All that are given have to hold. */
export interface AuditFilter {
  /** Who did it. */
  userId?: string
  appId?: string
  /** What it was done to. */
  target?: string
  txn?: string
  activity?: string
  category?: string
  result?: string
}

/** Who changed what: the audit log of one tenant. The records of changes are written by the changes themselves; see store/audit.ts. */
export interface Audits {
  /** Somebody who is known wanted to change something, and may not. Written a moment later; many of the same become one. */
  refused(actor: Actor, entry: AuditEntry, reason: string): void
  /** What an administrator did to something that is no part of the directory: a stream. Written a moment later. */
  done(actor: Actor, entry: AuditEntry): void
  list(page: Paging & AuditFilter): Promise<Page<Audit>>
  find(id: string): Promise<Audit | undefined>
  /** The first record of a cause: what began it. */
  first(txn: string): Promise<Audit | undefined>
  flush(): Promise<void>
}

/** Refusals a minute that are written one by one. */
const BOUNDS = { perSource: 20, total: 200 }

export function createAudits(store: Store, tenant: string): Audits {
  interface Told {
    actor: Actor
    entry: AuditEntry
    reason: string
    at: number
    result: 'success' | 'failure'
  }
  const flood = createFlood<Told>({ ...BOUNDS, clock: store.clock, merge: (kept) => kept })
  const write = ({ actor, entry, reason, at, result }: Told, count = 1) =>
    void store.soon(async (db) => {
      const by = await actorOf(db, tenant, actor)
      const told = count === 1 ? reason : `${reason} (${count} times)`
      await insertAudit(db, tenant, auditRecord(at, { ...entry, by, txn: '', result, reason: told }))
    })

  return {
    refused(actor, entry, reason) {
      const who = actor.kind === 'user' ? actor.id : actor.kind === 'app' ? actor.appId : ''
      const refusal: Told = { actor, entry, reason, at: store.clock(), result: 'failure' }
      if (flood.admits(who, `${entry.activity} ${reason}`, refusal)) write(refusal)
    },

    done: (actor, entry) => write({ actor, entry, reason: '', at: store.clock(), result: 'success' }),

    async list({ limit, before, from, to, ...filter }) {
      const { target, txn, userId, appId, ...rest } = filter
      let narrow = store.db.selectFrom('audits').where('audits.tenant', '=', tenant)
      if (before !== undefined) narrow = narrow.where('id', '<', before)
      if (from !== undefined) narrow = narrow.where('id', '>=', firstId(from))
      if (to !== undefined) narrow = narrow.where('id', '<', firstId(to))
      if (target !== undefined)
        narrow = narrow.where('id', 'in', sql<string>`(select id from audit_targets where tenant = ${tenant} and target = ${target})`)
      else if (txn !== undefined) narrow = narrow.where('txn', '=', txn)
      else if (userId !== undefined) narrow = narrow.where('by_user', '=', userId)
      else if (appId !== undefined) narrow = narrow.where('by_app', '=', appId)

      const wanted = Object.entries({ ...rest, txn, by_user: userId, by_app: appId }).filter((pair) => pair[1] !== undefined) as [
        keyof AuditRow,
        string,
      ][]
      let found = narrow
      for (const [column, value] of wanted) found = found.where(column, '=', value)
      const floor = wanted.length === 0 ? undefined : (await narrow.select('id').orderBy('id', 'desc').offset(LOOK).limit(1).executeTakeFirst())?.id
      if (floor !== undefined) found = found.where('id', '>=', floor)
      const rows = await found
        .select(['id', 'record'])
        .orderBy('id', 'desc')
        .limit(limit + 1)
        .execute()
      const value = rows.slice(0, limit).map(({ record }) => JSON.parse(record) as Audit)
      const next = rows.length > limit ? value.at(-1)?.id : floor
      return { value, ...(next === undefined ? {} : { next }) }
    },

    async find(id) {
      const row = await store.db.selectFrom('audits').select('record').where('tenant', '=', tenant).where('id', '=', id).executeTakeFirst()
      return row && (JSON.parse(row.record) as Audit)
    },

    async first(txn) {
      const rows = store.db.selectFrom('audits').select('record').where('tenant', '=', tenant).where('txn', '=', txn)
      const row = await rows.where('result', '=', 'success').orderBy('id').limit(1).executeTakeFirst()
      return row && (JSON.parse(row.record) as Audit)
    },

    async flush() {
      for (const { record, count } of flood.take()) write(record, count)
      await store.flush()
    },
  }
}
