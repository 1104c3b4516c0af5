/** What is wrong, and what to do about it. */
export interface Mismatch {
  says: string
  next: string
}

/**
 * A server that is reached by another name than its own: tokens, and whoever reads its metadata, go by that one.
 * @param issuer of a tenant, as its metadata says
 * @returns `undefined` where the origins are the same
 */
export function otherOrigin(issuer: string, origin: string): Mismatch | undefined {
  const theirs = URL.parse(issuer)?.origin
  if (theirs === origin) return undefined
  return {
    says: `the server calls itself ${theirs}, and is reached as ${origin}`,
    next: `Use CAEGIS_ORIGIN=${theirs} here; or start the server with CAEGIS_ORIGIN=${origin}: every token names it.`,
  }
}
