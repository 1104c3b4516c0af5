import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { CaegisError } from '@caegis/protocol'

/**
 * Makes the data folder, for its owner alone, where it is not there yet.
 * @param isWritten whether the database will lie in it
 * @throws CaegisError `invalid_settings`
 */
export function makeDataFolder(folder: string, isWritten: boolean): void {
  try {
    make(folder)
    if (!statSync(folder).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' })
    if (isWritten) accessSync(folder, constants.W_OK | constants.X_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const what = 'must be a folder that the server may write, or can make: choose another one, or mend who owns it'
    throw new CaegisError('invalid_settings', `CAEGIS_DATA (--data) ${what} (${code}).`, { cause: error })
  }
}

/** Step by step: where nothing can be made, as in /proc, node's own `recursive` tries for ever. */
function make(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || isThere(dirname(folder))) throw error
    make(dirname(folder))
    mkdirSync(folder, { mode: 0o700 })
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}
