import { setTimeout as sleep } from 'node:timers/promises'
import type { CaegisError } from '@caegis/protocol'
import type { Log } from '../log.ts'
import type { PassOptions, Report, Sync } from './sync.ts'

export interface FollowOptions {
  sync: Sync
  /** Seconds between two passes. */
  interval: number
  log: Log
  /** For the first pass. */
  first?: PassOptions
  onPass?: (report: Report) => void
}

/** Seconds after which a directory that fails is asked again, at the most. */
const PATIENCE = 60

/** Passes, one after the other, until it is closed. What fails is said, and tried again, later each time. */
export function followLdap({ sync, interval, log, first = {}, onPass = () => {} }: FollowOptions): { close(): Promise<void> } {
  const ending = new AbortController()
  let failures = 0

  async function run(): Promise<void> {
    for (let options = first; !ending.signal.aborted; options = {}) {
      try {
        const report = await sync.pass({ ...options, signal: ending.signal })
        failures = 0
        tell(report)
        onPass(report)
      } catch (error) {
        if (ending.signal.aborted) return
        // A directory from which many are gone answers: what else changes there is not made to wait.
        failures = (error as CaegisError).code === 'ldap_mass_removal' ? 0 : failures + 1
        complain(error as CaegisError)
      }
      const pause = failures === 0 ? interval : Math.min(interval * 2 ** failures, Math.max(interval, PATIENCE))
      await sleep(pause * 1000, undefined, { signal: ending.signal }).catch(() => {})
    }
  }
  function tell({ read, unfit, full, ...done }: Report): void {
    const happened = Object.values(done).some((count) => count > 0)
    log[happened || full ? 'info' : 'debug']('the LDAP directory was read', { source: sync.source, full, read, unfit, ...done })
  }
  function complain({ name, code, detail, message, stack }: CaegisError): void {
    const fields = { source: sync.source, code: code ?? name, detail }
    if (code === 'ldap_mass_removal') log.error('too many are gone from the LDAP directory: nobody was touched', { alarm: true, ...fields })
    else if (code?.startsWith('ldap_')) log.warn('the LDAP directory could not be read', fields)
    else log.error('the sync with LDAP failed', { ...fields, message, stack })
  }

  const done = run()
  return {
    async close() {
      ending.abort()
      await done
    },
  }
}
