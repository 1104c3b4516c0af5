import { sql } from 'kysely'
import type { Log } from './log.ts'
import { REMEMBERED } from './risk/detection.ts'
import { COUNTED_HOURS } from './signals/deliveries.ts'
import { sweepSegments } from './signals/segment-store.ts'
import { EXPIRY_LEEWAY } from './store/change.ts'
import { type Expiry, expire } from './store/expire.ts'
import type { Leases } from './store/leases.ts'
import type { Store } from './store/store.ts'
import { firstId } from './store/time-id.ts'
import type { TenantRooms, Tenants } from './tenants.ts'

export interface Housekeeping {
  /** One round now; the one that is under way is waited for instead. */
  tidy(): Promise<void>
  close(): Promise<void>
}

export interface HousekeepingOptions {
  store: Store
  leases: Pick<Leases, 'hold'>
  tenants: Pick<Tenants, 'openAll'>
  log: Log
  /** Seconds for which the log keeps an event. */
  retention: number
  /** Seconds for which the sign-in log and the audit log keep a record, unless the tenant says less. */
  logRetention: number
}

/** Milliseconds between two rounds. */
const PERIOD = 30_000
/** Rows that are looked at before streams that need them are ended. */
const LOOK = 10_000
/** Seconds after which wrong guesses have no effect any more; see issuer/throttle.ts. */
const THROTTLE_MEMORY = 2 * 24 * 3600
/** Seconds: no window of store/limits.ts is longer. */
const LIMIT_MEMORY = 3600
/** Seconds for which it is remembered which causes came from upstreams: longer than any stream holds an event that has gone round. */
const UPSTREAM_MEMORY = 90 * 24 * 3600
/** Seconds for which what was found about somebody is kept after it is over. */
const RISK_MEMORY = 90 * 24 * 3600
/** Rows that one transaction removes: nobody else can write meanwhile. */
const BATCH = 500

