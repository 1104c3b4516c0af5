import { CaegisError, INVALID_CHALLENGE } from './errors.ts'
import { isObject, type JsonObject } from './shape.ts'

/** What a claims challenge asks of the next access token, all unmet constraints at once. */
export interface ChallengeClaims {
  /** Seconds: the new token's `iat` must be at least this. */
  nbf?: number
  /** The address that the API saw. */
  rpAddress?: string
  /** What proves that it did: see evidence.ts. */
  evidence?: string | undefined
  /** The authentication contexts that the new token must hold. */
  acrs?: readonly string[]
  /** Seconds: the new token's sign-in may be this old at most. */
  maxAge?: number
}

export interface ChallengeParameters {
  /** Where the client signs in again; it must check it against its configured issuer. */
  authorizationUri: string
  /** The API's own client id. */
  clientId?: string
  claims: ChallengeClaims
  /** Where the API describes itself (RFC 9728 section 5.1). */
  resourceMetadata?: string
  /** The token is bound to a key: what its proofs may be signed with (RFC 9449 section 7.1). */
  proofAlgorithms?: readonly string[]
}

/** The JSON object that a challenge carries: an OpenID Connect claims request with the member `access_token`. */
export function challengeObject(claims: ChallengeClaims): { access_token: JsonObject } {
  const asked: JsonObject = {}
  // A string of digits: the form of every known emission.
  if (claims.nbf !== undefined) asked.nbf = { essential: true, value: String(claims.nbf) }
  if (claims.rpAddress !== undefined) asked.xms_rp_ipaddr = { value: claims.rpAddress }
  // Ours: clients echo members that they do not know.
  if (claims.evidence !== undefined) asked.caegis_evidence = { value: claims.evidence }
  if (claims.acrs !== undefined) asked.acrs = { essential: true, ...(claims.acrs.length === 1 ? { value: claims.acrs[0] } : { values: claims.acrs }) }
  // Ours too: OpenID Connect's `max_age` is a parameter, and a challenge can only carry claims.
  if (claims.maxAge !== undefined) asked.auth_time = { essential: true, max_age: String(claims.maxAge) }
  return { access_token: asked }
}

/**
 * Base64 that is the same text in both alphabets and needs no padding, so that strict, url-safe and naive decoders all read it: only a `>`, `?`, `~` or DEL in
 * every third place could yield `+` or `/`, so those are escaped, and trailing blanks (legal JSON) fill the length up to a multiple of three.
 */
