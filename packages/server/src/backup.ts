import { chmodSync, closeSync, copyFileSync, existsSync, linkSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CaegisError } from '@caegis/protocol'
import type { DatabaseSettings } from './database-url.ts'
import { checkKey } from './directory/keys.ts'
import { createOrganization } from './directory/organization.ts'
import { SERVER_ERRORS } from './errors.ts'
import type { Log } from './log.ts'
import { readDatabase, readSettings, type SettingsInput } from './settings.ts'
import { isBusy } from './store/busy.ts'
import type { Actor } from './store/change.ts'
import { syncFolder, syncToDisk } from './store/durable.ts'
import { refuseMoved } from './store/move/mark.ts'
import { createSecrets, type Secrets } from './store/secrets.ts'
import { createStore } from './store/store.ts'

export interface BackUpOptions {
  /** The server's data folder. */
  data: string
  /** A file that is not there yet. */
  to: string
}

export interface BackedUp {
  file: string
  bytes: number
}

/**
 * Copies the embedded database as it was at one instant, while its server goes on. What is in the copy is what was committed; the key secret, which opens the signing keys
 * in it, is not.
 * @throws CaegisError `no_data`, `data_moved`, `backup_exists`, `backup_failed`
 */
export function backUp({ data, to }: BackUpOptions): BackedUp {
  const file = join(resolve(data), 'caegis.db')
  if (!existsSync(file)) throw new CaegisError('no_data', SERVER_ERRORS.no_data)
  refuseMoved(file)
  const whole = resolve(to)
  if (existsSync(whole)) throw new CaegisError('backup_exists', SERVER_ERRORS.backup_exists)
  const part = `${whole}.part`
  try {
    rmSync(part, { force: true })
    // For its owner alone, from the first byte on.
    closeSync(openSync(part, 'wx', 0o600))
    const db = new DatabaseSync(file, { readOnly: true })
    try {
      // One reader's view of the database; whoever writes goes on meanwhile.
      db.prepare('vacuum into ?').run(part)
    } finally {
      db.close()
    }
    checkBackup(part)
    syncToDisk(part)
    // Under its name there is a whole one or none.
    renameSync(part, whole)
    syncFolder(dirname(whole))
    return { file: whole, bytes: statSync(whole).size }
  } catch (error) {
    rmSync(part, { force: true })
    if (error instanceof CaegisError) throw error
    throw new CaegisError('backup_failed', `${SERVER_ERRORS.backup_failed} Why: ${(error as Error).message}.`, { cause: error })
  }
}

export interface RestoreOptions {
  /** The settings of the server: its data folder or DATABASE_URL, and its key secret. */
  input: SettingsInput
  /** What {@link backUp} made. Without it: the PostgreSQL of DATABASE_URL was restored already, by its own tools. */
  from?: string | undefined
  /** Puts aside what is in the data folder. */
  replace?: boolean
  /** Leaves sessions and tokens alone: for a backup since which nothing was taken back. */
  keepTokens?: boolean
  log: Log
}

export interface Restored {
  tenants: string[]
  /** Where the data lie that were there before. */
  aside?: string
}

const ON_THE_HOST: Actor = { kind: 'system', reason: 'caegis restore, on the host' }

/**
 * Makes a backup the data of a server that does not run. What happened since the backup is not known any more: a revocation, a disabled user, a refresh token that was spent.
 * So every log gets a new epoch, by which guards load a snapshot instead of waiting for events that were numbered before (threat B5), and whatever was issued or proved until
 * now ends: everybody signs in again.
 * @throws CaegisError `invalid_settings`, `no_backup`, `invalid_backup`, `wrong_key_secret`, `data_exists`, `data_in_use`, `data_moved`; but for the marks in a PostgreSQL,
 * nothing was done then
 */
