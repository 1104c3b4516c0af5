import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'

/** A database that is away, or cannot write. */
export interface Outage {
  /** Tells whoever asks that it is a matter of time (503), and not that something is wrong with the request, or here. @param code what the database calls it */
  refuse(cause: unknown, code: string): never
}

/** Milliseconds for which the same is said once: everybody who asks meets it. */
const QUIET = 10_000

export function createOutage(log: Log): Outage {
  const said = new Map<string, number>()
  return {
    refuse(cause, code) {
      const now = performance.now()
      if (now - (said.get(code) ?? Number.NEGATIVE_INFINITY) >= QUIET) {
        said.set(code, now)
        log.error('the database is away or cannot write: requests that need it are answered with 503', { code })
      }
      throw Object.assign(new CaegisError('store_unavailable', 'temporarily_unavailable'), {
        ...{ statusCode: 503, status: 503, expose: true, cause },
        error_description: SERVER_ERRORS.store_unavailable,
      })
    },
  }
}
