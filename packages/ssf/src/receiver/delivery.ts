import { CaegisError, EVENT, type Head, isObject, parseHead, type SecurityEvent } from '@caegis/protocol'
import { failure } from './errors.ts'

/** A poll's answer (RFC 8936 section 2.3) with our head, checked but not yet verified. */
export interface PollAnswer {
  sets: [jti: string, jwt: string][]
  /** There was more in the answer than is looked at at once. */
  cut?: boolean
  /** Of a CAEgis transmitter. */
  head?: Head
}

const MAX_SETS = 1000

/**
 * @param cut an answer of too many SETs is cut off instead of refused
 * @throws CaegisError `answer_malformed`
 */
export function parsePollAnswer(body: Record<string, unknown>, cut = false): PollAnswer {
  if (!isObject(body.sets)) throw failure('answer_malformed', 'sets')
  let sets = Object.entries(body.sets)
  const tooMany = sets.length > MAX_SETS
  if (tooMany && cut) sets = sets.slice(0, MAX_SETS)
  else if (tooMany) throw failure('answer_malformed', 'sets')
  if (!sets.every(([, jwt]) => typeof jwt === 'string')) throw failure('answer_malformed', 'sets')
  const answer: PollAnswer = { sets: sets as [string, string][], ...(tooMany && { cut: true }) }
  if (body.caegis_head !== undefined) {
    try {
      answer.head = parseHead(body.caegis_head)
    } catch (cause) {
      throw failure('answer_malformed', 'caegis_head', cause)
    }
  }
  return answer
}

/** A SET that was refused: under which name it came, and why. */
export interface Refused {
  jti: string
  detail: unknown
}

/**
 * Verifies every SET of an answer. One that is refused does not hold up the others.
 * @throws what `verify` throws but `set_refused`: without keys nothing can be said about a SET
 */
export async function verifyAll(
  sets: PollAnswer['sets'],
  verify: (jwt: string) => Promise<SecurityEvent>,
): Promise<{ events: SecurityEvent[]; refused: Refused[] }> {
  const refused: Refused[] = []
  const events = await Promise.all(
    sets.map(async ([jti, jwt]) => {
      try {
        const event = await verify(jwt)
        // The name under which it came is the one that is acknowledged.
        if (event.jti === jti) return event
        refused.push({ jti, detail: 'jti' })
      } catch (error) {
        if (!(error instanceof CaegisError) || error.code !== 'set_refused') throw error
        refused.push({ jti, detail: error.detail })
      }
      return undefined
    }),
  )
  return { events: events.filter((event) => event !== undefined), refused }
}

export interface Arranged {
  /** What follows the position without a hole, in log order. */
  due: SecurityEvent[]
  /** Applied before: only to be acknowledged again. */
  known: SecurityEvent[]
  /** About a stream: verification, stream-updated. */
  control: SecurityEvent[]
  /** Why there is more than could be put in order. */
  problem?: string
}

/** Puts what a guard received in the order of the log, and shows what is missing. */
export function arrange(events: SecurityEvent[], position: number): Arranged {
  const arranged: Arranged = { due: [], known: [], control: [] }
  const rows: (SecurityEvent & { seq: number })[] = []
  for (const event of events) {
    if (event.seq !== undefined) rows.push(event as SecurityEvent & { seq: number })
    else if (isControl(event)) arranged.control.push(event)
    else arranged.problem = 'a SET without a position'
  }
  rows.sort((a, b) => a.seq - b.seq)
  let next = position + 1
  for (const row of rows) {
    if (row.seq < next) arranged.known.push(row)
    else if (row.seq === next) {
      arranged.due.push(row)
      next++
    } else {
      arranged.problem = 'gap'
      break
    }
  }
  return arranged
}

export function isControl(event: SecurityEvent): boolean {
  return event.type === EVENT.verification || event.type === EVENT.streamUpdated
}

/** The id of the stream that an event is about (SSF 1.0 sections 8.1.4 and 8.1.5), as its subject says. */
export function streamOf({ subject }: SecurityEvent): string | undefined {
  return subject.format === 'opaque' && 'id' in subject && typeof subject.id === 'string' ? subject.id : undefined
}

/** What an event about a stream says of ours: its new status; undefined when it says nothing, or is about a stream that is not ours (anybody could send that). */
export function statusChange(event: SecurityEvent, streamId: string): 'enabled' | 'paused' | 'disabled' | undefined {
  if (event.type !== EVENT.streamUpdated || streamOf(event) !== streamId) return undefined
  const { status } = event.payload
  return status === 'enabled' || status === 'paused' || status === 'disabled' ? status : undefined
}
