import { cacheable } from '../cacheable.ts'
import { JWKS_MAX_AGE } from '../directory/keys.ts'
import type { IssuerAnswer, IssuerRequest } from './issuer.ts'
import type { SigningKeys } from './keys.ts'

/**
 * Milliseconds for which the keys are shown without a look into the table, where another node may have changed them. A new key is published for twice as long as caches may
 * keep the keys before it signs (`KEY_LEAD`), so these seconds do no harm; of a removed one guards are told, and ask past every memory.
 */
const MEMORY = 5000

/**
 * The published keys (RFC 7517 section 5). Whoever asks with `no-cache`, or with a query (which caches take for another page even where they do as they like), is answered
 * from the table: a guard that was just told of a removal, maybe by another node than this one.
 */
export async function showKeys(keys: SigningKeys, { query, headers }: Pick<IssuerRequest, 'query' | 'headers'>): Promise<IssuerAnswer> {
  const past = query !== '' || /no-cache|max-age=0/i.test(String(headers['cache-control'] ?? ''))
  if (past || keys.age() > MEMORY) await keys.reload()
  const type = 'application/jwk-set+json; charset=utf-8'
  const answer = cacheable({ type, text: JSON.stringify({ keys: keys.public }), maxAge: JWKS_MAX_AGE, ifNoneMatch: headers['if-none-match'] })
  return query === '' ? answer : { ...answer, headers: { ...answer.headers, 'cache-control': 'no-store' } }
}
