import type { Log } from './log.ts'
import { EXPIRY_LEEWAY } from './store/change.ts'
import type { Store } from './store/store.ts'

/** Milliseconds between two rounds. */
const PERIOD = 30_000
/** Seconds without a call after which a stream is dropped: its replica is gone, and would hold back long-lived tokens for good (rule I5). */
const STREAM_IDLE = 300

/** Removes what has had its time: sign-in artifacts, cutoffs that can hit no token any more, streams of replicas that are gone. */
export function startHousekeeping(store: Store, log: Log): { close(): void } {
  const timer = setInterval(() => {
    tidy(store).catch((error: Error) => log.error('housekeeping failed', { message: error.message }))
  }, PERIOD)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

export async function tidy(store: Store): Promise<void> {
  const now = Math.floor(store.clock())
  await store.db.deleteFrom('artifacts').where('expires_at', '<=', now).execute()
  await store.db
    .deleteFrom('cutoffs')
    .where('until', '<=', now - EXPIRY_LEEWAY)
    .execute()
  const streams = await store.db.selectFrom('streams').select(['tenant', 'id', 'config', 'progress']).execute()
  for (const { tenant, id, config, progress } of streams) {
    const { createdAt } = JSON.parse(config) as { createdAt: number }
    const { seenAt = createdAt } = JSON.parse(progress) as { seenAt?: number }
    if (now - Math.max(seenAt, createdAt) <= STREAM_IDLE) continue
    await store.transaction(async (db) => {
      await db.deleteFrom('streams').where('tenant', '=', tenant).where('id', '=', id).execute()
      await db.deleteFrom('controls').where('tenant', '=', tenant).where('stream', '=', id).execute()
    })
    store.wake(tenant)
  }
}
