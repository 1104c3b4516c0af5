import { callerAddress, compileRanges } from '@caegis/policy'

/** Tells where a request came from. */
export interface Addresses {
  /**
   * @param peer the socket's address
   * @param forwarded the `X-Forwarded-For` header
   * @returns the address, or an empty string when it cannot be known: which every rule takes for "outside"
   */
  of(peer: string | undefined, forwarded: string | string[] | undefined): string
  /** From now on these are the proxies. @throws CaegisError `invalid_range`: then it is as before */
  replace(trustedProxies: readonly string[]): void
}

/** @throws CaegisError `invalid_range` */
export function createAddresses(trustedProxies: readonly string[]): Addresses {
  let trusted = compileRanges(trustedProxies)
  return {
    of: (peer, forwarded) => callerAddress(trusted, peer, forwarded),
    replace(proxies) {
      trusted = compileRanges(proxies)
    },
  }
}
