import { compileRanges, parseAddress } from '@caegis/policy'

/** Tells where a request came from. */
export interface Addresses {
  /**
   * @param peer the socket's address
   * @param forwarded the `X-Forwarded-For` header
   * @returns the address, or an empty string when it cannot be known: which every rule takes for "outside"
   */
  of(peer: string | undefined, forwarded: string | string[] | undefined): string
}

/**
 * Forwarded headers are believed only from socket peers in `trustedProxies`, and read from the right: the last entry that no trusted proxy wrote is the caller.
 * @throws CaegisError `invalid_range`
 */
export function createAddresses(trustedProxies: readonly string[]): Addresses {
  const trusted = compileRanges(trustedProxies)
  return {
    of(peer, forwarded) {
      if (peer === undefined || !parseAddress(peer)) return ''
      if (!trusted.has(peer) || forwarded === undefined) return plain(peer)
      const list = (Array.isArray(forwarded) ? forwarded.join(',') : forwarded).split(',').slice(-32)
      for (const entry of list.reverse()) {
        const address = entry.trim()
        // Something unreadable between us and the caller: whatever stands left of it may be anybody's invention.
        if (!parseAddress(address)) return ''
        if (!trusted.has(address)) return plain(address)
      }
      return ''
    },
  }
}

/** One spelling for a mapped address, whatever socket it came by. */
function plain(address: string): string {
  const parsed = parseAddress(address)
  return parsed?.family === 4 && address.includes(':') ? [24, 16, 8, 0].map((shift) => (parsed.words[0] >>> shift) & 255).join('.') : address
}