export async function restore({ input, from, replace = false, keepTokens = false, log }: RestoreOptions): Promise<Restored> {
  // First: whoever named another file by mistake has nothing to look for at the secret.
  if (from !== undefined && !readDatabase(input)) {
    if (!existsSync(from)) throw new CaegisError('no_backup', SERVER_ERRORS.no_backup)
    checkBackup(from)
  }
  // Otherwise one would be made up, which opens nothing.
  const hasSecret = input.CAEGIS_KEY_SECRET !== undefined || input.CAEGIS_KEY_SECRET_FILE !== undefined
  if (!hasSecret && !existsSync(join(resolve(input.CAEGIS_DATA ?? '.caegis'), 'key-secret')))
    throw new CaegisError('wrong_key_secret', SERVER_ERRORS.wrong_key_secret)
  const { data, database, keySecret } = readSettings(input)
  const secrets = createSecrets(keySecret.value)
  if (database) {
    if (from !== undefined)
      throw new CaegisError(
        'invalid_settings',
        'DATABASE_URL is set: restore that database by its own tools first, then run "caegis restore" without a file.',
      )
    return { tenants: await mark({ database, secrets, keepTokens, log }) }
  }
  if (from === undefined) throw new CaegisError('invalid_settings', 'Name the backup, or set DATABASE_URL of a database that was restored.')
  const file = join(data, 'caegis.db')
  refuseMoved(file)
  const isThere = existsSync(file)
  if (isThere && !replace) throw new CaegisError('data_exists', SERVER_ERRORS.data_exists)
  if (isThere) refuseInUse(file)
  const part = `${file}.restoring`
  removeDatabase(part)
  copyFileSync(from, part)
  // A copy has the mode of what it is of, which may have lain about for everybody.
  chmodSync(part, 0o600)
  try {
    // Under the name that a server opens there is never one that was not marked.
    const tenants = await mark({ file: part, secrets, keepTokens, log })
    syncToDisk(part)
    const aside = isThere ? putAside(file) : undefined
    renameSync(part, file)
    syncFolder(data)
    return { tenants, ...(aside !== undefined && { aside }) }
  } catch (error) {
    removeDatabase(part)
    throw error
  }
}

interface MarkOptions {
  file?: string
  database?: DatabaseSettings
  secrets: Secrets
  keepTokens: boolean
  log: Log
}

async function mark({ file = '', database, secrets, keepTokens, log }: MarkOptions): Promise<string[]> {
  const store = await createStore({ file, database, now: Date.now, log })
  try {
    for (const key of await store.db.selectFrom('keys').select(['tenant', 'kid', 'sealed']).execute()) checkKey(secrets, key)
    const tenants = await store.db.selectFrom('tenants').select(['id', 'name', 'epoch']).orderBy('name').execute()
    for (const { id, epoch } of tenants) {
      if (!keepTokens) await createOrganization(store, id).restored(ON_THE_HOST)
      await store.renewEpoch(id, epoch)
    }
    return tenants.map(({ name }) => name)
  } finally {
    await store.close()
  }
}

/** What is damaged must not be found out when it is needed. */
function checkBackup(file: string): void {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(file, { readOnly: true })
    const { integrity_check: said } = db.prepare('pragma integrity_check(1)').get() as { integrity_check: string }
    const known = db.prepare("select count(*) as n from sqlite_master where type = 'table' and name in ('tenants', 'kysely_migration')").get()
    if (said === 'ok' && known?.n === 2) return
  } catch {
    // Not even a database.
  } finally {
    db?.close()
  }
  throw new CaegisError('invalid_backup', SERVER_ERRORS.invalid_backup)
}

/** A damaged one is nobody's; that is what backups are for. */
function refuseInUse(file: string): void {
  const db = new DatabaseSync(file)
  try {
    db.exec('pragma locking_mode = exclusive; begin exclusive; rollback')
  } catch (error) {
    if (isBusy(error)) throw new CaegisError('data_in_use', SERVER_ERRORS.data_in_use)
  } finally {
    db.close()
  }
}

/** What SQLite keeps beside a database belongs to it: without it, the last commits would be gone, with another's it would be broken. */
const BESIDE = ['', '-wal', '-shm']

/** It gets a second name, and keeps the first until another one takes that: whenever this ends, a server that starts finds the one or the other, and makes no empty one. */
function putAside(file: string): string {
  const aside = `${file}.before-${new Date().toISOString().replace(/[:.]/g, '')}`
  for (const end of BESIDE) if (end !== '' && existsSync(file + end)) renameSync(file + end, aside + end)
  try {
    linkSync(file, aside)
  } catch {
    // Not every file system has second names.
    renameSync(file, aside)
  }
  return aside
}

function removeDatabase(file: string): void {
  for (const end of BESIDE) rmSync(file + end, { force: true })
}
