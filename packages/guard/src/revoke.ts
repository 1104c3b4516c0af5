import { CUTOFF_DEPTHS, CUTOFF_KINDS, type Cutoff, type CutoffDepth, type CutoffKind, isIdentifier, isNumericDate, pairId } from '@caegis/protocol'

/** What the API's owner takes back, whatever the issuer says. */
export interface Revocation {
  kind: CutoffKind
  /** As it stands in the tokens; of a `grant` [user, application], of a `user-device` [user, device]. */
  id: string | readonly [string, string]
  /** Only to be left out where the guard has one issuer. */
  issuer?: string
  /** Seconds, by the issuer's clock, default now: tokens issued at or before it are refused. */
  t?: number
  /** Seconds, default and at most `t` and the horizon: it may be forgotten then. */
  until?: number
  /** Default `access`; `claims` spares tokens without cp1. */
  depth?: CutoffDepth
}

export interface RevocationBounds {
  issuer: string
  /** Seconds. */
  now: number
  /** Seconds. */
  horizon: number
}

/** Seconds by which an issuer's clock may be ahead of ours. */
const AHEAD = 60
const PAIRS: readonly CutoffKind[] = ['grant', 'user-device']

/** @throws TypeError for what would cut off nobody, or everybody for ever: a mistake there must not pass for a revocation */
export function readRevocation({ kind, id, t, until, depth = 'access' }: Revocation, { issuer, now, horizon }: RevocationBounds): Cutoff {
  if (!CUTOFF_KINDS.includes(kind)) throw new TypeError(`revoke needs a kind: ${CUTOFF_KINDS.join(', ')}`)
  if (!CUTOFF_DEPTHS.includes(depth)) throw new TypeError(`depth is one of ${CUTOFF_DEPTHS.join(', ')}`)
  const second = t === undefined ? Math.floor(now) : t
  if (!isNumericDate(second)) throw new TypeError('t is a time in seconds')
  if (second > now + AHEAD) throw new TypeError('t is in the future (it is in seconds): tokens to come would be refused')
  const last = Math.floor(second) + horizon
  if (until !== undefined && !(isNumericDate(until) && until >= second)) throw new TypeError('until is a time in seconds, not before t')
  return { issuer, kind, id: idOf(kind, id), t: Math.floor(second), depth, until: Math.min(Math.ceil(until ?? last), last) }
}

function idOf(kind: CutoffKind, id: unknown): string {
  if (!PAIRS.includes(kind)) {
    if (isIdentifier(id)) return id
    throw new TypeError('revoke needs an id, as it stands in the tokens')
  }
  // As this function returned it, too: a cutoff that one replica made is given to the others.
  const [user, other, ...more] = typeof id === 'string' ? id.split('\n') : Array.isArray(id) ? id : []
  if (isIdentifier(user) && isIdentifier(other) && more.length === 0) return pairId(user, other)
  throw new TypeError(`the id of a ${kind} is a pair: [user, ${kind === 'grant' ? 'application' : 'device'}]`)
}
