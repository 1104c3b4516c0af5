/** Numbers from 0 to 1 that are the same for the same seed (mulberry32): who is killed and when can be said again. */
export function createRandom(seed: number) {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    /** Of a Poisson process: most waits are short, some are long. */
    wait: (mean: number): number => -Math.log(1 - next()) * mean,
    pick: <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T,
    /** One of them, by their weights. */
    weighed<T>(all: readonly { one: T; weight: number }[]): T | undefined {
      let left = next() * all.reduce((sum, { weight }) => sum + weight, 0)
      return all.find(({ weight }) => {
        left -= weight
        return left < 0
      })?.one
    },
  }
}

export type Random = ReturnType<typeof createRandom>
