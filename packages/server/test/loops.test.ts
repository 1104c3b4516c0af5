import { expect, it } from 'vitest'
import { createLoops, LOOP_WINDOW } from '../src/issuer/loops.ts'

const wish = { clientId: 'app', sid: 's', scope: 'openid api://files/Read' }

it('counts what one client asks for in one session, whatever the order of its scopes', () => {
  const loops = createLoops(() => 1000, 3)
  for (let times = 0; times < 3; times++) {
    expect(loops.isLooping(wish)).toBe(false)
    loops.note({ ...wish, scope: times % 2 ? 'api://files/Read openid' : wish.scope })
  }
  expect(loops.isLooping(wish)).toBe(true)
  for (const other of [
    { ...wish, clientId: 'other' },
    { ...wish, sid: 'other' },
    { ...wish, scope: 'openid' },
  ])
    expect(loops.isLooping(other)).toBe(false)
})

it('ends by itself, and begins to count anew', () => {
  let now = 1000
  const loops = createLoops(() => now, 2)
  loops.note(wish)
  now += LOOP_WINDOW - 1
  loops.note(wish)
  expect(loops.isLooping(wish)).toBe(true)
  now += 1
  expect(loops.isLooping(wish)).toBe(false)
  loops.note(wish)
  expect(loops.isLooping(wish)).toBe(false)
})

it('keeps a bounded number of counts: the oldest is forgotten, never somebody refused', () => {
  let now = 1000
  const loops = createLoops(() => now, 1)
  loops.note(wish)
  for (let n = 0; n < 9_999; n++) loops.note({ ...wish, sid: `s${n}` })
  expect(loops.isLooping(wish)).toBe(true)
  now += 1
  loops.note({ ...wish, sid: 'one more' })
  expect(loops.isLooping(wish)).toBe(false)
  expect(loops.isLooping({ ...wish, sid: 'one more' })).toBe(true)
  expect(loops.isLooping({ ...wish, sid: 's0' })).toBe(true)
})
