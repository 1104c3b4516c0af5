import type { Transaction } from 'kysely'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Schema } from '../src/store/schema.ts'
import { createWriteBehind } from '../src/store/write-behind.ts'

type Work = (db: Transaction<Schema>) => Promise<void>

/** Rows that a transaction writes; they are there once it has ended well. */
const write = (row: string) => async (tx: Transaction<Schema>) => {
  // Longer than a slice: each is the last one of its transaction.
  await new Promise((resolve) => setTimeout(resolve, 10))
  ;(tx as unknown as string[]).push(row)
}

function open(loosely: (work: Work, commit: (rows: readonly string[]) => void) => Promise<void>) {
  const rows: string[] = []
  const logged: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void logged.push(message) }
  const commit = (more: readonly string[]) => void rows.push(...more)
  return { ...createWriteBehind({ loosely: (work) => loosely(work, commit) }, log), rows, logged }
}

describe('what is put off', () => {
  it('is written also where the transaction is taken back and runs again', async () => {
    const { soon, flush, rows } = open(async (work, commit) => {
      await work([] as never)
      const again: string[] = []
      await work(again as never)
      commit(again)
    })
    const jobs = ['one', 'two', 'three'].map((row) => soon(write(row)))
    await flush()
    await Promise.all(jobs)
    expect(rows).toEqual(['one', 'two', 'three'])
  })

  it('is tried alone where another of the same transaction fails, and given up alone', async () => {
    const { soon, flush, rows, logged } = open(async (work, commit) => {
      const own: string[] = []
      await work(own as never)
      commit(own)
    })
    const jobs = [
      soon(async (tx) => (tx as unknown as string[]).push('one')),
      soon(() => Promise.reject(new Error('no'))),
      soon(async (tx) => (tx as unknown as string[]).push('three')),
    ]
    await flush()
    await Promise.all(jobs)
    expect(rows).toEqual(['one', 'three'])
    expect(logged).toEqual(['what was put off could not be written'])
  })
})

describe('while the database is away, what is put off', () => {
  const AWAY = Object.assign(new Error('temporarily_unavailable'), { code: 'store_unavailable' })
  let away: boolean
  let tries: number
  const start = () =>
    open(async (work, commit) => {
      tries++
      if (away) throw AWAY
      const own: string[] = []
      await work(own as never)
      commit(own)
    })
  const row = (text: string) => async (tx: Transaction<Schema>) => (tx as unknown as string[]).push(text)
  const turns = async () => {
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve))
  }

  beforeEach(() => {
    away = true
    tries = 0
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => void vi.useRealTimers())

  it('waits a second between two tries, and is written when it is back', async () => {
    const { soon, rows, logged } = start()
    const job = soon(row('one'))
    await vi.advanceTimersByTimeAsync(100)
    await turns()
    expect(tries).toBe(1)
    const other = soon(row('two'))
    await vi.advanceTimersByTimeAsync(500)
    await turns()
    expect(tries).toBe(1)
    away = false
    await vi.advanceTimersByTimeAsync(1000)
    await Promise.all([job, other])
    expect(rows).toEqual(['one', 'two'])
    expect(logged).toEqual([])
  })

  it('keeps nobody waiting who wants it written: they are told at once, and it is kept', async () => {
    const { soon, flush, rows } = start()
    const job = soon(row('one'))
    const told = [flush(), flush()].map((one) => one.catch((error: Error) => error))
    expect(await Promise.all(told)).toEqual([AWAY, AWAY])
    expect(tries).toBe(1)
    // Whoever asks within the pause does not wait for its end.
    await expect(flush()).rejects.toBe(AWAY)
    expect(tries).toBe(2)
    away = false
    await flush()
    await job
    expect(rows).toEqual(['one'])
    await expect(flush()).resolves.toBeUndefined()
  })

  it('is not lost where it goes away in the midst of a transaction', async () => {
    let lost = false
    const { soon, flush, rows, logged } = open(async (work, commit) => {
      if (lost && away) throw AWAY
      const own: string[] = []
      await work(own as never)
      if (!lost) {
        lost = true
        throw AWAY
      }
      commit(own)
    })
    const jobs = [soon(row('one')), soon(row('two'))]
    await expect(flush()).rejects.toBe(AWAY)
    away = false
    await flush()
    await Promise.all(jobs)
    expect(rows).toEqual(['one', 'two'])
    expect(logged).toEqual([])
  })

  it('keeps nobody from closing: it is tried once more and given up, with a word in the log', async () => {
    const { soon, close, logged } = start()
    const jobs = [soon(row('one')), soon(row('two'))]
    await vi.advanceTimersByTimeAsync(100)
    expect(tries).toBe(1)
    await close()
    await Promise.all(jobs)
    expect(tries).toBe(2)
    expect(logged).toEqual(['what was put off could not be written'])
    // A late one keeps nobody either.
    const late = soon(row('late'))
    await vi.advanceTimersByTimeAsync(100)
    await late
    expect(tries).toBe(3)
  })
})
