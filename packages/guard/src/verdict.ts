import type { JsonObject } from '@caegis/protocol'
import type { VerdictCode } from './errors.ts'

/** The guard's answer for one request. */
export type Verdict = Allowed | Denied

export interface Allowed {
  readonly allowed: true
  /** The verified claims, frozen: they are shared by all requests that carry this token. */
  readonly claims: Readonly<JsonObject>
  /** Who and what the token speaks for. */
  readonly subject: TokenSubject
  /** The guard has not heard from the issuer for longer than `maxStaleness`. */
  readonly stale: boolean
  /**
   * Aborted when this token's access ends: revoked, expired, or no longer to be known. Made when first read; for sockets, streams and long work. Its `reason` has the
   * `code`, and the `txn` of the change behind it where that is known.
   */
  readonly signal: AbortSignal
  /** The request is over: its signal needs no more watching. Adapters call it. */
  release(): void
  /**
   * Gives a connection that lasts the verdict on a newer token: the signal now hangs on that one, and `claims` are its. Taken is only the same access: issuer, subject,
   * client, audience and key, issued no earlier, with no more scopes or roles. @returns whether it was taken; if not, everything is as it was
   */
  handOver(next: Allowed): boolean
}

export interface Denied {
  readonly allowed: false
  readonly status: 400 | 401 | 403 | 503
  readonly code: VerdictCode
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly error: string; readonly code: VerdictCode; readonly message: string }
}

export interface TokenSubject {
  readonly issuer: string
  readonly tenant?: string
  readonly user?: string
  readonly session?: string
  readonly token?: string
  readonly app?: string
  readonly device?: string
}
