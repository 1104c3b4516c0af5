import { isObject } from '@caegis/protocol'
import { POLL_METHOD, PUSH_METHOD } from '../wire.ts'
import type { Connection } from './connect.ts'
import { failure } from './errors.ts'
import type { ReceiverSettings } from './receiver-options.ts'
import { hasStatus } from './stream-api.ts'
import type { StreamConfiguration } from './stream-configuration.ts'

type Wanted = Pick<ReceiverSettings, 'issuer' | 'audience' | 'events' | 'description' | 'push' | 'log'>

/**
 * The stream of this receiver: the one that an earlier start has made, brought up to date, or a new one. A stream kept over a restart holds what was revoked
 * meanwhile; a new one does not.
 * @throws CaegisError `stream_refused`, or what the calls throw
 */
export async function subscribe(wanted: Wanted, connection: Connection): Promise<{ stream: StreamConfiguration; made: boolean }> {
  const { api, metadata } = connection
  const method = methodOf(wanted)
  const { deliveryMethods } = metadata
  if (deliveryMethods.length > 0 && !deliveryMethods.includes(method)) throw failure('stream_refused', 'delivery method')

  const existing = await listOwn()
  const found = find(existing)
  if (found) return { stream: await reconcile(wanted, connection, found), made: false }
  let made: StreamConfiguration
  try {
    made = await api.create({ delivery: deliveryOf(wanted), ...eventsOf(wanted), ...descriptionOf(wanted) })
  } catch (error) {
    // One stream per receiver (section 8.1.1.1), and it exists: whatever it is called, it is ours.
    const only = existing.length === 1 ? existing[0] : undefined
    if (!only || !hasStatus(error, 409)) throw error
    return { stream: await reconcile(wanted, connection, only), made: false }
  }
  try {
    check(wanted, made)
  } catch (error) {
    await api.remove(made.id, 2000).catch(() => {})
    throw error
  }
  wanted.log.info('stream created', { stream: made.id })
  return { stream: made, made: true }

  async function listOwn(): Promise<StreamConfiguration[]> {
    try {
      // Guards keep streams of their own under the same client.
      return (await api.list()).filter((one) => !(isObject(one.extension) && one.extension.guard === true))
    } catch (error) {
      if (hasStatus(error, 400, 404, 405, 501)) return []
      throw error
    }
  }

  /** Same issuer, audience, description and delivery; only a stream that has our name may have another push endpoint. */
  function find(streams: StreamConfiguration[]): StreamConfiguration | undefined {
    const { issuer, audience, description, push } = wanted
    const candidates = streams.filter(
      (one) =>
        one.iss === issuer &&
        one.method === method &&
        (audience === undefined || one.audience.includes(audience)) &&
        isSameDescription(one.description, description),
    )
    if (!push) return candidates[0]
    const same = candidates.find((one) => one.endpointUrl === push.endpointUrl)
    return same ?? (description !== undefined && candidates.length === 1 ? candidates[0] : undefined)
  }
}

/**
 * Brings a stream up to date that has drifted from what is wanted.
 * @throws CaegisError `stream_refused`, or what the calls throw
 */
