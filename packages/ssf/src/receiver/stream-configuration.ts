import { isIdentifier, isObject } from '@caegis/protocol'
import { failure } from './errors.ts'

/** The stream as the transmitter describes it (SSF 1.0 section 8.1.1), checked for shape only. */
export interface StreamConfiguration {
  id: string
  iss: unknown
  audience: string[]
  method: string
  /** Poll: where to ask. Push: where the transmitter sends to. */
  endpointUrl: unknown
  /** Whether reads echo it is up to the transmitter. */
  authorizationHeader?: string
  eventsRequested?: string[]
  eventsDelivered?: string[]
  eventsSupported?: string[]
  description?: string
  /** Seconds. */
  minVerificationInterval?: number
  /** Seconds. */
  inactivityTimeout?: number
  /** The `caegis` member; of a CAEgis transmitter only. */
  extension: unknown
}

const MAX_EVENTS = 256

/** @throws CaegisError `stream_refused` */
export function readConfiguration(made: unknown): StreamConfiguration {
  if (!isObject(made) || !isIdentifier(made.stream_id, 256)) throw failure('stream_refused', 'stream_id')
  const audience = typeof made.aud === 'string' ? [made.aud] : made.aud
  if (!Array.isArray(audience) || audience.length === 0 || !audience.every((one) => isIdentifier(one))) throw failure('stream_refused', 'aud')
  const { delivery, description, min_verification_interval: interval, inactivity_timeout: timeout } = made
  if (!isObject(delivery) || !isIdentifier(delivery.method)) throw failure('stream_refused', 'delivery')
  const requested = textsOf(made.events_requested)
  const delivered = textsOf(made.events_delivered)
  const supported = textsOf(made.events_supported)
  return {
    id: made.stream_id,
    iss: made.iss,
    audience,
    method: delivery.method,
    endpointUrl: delivery.endpoint_url,
    ...(typeof delivery.authorization_header === 'string' && { authorizationHeader: delivery.authorization_header }),
    ...(requested && { eventsRequested: requested }),
    ...(delivered && { eventsDelivered: delivered }),
    ...(supported && { eventsSupported: supported }),
    ...(typeof description === 'string' && { description }),
    ...(isPositive(interval) && { minVerificationInterval: interval }),
    ...(isPositive(timeout) && { inactivityTimeout: timeout }),
    extension: made.caegis,
  }
}

function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.length <= MAX_EVENTS && value.every((one) => isIdentifier(one)) ? value : undefined
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}
