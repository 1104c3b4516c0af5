import { performance } from 'node:perf_hooks'
import { compileRanges } from '@caegis/policy'
import { isIdentifier } from '@caegis/protocol'
import type { DecisionLogOptions } from './decision-log.ts'
import type { ForeignEvents } from './foreign-source.ts'
import type { KeySource } from './keys.ts'
import { type Log, silent } from './log.ts'
import { nearest } from './nearest.ts'
import type { Fleet, Source } from './source.ts'
import type { CutoffStore } from './store.ts'
import type { Telemetry } from './witness.ts'

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
  /** Where each refusal is written down (and, if asked, what was allowed): who, what for, why, and what the guard knew then; never the token. */
  decisionLog?: DecisionLogOptions
  /** Figures and traces for somebody else: `createTelemetry()` of `@caegis/guard/telemetry`, for OpenTelemetry. */
  telemetry?: Telemetry
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
  /** Verified tokens that are remembered, default 20,000 (about 2 KB each, and the text of the token). */
  maxTokens?: number
  /** Where clients sign in again, default: the issuer's `authorization_endpoint`. */
  authorizationUri?: string
  /**
   * Addresses and CIDR ranges of your proxies, default none. Only what they write in `X-Forwarded-For` is believed, read from the right; without them the caller is who
   * the connection comes from.
   */
  trustedProxies?: readonly string[]
  /**
   * For tokens that are bound to a key (DPoP, RFC 9449): the origins under which clients know this API, default: what the request's connection and `Host` (HTTP/2:
   * `:authority`) say. Name them behind proxies, and wherever the same token is good at another host too.
   */
  origin?: string | readonly string[]
  /** The API's own identifier, an https URL: `metadata()` describes it, and refusals say where that can be read (RFC 9728). */
  resource?: string
  /** The scopes that the API knows, for its metadata. */
  scopes?: readonly string[]
  /** Proofs must hold a nonce made with this secret, which all replicas share; default: none is asked for. At least 32 characters. */
  nonceSecret?: string
  /** Proofs of possession that are remembered for two minutes at least, default 200,000 (about 150 B each); further ones are refused. */
  maxProofs?: number
  /** For tokens that are bound to a certificate (RFC 8705): where one of your proxies (`trustedProxies`) writes its client's; default: only the connection's own counts. */
  clientCertificateHeader?: string
  /** ISO 3166 country of an address, `null` for none, `undefined` where it cannot be told; for policies that name countries. The guard says whether it has this. */
  country?: (address: string) => string | null | undefined
  /** Where the issuer's metadata is, default: `/.well-known/openid-configuration` behind its name, else where RFC 8414 puts it. Its `issuer` must be this one anyway. */
  metadataUrl?: string
  /**
   * Who tells of revocations, default: the issuer itself, over a stream that is opened with `clientId` and `clientSecret`. `none`: nobody, only `guard.revoke` cuts off.
   * Or an SSF transmitter of somebody else, at best effort: it has no snapshot, and nothing shows how late it is.
   */
  events?: 'none' | ForeignEvents
  /**
   * Revocations by a NATS broker, for many replicas: `fleet(...)` of `@caegis/guard/fleet`. Each replica still has a stream of its own for the snapshot, as the sign that it
   * lives, and to fall back on.
   */
  fleet?: Fleet
  /** Keeps what nobody would tell again after a restart. */
  store?: CutoffStore
  /** Where cutoffs come from, in place of `events`. */
  source?: Source
  /** Where signing keys come from, default: the issuer's `jwks_uri`. */
  keys?: KeySource
}

