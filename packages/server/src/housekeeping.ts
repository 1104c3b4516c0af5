import type { Log } from './log.ts'
import { EXPIRY_LEEWAY } from './store/change.ts'
import type { Store } from './store/store.ts'
import type { Tenants } from './tenants.ts'

/** Milliseconds between two rounds. */
const PERIOD = 30_000

/** Removes what has had its time: sign-in artifacts, cutoffs that can hit no token any more, streams of receivers that are gone. */
export function startHousekeeping(store: Store, tenants: Tenants, log: Log): { close(): void } {
  const timer = setInterval(() => {
    tidy(store, tenants).catch((error: Error) => log.error('housekeeping failed', { message: error.message }))
  }, PERIOD)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

async function tidy(store: Store, tenants: Tenants): Promise<void> {
  const now = Math.floor(store.clock())
  await store.db.deleteFrom('artifacts').where('expires_at', '<=', now).execute()
  await store.db
    .deleteFrom('cutoffs')
    .where('until', '<=', now - EXPIRY_LEEWAY)
    .execute()
  for (const { transmitter } of await tenants.openAll()) await transmitter.tidy()
}
