import { CaegisError } from '@caegis/protocol'
import { type Address, parseAddress } from './address.ts'
import { POLICY_ERRORS } from './errors.ts'

/** A set of ranges, compiled for look-ups. */
export interface RangeTable {
  /** Whether the address lies in any range; an unreadable address lies in none. */
  has(address: Address | string | undefined): boolean
  /** Ranges that are left after overlapping and touching ones were joined. */
  size: number
}

type Range = { family: 4 | 6; low: bigint; high: bigint }

/**
 * Compiles addresses and CIDR ranges of both families into sorted, disjoint arrays: a look-up is one binary search.
 * @throws CaegisError `invalid_range`; `detail` is the position of the entry
 */
export function compileRanges(ranges: readonly string[]): RangeTable {
  const parsed = ranges.map((text, at) => parseRange(text) ?? fail(at))
  const four = join(parsed.filter(({ family }) => family === 4))
  const six = join(parsed.filter(({ family }) => family === 6))
  const low4 = Uint32Array.from(four, ({ low }) => Number(low))
  const high4 = Uint32Array.from(four, ({ high }) => Number(high))
  return {
    size: four.length + six.length,
    has(given) {
      const address = typeof given === 'string' ? parseAddress(given) : given
      if (!address) return false
      if (address.family === 4) {
        const at = lastAtOrBelow(low4.length, (index) => (low4[index] as number) <= address.words[0])
        return at >= 0 && (high4[at] as number) >= address.words[0]
      }
      const value = toBig(address)
      const at = lastAtOrBelow(six.length, (index) => (six[index] as Range).low <= value)
      return at >= 0 && (six[at] as Range).high >= value
    },
  }
}

/** Whether the text is an address or a range in CIDR notation. */
export function isRange(text: string): boolean {
  return parseRange(text) !== undefined
}

function fail(at: number): never {
  throw new CaegisError('invalid_range', POLICY_ERRORS.invalid_range, { detail: at })
}

function parseRange(text: string): Range | undefined {
  const [head, bits, ...rest] = text.split('/')
  if (rest.length > 0 || head === undefined) return undefined
  const address = parseAddress(head)
  if (!address) return undefined
  const mapped = address.family === 4 && head.includes(':')
  const width = address.family === 4 ? 32 : 128
  let prefix = width
  if (bits !== undefined) {
    if (!/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined
    prefix = Number(bits) - (mapped ? 96 : 0)
    if (prefix < 0 || prefix > width) return undefined
  }
  const host = (1n << BigInt(width - prefix)) - 1n
  const low = toBig(address) & ~host
  return { family: address.family, low, high: low | host }
}

function toBig({ words }: Address): bigint {
  return words.reduce((value, word) => (value << 32n) | BigInt(word), 0n)
}

function join(ranges: Range[]): Range[] {
  ranges.sort((a, b) => (a.low < b.low ? -1 : a.low > b.low ? 1 : 0))
  const out: Range[] = []
  for (const range of ranges) {
    const last = out.at(-1)
    if (last && range.low <= last.high + 1n) last.high = range.high > last.high ? range.high : last.high
    else out.push({ ...range })
  }
  return out
}

/** The greatest index for which `below` holds, given that it holds for a beginning of the array; -1 when for none. */
function lastAtOrBelow(length: number, below: (index: number) => boolean): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (below(middle)) low = middle + 1
    else high = middle
  }
  return low - 1
}
