import type { StreamRecord } from '@caegis/ssf/transmitter'
import { expect, it } from 'vitest'
import { allLive } from '../src/signals/routes.ts'

const NOW = 1_800_000_000
const guard = (more: Partial<StreamRecord> = {}) =>
  ({
    guard: true,
    status: 'enabled',
    hydrated: { epoch: 'e', at: NOW - 100 },
    applied: { epoch: 'e', seq: 7, asOf: NOW - 5 },
    ...more,
  }) as StreamRecord
const siem = { ...guard(), guard: false }
const live = (...streams: StreamRecord[]) => allLive(streams, NOW, 30, 'e')

it('B10(a): an event stream of the same credentials is no guard, and takes nothing from one', () => {
  expect([live(), live(siem), live(siem, guard())]).toEqual([false, false, true])
})

it('B10(b): one that polls and never applies is not live, whatever else it does', () => {
  const { applied: _, ...never } = guard({ seenAt: NOW })
  expect([live(never), live(guard({ seenAt: NOW, applied: { epoch: 'e', seq: 1, asOf: NOW - 31 } }))]).toEqual([false, false])
})

it('B10(c): one silent replica among ten is enough', () => {
  const ten = Array.from({ length: 9 }, () => guard())
  expect(live(...ten, guard())).toBe(true)
  for (const silent of [
    guard({ applied: { epoch: 'e', seq: 7, asOf: NOW - 31 } }),
    guard({ status: 'paused' }),
    guard({ hydrated: { epoch: 'd', at: NOW } }),
  ]) {
    expect(live(...ten, silent)).toBe(false)
  }
})

it('B10(d): what counts is what was stored, so every node of the server says the same', () => {
  const stored = JSON.parse(JSON.stringify([guard(), siem])) as StreamRecord[]
  expect(live(...stored)).toBe(true)
})
