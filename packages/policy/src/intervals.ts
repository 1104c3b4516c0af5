/** Disjoint intervals of numbers of one or four words of 32 bits, most significant first. */
export interface Intervals {
  readonly size: number
  readonly bytes: number
  /** Of a number of one word the others are passed over. */
  has(a: number, b: number, c: number, d: number): boolean
}

type Width = 1 | 4

/**
 * Sorts prefixes, joins those that overlap or touch, and keeps of what is left the least and the greatest number, one interval after the other.
 * @param width words of a number
 * @param low numbers, one after the other; bits behind the prefix are passed over
 */
export function compileIntervals(width: Width, low: Uint32Array, prefixes: Uint8Array): Intervals {
  const count = prefixes.length
  for (let at = 0; at < count; at++) {
    const prefix = prefixes[at] as number
    for (let word = prefix >>> 5; word < width; word++) low[at * width + word] = ((low[at * width + word] as number) & mask(prefix, word)) >>> 0
  }
  return search(width, join(width, low, prefixes, sort(width, low, count)))
}

/** The bits of one word that a prefix covers. */
function mask(prefix: number, word: number): number {
  const bits = prefix - 32 * word
  return bits <= 0 ? 0 : bits >= 32 ? 0xffffffff : ~(0xffffffff >>> bits) >>> 0
}

/** The order of the numbers, byte by byte from the last (a radix sort): for a million it takes a fraction of what comparing would. */
function sort(width: Width, low: Uint32Array, count: number): Uint32Array {
  let order = new Uint32Array(count)
  let next = new Uint32Array(count)
  for (let at = 0; at < count; at++) order[at] = at
  const starts = new Uint32Array(257)
  for (let word = width - 1; word >= 0; word--) {
    for (let shift = 0; shift < 32; shift += 8) {
      starts.fill(0)
      for (let at = 0; at < count; at++) {
        const byte = ((low[at * width + word] as number) >>> shift) & 255
        starts[byte + 1] = (starts[byte + 1] as number) + 1
      }
      // All the same: nothing to sort by.
      if (starts.includes(count, 1)) continue
      for (let byte = 0; byte < 256; byte++) starts[byte + 1] = (starts[byte + 1] as number) + (starts[byte] as number)
      for (let at = 0; at < count; at++) {
        const index = order[at] as number
        const byte = ((low[index * width + word] as number) >>> shift) & 255
        const to = starts[byte] as number
        next[to] = index
        starts[byte] = to + 1
      }
      ;[order, next] = [next, order]
    }
  }
  return order
}

/** Rows of the least and the greatest number, in order. */
function join(width: Width, low: Uint32Array, prefixes: Uint8Array, order: Uint32Array): Uint32Array {
  const row = 2 * width
  const rows = new Uint32Array(row * order.length)
  let end = 0
  for (const index of order) {
    // The candidate is written behind what is there; it stays only if it is an interval of its own.
    for (let word = 0; word < width; word++) {
      const value = low[index * width + word] as number
      rows[end + word] = value
      rows[end + width + word] = (value | ~mask(prefixes[index] as number, word)) >>> 0
    }
    const last = end - width
    if (end === 0 || !reaches(rows, last, end, width)) end += row
    else if (compare(rows, last, end + width, width) < 0) rows.copyWithin(last, end + width, end + row)
  }
  return rows.slice(0, end)
}

function compare(rows: Uint32Array, one: number, other: number, width: number): number {
  for (let word = 0; word < width; word++) {
    const difference = (rows[one + word] as number) - (rows[other + word] as number)
    if (difference !== 0) return difference
  }
  return 0
}

/** Whether what begins at `begin` overlaps what ends with `end`, or begins right behind it. */
function reaches(rows: Uint32Array, end: number, begin: number, width: Width): boolean {
  if (compare(rows, end, begin, width) >= 0) return true
  for (let word = width - 1; word >= 0; word--) {
    const greatest = rows[end + word] as number
    const least = rows[begin + word] as number
    if (greatest !== 0xffffffff) return least === greatest + 1 && compare(rows, end, begin, word) === 0
    // One more than all ones carries.
    if (least !== 0) return false
  }
  return false
}

/** About so many intervals are left to search through once the beginning of a number has led to its bucket. */
const BUCKET = 4

function search(width: Width, rows: Uint32Array): Intervals {
  const row = 2 * width
  const size = rows.length / row
  const buckets = Math.ceil(size / BUCKET)
  const index = new Uint32Array(buckets + 1)
  const least = size === 0 ? Number.POSITIVE_INFINITY : beginning(rows, 0, width)
  const greatest = size === 0 ? 0 : beginning(rows, rows.length - row, width)
  const scale = buckets / (greatest - least + 1)
  // Whatever is lost of a number here: a lesser one never gets a greater bucket.
  const bucketOf = (key: number) => Math.min(buckets - 1, Math.floor((key - least) * scale))
  for (let at = 0; at < rows.length; at += row) {
    const bucket = bucketOf(beginning(rows, at, width))
    index[bucket + 1] = (index[bucket + 1] as number) + 1
  }
  for (let bucket = 0; bucket < buckets; bucket++) index[bucket + 1] = (index[bucket + 1] as number) + (index[bucket] as number)
  return {
    size,
    bytes: rows.byteLength + index.byteLength,
    has: width === 1 ? (a) => narrow(a) : wide,
  }

  function narrow(a: number): boolean {
    if (a < least) return false
    const bucket = a > greatest ? buckets - 1 : bucketOf(a)
    let from = index[bucket] as number
    let to = index[bucket + 1] as number
    while (from < to) {
      const middle = (from + to) >>> 1
      if ((rows[2 * middle] as number) <= a) from = middle + 1
      else to = middle
    }
    // The last interval that begins at or before the number; it may be of a bucket before.
    return from > 0 && (rows[2 * from - 1] as number) >= a
  }

  function wide(a: number, b: number, c: number, d: number): boolean {
    const key = a * 0x1_0000_0000 + b
    if (key < least) return false
    const bucket = key > greatest ? buckets - 1 : bucketOf(key)
    let from = index[bucket] as number
    let to = index[bucket + 1] as number
    while (from < to) {
      const middle = (from + to) >>> 1
      if (isAtMost(rows, 8 * middle, a, b, c, d)) from = middle + 1
      else to = middle
    }
    // Not at most one less (the last word alone tells, and it may be -1 there): at least.
    return from > 0 && !isAtMost(rows, 8 * from - 4, a, b, c, d - 1)
  }
}

/** The number, or the first half of a long one. */
function beginning(rows: Uint32Array, at: number, width: Width): number {
  return width === 1 ? (rows[at] as number) : (rows[at] as number) * 0x1_0000_0000 + (rows[at + 1] as number)
}

/** Whether the number of a row is the given one or a lesser one. */
function isAtMost(rows: Uint32Array, at: number, a: number, b: number, c: number, d: number): boolean {
  if (rows[at] !== a) return (rows[at] as number) < a
  if (rows[at + 1] !== b) return (rows[at + 1] as number) < b
  if (rows[at + 2] !== c) return (rows[at + 2] as number) < c
  return (rows[at + 3] as number) <= d
}
