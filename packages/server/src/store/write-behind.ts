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
  /** Writes what was put off so far, without further delay. */
  flush(): Promise<void>
}

type Work = (db: Transaction<Schema>) => Promise<unknown>

interface Job {
  work: Work
  over: PromiseWithResolvers<void>
}

/** Milliseconds for which work is collected: a thousand receivers that acknowledge one event are a few transactions. */
const COLLECT = 50
/** Milliseconds of work in one transaction: a change of the directory that comes meanwhile waits no longer than that. */
const SLICE = 4

export function createWriteBehind({ loosely }: Pick<Engine, 'loosely'>, log: Log): WriteBehind {
  let waiting: Job[] = []
  let timer: NodeJS.Timeout | undefined
  let writing = false

  async function write(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    if (writing) return
    writing = true
    while (waiting.length > 0) {
      const taken = await together(waiting)
      waiting = waiting.slice(taken)
      // Whoever wants to write or read goes first.
      await new Promise((resolve) => setImmediate(resolve))
    }
    writing = false
  }

  /** As many as there is time for; returns how many are settled. */
  async function together(jobs: readonly Job[]): Promise<number> {
    let taken = 0
    try {
      await loosely(async (tx) => {
        const end = performance.now() + SLICE
        do await (jobs[taken++] as Job).work(tx)
        while (taken < jobs.length && performance.now() < end)
      })
      for (const { over } of jobs.slice(0, taken)) over.resolve()
    } catch {
      for (const { work, over } of jobs.slice(0, taken)) {
        await loosely(async (tx) => void (await work(tx))).catch((error: Error) =>
          log.error('what was put off could not be written', { message: error.message }),
        )
        over.resolve()
      }
    }
    return taken
  }

  return {
    soon(work) {
      const over = Promise.withResolvers<void>()
      waiting.push({ work, over })
      timer ??= setTimeout(write, COLLECT)
      return over.promise
    },
    async flush() {
      const last = waiting.at(-1)
      void write()
      // In order: with the last, all are settled.
      await last?.over.promise
    },
  }
}
