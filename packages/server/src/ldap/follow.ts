import { setTimeout as sleep } from 'node:timers/promises'
import type { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
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
  /** Milliseconds. */
  now?: () => number
}

/** Seconds after which a directory that fails is asked again, at the most. */
const PATIENCE = 60

/** How far it is, for an administrator. Instants are milliseconds. */
export interface Followed {
  /** `waiting`: nothing was read to its end yet. */
  state: 'waiting' | 'ok' | 'failing'
  lastPassAt: number | null
  /** Of the last pass, if it failed. */
  lastError: { code: string; message: string; at: number } | null
  /** Of the last pass that did not. */
  report: Report | null
}

export interface Following {
  status(): Followed
  close(): Promise<void>
}

/** Passes, one after the other, until it is closed. What fails is said, and tried again, later each time. */
export function followLdap({ sync, interval, log, first = {}, onPass = () => {}, now = Date.now }: FollowOptions): Following {
  const ending = new AbortController()
  let failures = 0
  const seen: Pick<Followed, 'lastPassAt' | 'lastError' | 'report'> = { lastPassAt: null, lastError: null, report: null }

  async function run(): Promise<void> {
    for (let options = first; !ending.signal.aborted; options = {}) {
      try {
        const report = await sync.pass({ ...options, signal: ending.signal })
        failures = 0
        Object.assign(seen, { report, lastPassAt: now(), lastError: null })
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
    // What is not one of ours may say anything: the log of the host has it, nobody else.
    const known = SERVER_ERRORS[code as keyof typeof SERVER_ERRORS] as string | undefined
    seen.lastError = { code: known ? code : 'failed', message: known ?? 'The sync failed. What happened is in the log of the server.', at: now() }
    const fields = { source: sync.source, code: code ?? name, detail }
    if (code === 'ldap_mass_removal') log.error('too many are gone from the LDAP directory: nobody was touched', { alarm: true, ...fields })
    else if (code?.startsWith('ldap_')) log.warn('the LDAP directory could not be read', fields)
    else log.error('the sync with LDAP failed', { ...fields, message, stack })
  }

  const done = run()
  return {
    status: () => ({ ...seen, state: seen.lastError ? 'failing' : seen.lastPassAt === null ? 'waiting' : 'ok' }),
    async close() {
      ending.abort()
      await done
    },
  }
}
