import { randomUUID } from 'node:crypto'
import type { Mode } from '../config.ts'
import { ALL_EVENTS, INTEROP_EVENTS, POLL, PUSH } from '../events.ts'
import { isHttps, isObject, type Json } from '../http.ts'
import type { Notes } from '../notes.ts'
import type { Reply } from './listener.ts'

export interface StreamState {
  id: string
  status: 'enabled' | 'paused' | 'disabled'
  configuration: Json
  /** What the receiver wants to see in pushes. */
  authorization?: string
}

export interface StreamsOptions {
  notes: Notes
  mode: Mode
  interop: boolean
  issuer: string
  audience: string
}

/** The one stream that a receiver may have (SSF 1.0 section 8.1.1). */
export interface Streams {
  current(): StreamState | undefined
  /** The stream of this id, or the refusal. */
  find(id: unknown): StreamState | Reply
  create(body: unknown): Reply
  change(body: unknown, operation: 'update' | 'replace'): Reply
  remove(id: unknown): Reply
}

/** What only the transmitter may set. */
const TRANSMITTERS = ['iss', 'aud', 'events_supported', 'events_delivered', 'min_verification_interval', 'inactivity_timeout']

export function createStreams({ notes, mode, interop, issuer, audience }: StreamsOptions): Streams {
  let stream: StreamState | undefined

  return {
    current: () => stream,
    find,

    create(body) {
      const section = 'SSF 1.0 section 8.1.1.1'
      if (!notes.must(isObject(body), section, 'a stream is created with a body that is no JSON object')) return { status: 400 }
      if (stream) return { status: 409 }
      const made = configure(randomUUID(), body as Json, section, ['stream_id', ...TRANSMITTERS])
      if ('refusal' in made) return made.refusal
      stream = made
      return { status: 201, body: made.configuration }
    },

    change(body, operation) {
      const section = operation === 'update' ? 'SSF 1.0 section 8.1.1.3' : 'SSF 1.0 section 8.1.1.4'
      const named = isObject(body) && typeof body.stream_id === 'string'
      if (!notes.must(named, section, `${operation}: the body is no JSON object with a stream_id`)) return { status: 400 }
      const found = find((body as Json).stream_id)
      if (!('configuration' in found)) return found
      // PATCH leaves what is absent, PUT takes it away.
      const { delivery, events_requested, description } = found.configuration
      const before = { delivery: { ...(delivery as Json), authorization_header: found.authorization }, events_requested, description }
      const made = configure(found.id, { ...(operation === 'update' && before), ...(body as Json) }, section, TRANSMITTERS)
      if ('refusal' in made) return made.refusal
      stream = { ...made, status: found.status }
      return { status: 200, body: made.configuration }
    },

    remove(id) {
      if (!notes.must(typeof id === 'string', 'SSF 1.0 section 8.1.1.5', 'a stream is deleted without the query parameter stream_id'))
        return { status: 400 }
      const found = find(id)
      if (!('configuration' in found)) return found
      stream = undefined
      return { status: 204 }
    },
  }

  function find(id: unknown): StreamState | Reply {
    if (typeof id !== 'string') return { status: 400 }
    return stream && stream.id === id ? stream : { status: 404 }
  }

  /** A stream as the receiver asked for it; the refusal when it asked for what it may not. */
  function configure(id: string, body: Json, section: string, forbidden: string[]): StreamState | { refusal: Reply } {
    const refusal = { refusal: { status: 400 } }
    const foreign = Object.keys(body).filter((name) => forbidden.includes(name))
    if (!notes.must(foreign.length === 0, section, `the receiver sets what is the transmitter's: ${foreign.join(', ')}`)) return refusal
    const { delivery = { method: POLL }, events_requested: events, description } = body
    const { method, endpoint_url: url, authorization_header: header } = isObject(delivery) ? delivery : {}
    if (!notes.must(method === (mode === 'push' ? PUSH : POLL), section, `the receiver asks for another delivery than ${mode}`)) return refusal
    if (mode === 'push' && !notes.must(isHttps(url), 'RFC 8935 section 2', 'endpoint_url is no https URL')) return refusal
    const listed = events === undefined || (Array.isArray(events) && events.every((one) => typeof one === 'string'))
    if (!notes.must(listed, section, 'events_requested is no list of texts')) return refusal
    const supported = interop ? INTEROP_EVENTS : ALL_EVENTS
    const requested = events as string[] | undefined
    notes.should(requested?.length !== 0, 'SSF 1.0 section 8.1.1', 'events_requested is empty')
    return {
      id,
      status: 'enabled',
      configuration: {
        ...{ stream_id: id, iss: issuer, aud: audience },
        delivery: { method, endpoint_url: mode === 'push' ? url : `${issuer}/poll/${id}` },
        events_supported: supported,
        ...(requested && { events_requested: requested }),
        events_delivered: supported.filter((one) => requested?.includes(one) ?? true),
        ...(typeof description === 'string' && { description }),
      },
      ...(typeof header === 'string' && { authorization: header }),
    }
  }
}