/** Frozen at the door, defaults filled in. */
export type GuardSettings = Readonly<
  Required<
    Omit<
      GuardOptions,
      | 'audience'
      | 'clientId'
      | 'clientSecret'
      | 'authorizationUri'
      | 'country'
      | 'source'
      | 'keys'
      | 'metadataUrl'
      | 'events'
      | 'fleet'
      | 'store'
      | 'origin'
      | 'nonceSecret'
      | 'resource'
      | 'clientCertificateHeader'
      | 'decisionLog'
      | 'telemetry'
    >
  > & {
    country: GuardOptions['country'] | undefined
    decisionLog: DecisionLogOptions | undefined
    telemetry: Telemetry | undefined
    audience: ReadonlySet<string>
    origins: readonly string[]
    nonceSecret: string | undefined
    resource: string | undefined
    clientCertificateHeader: string | undefined
    clientId: string | undefined
    authorizationUri: string | undefined
    source: Source | undefined
    metadataUrl: string | undefined
    events: 'none' | ForeignEvents | undefined
    fleet: Fleet | undefined
    store: CutoffStore | undefined
    credentials: { clientId: string; clientSecret: string } | undefined
    keys: KeySource | undefined
  }
>

/** Where plain http is no risk: tests on one machine. */
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Every option, so that a name which is none can be told. */
const NAMES: Record<keyof GuardOptions, true> = {
  issuer: true,
  audience: true,
  clientId: true,
  clientSecret: true,
  fetch: true,
  now: true,
  monotonic: true,
  log: true,
  decisionLog: true,
  telemetry: true,
  horizon: true,
  maxStaleness: true,
  staleness: true,
  trustStale: true,
  trustStaleSpread: true,
  leeway: true,
  maxTokens: true,
  authorizationUri: true,
  trustedProxies: true,
  origin: true,
  resource: true,
  scopes: true,
  nonceSecret: true,
  maxProofs: true,
  clientCertificateHeader: true,
  country: true,
  metadataUrl: true,
  events: true,
  fleet: true,
  store: true,
  source: true,
  keys: true,
}

/** @throws TypeError when something is missing without which nothing could be protected, and for an option that there is not */
export function readOptions(options: GuardOptions): GuardSettings {
  refuseUnknown(options)
  const { issuer, clientId, clientSecret, source, events, fleet, metadataUrl, staleness = 'best-effort' } = options
  if (!isIdentifier(issuer) || !URL.canParse(issuer)) throw new TypeError('createGuard needs an issuer: the URL that stands in the tokens as iss')
  if (!isSafeUrl(issuer)) throw new TypeError('The issuer is an https URL')
  if (metadataUrl !== undefined && !isSafeUrl(metadataUrl)) throw new TypeError('metadataUrl is an https URL')
  const audience = typeof options.audience === 'string' ? [options.audience] : options.audience
  if (!Array.isArray(audience) || audience.length === 0 || !audience.every((one) => isIdentifier(one))) {
    throw new TypeError('createGuard needs an audience: without one, tokens for any API would be accepted')
  }
  const credentials = isIdentifier(clientId) && isIdentifier(clientSecret) ? { clientId, clientSecret } : undefined
  if (source !== undefined && events !== undefined) throw new TypeError('events or source: cutoffs have one origin')
  if (!source && !events && !credentials)
    throw new TypeError("createGuard needs clientId and clientSecret, or events: 'none' where the issuer tells of nothing")
  if (events !== undefined && events !== 'none' && !isTransmitter(events))
    throw new TypeError("events are 'none', or an SSF transmitter by its https URL")
  if (fleet !== undefined && typeof fleet?.open !== 'function') throw new TypeError('fleet is what fleet() of @caegis/guard/fleet returns')
  if (fleet && (source || events)) throw new TypeError("fleet needs the issuer's own stream beside it: no source and no events")
  if (staleness !== 'best-effort' && staleness !== 'strict') throw new TypeError("staleness is 'best-effort' or 'strict'")
  return Object.freeze({
    issuer,
    audience: new Set(audience),
    clientId,
    credentials,
    source,
    metadataUrl,
    events,
    fleet,
    store: options.store,
    keys: options.keys,
    authorizationUri: options.authorizationUri,
    trustedProxies: rangesOf(options.trustedProxies),
    country: functionOf(options.country),
    origins: originsOf(options.origin),
    nonceSecret: secretOf(options.nonceSecret),
    resource: resourceOf(options.resource),
    scopes: Object.freeze([...(options.scopes ?? [])]),
    clientCertificateHeader: headerName(options),
    maxProofs: seconds('maxProofs', options.maxProofs, 200_000),
    fetch: options.fetch ?? globalThis.fetch,
    now: options.now ?? Date.now,
    monotonic: options.monotonic ?? (() => performance.now()),
    log: logOf(options.log),
    decisionLog: decisionLogOf(options.decisionLog),
    telemetry: options.telemetry,
    staleness,
    horizon: seconds('horizon', options.horizon, 28 * 3600 + 300),
    maxStaleness: seconds('maxStaleness', options.maxStaleness, 30),
    trustStale: seconds('trustStale', options.trustStale, 300),
    trustStaleSpread: seconds('trustStaleSpread', options.trustStaleSpread, 60),
    leeway: seconds('leeway', options.leeway, 30),
    maxTokens: seconds('maxTokens', options.maxTokens, 20_000),
  })
}

