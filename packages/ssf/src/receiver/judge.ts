import { EVENT, type SecurityEvent } from '@caegis/protocol'
import { streamOf } from './delivery.ts'
import { hasPayload } from './handlers.ts'
import { type SetError, setError } from './set-errors.ts'
import type { Verifications } from './verifications.ts'

/** What is to be done with a verified SET. */
export type Judgement =
  | { outcome: 'act' }
  | { outcome: 'verification'; state?: string }
  /** Accepted, but not acted on: a critical member of its subject cannot be processed (SSF 1.0 section 3.6). */
  | { outcome: 'discard'; reason: string }
  /** About a stream that is not ours: anybody with a stream of the same audience could cause that. */
  | { outcome: 'ignore' }
  | { outcome: 'refuse'; error: SetError; reason: string }

export interface JudgeOptions {
  trust: (subject: SecurityEvent['subject']) => string | undefined
  understands: ReadonlySet<string>
  verifications: Verifications
}

/** Judges what signature, issuer, audience and shape leave open. Pure: the same SET, delivered again, is judged the same. */
export function createJudge({ trust, understands, verifications }: JudgeOptions) {
  return (event: SecurityEvent, stream: { id: string; critical: readonly string[] }): Judgement => {
    const { type, subject, payload } = event
    if (type === EVENT.verification) {
      if (streamOf(event) !== stream.id) return { outcome: 'ignore' }
      const { state } = payload
      // One that the transmitter sends by itself has no state.
      if (state === undefined) return { outcome: 'verification' }
      if (typeof state === 'string' && verifications.knows(state)) return { outcome: 'verification', state }
      return { outcome: 'refuse', error: setError('invalid_state'), reason: 'state' }
    }
    if (type === EVENT.streamUpdated && streamOf(event) !== stream.id) return { outcome: 'ignore' }
    if (!hasPayload(event)) return { outcome: 'refuse', error: setError('invalid_request'), reason: 'payload' }
    if (type === EVENT.streamUpdated) return { outcome: 'act' }
    if (subject.format === 'complex') {
      const unknown = stream.critical.find((member) => member in subject && !understands.has(member))
      if (unknown !== undefined) return { outcome: 'discard', reason: unknown }
    }
    const wrong = trust(subject)
    return wrong === undefined ? { outcome: 'act' } : { outcome: 'refuse', error: setError('access_denied'), reason: wrong }
  }
}

export type Judge = ReturnType<typeof createJudge>
