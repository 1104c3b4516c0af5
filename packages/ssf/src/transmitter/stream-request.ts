import { isObject } from '@caegis/protocol'
import { POLL_METHOD, PUSH_METHOD } from '../wire.ts'
import { type Answer, refuse } from './answer.ts'
import type { Delivery } from './store.ts'

/** What a receiver says of its stream's configuration (SSF 1.0 section 8.1.1); what it leaves out is absent. */
export interface Supplied {
  delivery?: Delivery
  eventsRequested?: string[]
  description?: string
}

const MAX_EVENTS = 256
const MAX_DESCRIPTION = 512
const MAX_URL = 2048
/** A field value of visible characters (RFC 9110 section 5.5): nothing that could end the header. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/

/** Reads the members that are the receiver's, out of a body that creates, updates or replaces. */
export function parseSupplied(body: Record<string, unknown>, offered: { push: boolean }): Supplied | Answer {
  const { delivery, events_requested: events, description } = body
  const supplied: Supplied = {}
  if (delivery !== undefined) {
    const parsed = parseDelivery(delivery, offered.push)
    if ('status' in parsed) return parsed
    supplied.delivery = parsed
  }
  if (events !== undefined) {
    const readable = Array.isArray(events) && events.length <= MAX_EVENTS && events.every((one) => typeof one === 'string' && one.length <= 512)
    if (!readable) return refuse('invalid_request', { detail: 'events_requested' })
    supplied.eventsRequested = [...new Set(events as string[])]
  }
  if (description !== undefined) {
    if (typeof description !== 'string') return refuse('invalid_request', { detail: 'description' })
    supplied.description = shorten(description, MAX_DESCRIPTION)
  }
  return supplied
}

/** `endpoint_url` of a poll stream is the transmitter's, so it is not looked at here. */
function parseDelivery(delivery: unknown, push: boolean): Delivery | Answer {
  if (!isObject(delivery) || typeof delivery.method !== 'string') return refuse('invalid_request', { detail: 'delivery' })
  const { method, endpoint_url: url, authorization_header: authorization } = delivery
  if (method === POLL_METHOD) return { method }
  if (method !== PUSH_METHOD || !push) return refuse('unsupported_delivery_method')
  if (!isPushUrl(url)) return refuse('invalid_request', { detail: 'endpoint_url' })
  if (authorization === undefined) return { method, endpointUrl: url }
  if (typeof authorization !== 'string' || !HEADER_VALUE.test(authorization)) return refuse('invalid_request', { detail: 'authorization_header' })
  return { method, endpointUrl: url, authorizationHeader: authorization }
}

/** Which addresses may be called is the dialer's question, asked at each call; here only what no dialer could repair. */
function isPushUrl(url: unknown): url is string {
  if (typeof url !== 'string' || url.length > MAX_URL || !URL.canParse(url)) return false
  const { protocol, username, password, hash } = new URL(url)
  return protocol === 'https:' && username === '' && password === '' && hash === ''
}

export function shorten(text: string, max: number): string {
  return text.slice(0, max).toWellFormed()
}