export function encodeClaims(claims: object): string {
  let json = JSON.stringify(claims).replace(/[^\x20-\x7e]|[>?~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  while (json.length % 3 !== 0) json += ' '
  return btoa(json)
}

/**
 * The `WWW-Authenticate` value that every known parser accepts: one Bearer challenge, this order, comma and space between, every value quoted, a harmless
 * parameter last, and nothing in any value that a naive splitter trips over: a comma in a URL is `%2C`. For a token that is bound to a key it is one of the scheme that
 * such a token needs.
 */
export function formatChallenge({ authorizationUri, clientId, claims, resourceMetadata, proofAlgorithms }: ChallengeParameters): string {
  const parameters: [string, string][] = [
    ['realm', ''],
    ['authorization_uri', authorizationUri],
    ...(clientId === undefined ? [] : ([['client_id', clientId]] as [string, string][])),
    ['error', 'insufficient_claims'],
    ['claims', encodeClaims(challengeObject(claims))],
    ['cc_type', 'cae'],
    ...(resourceMetadata === undefined ? [] : ([['resource_metadata', resourceMetadata]] as [string, string][])),
  ]
  const said = parameters.map(([name, value]) => `${name}="${inOnePiece(value)}"`)
  if (!proofAlgorithms) return `Bearer ${said.join(', ')}`
  return `DPoP ${[...said, `algs="${proofAlgorithms.map(inOnePiece).join(' ')}"`].join(', ')}`
}

/** What a refusal says beyond that it is one. */
export interface RefusalParameters {
  authorizationUri?: string
  error?: string
  /** The scopes that are needed (RFC 6750 section 3). */
  scope?: readonly string[] | undefined
  /** The authentication contexts that are needed (RFC 9470 section 3). */
  acrValues?: readonly string[] | undefined
  /** Seconds: how old the sign-in may be (RFC 9470 section 3). */
  maxAge?: number | undefined
  /** Where the API describes itself (RFC 9728 section 5.1). */
  resourceMetadata?: string
  /** The token is, or must be, bound to a key: what its proofs may be signed with (RFC 9449 section 7.1). */
  proofAlgorithms?: readonly string[]
}

/** The plain refusal for a client that did not say `cp1`, or that sent nothing usable (RFC 6750 section 3, RFC 9470 section 3). */
export function formatRefusal({ authorizationUri, error, scope, acrValues, maxAge, resourceMetadata, proofAlgorithms }: RefusalParameters): string {
  const list: [string, readonly string[] | undefined][] = [
    ['realm', []],
    ['authorization_uri', authorizationUri === undefined ? undefined : [authorizationUri]],
    ['error', error === undefined ? undefined : [error]],
    ['scope', scope],
    ['acr_values', acrValues],
    ['max_age', maxAge === undefined ? undefined : [String(maxAge)]],
    ['algs', proofAlgorithms],
    ['resource_metadata', resourceMetadata === undefined ? undefined : [resourceMetadata]],
  ]
  return `${proofAlgorithms ? 'DPoP' : 'Bearer'} ${list.flatMap(([name, words]) => (words ? `${name}="${words.map(plain).join(' ')}"` : [])).join(', ')}`
}

/**
 * What may stand in a quoted string without an escape, but for blanks, which is what a scope is made of (RFC 6749 section 3.3); the rest is percent-encoded. Values come
 * from configuration, yet a quote or a line break must not be able to forge a parameter.
 */
function plain(value: string): string {
  return value.toWellFormed().replace(/[^\x21\x23-\x5b\x5d-\x7e]/gu, (unit) => encodeURIComponent(unit))
}

/** Besides, for those who split at commas and look for a name before `="`. An equals sign elsewhere stays: without it the query of a URL would be another one. */
function inOnePiece(value: string): string {
  return plain(value).replaceAll(',', '%2C').replace(/=$/, '%3D')
}

export interface Challenge {
  /** Lower case. */
  scheme: string
  /** Names in lower case; the first of a repeated name is kept. */
  parameters: ReadonlyMap<string, string>
}

const MAX_HEADER = 16_384
const MAX_CLAIMS = 8192
const TOKEN = /[!#$%&'*+\-.^`|~\w]/
const TOKEN68 = /[\w\-.~+/]/

/**
 * Reads every challenge of one or more `WWW-Authenticate` values by the grammar of RFC 9110 section 11.6.1: quoted strings with escapes, `token68`, several
 * challenges in a header. One pass over the text; what does not parse ends the reading, and what was read until there counts.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = []
  if (header.length > MAX_HEADER) return challenges
  let at = 0
  const skip = (pattern: RegExp) => {
    while (at < header.length && pattern.test(header[at] as string)) at++
  }
  const word = (pattern: RegExp): string => {
    const from = at
    skip(pattern)
    return header.slice(from, at)
  }
  let current: { scheme: string; parameters: Map<string, string> } | undefined
  while (at < header.length) {
    skip(/[\s,]/)
    const from = at
    const name = word(TOKEN)
    if (name === '') break
    skip(/[ \t]/)
    if (header[at] === '=' && header[at + 1] !== '=' && current) {
      at++
      skip(/[ \t]/)
      const value = header[at] === '"' ? quoted() : word(TOKEN)
      if (value === undefined) break
      const key = name.toLowerCase()
      if (!current.parameters.has(key)) current.parameters.set(key, value)
      continue
    }
    if (at === from + name.length && at < header.length && header[at] !== ',') break
    current = { scheme: name.toLowerCase(), parameters: new Map() }
    challenges.push(current)
    // `Negotiate abc==`: a token68 stands where parameters would, and no `=` follows it.
    const mark = at
    const blob = word(TOKEN68)
    skip(/=/)
    skip(/[ \t]/)
    if (!(blob !== '' && (at >= header.length || header[at] === ','))) at = mark
  }
  return challenges

  function quoted(): string | undefined {
    let value = ''
    for (at++; at < header.length; at++) {
      const unit = header[at] as string
      if (unit === '"') {
        at++
        return value
      }
      if (unit === '\\') at++
      value += header[at] ?? ''
    }
    return undefined
  }
}

export interface ClaimsChallenge {
  /** The decoded claims request: what goes into the next token request, as it stands. */
  claims: string
  authorizationUri?: string
  /** Seconds, when the challenge asks for a token issued from then on. */
  nbf?: number
}

/**
 * Finds the claims challenge in a `WWW-Authenticate` header, ours or Entra's: either base64 alphabet, padding optional, raw JSON allowed.
 * @returns `undefined` when the header holds none
 * @throws CaegisError `invalid_challenge` when it holds one that cannot be read
 */
export function readClaimsChallenge(header: string | null | undefined): ClaimsChallenge | undefined {
  if (!header) return undefined
  for (const { scheme, parameters } of parseChallenges(header)) {
    const encoded = parameters.get('claims')
    if ((scheme !== 'bearer' && scheme !== 'dpop') || encoded === undefined) continue
    const text = decodeClaims(encoded)
    const asked = (JSON.parse(text) as { access_token: JsonObject }).access_token
    const authorizationUri = parameters.get('authorization_uri')
    const nbf = secondsOf(asked.nbf)
    return { claims: text, ...(authorizationUri === undefined ? {} : { authorizationUri }), ...(nbf === undefined ? {} : { nbf }) }
  }
  return undefined
}

/** The instant in a constraint's `value` or `values`: a string of digits in Microsoft's emissions, a number in old ones; anything else names no instant. */
function secondsOf(member: unknown): number | undefined {
  if (!isObject(member)) return undefined
  const given: unknown = Array.isArray(member.values) ? member.values[0] : member.value
  return (typeof given === 'string' || typeof given === 'number') && /^\d{1,12}$/.test(String(given)) ? Number(given) : undefined
}

function decodeClaims(encoded: string): string {
  if (encoded.length > MAX_CLAIMS) throw invalid('too long')
  let text = encoded
  if (!encoded.trimStart().startsWith('{')) {
    try {
      let end = encoded.length
      while (encoded[end - 1] === '=') end--
      const bytes = Uint8Array.from(atob(encoded.slice(0, end).replaceAll('-', '+').replaceAll('_', '/')), (unit) => unit.charCodeAt(0))
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    } catch {
      throw invalid('not base64')
    }
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw invalid('not JSON')
  }
  if (!isObject(value) || !isObject(value.access_token)) throw invalid('no access_token member')
  return text.trim()
}

function invalid(why: string): CaegisError {
  return new CaegisError('invalid_challenge', INVALID_CHALLENGE, { detail: why })
}
