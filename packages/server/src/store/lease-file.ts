import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Log } from '../log.ts'
import { isBusy } from './busy.ts'
import type { LeaseKeeper } from './leases.ts'

/**
 * Who holds everything over the embedded database: the one server that has the lock of a file beside it. The operating system gives the lock back when a process dies,
 * however it dies, so the next one has it at once, and there is nothing to renew. A second server over the same file serves requests and waits for its turn.
 *
 * Why a database for it: Node has no lock of files, and SQLite has had one on every system for long.
 */
export function createLeaseFile(file: string, log?: Log): LeaseKeeper {
  let lock: DatabaseSync | undefined
  let waits = false

  function take(): boolean {
    const db = new DatabaseSync(file)
    try {
      db.exec('pragma busy_timeout = 0; begin exclusive')
      // Never opened by anybody but SQLite: to close a file gives back every lock that the process has on it.
      chmodSync(file, 0o600)
      lock = db
      return true
    } catch (error) {
      db.close()
      if (isBusy(error)) return false
      throw error
    }
  }

  return {
    lasts: Number.POSITIVE_INFINITY,
    async keep(wanted) {
      const has = lock !== undefined || take()
      // A takeover looks like this for a moment; a server that was started twice by mistake, for good.
      if (!has && !waits) log?.warn('another server works on these data: this one serves requests, and waits for what one server alone does')
      if (has && waits) log?.info('the other server is gone: this one does now what one server alone does')
      waits = !has
      return new Set(has ? wanted : [])
    },
    // Whoever does not have the lock knows nothing of who has: there is one server here, or somebody is about to have one.
    async tell() {},
    reportOf: async () => undefined,
    wait(signal) {
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true })
        if (signal.aborted) resolve()
      })
    },
    async end() {
      lock?.close()
      lock = undefined
    },
  }
}
