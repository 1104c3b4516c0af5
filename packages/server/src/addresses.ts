import { callerAddress, compileRanges } from '@caegis/policy'

/** Tells where a request came from. */
export interface Addresses {
  /**
   * @param peer the socket's address
   * @param forwarded the `X-Forwarded-For` header
   * @returns the address, or an empty string when it cannot be known: which every rule takes for "outside"
   */
  of(peer: string | undefined, forwarded: string | string[] | undefined): string
}

/** @throws CaegisError `invalid_range` */
export function createAddresses(trustedProxies: readonly string[]): Addresses {
  const trusted = compileRanges(trustedProxies)
  return { of: (peer, forwarded) => callerAddress(trusted, peer, forwarded) }
}
