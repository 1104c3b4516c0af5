import { isObject } from '@caegis/protocol'
import { POLL_METHOD } from '../wire.ts'
import { type Answer, refuse } from './answer.ts'
import type { SetAlgorithm, SubjectForm } from './store.ts'

/** What a receiver may choose about its stream (SSF 1.0 section 8.1.1), checked. */
export interface CreateRequest {
  delivery: { method: string }
  eventsRequested?: string[]
  description?: string
  subjects: SubjectForm
  alg: SetAlgorithm
  guard: boolean
}

const MAX_EVENTS = 256
const MAX_DESCRIPTION = 512

/**
 * Reads the body of a create request. Members that are the transmitter's (`aud`, `iss` ...) and unknown ones are ignored: whatever they say has no effect.
 * The extension is the opposite: who asks for what we do not know would get less protection than it believes, so it is refused.
 */
export function parseCreateRequest(body: Record<string, unknown>): CreateRequest | Answer {
  const { delivery, events_requested: events, description, caegis } = body
  const request: CreateRequest = { delivery: { method: POLL_METHOD }, subjects: 'simple', alg: 'RS256', guard: false }
  if (delivery !== undefined) {
    if (!isObject(delivery) || typeof delivery.method !== 'string') return refuse('invalid_request', { detail: 'delivery' })
    if (delivery.method !== POLL_METHOD) return refuse('unsupported_delivery_method')
  }
  if (events !== undefined) {
    const readable = Array.isArray(events) && events.length <= MAX_EVENTS && events.every((one) => typeof one === 'string' && one.length <= 512)
    if (!readable) return refuse('invalid_request', { detail: 'events_requested' })
    request.eventsRequested = [...new Set(events as string[])]
  }
  if (description !== undefined) {
    if (typeof description !== 'string') return refuse('invalid_request', { detail: 'description' })
    request.description = description.slice(0, MAX_DESCRIPTION).toWellFormed()
  }
  if (caegis !== undefined) {
    const wrong = readExtension(caegis, request)
    if (wrong) return refuse('invalid_extension', { detail: wrong })
  }
  return request
}

/** @returns what is wrong, if anything is */
function readExtension(caegis: unknown, request: CreateRequest): string | undefined {
  if (!isObject(caegis)) return 'not an object'
  const { subjects, alg, guard, ...unknown } = caegis
  if (Object.keys(unknown).length > 0) return 'an unknown member'
  if (subjects !== undefined) {
    if (subjects !== 'simple' && subjects !== 'complex') return 'subjects'
    request.subjects = subjects
  }
  if (alg !== undefined) {
    if (alg !== 'RS256' && alg !== 'ES256') return 'alg'
    request.alg = alg
  }
  if (guard !== undefined) {
    if (typeof guard !== 'boolean') return 'guard'
    request.guard = guard
  }
  // A guard gets every row, and a simple subject cannot say most of them.
  return request.guard && request.subjects === 'simple' ? 'a guard needs complex subjects' : undefined
}
