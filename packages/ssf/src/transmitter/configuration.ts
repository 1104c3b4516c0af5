import { isObject } from '@caegis/protocol'
import { POLL_METHOD, PUSH_METHOD } from '../wire.ts'
import type { Settings } from './options.ts'
import type { StreamRecord } from './store.ts'

/** The stream configuration as its receiver reads it (SSF 1.0 section 8.1.1). The value of the `Authorization` header is a secret that is not read back. */
export function configuration(settings: Settings, stream: StreamRecord): Record<string, unknown> {
  const { issuer, events, limits } = settings
  const timeout = timeoutOf(settings, stream)
  return {
    stream_id: stream.id,
    iss: issuer,
    aud: stream.aud,
    delivery: {
      method: stream.delivery.method,
      endpoint_url: stream.delivery.method === PUSH_METHOD ? stream.delivery.endpointUrl : pollUrl(settings, stream),
    },
    events_supported: events,
    ...(stream.eventsRequested === undefined ? {} : { events_requested: stream.eventsRequested }),
    events_delivered: stream.eventsDelivered,
    // Whole seconds (section 8.1.1): rounded up, so that who keeps to it is never refused.
    min_verification_interval: Math.ceil(limits.verification),
    ...(timeout === undefined ? {} : { inactivity_timeout: timeout }),
    ...(stream.description === undefined ? {} : { description: stream.description }),
    caegis: {
      ...{ subjects: stream.subjects, alg: stream.alg, guard: stream.guard, start: stream.start },
      ...(stream.evaluates === undefined ? {} : { evaluates: stream.evaluates }),
    },
  }
}

export function timeoutOf({ inactivityTimeout, guardInactivityTimeout }: Settings, stream: Pick<StreamRecord, 'guard'>): number | undefined {
  return stream.guard ? (guardInactivityTimeout ?? inactivityTimeout) : inactivityTimeout
}

/** `events_delivered`: what is supported and was asked for; everything when nothing was asked for. */
export function deliveredTo({ events }: Settings, stream: { guard: boolean; eventsRequested?: string[] | undefined }): string[] {
  return events.filter((type) => stream.guard || (stream.eventsRequested?.includes(type) ?? true))
}

const FIXED = ['stream_id', 'iss', 'aud', 'events_supported', 'events_delivered', 'min_verification_interval', 'inactivity_timeout']

/** The transmitter's own property to which a body gives another value than it has (section 8.1.1.3), if it does. */
export function changedFixed(settings: Settings, stream: StreamRecord, body: Record<string, unknown>): string | undefined {
  const current = configuration(settings, stream)
  for (const name of FIXED) if (body[name] !== undefined && !same(body[name], current[name])) return name
  if (body.caegis !== undefined) {
    const { caegis } = body
    const known = current.caegis as Record<string, unknown>
    if (!isObject(caegis) || !Object.entries(caegis).every(([name, value]) => Object.hasOwn(known, name) && same(value, known[name]))) return 'caegis'
  }
  const { delivery } = body
  if (isObject(delivery) && delivery.method === POLL_METHOD && delivery.endpoint_url !== undefined) {
    if (delivery.endpoint_url !== pollUrl(settings, stream)) return 'delivery.endpoint_url'
  }
  return undefined
}

function pollUrl({ base }: Settings, stream: StreamRecord): string {
  return `${base}/poll/${stream.id}`
}

/** Looks no deeper into what a receiver says than the transmitter's own value goes. A list of event types has no order. */
function same(theirs: unknown, ours: unknown): boolean {
  if (Array.isArray(ours))
    return Array.isArray(theirs) && theirs.length === ours.length && ours.every((one) => theirs.some((other) => same(other, one)))
  if (!isObject(ours)) return theirs === ours
  const names = Object.keys(ours)
  return isObject(theirs) && Object.keys(theirs).length === names.length && names.every((name) => same(theirs[name], ours[name]))
}
