import { readFileSync, statSync } from 'node:fs'
import { compileRanges, parseAddress, type RangeTable } from '@caegis/policy'
import { CaegisError } from '@caegis/protocol'
import type { Log } from '../log.ts'

/** Addresses that the operator does not trust. */
export interface AddressList {
  /** `unknown` when it is no address. */
  has(address: string): boolean | 'unknown'
}

/** Milliseconds between looks at whether the file is another one. */
const LOOK_EVERY = 5000
/** Bytes; a million ranges have a third of it. */
const LARGEST = 64 * 1024 * 1024

/**
 * Opens a file of addresses and ranges in CIDR notation, one a line; what follows `#` or `;` is for people. It is read again when it was changed. One that cannot be read
 * then changes nothing: the last good one stays in force, and the log says so.
 * @throws CaegisError `invalid_settings`
 */
export function openAddressList(file: string, { log, now }: { log: Log; now: () => number }): AddressList {
  let read = stampOf(file)
  let table = readList(file)
  let looked = now()

  function look(): void {
    if (Math.abs(now() - looked) < LOOK_EVERY) return
    looked = now()
    const stamp = stampOf(file)
    if (stamp === read) return
    read = stamp
    try {
      table = readList(file)
      log.info('the list of risky addresses was read again', { ranges: table.size })
    } catch {
      log.error('the list of risky addresses was changed and cannot be read: the former one stays in force')
    }
  }

  return {
    has(address) {
      look()
      const parsed = parseAddress(address)
      return parsed ? table.has(parsed) : 'unknown'
    },
  }
}

/** A file that is replaced, or written to, has another one. */
function stampOf(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file)
    return `${ino} ${size} ${mtimeMs}`
  } catch {
    return ''
  }
}

function readList(file: string): RangeTable {
  let lines: string[]
  try {
    if (statSync(file).size > LARGEST) throw new RangeError('The file is too large.')
    lines = readFileSync(file, 'utf8').split('\n')
  } catch (cause) {
    throw new CaegisError('invalid_settings', 'CAEGIS_RISKY_ADDRESSES must name a file of at most 64 MB that can be read.', { cause })
  }
  const ranges = lines.map((line) => line.replace(/[#;].*/, '').trim())
  try {
    return compileRanges(ranges.filter((one) => one !== ''))
  } catch (cause) {
    throw new CaegisError('invalid_settings', 'CAEGIS_RISKY_ADDRESSES must name a file of addresses and CIDR ranges, one a line.', { cause })
  }
}
