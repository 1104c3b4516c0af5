import type { Decision } from '@caegis/policy'

/** The instants that rows carry; see `Decisive` in store/schema.ts. */
export interface Instants {
  validFrom: number
  accessFrom: number
  claimsFrom: number
  /** Nothing is issued under this row, however late the proof. */
  ended?: 'device-disabled' | 'device-missing'
}

/** As an access token is judged by them: one without cp1 is spared what is of depth `claims` (threat A9). */
export function asShown<T extends Instants>(one: T, capable: boolean): T {
  return { ...one, validFrom: Math.max(one.validFrom, one.accessFrom, capable ? one.claimsFrom : 0) }
}

/** Why something that was proved earlier is no longer good. The numbers are Entra's, so that clients and people recognise them. */
export type Denial =
  | { reason: 'user-missing' }
  | { reason: 'user-disabled' }
  /** What the sign-in was made from is disabled, or is not registered any more. */
  | { reason: 'device-disabled' | 'device-missing' | 'device-unproved' }
  /** There is no proof of the key that the token is to be bound to, or one that was used before. */
  | { reason: 'key-unproved' }
  /** The tenant is stopped: no sign-in would help. */
  | { reason: 'tenant-stopped' }
  /** Proved at or before `validFrom`: a fresh sign-in is needed. */
  | { reason: 'revoked'; validFrom: number }
  /** The user has not agreed to what the application asks for, or has taken it back. */
  | { reason: 'consent-missing' }
  /** The client asks for the same again and again. */
  | { reason: 'client-loop' }
  /** The API asks for a sign-in that is newer. */
  | { reason: 'sign-in-old' }
  /** Policies ask for more, or block. */
  | { reason: 'policy'; decision: Decision; workload?: boolean; enrolled?: boolean }

/**
 * May somebody whose first factor was proved at `provedAt` (seconds) still be issued anything?
 * Exact and for ever: this looks at the rows, never at the hashed table that guards forget from.
 */
export function judge(
  user: ({ enabled: boolean } & Instants) | undefined,
  others: readonly (Instants | undefined)[],
  provedAt: number | undefined,
): Denial | undefined {
  if (!user) return { reason: 'user-missing' }
  if (!user.enabled) return { reason: 'user-disabled' }
  for (const one of others) if (one?.ended) return { reason: one.ended }
  const validFrom = Math.max(user.validFrom, ...others.map((one) => one?.validFrom ?? 0))
  // Nothing is issued to a proof without an instant: an unknown time cannot be shown to be late enough.
  if (provedAt === undefined || provedAt <= validFrom) return { reason: 'revoked', validFrom }
  return undefined
}
