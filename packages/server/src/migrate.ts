import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CaegisError } from '@caegis/protocol'
import type { DatabaseSettings } from './database-url.ts'
import { checkKey } from './directory/keys.ts'
import { SERVER_ERRORS } from './errors.ts'
import type { Log } from './log.ts'
import { readSettings, type SettingsInput } from './settings.ts'
import type { Copied } from './store/move/copy.ts'
import { readMark, refuseMoved, removeMark, writeMark } from './store/move/mark.ts'
import { openSource, type Source } from './store/move/source.ts'
import { createSecrets } from './store/secrets.ts'

export interface MoveOptions {
  /** The settings of the server as it was, and where to: DATABASE_URL and the same key secret. */
  input: SettingsInput
  log: Log
  /** Rows that are there, of how many. */
  onProgress?: (done: number, total: number) => void
}

export interface Moved extends Copied {
  /** Host, port and database. */
  to: string
  /** What keeps the folder from being served again. */
  mark: string
}

/**
 * Moves an embedded database to an empty PostgreSQL: all of it in one transaction, while nobody has the old one open. Every log gets a new epoch, so that each guard
 * loads a snapshot; nothing else changes for anybody.
 * @throws CaegisError `no_data`, `invalid_settings`, `data_in_use`, `data_moved`, `data_outdated`, `wrong_key_secret`, `database_unreachable`, `database_not_empty`,
 * `clock_behind`, `move_failed`, `move_unsure`; but for the last, nothing was done
 */
export async function moveToPostgres({ input, log, onProgress = () => {} }: MoveOptions): Promise<Moved> {
  const file = join(resolve(input.CAEGIS_DATA ?? '.caegis'), 'caegis.db')
  // Opening would make one: a wrong folder must not look like an empty server.
  if (!existsSync(file)) throw new CaegisError('no_data', SERVER_ERRORS.no_data)
  const { database, keySecret } = readSettings(input)
  if (!database) throw new CaegisError('invalid_settings', 'DATABASE_URL is needed: it says where to move to.')
  const to = nameOf(database)
  const known = readMark(file)
  // One that was cut off goes on, to where it was going: that is empty, or has everything.
  if (known && (known.state === 'moved' || known.to !== to)) refuseMoved(file)
  const source = await openSource(file)
  try {
    checkKeySecret(source, keySecret.value)
    const [{ openTarget }, { copyRows }] = await Promise.all([import('./store/move/target.ts'), import('./store/move/copy.ts')])
    const target = await openTarget(database, log)
    let copied: Copied
    try {
      checkClock(source.newest(), await target.clock())
      // From before anybody else can see anything there: a move that is cut off leaves a folder that is not served.
      writeMark(file, { state: 'moving', to })
      const renewed = { table: 'tenants', column: 'epoch', value: () => randomBytes(9).toString('base64url') }
      copied = await copyRows({ source, target, renewed, onProgress })
      await target.commit()
    } catch (error) {
      // The other side has nothing, but for a commit that nobody answered.
      if (!known && !(error instanceof CaegisError && error.code === 'move_unsure')) removeMark(file)
      throw error
    } finally {
      await target.close()
    }
    return { ...copied, to, mark: writeMark(file, { state: 'moved', to }) }
  } finally {
    source.close()
  }
}

/** It may stand in a file and on a screen: no password. */
function nameOf({ host, port, database }: DatabaseSettings): string {
  return `${host}:${port ?? 5432}/${database}`
}

/** Of every tenant, a signing key is opened. */
function checkKeySecret(source: Source, secret: string): void {
  const secrets = createSecrets(secret)
  for (const { tenant, key } of source.keys()) {
    if (!key) throw new CaegisError('data_outdated', SERVER_ERRORS.data_outdated)
    checkKey(secrets, { tenant, ...key })
  }
}

/** What is issued after a revocation must not look as if it were from before. */
function checkClock(newest: number, clock: number): void {
  if (newest > clock)
    throw new CaegisError('clock_behind', `${SERVER_ERRORS.clock_behind} It is ${Math.ceil(newest - clock)} seconds behind what was written last.`)
}
