import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import { z } from 'zod'
import { syncFolder } from '../durable.ts'

const schema = z.object({
  /** `moving` also of a move that was cut off: nobody here knows how it ended. */
  state: z.enum(['moving', 'moved']),
  /** Where to: host, port and database. */
  to: z.string().max(1000),
})

export type Mark = z.infer<typeof schema>

const fileOf = (database: string) => `${database}.moved`

/** What stands beside an embedded database whose data went to PostgreSQL, or were about to. */
export function readMark(database: string): Mark | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(fileOf(database), 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    // Whatever stands there: it was not put there for nothing.
    return { state: 'moved', to: 'another database' }
  }
}

/** It survives a power cut, the folder's entry included: the other database may have everything by then. @returns its path */
export function writeMark(database: string, mark: Mark): string {
  const file = fileOf(database)
  writeFileSync(file, `${JSON.stringify(mark)}\n`, { mode: 0o600, flush: true })
  syncFolder(dirname(database))
  return file
}

export function removeMark(database: string): void {
  rmSync(fileOf(database), { force: true })
}

/**
 * Two histories of one tenant, each with revocations that the other has not, would be worse than none.
 * @throws CaegisError `data_moved`
 */
export function refuseMoved(database: string): void {
  const mark = readMark(database)
  if (!mark) return
  const moved =
    mark.state === 'moved'
      ? `The data of this folder were moved to PostgreSQL (${mark.to}): set DATABASE_URL. To go back to them without what happened since, stop every server there`
      : `The data of this folder were being moved to PostgreSQL (${mark.to}) when that was cut off: run "caegis migrate" again. To stay with them, see that there is no tenant there`
  throw new CaegisError('data_moved', `${moved}, and remove ${fileOf(database)}.`)
}
