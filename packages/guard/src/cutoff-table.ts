/**
 * The guard's cutoffs: keyed 64-bit hashes in typed arrays, 16 bytes a slot, at most 25 bytes a cutoff.
 *
 * Open addressing with linear probing in segments. A segment is rebuilt when it is four fifths full, to a size at which it is 64 % full: growth by a quarter
 * keeps 16 bytes a slot under 26 a cutoff, which doubling would not. Sizes are no powers of two, so a place is found by multiplying the hash into the range.
 * There are 64 segments so that a rebuild at 10 M cutoffs stops the process for milliseconds, and takes a 64th of the memory again, not all of it.
 */
export interface CutoffTable {
  /** Takes the later `t` and the later `until`. @returns whether `t` rose (or is new) */
  raise(h1: number, h2: number, t: number, until: number): boolean
  /** The second at or before which tokens of this key are dead; -1 when there is none. */
  find(h1: number, h2: number): number
  /** The transmitter's clock: the only one by which cutoffs are forgotten. */
  advance(logSeconds: number): void
  /** Rids one segment of what may be forgotten. Called now and then, it goes round all of them. */
  sweep(): void
  /** Rises with every change that could kill a token: whoever looked at this version need not look again. */
  readonly version: number
  readonly size: number
  /** The latest `until` that was forgotten: a token that expires no later is to be taken for expired, whatever the local clock says. */
  readonly forgotten: number
  /** Memory of all slots. */
  readonly bytes: number
}

const SEGMENTS = 64
const SEGMENT_SHIFT = 26
const SMALLEST = 16
const FULL = 0.8
const REBUILT = 0.64
const LAST_SECOND = 0xffffffff

interface Segment {
  /** Four numbers a slot: h1, h2, t, until. Both hashes zero: empty. */
  slots: Int32Array
  capacity: number
  size: number
}

/** @param leeway seconds past `until` for which a cutoff is still kept */
export function createCutoffTable(leeway: number): CutoffTable {
  const segments = Array.from({ length: SEGMENTS }, () => emptySegment(SMALLEST))
  let version = 0
  let size = 0
  let forgotten = 0
  let logTime = 0
  let next = 0

  return {
    raise,
    find,
    advance(logSeconds) {
      if (logSeconds > logTime) logTime = logSeconds
    },
    sweep,
    get version() {
      return version
    },
    get size() {
      return size
    },
    get forgotten() {
      return forgotten
    },
    get bytes() {
      return segments.reduce((sum, { slots }) => sum + slots.byteLength, 0)
    },
  }

  function raise(h1: number, h2: number, t: number, until: number): boolean {
    const second = toSecond(t)
    const last = toSecond(until)
    const low = h1 === 0 && h2 === 0 ? 1 : h2
    const segment = segments[h1 >>> SEGMENT_SHIFT] as Segment
    let at = place(segment, h1, low)
    let { slots } = segment
    if (isEmpty(slots, at)) {
      if (segment.size + 1 > segment.capacity * FULL) {
        rebuild(segment)
        slots = segment.slots
        at = place(segment, h1, low)
      }
      slots[at] = h1
      slots[at + 1] = low
      slots[at + 2] = second
      slots[at + 3] = last
      segment.size++
      size++
      version++
      return true
    }
    if (last > (slots[at + 3] as number) >>> 0) slots[at + 3] = last
    if (second <= (slots[at + 2] as number) >>> 0) return false
    slots[at + 2] = second
    version++
    return true
  }

  function find(h1: number, h2: number): number {
    const { slots, capacity } = segments[h1 >>> SEGMENT_SHIFT] as Segment
    const low = h1 === 0 && h2 === 0 ? 1 : h2
    let at = Math.floor(((low >>> 0) * capacity) / 0x1_0000_0000) << 2
    for (;;) {
      const high = slots[at]
      const rest = slots[at + 1]
      if (high === h1 && rest === low) return (slots[at + 2] as number) >>> 0
      if (high === 0 && rest === 0) return -1
      at += 4
      if (at === slots.length) at = 0
    }
  }

  function sweep(): void {
    const segment = segments[next] as Segment
    next = (next + 1) % SEGMENTS
    let dead = 0
    for (let at = 0; at < segment.slots.length; at += 4) if (!isEmpty(segment.slots, at) && mayGo(segment.slots, at)) dead++
    // Rebuilding for a few would cost more than they weigh.
    if (dead > 0 && dead * 8 >= segment.size) rebuild(segment)
  }

  function rebuild(segment: Segment): void {
    const { slots } = segment
    let live = 0
    for (let at = 0; at < slots.length; at += 4) if (!isEmpty(slots, at) && !mayGo(slots, at)) live++
    const fresh = emptySegment(Math.max(SMALLEST, Math.ceil((live + 1) / REBUILT)))
    for (let at = 0; at < slots.length; at += 4) {
      if (isEmpty(slots, at)) continue
      if (mayGo(slots, at)) {
        forgotten = Math.max(forgotten, (slots[at + 3] as number) >>> 0)
        continue
      }
      const to = place(fresh, slots[at] as number, slots[at + 1] as number)
      fresh.slots[to] = slots[at] as number
      fresh.slots[to + 1] = slots[at + 1] as number
      fresh.slots[to + 2] = slots[at + 2] as number
      fresh.slots[to + 3] = slots[at + 3] as number
    }
    size += live - segment.size
    segment.slots = fresh.slots
    segment.capacity = fresh.capacity
    segment.size = live
  }

  function mayGo(slots: Int32Array, at: number): boolean {
    return ((slots[at + 3] as number) >>> 0) + leeway < logTime
  }
}

function emptySegment(capacity: number): Segment {
  return { slots: new Int32Array(capacity * 4), capacity, size: 0 }
}

function isEmpty(slots: Int32Array, at: number): boolean {
  return slots[at] === 0 && slots[at + 1] === 0
}

/** Where the key is, or the empty slot where it would go: there always is one. */
function place({ slots, capacity }: Segment, h1: number, h2: number): number {
  let at = Math.floor(((h2 >>> 0) * capacity) / 0x1_0000_0000) << 2
  while (!isEmpty(slots, at) && !(slots[at] === h1 && slots[at + 1] === h2)) {
    at += 4
    if (at === slots.length) at = 0
  }
  return at
}

/** Clamped, because a 32-bit array would wrap a time in milliseconds to an arbitrary second; what is no time at all cannot be applied. */
function toSecond(value: number): number {
  if (Number.isNaN(value)) throw new TypeError('A cutoff needs times')
  return Math.min(Math.max(Math.floor(value), 0), LAST_SECOND)
}
