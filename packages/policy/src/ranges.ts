import { CaegisError } from '@caegis/protocol'
import { type Address, readAddress } from './address.ts'
import { POLICY_ERRORS } from './errors.ts'
import { compileIntervals, type Intervals } from './intervals.ts'

/** A set of ranges, compiled for look-ups. */
export interface RangeTable {
  /** Whether the address lies in any range; an unreadable address lies in none. */
  has(address: Address | string | undefined): boolean
  /** Ranges that are left after overlapping and touching ones were joined. */
  readonly size: number
  /** Bytes that the table holds. */
  readonly bytes: number
}

/** Written and read within one call. */
const WORDS = new Uint32Array(4)

/**
 * Compiles addresses and CIDR ranges of both families into sorted, disjoint intervals in arrays of numbers: a range of IPv4 is eight bytes, one of IPv6 32, and one
 * byte more of index.
 * @throws CaegisError `invalid_range`; `detail` is the position of the entry
 */
export function compileRanges(ranges: readonly string[]): RangeTable {
  const four = listOf(1, ranges.length)
  let six = listOf(4, 0)
  for (let at = 0; at < ranges.length; at++) {
    const prefix = readRange(ranges[at] as string)
    if (prefix < 0) throw new CaegisError('invalid_range', POLICY_ERRORS.invalid_range, { detail: at })
    if (prefix < SIX) {
      four.numbers[four.count] = WORDS[0] as number
      four.prefixes[four.count++] = prefix
    } else {
      if (six.count === 0) six = listOf(4, ranges.length - at)
      for (let word = 0; word < 4; word++) six.numbers[4 * six.count + word] = WORDS[word] as number
      six.prefixes[six.count++] = prefix - SIX
    }
  }
  return tableOf(
    compileIntervals(1, four.numbers, four.prefixes.subarray(0, four.count)),
    compileIntervals(4, six.numbers, six.prefixes.subarray(0, six.count)),
  )
}

function listOf(width: number, most: number): { numbers: Uint32Array; prefixes: Uint8Array; count: number } {
  return { numbers: new Uint32Array(width * most), prefixes: new Uint8Array(most), count: 0 }
}

function tableOf(four: Intervals, six: Intervals): RangeTable {
  return {
    size: four.size + six.size,
    bytes: four.bytes + six.bytes,
    has(address) {
      if (address === undefined) return false
      if (typeof address !== 'string') {
        const { words } = address
        return address.family === 4 ? four.has(words[0], 0, 0, 0) : six.has(words[0], words[1] as number, words[2] as number, words[3] as number)
      }
      const family = readAddress(address, address.length, WORDS)
      if (family === 0) return false
      return (family === 4 ? four : six).has(WORDS[0] as number, WORDS[1] as number, WORDS[2] as number, WORDS[3] as number)
    },
  }
}

/** Whether the text is an address or a range in CIDR notation. */
export function isRange(text: string): boolean {
  return readRange(text) >= 0
}

/** Added to the prefix of a range of IPv6. */
const SIX = 256

/**
 * Reads an address with or without a prefix length into `WORDS`. The prefix of a mapped address counts from the beginning of IPv6.
 * @returns the prefix length (plus `SIX`), or -1
 */
function readRange(text: string): number {
  const slash = text.indexOf('/')
  const end = slash < 0 ? text.length : slash
  const family = readAddress(text, end, WORDS)
  if (family === 0) return -1
  const width = family === 4 ? 32 : 128
  let prefix = slash < 0 ? width : readPrefix(text, slash + 1)
  if (slash >= 0 && family === 4 && text.includes(':')) prefix -= 96
  if (prefix < 0 || prefix > width) return -1
  return family === 4 ? prefix : prefix + SIX
}

/** @returns the number, or less than any prefix */
function readPrefix(text: string, from: number): number {
  const length = text.length - from
  if (length < 1 || length > 3 || (length > 1 && text.charCodeAt(from) === 0x30)) return -1000
  let value = 0
  for (let at = from; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return -1000
    value = value * 10 + digit
  }
  return value
}
