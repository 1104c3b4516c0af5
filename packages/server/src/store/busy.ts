import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { AbortableOperationOptions, CompiledQuery, DatabaseConnection, Driver } from 'kysely'
import type { Outage } from './outage.ts'

/** The longest pause between two tries, in milliseconds. */
const LONGEST_PAUSE = 25
/** Milliseconds of statements, one after the other, until everybody else in this process has a turn. */
const TURN = 25

/** Whether it says that somebody else has locked the file (SQLITE_BUSY, sqlite.org/rescode.html). */
export function isBusy(error: unknown): boolean {
  const { errcode } = error as { errcode?: number }
  return errcode !== undefined && (errcode & 0xff) === 5
}

/**
 * Makes a driver keep nobody else in this process waiting: neither by a long row of statements, of which each is done before it is waited for, nor for a file that
 * somebody else has. SQLite would wait itself, but within the call, and nothing else in this process would have a turn meanwhile; it
 * may even be this process that has the file, and has to have a turn to give it back.
 * @param longest milliseconds after which those who wait are told that the database is away
 */
export function patient(driver: Driver, db: DatabaseSync, outage: Outage, longest: number): Driver {
  const acquire = driver.acquireConnection.bind(driver)
  let waiting: DatabaseConnection | undefined
  // There is one connection.
  driver.acquireConnection = async (options) => (waiting ??= wait(await acquire(options), db, outage, longest))
  return driver
}

function wait(connection: DatabaseConnection, db: DatabaseSync, outage: Outage, longest: number): DatabaseConnection {
  // Those who wait stand in one line: when the first has waited long enough, so have the others.
  let since: number | undefined
  let turn: number | undefined
  return {
    async executeQuery<R>(query: CompiledQuery, options?: AbortableOperationOptions) {
      if (turn === undefined) {
        turn = performance.now()
        setImmediate(() => {
          turn = undefined
        })
      } else if (performance.now() - turn >= TURN) await nextTurn()
      for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
        try {
          const result = await connection.executeQuery<R>(query, options)
          // To take back what did not begin says nothing.
          if (query.sql !== 'rollback') since = undefined
          return result
        } catch (error) {
          if (!isBusy(error)) throw error
          since ??= performance.now()
          // A transaction has the file as soon as it begins; what it meets later is not for it to repeat.
          if (db.isTransaction || performance.now() - since >= longest) return outage.refuse(error, 'SQLITE_BUSY')
          await delay(pause)
        }
      }
    },
    streamQuery: (query, size, options) => connection.streamQuery(query, size, options),
  }
}
