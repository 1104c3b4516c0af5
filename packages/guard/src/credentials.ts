import type { VerdictCode } from './errors.ts'

/** A Fetch `Request`, a node `IncomingMessage`, or anything with headers. */
export interface GuardRequest {
  method?: string | undefined
  url?: string | undefined
  /** Where `url` was shortened by a router: the whole of it. */
  originalUrl?: string | undefined
  headers: HeadersLike | Record<string, string | string[] | undefined>
  /** Node keeps the first of several `Authorization` lines and drops the rest; here they all are, name and value in turn. */
  rawHeaders?: readonly string[]
  /** The connection that it came by: its other end is the caller, or a proxy of yours. Without it the caller's address is unknown, which is outside of every range. */
  socket?:
    | {
        readonly remoteAddress?: string | undefined
        readonly encrypted?: boolean | undefined
        /** For tokens that are bound to a certificate: what the other end of TLS has shown. */
        getPeerCertificate?(): { raw?: Buffer | undefined } | null | undefined
      }
    | undefined
}

interface HeadersLike {
  get(name: string): string | null
}

export type Credentials = { token: string; dpop: boolean } | { code: VerdictCode; status?: 400 }

const NAME = 'authorization'
const BEARER = 'bearer'
/** RFC 9449 section 7.1. */
const DPOP = 'dpop'
const FORWARDED = 'x-forwarded-for'
const TWICE: Credentials = { code: 'token_malformed', status: 400 }
const MISSING: Credentials = { code: 'token_missing' }

/** Finds the access token of a request (RFC 6750 section 2.1, RFC 9449 section 7.1): in one `Authorization` header, and nowhere else. */
export function readCredentials(request: GuardRequest): Credentials {
  // RFC 6750 section 2.3 allows it, OAuth 2.1 does not: URLs end up in logs. Refused even beside a header.
  if (request.url !== undefined && hasTokenInQuery(request.url)) return { code: 'token_in_query' }
  const header = authorization(request)
  if (header === undefined) return MISSING
  if (typeof header !== 'string') return header
  const dpop = !isScheme(header, BEARER)
  if (dpop && !isScheme(header, DPOP)) return MISSING
  let from = dpop ? DPOP.length : BEARER.length
  let to = header.length
  if (from < to && header.charCodeAt(from) !== 0x20) return MISSING
  while (from < to && header.charCodeAt(from) === 0x20) from++
  while (to > from && header.charCodeAt(to - 1) === 0x20) to--
  return from === to ? { code: 'token_malformed' } : { token: header.slice(from, to), dpop }
}

function isScheme(header: string, scheme: string): boolean {
  for (let i = 0; i < scheme.length; i++) if ((header.charCodeAt(i) | 0x20) !== scheme.charCodeAt(i)) return false
  return true
}

function authorization({ headers, rawHeaders }: GuardRequest): string | Credentials | undefined {
  if (isHeaders(headers)) return headers.get(NAME) ?? undefined
  if (rawHeaders !== undefined && rawHeaders.length > 0) {
    let found: string | undefined
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      if (!isName(rawHeaders[i] as string)) continue
      if (found !== undefined) return TWICE
      found = rawHeaders[i + 1]
    }
    return found
  }
  let found: string | undefined
  for (const name in headers) {
    if (!isName(name)) continue
    const value = headers[name]
    if (value === undefined) continue
    if (found !== undefined || typeof value !== 'string') return TWICE
    found = value
  }
  return found
}

/** The `X-Forwarded-For` header, several lines of it joined in their order. */
export function forwardedFor(request: GuardRequest): string | undefined {
  return headerOf(request, FORWARDED)
}

/** A header by its name in lower case, several lines of it joined in their order. */
export function headerOf({ headers }: GuardRequest, wanted: string): string | undefined {
  if (isHeaders(headers)) return headers.get(wanted) ?? undefined
  // As node writes them; other spellings only where somebody else did.
  let found = headers[wanted]
  if (found === undefined) for (const name in headers) if (name.toLowerCase() === wanted) found = headers[name]
  return typeof found === 'object' ? found.join(',') : found
}

function isName(name: string): boolean {
  return name.length === NAME.length && name.toLowerCase() === NAME
}

function isHeaders(headers: GuardRequest['headers']): headers is HeadersLike {
  return typeof headers.get === 'function'
}

function hasTokenInQuery(url: string): boolean {
  const at = url.indexOf('?')
  if (at < 0) return false
  const query = url.slice(at + 1)
  // The name may be spelled with escapes; most queries hold neither.
  if (!query.includes('access_token') && !query.includes('%')) return false
  return new URLSearchParams(query).has('access_token')
}
