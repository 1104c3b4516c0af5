/**
 * Which SETs were acted on, by issuer and `jti`. A port: persist it and a restart does not act twice. What is forgotten too early is acted on again, which is
 * safe for what is merged and a nuisance for mails.
 */
export interface SeenStore {
  has(issuer: string, jti: string): boolean | Promise<boolean>
  add(issuer: string, jti: string): void | Promise<void>
}

/** Remembers the last ones in memory. */
export function createMemorySeen(capacity = 20_000): SeenStore {
  if (!(Number.isSafeInteger(capacity) && capacity > 0)) throw new TypeError('capacity must be a positive integer')
  const seen = new Set<string>()
  return {
    has: (issuer, jti) => seen.has(seenKey(issuer, jti)),
    add(issuer, jti) {
      seen.add(seenKey(issuer, jti))
      if (seen.size > capacity) seen.delete(seen.values().next().value as string)
    },
  }
}

/** Neither holds control characters, so a line feed joins them without ambiguity. */
export function seenKey(issuer: string, jti: string): string {
  return `${issuer}\n${jti}`
}
