import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Trial } from '../machine.ts'
import { recovered, startHost, until } from './host.ts'

/** A small file system in memory is filled to the last byte under the embedded database. */
export const disk: Trial = async (say) => {
  const folder = mkdtempSync(join(tmpdir(), 'caegis-disk-'))
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'caegis', folder]).status !== 0) {
    say('  a file system cannot be mounted here')
    rmSync(folder, { recursive: true })
    return undefined
  }
  const faults: string[] = []
  try {
    const host = await startHost({ data: join(folder, 'data') })
    try {
      const { token } = await host.token()
      const filler = join(folder, 'filler')
      fill(filler)
      const refused = await until(
        async () => (await host.token()).status,
        (status) => status !== 200,
      )
      if (refused !== 503) faults.push(`a token was answered with ${refused}, not 503`)
      const changed = await until(
        () => host.change(),
        (status) => status !== 200,
      )
      if (changed !== 503) faults.push(`a change was answered with ${changed}, not 503`)
      // It reads: the guard stays fresh for longer than it would without polls.
      await new Promise((resolve) => setTimeout(resolve, 7000))
      if ((await host.check(token)) !== true) faults.push('a good token was refused although the log can be read')
      rmSync(filler)
      await recovered(host, faults)
    } finally {
      await host.close()
    }
  } finally {
    spawnSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true, force: true })
  }
  return faults
}

function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (let size = 1 << 20; size >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(size))
      } catch {
        size >>= 1
      }
    }
  } finally {
    closeSync(file)
  }
}
