import { callerAddress, compileRanges } from '@caegis/policy'
import { clientOf, type Head } from '@caegis/protocol'
import { forwardedFor, type GuardRequest } from './credentials.ts'
import type { VerdictCode } from './errors.ts'
import type { Needs, Requirement } from './needs.ts'
import type { SeenToken } from './token-cache.ts'

/** One verdict, written down. What it says of the token was verified: of a token that was not, nothing is said. */
export interface Decision {
  /** ISO 8601. */
  readonly time: string
  readonly allowed: boolean
  readonly code: 'allowed' | VerdictCode
  /** The refusal held a claims challenge. */
  readonly challenged: boolean
  /** By which issuer's rules it was judged; absent where no issuer was named. */
  readonly issuer?: string
  readonly aud?: unknown
  /** The client: `azp`, `client_id` or `appid`. */
  readonly azp?: unknown
  /** The user, by the id that cutoffs name. */
  readonly user?: string
  readonly sid?: unknown
  readonly jti?: unknown
  /** What the route asked for. */
  readonly needs?: Requirement
  /** What the guard knew: where the issuer's log stood, and the version of the location rules. */
  readonly state?: { readonly epoch: string; readonly seq: number }
  readonly rules: number
  /** Of the change that refused it, where that is known. */
  readonly txn?: string
  /** Where the request came from, where that is known. */
  readonly address?: string
}

export interface DecisionLogOptions {
  /** Takes one record. It is called after the request, never within; what it throws is counted. */
  write: (decision: Decision) => unknown
  /** Also what was allowed, default false: refusals only. */
  allowed?: boolean
  /** Records that may wait, default 1000; further ones are dropped, and counted. */
  limit?: number
}

/** What a request leaves behind until it is written down. */
export interface Decided {
  readonly code: 'allowed' | VerdictCode
  readonly challenged: boolean
  readonly issuer: string | undefined
  readonly request: GuardRequest
  readonly needs: Needs | undefined
  readonly seen: SeenToken | undefined
  readonly head: Head | undefined
  readonly rules: number
  readonly txn: string | undefined
}

export interface DecisionLog {
  /** Whether what was allowed is wanted, too. */
  readonly all: boolean
  add(decided: Decided): void
  status(): DecisionLogStatus
  /** Writes what still waits. */
  close(): void
}

export interface DecisionLogStatus {
  written: number
  /** For want of room. */
  dropped: number
  /** What `write` threw, or rejected. */
  failed: number
}

/** Written at once before other work has its turn. */
const BATCH = 64
/** Of `X-Forwarded-For`: what counts stands at its right. */
const REMEMBERED = 1024

export function createDecisionLog(
  { write, allowed = false, limit = 1000 }: DecisionLogOptions,
  { now, trustedProxies }: { now: () => number; trustedProxies: readonly string[] },
): DecisionLog {
  const trusted = compileRanges(trustedProxies)
  const counts: DecisionLogStatus = { written: 0, dropped: 0, failed: 0 }
  let waiting: (() => Decision)[] = []
  let scheduled = false

  return {
    all: allowed,
    add(decided) {
      if (waiting.length >= limit) {
        counts.dropped++
        return
      }
      waiting.push(keep(decided))
      if (scheduled) return
      scheduled = true
      setImmediate(drain)
    },
    status: () => ({ ...counts }),
    close() {
      for (const decision of waiting.splice(0)) put(decision)
    },
  }

  /** Takes from the request what it may not have any more later, and leaves the rest of the work for then. */
  function keep({ request, ...decided }: Decided): () => Decision {
    const at = now()
    const peer = request.socket?.remoteAddress
    const forwarded = trusted.size > 0 ? forwardedFor(request)?.slice(-REMEMBERED) : undefined
    return () => recordOf(decided, at, callerAddress(trusted, peer, forwarded))
  }

  function drain(): void {
    const batch = waiting.slice(0, BATCH)
    waiting = waiting.slice(BATCH)
    scheduled = waiting.length > 0
    if (scheduled) setImmediate(drain)
    for (const decision of batch) put(decision)
  }

  function put(decision: () => Decision): void {
    try {
      const done: unknown = write(decision())
      counts.written++
      if (done instanceof Promise) done.catch(() => counts.failed++)
    } catch {
      counts.failed++
    }
  }
}

function recordOf({ code, challenged, issuer, needs, seen, head, rules, txn }: Omit<Decided, 'request'>, at: number, address: string): Decision {
  const said = {
    ...{ issuer, ...(seen && tokenOf(seen)), needs: needs?.asked, txn, address: address === '' ? undefined : address },
    state: head && { epoch: head.epoch, seq: head.seq },
  }
  const known = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
  return { time: new Date(at).toISOString(), allowed: code === 'allowed', code, challenged, rules, ...known }
}

function tokenOf({ claims, subject }: SeenToken) {
  const { aud, sid, jti } = claims
  return { aud, azp: clientOf(claims), user: subject.user, sid, jti }
}
