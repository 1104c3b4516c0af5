import { formatAddress, parseAddress } from './address.ts'
import type { RangeTable } from './ranges.ts'

/**
 * Tells where a request came from. Forwarded headers are believed only from socket peers that are trusted proxies, and read from the right: the last entry that no
 * trusted proxy wrote is the caller.
 * @param peer the socket's address
 * @param forwarded the `X-Forwarded-For` header
 * @returns the address in one spelling, or an empty string when it cannot be known: which every rule takes for "outside"
 */
export function callerAddress(trustedProxies: RangeTable, peer: string | undefined, forwarded: string | readonly string[] | undefined): string {
  const own = peer === undefined ? undefined : parseAddress(peer)
  if (!own) return ''
  if (forwarded === undefined || !trustedProxies.has(own)) return formatAddress(own)
  const list = (typeof forwarded === 'string' ? forwarded : forwarded.join(',')).split(',').slice(-32)
  for (const entry of list.reverse()) {
    const address = parseAddress(entry.trim())
    // Something unreadable between us and the caller: whatever stands left of it may be anybody's invention.
    if (!address) return ''
    if (!trustedProxies.has(address)) return formatAddress(address)
  }
  return ''
}