export async function reconcile(wanted: Wanted, { api }: Connection, stream: StreamConfiguration): Promise<StreamConfiguration> {
  const { push, events, log } = wanted
  const drifted = {
    ...(!hasEvents(wanted, stream) && eventsOf(wanted)),
    ...(!hasDelivery(wanted, stream) && { delivery: deliveryOf(wanted) }),
    ...(!isSameDescription(stream.description, wanted.description) && descriptionOf(wanted)),
  }
  // An update leaves alone what it does not name: only a replacement takes back what was asked for once (section 8.1.1.4).
  const { eventsRequested, eventsDelivered, eventsSupported } = stream
  const outgrown = events === undefined && eventsRequested !== undefined && eventsSupported?.some((one) => !eventsDelivered?.includes(one)) === true
  // Few transmitters show the header, so nobody knows whether it is still ours.
  const unsure = push?.authorizationHeader !== undefined && stream.authorizationHeader === undefined
  let current = stream
  if (outgrown || unsure || Object.keys(drifted).length > 0) {
    const all = { delivery: deliveryOf(wanted), ...eventsOf(wanted), ...descriptionOf(wanted) }
    const some = { ...(unsure && { delivery: deliveryOf(wanted) }), ...drifted }
    try {
      const updated = await (outgrown ? api.replace({ stream_id: stream.id, ...all }) : api.update({ stream_id: stream.id, ...some }))
      if (updated && updated.id !== stream.id) throw failure('stream_refused', 'another stream was updated')
      current = updated ?? stream
      log.info('stream brought up to date', { stream: stream.id, members: Object.keys(outgrown ? all : some) })
    } catch (error) {
      if (!hasStatus(error, 405, 501)) throw error
      // The interoperability profile asks for no updates. To delete the stream would lose what it holds: that is for its owner to decide.
      if (Object.keys(drifted).length > 0) throw failure('stream_refused', 'it differs from what is wanted and cannot be updated', error)
      log.warn('the transmitter cannot update streams; this one may not be quite what is wanted', { stream: stream.id })
    }
  }
  check(wanted, current)
  return current
}

function hasEvents({ events }: Wanted, { eventsRequested, eventsDelivered }: StreamConfiguration): boolean {
  if (events === undefined) return true
  if (eventsRequested === undefined) return events.every((one) => eventsDelivered?.includes(one))
  return eventsRequested.length === events.length && events.every((one) => eventsRequested.includes(one))
}

function hasDelivery(wanted: Wanted, stream: StreamConfiguration): boolean {
  const { push } = wanted
  if (stream.method !== methodOf(wanted)) return false
  if (!push) return true
  const header = stream.authorizationHeader
  return stream.endpointUrl === push.endpointUrl && (header === undefined || header === push.authorizationHeader)
}

/** What came back must be what was asked for, or the stream would be less than its owner believes. */
function check(wanted: Wanted, stream: StreamConfiguration): void {
  if (stream.iss !== wanted.issuer) throw failure('stream_refused', 'iss')
  if (wanted.audience !== undefined && !stream.audience.includes(wanted.audience)) throw failure('stream_refused', 'aud')
  if (stream.method !== methodOf(wanted)) throw failure('stream_refused', 'delivery')
  if (wanted.push && stream.endpointUrl !== wanted.push.endpointUrl) throw failure('stream_refused', 'delivery')
}

const methodOf = ({ push }: Pick<Wanted, 'push'>) => (push ? PUSH_METHOD : POLL_METHOD)

/** Events that are wanted and will not come, as far as the transmitter says what it delivers. */
export function undelivered(wanted: readonly string[] | undefined, { eventsDelivered }: StreamConfiguration): string[] {
  return eventsDelivered === undefined ? [] : (wanted ?? []).filter((one) => !eventsDelivered.includes(one))
}

/** A transmitter may cut a description off (SSF 1.0 section 8.1.1). */
function isSameDescription(theirs: string | undefined, ours: string | undefined): boolean {
  if (ours === undefined || theirs === undefined) return ours === theirs
  return theirs === ours || (theirs.length >= 32 && ours.startsWith(theirs))
}

function deliveryOf({ push }: Pick<Wanted, 'push'>): Record<string, unknown> {
  if (!push) return { method: POLL_METHOD }
  const { endpointUrl, authorizationHeader } = push
  return { method: PUSH_METHOD, endpoint_url: endpointUrl, ...(authorizationHeader !== undefined && { authorization_header: authorizationHeader }) }
}

function eventsOf({ events }: { events: readonly string[] | undefined }): Record<string, unknown> {
  return events === undefined ? {} : { events_requested: events }
}

function descriptionOf({ description }: Pick<Wanted, 'description'>): Record<string, unknown> {
  return description === undefined ? {} : { description }
}
