/** Chance that comes again with its seed: which faults, when, and for how long. */
export interface Random {
  /** At least 0, less than 1. */
  next(): number
  /** A whole number, both ends included. */
  between(low: number, high: number): number
  pick<T>(some: readonly T[]): T
  /** The same things in another order. */
  shuffle<T>(some: readonly T[]): T[]
}

/** Mulberry32: small, and good enough to be surprised by. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between,
    pick: (some) => some[between(0, some.length - 1)] as (typeof some)[number],
    shuffle(some) {
      const left = [...some]
      for (let i = left.length - 1; i > 0; i--) {
        const j = between(0, i)
        ;[left[i], left[j]] = [left[j] as (typeof some)[number], left[i] as (typeof some)[number]]
      }
      return left
    },
  }
}
