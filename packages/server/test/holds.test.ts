import { expect, it } from 'vitest'
import { createHolds } from '../src/signals/holds.ts'

/** Holds for receivers by one letter each, and who was ended. */
function open(most: number) {
  const ends = new Set<() => void>()
  const ended: string[] = []
  const holds = createHolds({
    most,
    onEnd(end) {
      ends.add(end)
      return () => void ends.delete(end)
    },
  })
  const enter = (name: string) => holds.enter(name[0] as string, () => ended.push(name))
  return { holds, ended, ends, enter }
}

it('holds so many, and no more of whoever has the most', () => {
  const { holds, ended, enter } = open(4)
  const leaves = ['a1', 'a2', 'a3', 'b1'].map(enter)
  expect(holds.held).toBe(4)
  expect(enter('a4')).toBeUndefined()
  leaves[1]?.()
  leaves[1]?.()
  expect(holds.held).toBe(3)
  expect(enter('a4')).toBeDefined()
  expect(ended).toEqual([])
})

it('makes room for who has less by ending the oldest of who has the most, until they have the same', () => {
  const { holds, ended, enter } = open(4)
  for (const name of ['a1', 'a2', 'a3', 'a4']) enter(name)
  expect(enter('b1')).toBeDefined()
  expect(ended).toEqual(['a1'])
  expect(enter('b2')).toBeDefined()
  expect(ended).toEqual(['a1', 'a2'])
  expect(enter('b3')).toBeUndefined()
  expect(enter('a5')).toBeUndefined()
  expect(enter('c1')).toBeDefined()
  expect(holds.held).toBe(4)
})

it('ends all of them when the process goes, and forgets those that are over', () => {
  const { holds, ended, ends, enter } = open(4)
  enter('a1')
  enter('b1')?.()
  expect(ends.size).toBe(1)
  for (const end of ends) end()
  expect(ended).toEqual(['a1'])
  expect(holds.held).toBe(0)
  // Whoever comes while it goes is told at once.
  const going = createHolds({
    most: 1,
    onEnd(end) {
      end()
      return () => {}
    },
  })
  going.enter('a', () => ended.push('late'))?.()
  expect([ended.at(-1), going.held]).toEqual(['late', 0])
})
