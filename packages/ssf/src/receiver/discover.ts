import { isIdentifier, isObject } from '@caegis/protocol'
import { failure } from './errors.ts'
import { exchange } from './exchange.ts'

/** What a receiver uses of the transmitter configuration metadata (SSF 1.0 section 7.1). */
export interface TransmitterMetadata {
  issuer: string
  jwksUri: string
  configurationEndpoint: string
  statusEndpoint?: string
  verificationEndpoint?: string
  deliveryMethods: string[]
  /** Members of a complex subject that a receiver must be able to process, or else discard the event (SSF 1.0 section 3.6). */
  criticalSubjectMembers: string[]
  /** CAEgis transmitters only. */
  snapshotEndpoint?: string
  segmentsEndpoint?: string
}

export interface DiscoverOptions {
  issuer: string
  fetch?: typeof globalThis.fetch
  /** Allows `http:` for issuer and endpoints; for tests on one machine. */
  insecure?: boolean
  /** Milliseconds; default 10,000. */
  timeout?: number
  signal?: AbortSignal
}

const MAX_BYTES = 65_536
const MAX_MEMBERS = 64

/**
 * Where the metadata of an issuer is: the well-known name stands between host and path, without a slash at the path's end (SSF 1.0 section 7.2).
 * @throws TypeError when the issuer is not a URL that SSF allows
 */
export function metadataUrl(issuer: string, insecure = false): string {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !isAllowed(url, insecure)) throw new TypeError('the issuer must be an https URL')
  if (url.search !== '' || url.hash !== '' || url.username !== '') throw new TypeError('the issuer must have no query, fragment or user')
  return `${url.origin}/.well-known/ssf-configuration${url.pathname.replace(/\/$/, '')}`
}

/**
 * Fetches and checks the metadata; on any doubt nothing of it is used.
 * @throws CaegisError `metadata_refused`, or what {@link exchange} throws
 */
export async function discover(options: DiscoverOptions): Promise<TransmitterMetadata> {
  const { issuer, fetch = globalThis.fetch, insecure = false, timeout = 10_000, signal } = options
  const { status, body } = await exchange(fetch, metadataUrl(issuer, insecure), { timeout, signal, maxBytes: MAX_BYTES })
  if (status !== 200) throw failure(status >= 500 || status === 429 ? 'unavailable' : 'metadata_refused', `status ${status}`)
  if (!isObject(body)) throw failure('metadata_refused', 'not an object')
  // Byte for byte: the metadata of another issuer must not speak for this one.
  if (body.issuer !== issuer) throw failure('metadata_refused', 'another issuer')
  const endpoint = (name: string): string | undefined => {
    const value = body[name]
    if (value === undefined) return undefined
    if (!isEndpoint(value, insecure)) throw failure('metadata_refused', name)
    return value
  }
  const jwksUri = endpoint('jwks_uri')
  const configurationEndpoint = endpoint('configuration_endpoint')
  if (!jwksUri || !configurationEndpoint) throw failure('metadata_refused', 'jwks_uri or configuration_endpoint is missing')
  const statusEndpoint = endpoint('status_endpoint')
  const verificationEndpoint = endpoint('verification_endpoint')
  const snapshotEndpoint = endpoint('caegis_snapshot_endpoint')
  const segmentsEndpoint = endpoint('caegis_segments_endpoint')
  const methods = body.delivery_methods_supported
  const critical = body.critical_subject_members ?? []
  // Half-read, an event would reach further than it means.
  const readable = Array.isArray(critical) && critical.length <= MAX_MEMBERS && critical.every((one) => isIdentifier(one, 64))
  if (!readable) throw failure('metadata_refused', 'critical_subject_members')
  return {
    issuer,
    jwksUri,
    configurationEndpoint,
    deliveryMethods: Array.isArray(methods) ? methods.filter((one) => typeof one === 'string').slice(0, 32) : [],
    criticalSubjectMembers: critical,
    ...(statusEndpoint === undefined ? {} : { statusEndpoint }),
    ...(verificationEndpoint === undefined ? {} : { verificationEndpoint }),
    ...(snapshotEndpoint === undefined ? {} : { snapshotEndpoint }),
    ...(segmentsEndpoint === undefined ? {} : { segmentsEndpoint }),
  }
}

/** A URL to which a bearer token may be sent. */
export function isEndpoint(value: unknown, insecure: boolean): value is string {
  return typeof value === 'string' && value.length <= 2048 && URL.canParse(value) && isAllowed(new URL(value), insecure)
}

function isAllowed(url: URL, insecure: boolean): boolean {
  return url.protocol === 'https:' || (insecure && url.protocol === 'http:')
}