function isSafeUrl(value: unknown): value is string {
  if (typeof value !== 'string' || !URL.canParse(value)) return false
  const { protocol, hostname } = new URL(value)
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname))
}

function isTransmitter(events: ForeignEvents): boolean {
  return typeof events === 'object' && events !== null && (events.transmitter === undefined || isSafeUrl(events.transmitter))
}

function rangesOf(ranges: readonly string[] = []): readonly string[] {
  try {
    compileRanges(ranges)
  } catch {
    throw new TypeError('trustedProxies are IP addresses or CIDR ranges')
  }
  return Object.freeze([...ranges])
}

function originsOf(origin: string | readonly string[] = []): readonly string[] {
  const list = typeof origin === 'string' ? [origin] : [...origin]
  // With a path it would be compared with something that never has one.
  if (!list.every((one) => URL.parse(one)?.origin === one)) throw new TypeError('origin is like https://api.example, without a path')
  return Object.freeze(list)
}

function resourceOf(resource: string | undefined): string | undefined {
  if (resource === undefined) return undefined
  if (!isSafeUrl(resource) || /[?#]/.test(resource)) throw new TypeError('resource is an https URL without query and fragment')
  return resource
}

function secretOf(secret: string | undefined): string | undefined {
  if (secret !== undefined && !(typeof secret === 'string' && secret.length >= 32)) throw new TypeError('nonceSecret has at least 32 characters')
  return secret
}

function headerName({ clientCertificateHeader: name, trustedProxies = [] }: GuardOptions): string | undefined {
  if (name === undefined) return undefined
  if (!/^[A-Za-z0-9-]{1,64}$/.test(name)) throw new TypeError('clientCertificateHeader is the name of a header')
  if (trustedProxies.length === 0) throw new TypeError('clientCertificateHeader needs trustedProxies: else anybody could write it')
  return name
}

/** What is misspelt would be an option that does not hold, and nobody would notice: `stalenes: 'strict'` is not strict. */
function refuseUnknown(options: GuardOptions): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(NAMES, name))
  if (unknown === undefined) return
  const near = nearest(unknown, Object.keys(NAMES))
  throw new TypeError(`createGuard has no option ${unknown}${near === undefined ? '' : `: is it ${near}?`}`)
}

function logOf(log: Log = silent): Log {
  if (!(['debug', 'info', 'warn', 'error'] as const).every((level) => typeof log?.[level] === 'function'))
    throw new TypeError('log has the functions debug, info, warn and error, as console has')
  return log
}

function functionOf(country: GuardOptions['country']): GuardOptions['country'] | undefined {
  if (country !== undefined && typeof country !== 'function') throw new TypeError('country is a function of an address')
  return country
}

function decisionLogOf(decisionLog: DecisionLogOptions | undefined): DecisionLogOptions | undefined {
  if (decisionLog === undefined) return undefined
  const { write, limit = 1000 } = decisionLog
  if (typeof write !== 'function') throw new TypeError('decisionLog needs write: a function that takes one record')
  if (!Number.isSafeInteger(limit) || limit < 1) throw new TypeError('decisionLog.limit is a whole number of records')
  return decisionLog
}

function seconds(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise
  if (!Number.isFinite(value) || value < 0) throw new TypeError(`${name} is not a number that is zero or more`)
  return value
}
