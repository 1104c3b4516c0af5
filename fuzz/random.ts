/** Numbers that follow from a seed and a position alone (Mulberry32 over a mixed start): input number `index` is the same wherever and in whatever order it is made. */
export interface Random {
  /** At least 0, less than `end`. */
  below(end: number): number
  pick<T>(list: readonly T[]): T
}

export function createRandom(seed: number, index: number): Random {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35)
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (end: number) => Math.floor(next() * end)
  return { below, pick: (list) => list[below(list.length)] as (typeof list)[number] }
}