/** Removes what has had its time: sign-in artifacts, cutoffs that can hit no token any more, streams of receivers that are gone, old rows of the log and old records. */
export function startHousekeeping({ store, leases, tenants, log, retention, logRetention }: HousekeepingOptions): Housekeeping {
  const { db } = store
  let closed = false
  let round: Promise<void> | undefined
  const run = () => {
    round ??= tidy().finally(() => {
      round = undefined
    })
    return round
  }
  const regularly = (work: () => Promise<void>) => {
    const timer = setInterval(() => {
      work().catch((error: Error) => log.error('housekeeping failed', { message: error.message }))
    }, PERIOD)
    timer.unref()
    return timer
  }
  const timer = regularly(mind)
  leases.hold('housekeeping', () => {
    const rounds = regularly(run)
    return {
      async close() {
        clearInterval(rounds)
        await round?.catch(() => {})
      },
    }
  })

  /** What each server has to look after itself. */
  async function mind(): Promise<void> {
    for (const { tenant } of await tenants.openAll()) {
      if (closed) return
      await tenant.keys.tend()
      await Promise.all([tenant.signIns.flush(), tenant.audits.flush()])
    }
  }

  async function tidy(): Promise<void> {
    const now = Math.floor(store.clock())
    for (const one of expiries(now)) await expire(db, one, () => closed)
    await sweepSegments(store, () => closed)
    for (const rooms of await tenants.openAll()) {
      if (closed) return
      await rooms.transmitter.tidy()
      await cutLog(rooms, now - retention)
      const { logRetentionDays: days } = await rooms.tenant.directory.organization.read()
      const kept = Math.min(logRetention, (days ?? Number.POSITIVE_INFINITY) * 24 * 3600)
      await cutRecords(rooms.tenant.id, firstId((now - kept) * 1000))
    }
  }

  /** What goes because of its age alone, of all tenants. */
  function expiries(now: number): Expiry[] {
    const over = now - Math.max(RISK_MEMORY, logRetention)
    const forgotten = now - Math.max(UPSTREAM_MEMORY, 2 * retention)
    const row = ['tenant', 'id']
    return [
      { table: 'artifacts', key: ['tenant', 'model', 'id'], old: sql`expires_at <= ${now}` },
      { table: 'cutoffs', key: ['tenant', 'kind', 'spares', 'id'], old: sql`until <= ${now - EXPIRY_LEEWAY}` },
      { table: 'decisions', key: row, old: sql`tokens_until <= ${now - EXPIRY_LEEWAY}` },
      { table: 'reevaluations', key: row, old: sql`ended_at < ${now - logRetention}` },
      { table: 'delivery_counts', key: ['tenant', 'stream', 'hour'], old: sql`hour < ${Math.floor(now / 3600) - COUNTED_HOURS}` },
      { table: 'revoked_tokens', key: ['tenant', 'jti'], old: sql`until <= ${now}` },
      { table: 'throttles', key: ['tenant', 'key'], old: sql`until <= ${now} and at < ${now - THROTTLE_MEMORY}` },
      { table: 'limits', key: ['tenant', 'key'], old: sql`since < ${now - LIMIT_MEMORY}` },
      { table: 'risk_signals', key: row, old: sql`at < ${now - REMEMBERED}` },
      // What is low and of one sign-in was never anything for the user: nothing would ever end it.
      { table: 'risk_detections', key: row, old: sql`updated_at < ${over} and (state <> 'atRisk' or (about = 'signIn' and level = 'low'))` },
      { table: 'risk_history', key: row, old: sql`at < ${over}` },
      { table: 'upstream_acts', key: ['tenant', 'txn', 'type', 'user_id'], old: sql`at < ${forgotten}` },
      { table: 'upstream_sets', key: ['tenant', 'upstream', 'iss', 'jti'], old: sql`at < ${forgotten} and event is null` },
    ]
  }

  /**
   * Streams that still need an old row end first, visibly; only then it goes, and with it what became of it. A cursor never passes over a row that is gone
   * (threat B9).
   */
  async function cutLog({ tenant: { id }, transmitter }: TenantRooms, before: number): Promise<void> {
    while (!closed) {
      const rows = await db.selectFrom('events').select(['seq', 'at']).where('tenant', '=', id).orderBy('seq').limit(LOOK).execute()
      const young = rows.findIndex(({ at }) => at >= before)
      const old = young < 0 ? rows : rows.slice(0, young)
      const [first] = old
      const last = old.at(-1)
      if (!first || !last) return
      const lagging = await transmitter.cut(last.seq + 1)
      let letters = 0
      for (let below = first.seq; below <= last.seq && !closed; ) {
        below = Math.min(below + BATCH, last.seq + 1)
        letters += await removeBelow(id, below)
      }
      log.info('the log was cut', { tenant: id, below: last.seq + 1, lagging })
      if (letters > 0) log.warn('dead letters went with the events that they were of: nobody can send them any more', { tenant: id, letters })
      if (young >= 0 || rows.length < LOOK) return
    }
  }

  /** Sign-ins and audits before `id`, a batch at a time. */
  async function cutRecords(tenant: string, id: string): Promise<void> {
    for (const table of ['sign_ins', 'audit_targets', 'audits'] as const) {
      for (let more = true; more && !closed; ) {
        const old = await db.selectFrom(table).select('id').where('tenant', '=', tenant).where('id', '<', id).orderBy('id').limit(BATCH).execute()
        const last = old.at(-1)
        if (last) await db.deleteFrom(table).where('tenant', '=', tenant).where('id', '<=', last.id).execute()
        more = old.length === BATCH
      }
    }
  }

  /** @returns how many dead letters went */
  async function removeBelow(tenant: string, seq: number): Promise<number> {
    return store.transaction({ tenant }, async (tx) => {
      await tx.deleteFrom('events').where('tenant', '=', tenant).where('seq', '<', seq).execute()
      await tx.deleteFrom('deliveries').where('tenant', '=', tenant).where('seq', '<', seq).execute()
      const { numDeletedRows } = await tx.deleteFrom('dead_letters').where('tenant', '=', tenant).where('seq', '<', seq).executeTakeFirst()
      return Number(numDeletedRows)
    })
  }

  return {
    async tidy() {
      await mind()
      await run()
    },
    async close() {
      closed = true
      clearInterval(timer)
      await round?.catch(() => {})
    },
  }
}
