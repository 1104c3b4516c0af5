import { randomBytes } from 'node:crypto'
import { EVENT, type EventPayload, isObject } from '@caegis/protocol'
import { type Answer, type Caller, noContent, type Problem, refuse, refuseScope } from './answer.ts'
import type { Settings } from './options.ts'
import type { Queue } from './queue.ts'
import { findOwn } from './streams.ts'

const MAX_STATE = 1024

/** Verification events (SSF 1.0 section 8.1.4), asked for by the receiver or sent by the transmitter on its own. */
export interface Verify {
  /** The verification endpoint (section 8.1.4.2): queues an event that echoes the state. */
  verify(caller: Caller, body: unknown): Promise<Answer>
  sendVerification(streamId: string): Promise<Problem | undefined>
}

export function createVerify({ store, now, limits }: Settings, queue: Queue): Verify {
  const add = (id: string, payload: EventPayload, by: 'receiver' | 'host') =>
    queue(id, async (): Promise<Problem | undefined> => {
      const stream = await store.getStream(id)
      if (!stream) return 'unknown_stream'
      if (stream.status !== 'enabled') return 'stream_not_enabled'
      const at = now() / 1000
      // Redeliveries are the operator's.
      const waiting = (await store.listControls(id)).filter((control) => !control.event)
      const tooSoon = by === 'receiver' && stream.verifiedAt !== undefined && at - stream.verifiedAt < limits.verification
      if (tooSoon || waiting.length >= limits.controls) return 'too_many_requests'
      await store.addControl(id, { id: randomBytes(16).toString('base64url'), type: EVENT.verification, at: Math.floor(at), payload })
      if (by === 'receiver') await store.saveProgress(id, { verifiedAt: at, seenAt: at })
      return undefined
    })

  return {
    async verify(caller, body) {
      if (!isObject(body) || typeof body.stream_id !== 'string') return refuse('invalid_request', { detail: 'stream_id' })
      const denied = refuseScope(caller, 'ssf.manage')
      if (denied) return denied
      const own = await findOwn(store, caller, body.stream_id)
      if (!own) return refuse('unknown_stream')
      const { state } = body
      if (state !== undefined && !(typeof state === 'string' && state.length <= MAX_STATE)) return refuse('invalid_request', { detail: 'state' })
      const problem = await add(own.id, state === undefined ? {} : { state }, 'receiver')
      if (problem === undefined) return noContent()
      const later = { 'retry-after': String(Math.max(1, Math.ceil(limits.verification))) }
      return refuse(problem, problem === 'too_many_requests' ? { headers: later } : {})
    },

    sendVerification: (streamId) => add(streamId, {}, 'host'),
  }
}
