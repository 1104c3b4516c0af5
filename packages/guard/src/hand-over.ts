import { clientOf, type JsonObject, scopesOf, wordsOf } from '@caegis/protocol'
import type { SeenToken } from './token-cache.ts'

/** Where the token's bearer, and what may be done with it, are written; what is missing in both is the same. */
const SAME = ['iss', 'sub', 'aud', 'cnf', 'act'] as const

/**
 * Whether a token may take the place of another in a connection that lasts (threat E3): the same access, issued no earlier, and no wider. Any other token, of
 * another user above all, would keep a connection open that its own user has lost.
 */
export function mayFollow(next: SeenToken, current: SeenToken): boolean {
  if (next.times.iat < current.times.iat) return false
  if (SAME.some((name) => written(next.claims[name]) !== written(current.claims[name]))) return false
  if (clientOf(next.claims) !== clientOf(current.claims)) return false
  return isWithin(rightsOf(next.claims), rightsOf(current.claims))
}

/** An order that differs makes another text, and a token that is refused: harmless. */
function written(claim: unknown): string | undefined {
  return JSON.stringify(claim)
}

/** Scopes of a user's token, roles of a daemon's: either lets its bearer do more. */
function rightsOf(claims: JsonObject): Set<unknown> {
  return new Set([...scopesOf(claims).map((one) => `scope ${one}`), ...wordsOf(claims.roles).map((one) => `role ${one}`)])
}

function isWithin(some: Set<unknown>, all: Set<unknown>): boolean {
  return [...some].every((one) => all.has(one))
}
