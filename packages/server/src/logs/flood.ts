/** Into how many rows what comes in a minute may grow. */
export interface FloodOptions<T> {
  /** Seconds with a fraction. */
  clock: () => number
  /** Of one source, for example an address. */
  perSource: number
  /** Of all together. */
  total: number
  /** One record for two of a kind, saying only what is true of both. */
  merge(kept: T, more: T): T
}

export interface Flood<T> {
  /** Whether this one is to be written by itself; otherwise it counts for one that is written when its time has come. */
  admits(source: string, kind: string, record: T): boolean
  /** What was folded together so far, with how many there were of each. */
  take(): { record: T; count: number }[]
}

/** Bounds a log that strangers can write to: beyond the bounds, records of the same source and kind become one with a count; beyond that, those of the same kind. It is one process's own bound: several write as many times as much, at the most. */
export function createFlood<T>({ clock, perSource, total, merge }: FloodOptions<T>): Flood<T> {
  let minute = -1
  let seen = 0
  let sources = new Map<string, number>()
  let folded = new Map<string, { record: T; count: number }>()
  return {
    admits(source, kind, record) {
      const now = Math.floor(clock() / 60)
      if (now !== minute) {
        minute = now
        seen = 0
        sources = new Map()
      }
      const known = sources.get(source) ?? 0
      if (known < perSource && seen < total) {
        sources.set(source, known + 1)
        seen++
        return true
      }
      const own = `${source} ${kind}`
      const key = folded.has(own) || (known > 0 && folded.size < total) ? own : `* ${kind}`
      const one = folded.get(key)
      folded.set(key, one ? { record: merge(one.record, record), count: one.count + 1 } : { record, count: 1 })
      return false
    },
    take() {
      const all = [...folded.values()]
      folded = new Map()
      return all
    },
  }
}
