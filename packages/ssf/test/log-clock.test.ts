import { expect, it, vi } from 'vitest'
import { createLogClock } from '../src/receiver/log-clock.ts'

it('B1: what says an earlier time than the snapshot lay around; when all that comes says so, the clock was set back', () => {
  const at = vi.spyOn(performance, 'now').mockReturnValue(0)
  const clock = createLogClock(9000)
  clock.begin(5000)
  expect([clock.isBehind(4999), clock.isBehind(5003), clock.isBehind(5002)]).toEqual([false, false, false])
  expect(clock.isBehind(1400)).toBe(true)
  at.mockReturnValue(8999)
  expect(clock.isBehind(1409)).toBe(true)
  // One that is right: the others lay around.
  expect(clock.isBehind(5010)).toBe(false)
  expect(clock.isBehind(1410)).toBe(true)
  at.mockReturnValue(17_999)
  expect(() => clock.isBehind(1419)).toThrow(expect.objectContaining({ code: 'out_of_sync', detail: 'the clock of the log was set back' }))
  clock.begin(1420)
  expect(clock.isBehind(1420)).toBe(false)
})
