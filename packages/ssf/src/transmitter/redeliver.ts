import { createFilter, orderOf } from './filter.ts'
import type { Settings } from './options.ts'
import type { DeadLetter, EventRow, StreamRecord } from './store.ts'

export interface Redelivery {
  /** Ids of the events that go out once more. */
  queued: string[]
  /** Ids of those that stay, and why: `unknown`, `cut` from the log, or `superseded` by a later event about the same subject. */
  refused: { id: string; reason: 'unknown' | 'cut' | 'superseded' }[]
}

export interface Letters {
  deadLetters(streamId: string): Promise<DeadLetter[]>
  /**
   * Sends dead letters once more, all or those named. One that is followed by a later event about the same subject stays, or the receiver could end with the
   * earlier state of the two; `force` sends it nevertheless.
   */
  redeliver(streamId: string, ids?: string[], options?: { force?: boolean }): Promise<Redelivery>
}

const PAGE = 500

/** How the reason of a dead letter begins that nobody refused. */
export const GAVE_UP = 'gave up'

export function createLetters({ store, now, log }: Settings): Letters {
  return {
    deadLetters: (streamId) => store.listDeadLetters(streamId),

    async redeliver(streamId, ids, { force = false } = {}) {
      const stream = await store.getStream(streamId)
      const letters = stream ? await store.listDeadLetters(streamId) : []
      const wanted = new Set(ids ?? letters.map((letter) => letter.id))
      const result: Redelivery = { queued: [], refused: [] }
      const chosen = letters.filter((letter) => wanted.has(letter.id))
      for (const id of wanted) if (!chosen.some((letter) => letter.id === id)) result.refused.push({ id, reason: 'unknown' })
      if (!stream || chosen.length === 0) return result
      const overtaken = force ? new Map<string, number>() : await lastOf(stream, letters, chosen[0] as DeadLetter)
      for (const { id, seq } of chosen) {
        const [row] = await store.events(seq - 1, 1)
        if (row?.id !== id) result.refused.push({ id, reason: 'cut' })
        else if ((overtaken.get(orderOf(row)) ?? 0) > seq) result.refused.push({ id, reason: 'superseded' })
        else {
          await store.addControl(streamId, { id, type: row.type, at: Math.floor(now() / 1000), payload: {}, event: row })
          result.queued.push(id)
        }
      }
      // Queued first: a crash in between leaves a letter too many, never one too few.
      await store.removeDeadLetters(streamId, result.queued)
      if (result.queued.length > 0) log.info('dead letters redelivered', { stream: streamId, count: result.queued.length })
      return result
    },
  }

  /**
   * The last position of each subject that events followed about. Whether they arrived cannot be known: one whose answer was lost is taken in, too. Only what
   * the receiver has refused did not.
   */
  async function lastOf(stream: StreamRecord, letters: DeadLetter[], from: DeadLetter): Promise<Map<string, number>> {
    const wants = createFilter(stream)
    const refused = new Set(letters.filter(({ reason }) => !reason.startsWith(GAVE_UP)).map((letter) => letter.id))
    const { seq: end } = await store.head()
    const last = new Map<string, number>()
    for (let after = from.seq; after < end; ) {
      const page: EventRow[] = await store.events(after, PAGE)
      for (const row of page) {
        after = row.seq
        if (!refused.has(row.id) && wants(row)) last.set(orderOf(row), row.seq)
      }
      if (page.length < PAGE) break
    }
    return last
  }
}
