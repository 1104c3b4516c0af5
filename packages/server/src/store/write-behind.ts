import type { Transaction } from 'kysely'
import type { Log } from '../log.ts'
import type { Engine } from './engine.ts'
import type { Schema } from './schema.ts'

/** Writes that a crash may take, because what they say comes again: how far a receiver has come, and the proof of it. Many of them are one transaction. */
export interface WriteBehind {
  /**
   * Resolves when it is written, or when it was given up: the log says so then. The work may be run twice: when another of the same transaction fails, each is tried
   * alone.
   */
  soon(work: Work): Promise<void>
  /** Writes what was put off so far, without further delay. @throws CaegisError `store_unavailable` while the database is away: it is kept, and tried again every second */
  flush(): Promise<void>
}

type Work = (db: Transaction<Schema>) => Promise<unknown>

interface Job {
  work: Work
  over: PromiseWithResolvers<void>
}

interface Turn {
  settled: number
  /** Why the others could not even begin. */
  away?: unknown
}

const LOST = 'what was put off could not be written'
/** Milliseconds for which work is collected: a thousand receivers that acknowledge one event are a few transactions. */
const COLLECT = 50
/** Milliseconds of work in one transaction: a change of the directory that comes meanwhile waits no longer than that. */
const SLICE = 4

/** Milliseconds until a database that is away is tried again. */
const PAUSE = 1000

export function createWriteBehind({ loosely }: Pick<Engine, 'loosely'>, log: Log): WriteBehind & { close(): Promise<void> } {
  let waiting: Job[] = []
  let timer: NodeJS.Timeout | undefined
  let writing = false
  let closing = false
  /** Ends the pause that there is. */
  let goOn = () => {}
  /** Of those who wait for what was put off so far. */
  const refusals = new Set<(away: unknown) => void>()

  async function write(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    if (writing) return
    writing = true
    while (waiting.length > 0) {
      const { settled, away } = await turn(waiting)
      waiting = waiting.slice(settled)
      if (away === undefined) {
        // Whoever wants to write or read goes first.
        await new Promise((resolve) => setImmediate(resolve))
        continue
      }
      for (const refuse of refusals) refuse(away)
      refusals.clear()
      if (closing) giveUp()
      else await pause()
    }
    writing = false
  }

  /** As many as there is time for. What could not even begin stays as it is: the database is away. */
  async function turn(jobs: readonly Job[]): Promise<Turn> {
    let taken = 0
    try {
      await loosely(async (tx) => {
        // Perhaps once more: what an earlier try did was taken back.
        taken = 0
        const end = performance.now() + SLICE
        do await (jobs[taken++] as Job).work(tx)
        while (taken < jobs.length && performance.now() < end)
      })
    } catch (error) {
      return taken === 0 ? { settled: 0, away: error } : oneByOne(jobs.slice(0, taken))
    }
    for (const { over } of jobs.slice(0, taken)) over.resolve()
    return { settled: taken }
  }

  async function oneByOne(jobs: readonly Job[]): Promise<Turn> {
    for (const [settled, { work, over }] of jobs.entries()) {
      let begun = false
      try {
        await loosely(async (tx) => {
          begun = true
          await work(tx)
        })
      } catch (error) {
        if (!begun) return { settled, away: error }
        log.error(LOST, { message: (error as Error).message })
      }
      over.resolve()
    }
    return { settled: jobs.length }
  }

  async function pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const end = setTimeout(resolve, PAUSE)
    goOn = resolve
    await promise
    clearTimeout(end)
  }

  function giveUp(): void {
    log.error(LOST, { jobs: waiting.length })
    for (const { over } of waiting) over.resolve()
    waiting = []
  }

  function flush(): Promise<void> {
    const last = waiting.at(-1)
    void write()
    goOn()
    if (!last) return Promise.resolve()
    return new Promise((resolve, reject) => {
      refusals.add(reject)
      // In order: with the last, all are settled.
      void last.over.promise.then(() => {
        refusals.delete(reject)
        resolve()
      })
    })
  }

  return {
    soon(work) {
      const over = Promise.withResolvers<void>()
      waiting.push({ work, over })
      timer ??= setTimeout(write, COLLECT)
      return over.promise
    },
    flush,
    async close() {
      closing = true
      await flush().catch(() => {})
    },
  }
}
