import { describe, expect, it } from 'vitest'
import { COSTS, latencyOf, limits, plan } from '../bench/simulate/model.ts'
import { line, walk } from '../bench/simulate/queue.ts'
import { createRandom, type Random } from '../fuzz/random.ts'

function randomOf(seed: number): Random {
  let index = 0
  return { below: (end) => createRandom(seed, index++).below(end), pick: (list) => list[createRandom(seed, index++).below(list.length)] as never }
}
const STATIONS = [
  { arrivals: 5, service: 0.1, workers: 1 },
  { arrivals: 90, service: 0.1, workers: 10 },
  { arrivals: 700, service: 0.02, workers: 16 },
]

describe('a line', () => {
  it.each(STATIONS)('keeps Little’s law, and is what it is customer by customer: %o', (station) => {
    const found = line(station)
    expect(found.present).toBeCloseTo(station.arrivals * found.stay, 9)
    expect(found.queued).toBeCloseTo(station.arrivals * found.wait, 9)
    const walked = walk(station, 100_000, randomOf(7))
    expect(walked.rate / station.arrivals).toBeCloseTo(1, 1)
    expect(Math.abs(walked.present / found.present - 1)).toBeLessThan(0.1)
  })

  it('is the closed form with one worker', () => {
    expect(line({ arrivals: 5, service: 0.1, workers: 1 })).toMatchObject({ utilization: 0.5, waiting: 0.5, wait: 0.1, stay: 0.2 })
  })

  it('grows with what comes, shrinks with who works, and says when it has no end', () => {
    const waits = [10, 50, 90, 99].map((arrivals) => line({ arrivals, service: 0.1, workers: 10 }).wait)
    expect(waits).toEqual([...waits].sort((a, b) => a - b))
    expect(line({ arrivals: 90, service: 0.1, workers: 12 }).wait).toBeLessThan(line({ arrivals: 90, service: 0.1, workers: 10 }).wait)
    for (const arrivals of [100, 101, 1e9]) expect(line({ arrivals, service: 0.1, workers: 10 })).toMatchObject({ saturated: true, wait: Infinity })
  })
})

describe('a plan', () => {
  it('takes more of everything for more users, and never less than one cell', () => {
    const plans = [1e4, 1e6, 1e8, 1e9].map((users) => plan({ users, apis: 100 }))
    for (const name of ['cells', 'month', 'storage', 'guardBytes'] as const)
      expect(plans.map((one) => one[name])).toEqual(plans.map((one) => one[name]).sort((a, b) => a - b))
    expect(plans[0]?.cells).toBe(1)
    expect(plan({ users: 1e7, apis: 1000, short: true }).month).toBeGreaterThan(plan({ users: 1e7, apis: 1000 }).month)
  })

  it('says what is saturated instead of a time', () => {
    const usual = latencyOf({ users: 1e7, apis: 1000 }, randomOf(1), 2000)
    expect(usual).not.toHaveProperty('saturated')
    expect(Object.values(usual as object).every(({ p50, p99 }) => 0 < p50 && p50 <= p99 && Number.isFinite(p99))).toBe(true)
    expect(latencyOf({ users: 1e7, apis: 1000, extra: 50_000 }, randomOf(1), 10)).toEqual({ saturated: 'the lock of the largest tenant' })
  })

  it('is made of costs that are all there, and ends where they say', () => {
    expect(Object.values(COSTS).every((one) => Number.isFinite(one) && one > 0)).toBe(true)
    const { changeDatabase: _, ...others } = COSTS
    expect(() => plan({ users: 1e6, apis: 10 }, others)).toThrow('changeDatabase')
    expect(limits({ ...COSTS, changeDatabase: 0.001 }).lockUsers).toBeGreaterThan(limits().lockUsers)
  })
})
