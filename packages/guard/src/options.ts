import { performance } from 'node:perf_hooks'
import { compileRanges } from '@caegis/policy'
import { isIdentifier } from '@caegis/protocol'
import type { KeySource } from './keys.ts'
import { type Log, silent } from './log.ts'
import type { Source } from './source.ts'

export interface GuardOptions {
  /** The issuer of the tokens, byte for byte as it stands in `iss`. */
  issuer: string
  /** What `aud` must hold: one of these. */
  audience: string | readonly string[]
  /** The API's own credentials at the issuer, with which it follows the issuer's events. */
  clientId?: string
  clientSecret?: string
  fetch?: typeof globalThis.fetch
  /** Wall clock, milliseconds. */
  now?: () => number
  /** A clock that is never set back, milliseconds. */
  monotonic?: () => number
  log?: Log
  /** Seconds, default 28 h and 5 min: tokens that live longer are refused, cutoffs are kept that long. */
  horizon?: number
  /** Seconds, default 30: older knowledge is called stale. */
  maxStaleness?: number
  /** `best-effort` (default) goes on and says so; `strict` answers 503 until in sync. */
  staleness?: 'best-effort' | 'strict'
  /** Seconds, default 300: with knowledge older than this, `best-effort` stops trusting long-lived tokens. */
  trustStale?: number
  /** Seconds, default 60: spread over which it does so, token by token. */
  trustStaleSpread?: number
  /** Seconds, default 30: for which an expired token is still taken, for clocks that differ. */
  leeway?: number
  /** Verified tokens that are remembered, default 20,000 (about 2 KB each). */
  maxTokens?: number
  /** Where clients sign in again, default: the issuer's `authorization_endpoint`. */
  authorizationUri?: string
  /**
   * Addresses and CIDR ranges of your proxies, default none. Only what they write in `X-Forwarded-For` is believed, read from the right; without them the caller is who
   * the connection comes from.
   */
  trustedProxies?: readonly string[]
  /** ISO 3166 country of an address, `null` for none, `undefined` where it cannot be told; for policies that name countries. The guard says whether it has this. */
  country?: (address: string) => string | null | undefined
  /** Where cutoffs come from, default: the issuer's own event stream. */
  source?: Source
  /** Where signing keys come from, default: the issuer's `jwks_uri`. */
  keys?: KeySource
}

/** Frozen at the door, defaults filled in. */
export type GuardSettings = Readonly<
  Required<Omit<GuardOptions, 'audience' | 'clientId' | 'clientSecret' | 'authorizationUri' | 'country' | 'source' | 'keys'>> & {
    country: GuardOptions['country'] | undefined
    audience: ReadonlySet<string>
    clientId: string | undefined
    authorizationUri: string | undefined
    source: Source | undefined
    credentials: { clientId: string; clientSecret: string } | undefined
    keys: KeySource | undefined
  }
>

/** Where plain http is no risk: tests on one machine. */
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** @throws TypeError when something is missing without which nothing could be protected */
export function readOptions(options: GuardOptions): GuardSettings {
  const { issuer, clientId, clientSecret, source, staleness = 'best-effort' } = options
  if (!isIdentifier(issuer) || !URL.canParse(issuer)) throw new TypeError('createGuard needs an issuer: the URL that stands in the tokens as iss')
  const { protocol, hostname } = new URL(issuer)
  if (protocol !== 'https:' && !(protocol === 'http:' && LOOPBACK.has(hostname))) throw new TypeError('The issuer is an https URL')
  const audience = typeof options.audience === 'string' ? [options.audience] : options.audience
  if (!Array.isArray(audience) || audience.length === 0 || !audience.every((one) => isIdentifier(one))) {
    throw new TypeError('createGuard needs an audience: without one, tokens for any API would be accepted')
  }
  const credentials = isIdentifier(clientId) && isIdentifier(clientSecret) ? { clientId, clientSecret } : undefined
  if (!source && !credentials) throw new TypeError('createGuard needs clientId and clientSecret, or a source of cutoffs')
  if (staleness !== 'best-effort' && staleness !== 'strict') throw new TypeError("staleness is 'best-effort' or 'strict'")
  return Object.freeze({
    issuer,
    audience: new Set(audience),
    clientId,
    credentials,
    source,
    keys: options.keys,
    authorizationUri: options.authorizationUri,
    trustedProxies: rangesOf(options.trustedProxies),
    country: functionOf(options.country),
    fetch: options.fetch ?? globalThis.fetch,
    now: options.now ?? Date.now,
    monotonic: options.monotonic ?? (() => performance.now()),
    log: options.log ?? silent,
    staleness,
    horizon: seconds('horizon', options.horizon, 28 * 3600 + 300),
    maxStaleness: seconds('maxStaleness', options.maxStaleness, 30),
    trustStale: seconds('trustStale', options.trustStale, 300),
    trustStaleSpread: seconds('trustStaleSpread', options.trustStaleSpread, 60),
    leeway: seconds('leeway', options.leeway, 30),
    maxTokens: seconds('maxTokens', options.maxTokens, 20_000),
  })
}

function rangesOf(ranges: readonly string[] = []): readonly string[] {
  try {
    compileRanges(ranges)
  } catch {
    throw new TypeError('trustedProxies are IP addresses or CIDR ranges')
  }
  return Object.freeze([...ranges])
}

function functionOf(country: GuardOptions['country']): GuardOptions['country'] | undefined {
  if (country !== undefined && typeof country !== 'function') throw new TypeError('country is a function of an address')
  return country
}

function seconds(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise
  if (!Number.isFinite(value) || value < 0) throw new TypeError(`${name} is not a number that is zero or more`)
  return value
}
