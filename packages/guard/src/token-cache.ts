import type { JsonObject } from '@caegis/protocol'
import type { Confirmation } from './confirmation.ts'
import type { VerifyKey } from './keys.ts'
import type { LateBound, Place } from './rules.ts'
import type { TokenTimes } from './token.ts'
import type { TokenSubject } from './verdict.ts'

/** A token whose signature was verified. Whether it is still good is asked anew at every request. */
export interface SeenToken {
  readonly claims: Readonly<JsonObject>
  readonly subject: TokenSubject
  readonly times: TokenTimes
  /** The key that vouched for it: the entry is worth nothing once the key is gone. */
  readonly key: VerifyKey
  /** Two 32-bit halves for each place in the table where it may be cut off. */
  readonly hashes: Int32Array
  /** The client said `cp1`: it can answer a claims challenge. */
  readonly capable: boolean
  readonly longLived: boolean
  /** 0..1, the same at every replica: spreads what would else happen to all tokens at once. */
  readonly spread: number
  /** What it leaves to the guard; most tokens: nothing. */
  readonly late: LateBound | undefined
  /** What whoever shows it must have; most tokens: nothing. */
  readonly bound: Confirmation | undefined
  /** Where it was last shown from. */
  place: (Place & { edition: number; peer: string | undefined; forwarded: string | undefined }) | undefined
  /** The version of the cutoff table at which `cutoff` was read. */
  version: number
  /** The latest second at which any of its keys was cut off; -1 for none. */
  cutoff: number
}

/**
 * Verified tokens by the SHA-256 of their text: no token is kept in memory, and nothing that was not verified ever enters.
 * Two generations bound it: the young one, when half the limit, becomes the old one, and what was not asked for since is dropped with the one before.
 */
export interface TokenCache {
  get(digest: string): SeenToken | undefined
  set(digest: string, seen: SeenToken): void
  /** Forgets what removed keys vouched for. */
  dropGone(): void
  readonly size: number
}

export function createTokenCache(limit: number): TokenCache {
  const half = Math.max(1, Math.floor(limit / 2))
  let young = new Map<string, SeenToken>()
  let old = new Map<string, SeenToken>()
  return {
    get(digest) {
      const seen = young.get(digest)
      if (seen !== undefined) return seen
      const kept = old.get(digest)
      if (kept !== undefined) {
        old.delete(digest)
        set(digest, kept)
      }
      return kept
    },
    set,
    dropGone() {
      for (const generation of [young, old]) for (const [digest, { key }] of generation) if (key.gone) generation.delete(digest)
    },
    get size() {
      return young.size + old.size
    },
  }

  function set(digest: string, seen: SeenToken): void {
    young.set(digest, seen)
    if (young.size < half) return
    old = young
    young = new Map()
  }
}
