import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { CaegisError } from '@caegis/protocol'

/** Passwords that have leaked somewhere. */
export interface LeakedList {
  /** Whether the password is on the list; `unknown` when the list cannot be read, or is damaged there. */
  has(password: string): Promise<boolean | 'unknown'>
  close(): Promise<void>
}

/** Forty digits, and how often it was seen. */
const LINE = /^([0-9A-F]{40})(?::\d{1,12})?$/
/** Bytes: two of the longest lines with their ends fit in. */
const WINDOW = 128
/** Places at which the order is tried at the beginning. */
const PROBES = 64

/**
 * Opens a list of SHA-1 digests, one a line and sorted by them, with or without a count behind a colon, as Have I Been Pwned publishes it. It has tens of gigabytes, so it
 * stays on the disk: a look-up reads some thirty-five small pieces of it. Nothing of a password leaves this process.
 * @throws CaegisError `invalid_settings`
 */
export async function openLeakedList(file: string): Promise<LeakedList> {
  const wrong = (cause?: unknown) =>
    new CaegisError(
      'invalid_settings',
      'CAEGIS_LEAKED_PASSWORDS must name a file of SHA-1 digests, one a line and sorted by them, as Have I Been Pwned publishes it.',
      { cause },
    )
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (cause) {
    throw wrong(cause)
  }
  try {
    const { size } = await handle.stat()
    let before = ''
    for (let probe = 0; probe < PROBES; probe++) {
      const line = await lineAt(handle, Math.floor((size * probe) / PROBES), size)
      if (line === undefined) break
      if (line.digest < before) throw wrong()
      before = line.digest
    }
    if (before === '') throw wrong()
  } catch (cause) {
    await handle.close()
    throw cause instanceof CaegisError ? cause : wrong(cause)
  }
  return {
    async has(password) {
      const digest = createHash('sha1').update(password).digest('hex').toUpperCase()
      try {
        return await find(handle, digest)
      } catch {
        return 'unknown'
      }
    },
    close: () => handle.close(),
  }
}

/** Halves the file until nothing is left: the line, if there is one, begins in [from, to). */
async function find(handle: FileHandle, digest: string): Promise<boolean> {
  const { size } = await handle.stat()
  let from = 0
  let to = size
  while (from < to) {
    const middle = Math.floor((from + to) / 2)
    const line = await lineAt(handle, middle, size)
    if (line?.digest === digest) return true
    // No line begins at or behind the middle.
    if (line === undefined || line.digest > digest) to = middle
    else from = line.end
  }
  return false
}

/**
 * The first line that begins at `at` or behind.
 * @throws TypeError when it is none of a list of digests
 */
async function lineAt(handle: FileHandle, at: number, size: number): Promise<{ digest: string; end: number } | undefined> {
  const from = Math.max(0, at - 1)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(WINDOW), 0, WINDOW, from)
  const text = buffer.toString('latin1', 0, bytesRead)
  const start = at === 0 ? 0 : text.indexOf('\n') + 1
  if (at > 0 && start === 0 && from + bytesRead < size) throw new TypeError('The line is too long.')
  if ((at > 0 && start === 0) || start === bytesRead) return undefined
  const next = text.indexOf('\n', start)
  if (next < 0 && from + bytesRead < size) throw new TypeError('The line is too long.')
  const end = next < 0 ? bytesRead : next
  const digest = LINE.exec(text.slice(start, end).trimEnd().toUpperCase())?.[1]
  if (digest === undefined) throw new TypeError('That is no digest.')
  return { digest, end: from + Math.min(bytesRead, end + 1) }
}
