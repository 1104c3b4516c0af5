import { createHash, randomBytes } from 'node:crypto'
import { isObject } from '@caegis/protocol'
import { type Answer, type Caller, json, noContent, refuse, refuseScope } from './answer.ts'
import { configuration, deliveredTo } from './configuration.ts'
import { parseCreateRequest } from './create-request.ts'
import type { Settings } from './options.ts'
import type { StreamRecord, TransmitterStore } from './store.ts'

/** The stream configuration endpoint (SSF 1.0 section 8.1.1). */
export interface Streams {
  /**
   * @param key the request's `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): asked twice with the same one, there is one stream. Who did not hear the answer
   * asks again, and the network itself may say things twice
   */
  create(caller: Caller, body: unknown, key?: string): Promise<Answer>
  read(caller: Caller, streamId: string | undefined): Promise<Answer>
  remove(caller: Caller, streamId: string | undefined): Promise<Answer>
}

/** The caller's own stream; another receiver's does not exist for it. */
export async function findOwn(store: TransmitterStore, caller: Caller, streamId: unknown): Promise<StreamRecord | undefined> {
  if (typeof streamId !== 'string' || streamId.length === 0 || streamId.length > 64) return undefined
  const stream = await store.getStream(streamId)
  // An application that was registered anew with another audience must not go on reading what was meant for the old one.
  return stream && stream.receiver === caller.receiver && stream.aud === caller.audience ? stream : undefined
}

/** A receiver's own keys name its own streams, and nobody else's. */
function idOf({ receiver, audience }: Caller, key: string | undefined): string {
  if (key === undefined) return randomBytes(16).toString('base64url')
  return createHash('sha256')
    .update(JSON.stringify([receiver, audience, key]))
    .digest()
    .subarray(0, 16)
    .toString('base64url')
}

export function createStreams(settings: Settings): Streams {
  const { store, now, limits, log } = settings

  /** Restarts the inactivity timeout (section 8.1.1): any management call that names the stream counts. */
  const seen = (stream: StreamRecord) => store.saveProgress(stream.id, { seenAt: now() / 1000 })

  return {
    async create(caller, body, key) {
      if (!isObject(body)) return refuse('invalid_request')
      const denied = refuseScope(caller, 'ssf.manage')
      if (denied) return denied
      const request = parseCreateRequest(body, settings)
      if ('status' in request) return request
      const id = idOf(caller, key)
      const before = key === undefined ? undefined : await findOwn(store, caller, id)
      if (before) return json(201, configuration(settings, before))
      if ((await store.listStreams(caller.receiver)).length >= limits.streams) return refuse('too_many_streams')
      const { epoch, seq } = await store.head()
      const record: StreamRecord = {
        ...request,
        id,
        receiver: caller.receiver,
        aud: caller.audience,
        eventsDelivered: deliveredTo(settings, request),
        ...(settings.defaultSubjects === 'NONE' && !request.guard && { defaultSubjects: 'NONE' as const }),
        status: 'enabled',
        createdAt: now() / 1000,
        start: { epoch, seq },
        acked: seq,
        ackedAhead: [],
        seenAt: now() / 1000,
      }
      try {
        await store.createStream(record)
      } catch (error) {
        // Both at once.
        const other = await findOwn(store, caller, id)
        if (!other) throw error
        return json(201, configuration(settings, other))
      }
      log.info('stream created', { stream: record.id, receiver: record.receiver, guard: record.guard })
      return json(201, configuration(settings, record))
    },

    async read(caller, streamId) {
      const denied = refuseScope(caller, 'ssf.read')
      if (denied) return denied
      if (streamId === undefined) {
        const all = await store.listStreams(caller.receiver)
        return json(
          200,
          all.filter((stream) => stream.aud === caller.audience).map((stream) => configuration(settings, stream)),
        )
      }
      const stream = await findOwn(store, caller, streamId)
      if (!stream) return refuse('unknown_stream')
      await seen(stream)
      return json(200, configuration(settings, stream))
    },

    async remove(caller, streamId) {
      if (streamId === undefined) return refuse('invalid_request', { detail: 'stream_id' })
      const denied = refuseScope(caller, 'ssf.manage')
      if (denied) return denied
      const stream = await findOwn(store, caller, streamId)
      if (!stream) return refuse('unknown_stream')
      await store.deleteStream(stream.id)
      log.info('stream deleted', { stream: stream.id, receiver: stream.receiver })
      return noContent()
    },
  }
}
