import { CaegisError, parseSubject, type SecurityEvent } from '@caegis/protocol'
import { decodeJwt } from 'jose'
import type { Acted } from './act.ts'
import { type PollAnswer, type Refused, verifyAll } from './delivery.ts'
import type { Judgement } from './judge.ts'
import type { Poller } from './poller.ts'
import { NO_KEY, NO_KEY_YET, setError, setErrorOf } from './set-errors.ts'

export interface PollTurnOptions {
  verify(jwt: string): Promise<SecurityEvent>
  judge(event: SecurityEvent): Judgement
  act(event: SecurityEvent): Promise<Acted>
  note: TurnNotes
  /** Milliseconds that a SET which no key verifies may wait for one. */
  keyPatience: number
}

/** What happened, for counting. */
export interface TurnNotes {
  acted(event: SecurityEvent, result: Acted): void
  failed(event: SecurityEvent, error: unknown): void
  judged(event: SecurityEvent, judgement: Exclude<Judgement, { outcome: 'act' }>): void
  refused(detail: unknown): void
}

const MAX_JTI = 256
const REMEMBERED = 1000

/**
 * Takes one answer: verifies, judges, acts, and tells the poller what to acknowledge. An event whose handler fails is not acknowledged, and those behind it about
 * the same subject wait with it; a SET that no key verifies waits for a while, because the key may only be new, and so do those behind it about the subject that it
 * names: believing it is not needed for waiting.
 * @returns how many of the SETs are left, and how many brought something new
 */
export function createPollTurn({ verify, judge, act, note, keyPatience }: PollTurnOptions) {
  const waitingForKey = new Map<string, number>()

  return async (poller: Poller, { sets }: Pick<PollAnswer, 'sets'>): Promise<{ left: number; fresh: number }> => {
    const { events, refused } = await verifyAll(sets, verify)
    const verified = new Map(events.map((event) => [event.jti, event]))
    const unverified = new Map(refused.map((one) => [one.jti, one]))
    const stuck = new Set<string>()
    let left = 0
    let fresh = 0
    // In the order of the answer.
    for (const [jti, jwt] of sets) {
      const event = verified.get(jti)
      const result = event ? await take(poller, event, stuck) : report(poller, unverified.get(jti) as Refused) ? 'settled' : 'left'
      if (result === 'fresh') fresh++
      if (result !== 'left') continue
      left++
      stuck.add(JSON.stringify(event ? event.subject : subjectOf(jwt)))
    }
    return { left, fresh }
  }

  async function take(poller: Poller, event: SecurityEvent, stuck: ReadonlySet<string>): Promise<'fresh' | 'settled' | 'left'> {
    waitingForKey.delete(event.jti)
    const judgement = judge(event)
    if (judgement.outcome !== 'act') {
      if (judgement.outcome === 'refuse') poller.refuse(event.jti, judgement.error)
      else poller.acknowledge(event.jti)
      note.judged(event, judgement)
      return 'settled'
    }
    if (stuck.has(JSON.stringify(event.subject))) return 'left'
    let result: Acted
    try {
      result = await act(event)
    } catch (error) {
      note.failed(event, error)
      return 'left'
    }
    note.acted(event, result)
    poller.acknowledge(event.jti)
    return result === 'duplicate' ? 'settled' : 'fresh'
  }

  function report(poller: Poller, { jti, detail }: Refused): boolean {
    // Under such a name it can be neither acknowledged nor reported.
    if (jti.length === 0 || jti.length > MAX_JTI) {
      note.refused('jti')
      return false
    }
    if (detail === NO_KEY || detail === NO_KEY_YET) {
      const since = waitingForKey.get(jti)
      if (since === undefined) {
        waitingForKey.set(jti, performance.now())
        if (waitingForKey.size > REMEMBERED) waitingForKey.delete(waitingForKey.keys().next().value as string)
      }
      if (detail === NO_KEY_YET || performance.now() - (since ?? performance.now()) < keyPatience) return false
      waitingForKey.delete(jti)
    }
    poller.refuse(jti, detail === 'jti' ? setError('invalid_request') : setErrorOf(detail))
    note.refused(detail)
    return true
  }
}

/** What an unverified SET says that it is about; for waiting only. */
function subjectOf(jwt: string): unknown {
  try {
    return parseSubject(decodeJwt(jwt).sub_id)
  } catch {
    return undefined
  }
}

/** The stable code of any error, for a log or a status. */
export function codeOf(error: unknown): string {
  return error instanceof CaegisError ? error.code : 'internal'
}
