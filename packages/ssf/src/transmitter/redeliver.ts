import { createFilter, orderOf } from './filter.ts'
import type { Settings } from './options.ts'
import type { DeadLetter, EventRow, StreamRecord } from './store.ts'

export interface Redelivery {
  /** Ids of the events that go out once more. */
  queued: string[]
  /** Ids of those that stay, and why: `unknown`, `cut` from the log, or `superseded` by a later event about the same subject that has been delivered. */
  refused: { id: string; reason: 'unknown' | 'cut' | 'superseded' }[]
}

export interface Letters {
  deadLetters(streamId: string): Promise<DeadLetter[]>
  /**
   * Sends dead letters once more, all or those named. One that a later event about the same subject has overtaken stays, or the receiver would end with the
   * earlier state of the two; `force` sends it nevertheless.
   */
  redeliver(streamId: string, ids?: string[], options?: { force?: boolean }): Promise<Redelivery>
}

const PAGE = 500

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
      // The subjects of what was delivered, each with its last position: an earlier event about the same would end reordered.
      const overtaken = force ? new Map<string, number>() : await lastDelivered(stream, letters, chosen[0] as DeadLetter)
      for (const { id, seq } of chosen) {
        const [row] = await store.events(seq - 1, 1)
        if (row?.id !== id) result.refused.push({ id, reason: 'cut' })
        else if ((overtaken.get(orderOf(row)) ?? 0) > seq) result.refused.push({ id, reason: 'superseded' })
        else {
          await store.addControl(streamId, { id, type: row.type, at: Math.floor(now() / 1000), payload: {}, event: row, ...(force && { force }) })
          result.queued.push(id)
        }
      }
      // Queued first: a crash in between leaves a letter too many, never one too few.
      await store.removeDeadLetters(streamId, result.queued)
      if (result.queued.length > 0) log.info('dead letters redelivered', { stream: streamId, count: result.queued.length })
      return result
    },
  }

  async function lastDelivered(stream: StreamRecord, letters: DeadLetter[], from: DeadLetter): Promise<Map<string, number>> {
    const wants = createFilter(stream)
    const dead = new Set(letters.map((letter) => letter.id))
    const ahead = new Set(stream.ackedAhead)
    const end = Math.max(stream.acked, ...stream.ackedAhead)
    const last = new Map<string, number>()
    for (let after = from.seq; after < end; ) {
      const page: EventRow[] = await store.events(after, PAGE)
      for (const row of page) {
        after = row.seq
        const done = row.seq <= stream.acked || ahead.has(row.seq)
        if (done && !dead.has(row.id) && wants(row)) last.set(orderOf(row), row.seq)
      }
      if (page.length < PAGE) break
    }
    return last
  }
}
