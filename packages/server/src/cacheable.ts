import { createHash } from 'node:crypto'

export interface Cacheable {
  type: string
  text: string
  /** Seconds for which anybody may keep it. */
  maxAge: number
  /** Of the request. */
  ifNoneMatch: string | string[] | undefined
}

/** What everybody may read, and any cache may keep: with its digest as `ETag`, so that who has it is told so and no more (RFC 9110 section 13.1.2). */
export function cacheable({ type, text, maxAge, ifNoneMatch }: Cacheable): { status: number; headers: Record<string, string>; body: string } {
  const etag = `"${createHash('sha256').update(text).digest('base64url')}"`
  const headers = { 'cache-control': `public, max-age=${maxAge}`, etag, 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff' }
  const known = String(ifNoneMatch ?? '')
    .split(',')
    .map((one) => one.trim().replace(/^W\//, ''))
  if (known.includes(etag) || known.includes('*')) return { status: 304, headers, body: '' }
  return { status: 200, headers: { ...headers, 'content-type': type }, body: text }
}

/** Seconds for which what an issuer says of its endpoints may be kept: it changes with a release, or with what the operator sets. */
export const METADATA_MAX_AGE = 600
