import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { watchSkew } from '../src/life/skew.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('tells of a clock that is not as the database says once, again when that has changed, and that it is over', () => {
  let skew: number | undefined
  const said: unknown[] = []
  const at =
    (level: string) =>
    (_message: string, fields: object = {}) =>
      void said.push({ level, ...fields })
  const watched = watchSkew({ clock: () => 0, skew: () => skew }, { info: at('info'), warn: at('warn'), error: at('error') })
  const after = (value: number | undefined) => {
    skew = value
    vi.advanceTimersByTime(30_000)
    return said.splice(0)
  }
  expect(after(undefined)).toEqual([])
  expect(after(0.9)).toEqual([])
  expect(after(-1.24)).toEqual([{ level: 'warn', seconds: -1.2 }])
  expect(after(-2)).toEqual([])
  expect(after(-5)).toEqual([{ level: 'warn', seconds: -5 }])
  expect(after(3600)).toEqual([{ level: 'error', alarm: true, seconds: 3600 }])
  expect(after(0.1)).toEqual([{ level: 'info', seconds: 0.1 }])
  expect(after(0)).toEqual([])
  expect(watched.now()).toBe(0)
  watched.close()
  expect(after(50)).toEqual([])
})
