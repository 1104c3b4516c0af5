import { expect, it, onTestFinished, vi } from 'vitest'
import { createLogClock } from '../src/receiver/log-clock.ts'
import { answering, endFollowers, guardOf, isPoll } from './followers.ts'
import { createLoop, FAST, until } from './loop.ts'

endFollowers()

it('B1: what says an earlier time than the snapshot lay around; when all that comes says so, the clock was set back', () => {
  const at = vi.spyOn(performance, 'now').mockReturnValue(0)
  onTestFinished(() => at.mockRestore())
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

it('B1: a clock that was ahead and is set right makes it begin anew, once it is sure; one old answer does not', async () => {
  let ahead = 30_000
  const loop = createLoop({ now: () => Date.now() + ahead, limits: { hold: 0.01 } })
  const guard = guardOf(loop, { timing: { ...FAST, quiet: 100 } })
  await until(() => guard.heads.length > 1)
  ahead = 0
  await until(() => guard.reasons.length > 0)
  expect(guard.reasons).toEqual(['the clock of the log was set back'])
  await until(() => guard.told.at(-1) === 'synced')
  expect(loop.requests.filter(({ path }) => path.endsWith('/snapshot'))).toHaveLength(2)
  const seen = guard.heads.length
  let once = true
  loop.alter = answering(
    isPoll,
    (body) => {
      once = false
      const head = body.caegis_head as { asOf: number }
      return { ...body, caegis_head: { ...head, asOf: head.asOf - 20 } }
    },
    () => once,
  )
  await until(() => guard.heads.length > seen + 40)
  expect(guard.reasons).toHaveLength(1)
})
