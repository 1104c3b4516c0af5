import { createFilter } from './filter.ts'
import type { EventRow, StreamProgress, StreamRecord, TransmitterStore } from './store.ts'

/** How far one stream has come, while a poll is looked at. */
export interface Cursor {
  /** Whether the receiver's own words moved anything: that must be durable before it is answered. */
  readonly settled: boolean
  /** The row at this position is done. Returns whether that was news. */
  settle(seq: number): boolean
  /** Everything up to this position is done. */
  moveTo(seq: number): void
  /**
   * The next rows of the stream, oldest first, up to the head; moves over rows that are done or not for this stream. Looks at most `window` rows past the oldest
   * one that is not done, so that neither time nor memory grows with what a receiver leaves lying.
   */
  scan(want: number, skip: (row: EventRow) => boolean): Promise<EventRow[]>
  progress(): StreamProgress
}

const PAGE = 500

export function createCursor(stream: StreamRecord, head: { seq: number }, store: Pick<TransmitterStore, 'events'>, window: number): Cursor {
  let { acked } = stream
  const ahead = new Set(stream.ackedAhead.filter((seq) => seq > acked))
  const wanted = createFilter(stream)
  let settled = false

  const moveTo = (seq: number) => {
    if (seq <= acked) return
    acked = seq
    settled = true
    for (const one of ahead) if (one <= acked) ahead.delete(one)
  }

  return {
    get settled() {
      return settled
    },
    settle(seq) {
      // The stored cursor may lag behind what was last scanned, hence twice the window; more was never handed out.
      if (seq <= acked || seq > head.seq || ahead.has(seq) || ahead.size >= 2 * window) return false
      ahead.add(seq)
      settled = true
      return true
    },
    moveTo,
    async scan(want, skip) {
      const found: EventRow[] = []
      let contiguous = true
      for (let from = acked; from < Math.min(head.seq, acked + window); ) {
        const page = await store.events(from, PAGE)
        for (const row of page) {
          if (row.seq > head.seq || row.seq > acked + window) return found
          from = row.seq
          const done = ahead.has(row.seq) || !wanted(row)
          if (!done) {
            contiguous = false
            if (!skip(row)) found.push(row)
            if (found.length >= want) return found
          } else if (contiguous) {
            acked = row.seq
            ahead.delete(row.seq)
          }
        }
        if (page.length < PAGE) break
      }
      return found
    },
    progress() {
      const sorted = [...ahead].sort((a, b) => a - b)
      const same = sorted.length === stream.ackedAhead.length && sorted.every((seq, i) => seq === stream.ackedAhead[i])
      return { ...(acked === stream.acked ? {} : { acked }), ...(same ? {} : { ackedAhead: sorted }) }
    },
  }
}
