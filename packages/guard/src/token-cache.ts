import type { JsonObject } from '@caegis/protocol'
import type { Confirmation } from './confirmation.ts'
import type { VerifyKey } from './keys.ts'
import type { LateBound, Place } from './rules.ts'
import type { TokenTimes } from './token.ts'
import type { TokenSubject } from './verdict.ts'

/** A token whose signature was verified. Whether it is still good is asked anew at every request. */
export interface SeenToken {
  /** The whole of it, in a string of its own. */
  readonly text: string
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
 * Verified tokens by their text: nothing that was not verified ever enters.
 *
 * The key is the end of the signature, 256 bits of it, and a hit is one only when the whole text is the same, character by character. A digest of the token would take
 * several times as long as everything else that the guard does for a token that it knows; this takes a short look-up and one comparison of memory.
 *
 * - A flood cannot aim at the map: only tokens that the issuer signed are filed, and V8 seeds the hash of strings. Two that end alike (an issuer that makes its own
 *   keys could arrange that) put each other out, and are verified again; neither is ever taken for the other.
 * - The time of a look-up could tell at best that a token with this end was seen, and the comparison how far a text agrees with it: only to somebody who has the signature already, and
 *   to whom its text is worth nothing without being the whole token. Nobody guesses 256 bits.
 * - The tokens lie in memory until they are put out, as those of requests on their way do anyway: whoever reads the memory of an API can read them. The cache holds a
 *   copy, because a header's text may be a slice that would keep the buffer of a whole request.
 *
 * Two generations bound it: the young one, when half the limit, becomes the old one, and what was not asked for since is dropped with the one before.
 */
export interface TokenCache {
  get(token: string): SeenToken | undefined
  set(seen: SeenToken): void
  /** Forgets what removed keys vouched for. */
  dropGone(): void
  readonly size: number
}

/** Base64url characters of the signature's end: 256 bits. The shortest signature has 86. */
const END = 43

export function createTokenCache(limit: number): TokenCache {
  const half = Math.max(1, Math.floor(limit / 2))
  let young = new Map<string, SeenToken>()
  let old = new Map<string, SeenToken>()
  return {
    get(token) {
      const end = token.slice(-END)
      const seen = young.get(end)
      if (seen !== undefined) return seen.text === token ? seen : undefined
      const kept = old.get(end)
      if (kept === undefined || kept.text !== token) return undefined
      old.delete(end)
      set(kept)
      return kept
    },
    set,
    dropGone() {
      for (const generation of [young, old]) for (const [end, { key }] of generation) if (key.gone) generation.delete(end)
    },
    get size() {
      return young.size + old.size
    },
  }

  function set(seen: SeenToken): void {
    // Of our own copy: the end of what was asked for would keep the request that it came with.
    young.set(seen.text.slice(-END), seen)
    if (young.size < half) return
    old = young
    young = new Map()
  }
}

/** The same text in a string of its own, whatever it was cut out of. A verified token holds nothing but base64url and dots. */
export function ownText(token: string): string {
  return Buffer.from(token, 'latin1').toString('latin1')
}
