import type { TransmitterOptions } from '@caegis/ssf/transmitter'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

/**
 * Renews a tenant's epoch when a guard has applied more than the log holds: the database was restored from an older copy. At most once while the server runs,
 * because a restore needs it to stop: a receiver that only says so cannot keep all others busy with snapshots.
 */
export function createRenewal(store: Store, tenant: string, log: Log): NonNullable<TransmitterOptions['onAhead']> {
  let renewed = false
  return async ({ stream, receiver, claimed, head }) => {
    log.error('a guard has applied more than the log holds: was the database restored from an older copy?', {
      ...{ tenant, stream, receiver, applied: claimed.seq, seq: head.seq, renewed: !renewed },
    })
    if (renewed) return
    renewed = true
    if (await store.renewEpoch(tenant, claimed.epoch)) log.warn('the log has a new epoch: every guard loads a snapshot', { tenant })
  }
}
