import { isObject } from '@caegis/protocol'
import { POLL_METHOD } from '../wire.ts'
import { type Answer, type Caller, json, refuse, refuseScope } from './answer.ts'
import { changedFixed, configuration, deliveredTo } from './configuration.ts'
import type { Settings } from './options.ts'
import { parseSupplied } from './stream-request.ts'
import { findOwn } from './streams.ts'

/** Changes a stream's configuration: `PATCH` leaves what is absent as it is, `PUT` takes it away (SSF 1.0 sections 8.1.1.3 and 8.1.1.4). */
export interface Update {
  update(caller: Caller, body: unknown): Promise<Answer>
  replace(caller: Caller, body: unknown): Promise<Answer>
}

export function createUpdate(settings: Settings): Update {
  const { store, now, log } = settings

  async function change(caller: Caller, body: unknown, whole: boolean): Promise<Answer> {
    if (!isObject(body) || typeof body.stream_id !== 'string') return refuse('invalid_request', { detail: 'stream_id' })
    const denied = refuseScope(caller, 'ssf.manage')
    if (denied) return denied
    const own = await findOwn(store, caller, body.stream_id)
    if (!own) return refuse('unknown_stream')
    const supplied = parseSupplied(body, settings)
    if ('status' in supplied) return supplied
    let refused: Answer | undefined
    const changed = await store.updateStream(own.id, (stream) => {
      const fixed = changedFixed(settings, stream, body)
      const delivery = supplied.delivery ?? (whole ? { method: POLL_METHOD } : stream.delivery)
      refused = fixed
        ? refuse('fixed_property', { detail: fixed })
        : stream.guard && delivery.method !== POLL_METHOD
          ? refuse('unsupported_delivery_method')
          : undefined
      if (refused) return undefined
      const eventsRequested = supplied.eventsRequested ?? (whole ? undefined : stream.eventsRequested)
      const description = supplied.description ?? (whole ? undefined : stream.description)
      return {
        config: { delivery, eventsRequested, description, eventsDelivered: deliveredTo(settings, { guard: stream.guard, eventsRequested }) },
        progress: { seenAt: now() / 1000 },
      }
    })
    if (refused) return refused
    if (!changed) return refuse('unknown_stream')
    log.info('stream changed', { stream: changed.id, receiver: changed.receiver, method: changed.delivery.method })
    return json(200, configuration(settings, changed))
  }

  return { update: (caller, body) => change(caller, body, false), replace: (caller, body) => change(caller, body, true) }
}
