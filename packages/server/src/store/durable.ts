import { closeSync, fsyncSync, openSync } from 'node:fs'

/** Waits until what was written to a file, or was named, renamed or removed in a folder, survives a power cut. */
export function syncToDisk(path: string): void {
  const opened = openSync(path, 'r')
  try {
    fsyncSync(opened)
  } finally {
    closeSync(opened)
  }
}

/** Of a folder; Windows has no word for it. */
export function syncFolder(path: string): void {
  if (process.platform !== 'win32') syncToDisk(path)
}
