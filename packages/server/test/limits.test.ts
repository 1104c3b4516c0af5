import { afterAll, beforeAll, expect, it } from 'vitest'
import { temporaryFolder } from '../../../test/process.ts'
import { createThrottle, type Guesser } from '../src/issuer/throttle.ts'
import { createLog } from '../src/log.ts'
import { createLimits } from '../src/store/limits.ts'
import { createSecrets } from '../src/store/secrets.ts'
import type { Store } from '../src/store/store.ts'
import { openStore } from './open-store.ts'

// Two processes over one database, and a clock that stands still.
const folder = temporaryFolder()
let clock = 1_800_000_000
let stores: Store[] = []
beforeAll(async () => {
  const open = () => openStore({ file: `${folder.path}/caegis.db`, now: () => clock * 1000, log: createLog('silent') })
  stores = [await open(), await open()]
  await stores[0]?.db
    .insertInto('tenants')
    .values({ id: 't', name: 't', display_name: 'T', epoch: 'e', created_at: clock } as never)
    .execute()
})
afterAll(async () => {
  for (const one of stores) await one.close()
  folder.remove()
})

it('counts for all processes together, each call once, until the window is over', async () => {
  const all = stores.map(createLimits)
  const spend = (key = 'k') => Promise.all(Array.from({ length: 40 }, (_, i) => all[i % 2]?.spend('t', key, 60)))
  expect((await spend()).sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  expect(await all[0]?.spend('t', 'another', 60)).toBe(1)
  expect(await all[0]?.spend('u', 'k', 60)).toBe(1)
  clock += 59
  expect(await all[1]?.spend('t', 'k', 60)).toBe(41)
  clock += 1
  expect(await all[1]?.spend('t', 'k', 60)).toBe(1)
  // Set back: begun anew, not waited for.
  clock -= 3600
  expect(await all[0]?.spend('t', 'k', 60)).toBe(1)
  clock += 3600
})

const throttles = () => stores.map((store) => createThrottle(store, createSecrets('x'.repeat(32))))
const account = (id: string): Guesser[] => [{ kind: 'account', id }]

it('E11: lets no more guesses through because there are two processes, however many come at once', async () => {
  const [one, two] = throttles()
  let tried = 0
  const guess = (throttle = one) =>
    throttle?.attempt('t', account('alice'), async () => {
      tried++
      // All of them are under way before any is known to be wrong.
      await new Promise((resolve) => setTimeout(resolve, 5))
      return { right: false, value: 'wrong' }
    })
  const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => guess(i % 2 ? one : two)))
  // Five are free, the sixth begins the wait, and everybody else waits.
  expect(tried).toBe(6)
  expect(answers.filter((answer) => answer && 'wait' in answer)).toHaveLength(18)
  clock += 2
  const more = await Promise.all([guess(one), guess(two)])
  expect(more.filter((answer) => answer && 'wait' in answer)).toHaveLength(1)
  expect(await one?.waitOf('t', account('alice'))).toBe(2)
})

it('doubles the wait up to its bound, forgets with time, and ends the count by what is right', async () => {
  const [one, two] = throttles()
  const waits: (number | undefined)[] = []
  for (let i = 0; i < 18; i++) {
    await (i % 2 ? one : two)?.count('t', account('bob'))
    waits.push(await one?.waitOf('t', account('bob')))
  }
  expect(waits).toEqual([0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900])
  // Two are forgotten.
  clock += 1850
  await one?.count('t', account('bob'))
  expect(await two?.waitOf('t', account('bob'))).toBe(900)
  clock += 901
  expect(await two?.attempt('t', account('bob'), async () => ({ right: true, value: 'in' }))).toEqual({ value: 'in' })
  await one?.count('t', account('bob'))
  expect(await one?.waitOf('t', account('bob'))).toBe(0)
})

it('gives the place back where nothing was guessed, or the guess could not be looked at', async () => {
  const [one, two] = throttles()
  for (let i = 0; i < 5; i++) await one?.count('t', account('carol'))
  for (let i = 0; i < 4; i++) expect(await two?.attempt('t', account('carol'), async () => ({ right: undefined, value: i }))).toEqual({ value: i })
  await expect(two?.attempt('t', account('carol'), () => Promise.reject(new Error('too much to do')))).rejects.toThrow('too much')
  expect(await one?.waitOf('t', account('carol'))).toBe(0)
  expect(await one?.attempt('t', account('carol'), async () => ({ right: false, value: 'wrong' }))).toEqual({ value: 'wrong' })
  expect(await two?.attempt('t', account('carol'), async () => ({ right: true, value: 'in' }))).toEqual({ wait: 1 })
})

it('lets nobody wait for longer than before because the clock was set back', async () => {
  const [one, two] = throttles()
  clock += 3600
  for (let i = 0; i < 20; i++) await one?.count('t', account('dave'))
  for (let i = 0; i < 8; i++) await one?.count('t', account('erin'))
  clock -= 3600
  const enter = () => two?.attempt('t', account('dave'), async () => ({ right: true, value: 'in' }))
  expect(await enter()).toEqual({ wait: 900 })
  expect(await one?.waitOf('t', account('erin'))).toBe(4)
  clock += 899
  expect(await enter()).toEqual({ wait: 1 })
  clock += 1
  expect(await enter()).toEqual({ value: 'in' })
  expect(await one?.waitOf('t', account('erin'))).toBe(0)
})
