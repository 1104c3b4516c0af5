import type { JsonObject } from './shape.ts'

/** To which client a token was issued, as the claims say it: ours and Entra v2 by `azp`, RFC 9068 section 2.2 by `client_id`, Entra v1 by `appid`, Okta by `cid`. */
export function clientOf(claims: Readonly<JsonObject>): unknown {
  return claims.azp ?? claims.client_id ?? claims.appid ?? claims.cid
}

/** What a user let the client do: Entra writes `scp` as words, Okta as a list, RFC 9068 section 2.2.3 `scope`; both, where both are there. */
export function scopesOf({ scp, scope }: Readonly<JsonObject>): string[] {
  return [...new Set([...wordsOf(scp), ...wordsOf(scope)])]
}

/** Of a claim that is written as words with blanks between, or as a list. */
export function wordsOf(claim: unknown): string[] {
  if (typeof claim === 'string') return claim.split(' ').filter((word) => word !== '')
  return Array.isArray(claim) ? claim.filter((word) => typeof word === 'string') : []
}
