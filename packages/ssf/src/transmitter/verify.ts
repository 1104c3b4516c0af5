import { randomBytes } from 'node:crypto'
import { EVENT, isObject } from '@caegis/protocol'
import { type Answer, type Caller, noContent, refuse, refuseScope } from './answer.ts'
import type { Settings } from './options.ts'
import type { Queue } from './queue.ts'
import { findOwn } from './streams.ts'

const MAX_STATE = 1024

/** The verification endpoint (SSF 1.0 section 8.1.4.2): queues an event that echoes the state. */
export function createVerify({ store, now, limits }: Settings, queue: Queue): (caller: Caller, body: unknown) => Promise<Answer> {
  return async (caller, body) => {
    if (!isObject(body) || typeof body.stream_id !== 'string') return refuse('invalid_request', { detail: 'stream_id' })
    const denied = refuseScope(caller, 'ssf.manage')
    if (denied) return denied
    const own = await findOwn(store, caller, body.stream_id)
    if (!own) return refuse('unknown_stream')
    const { state } = body
    if (state !== undefined && !(typeof state === 'string' && state.length <= MAX_STATE)) return refuse('invalid_request', { detail: 'state' })
    return queue(own.id, async () => {
      const stream = await store.getStream(own.id)
      if (!stream) return refuse('unknown_stream')
      if (stream.status !== 'enabled') return refuse('stream_not_enabled')
      const at = now() / 1000
      // Redeliveries are the operator's.
      const waiting = (await store.listControls(stream.id)).filter((control) => !control.event)
      const tooSoon = stream.verifiedAt !== undefined && at - stream.verifiedAt < limits.verification
      if (tooSoon || waiting.length >= limits.controls) {
        return refuse('too_many_requests', { headers: { 'retry-after': String(Math.max(1, Math.ceil(limits.verification))) } })
      }
      await store.addControl(stream.id, {
        id: randomBytes(16).toString('base64url'),
        type: EVENT.verification,
        at: Math.floor(at),
        payload: state === undefined ? {} : { state },
      })
      await store.saveProgress(stream.id, { verifiedAt: at, seenAt: at })
      return noContent()
    })
  }
}
