import { CaegisError } from '@caegis/protocol'

/** An IP address as numbers: one unsigned 32-bit word for IPv4, four for IPv6, most significant first. */
export type Address = { family: 4; words: readonly [number] } | { family: 6; words: readonly [number, number, number, number] }

export const POLICY_ERRORS = {
  invalid_range: 'Not an IP address or a range in CIDR notation.',
} as const

/**
 * Reads an address. An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is unwrapped, so that one caller has one address whatever socket it came by. Zone ids,
 * leading zeroes and other spellings that two parsers could read differently are not addresses.
 * @returns `undefined` for anything else: unknown, which every rule takes for "outside"
 */
export function parseAddress(text: string): Address | undefined {
  if (text.length > 45) return undefined
  if (!text.includes(':')) {
    const word = parseV4(text)
    return word === undefined ? undefined : { family: 4, words: [word] }
  }
  const words = parseV6(text)
  if (!words) return undefined
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return { family: 4, words: [words[3]] }
  return { family: 6, words }
}

function parseV4(text: string): number | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let word = 0
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    word = word * 256 + Number(part)
  }
  return word
}

function parseV6(text: string): [number, number, number, number] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const left = groups(halves[0] as string)
  const right = halves.length === 2 ? groups(halves[1] as string) : []
  if (!left || !right) return undefined
  const missing = 8 - left.length - right.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const all = [...left, ...new Array<number>(missing).fill(0), ...right]
  const word = (at: number) => (all[at] as number) * 65_536 + (all[at + 1] as number)
  return [word(0), word(2), word(4), word(6)]
}

/** Groups of 16 bits; the last may be a dotted IPv4 address and counts for two. */
function groups(text: string): number[] | undefined {
  if (text === '') return []
  const out: number[] = []
  const parts = text.split(':')
  for (const [at, part] of parts.entries()) {
    if (part.includes('.') && at === parts.length - 1) {
      const word = parseV4(part)
      if (word === undefined) return undefined
      out.push(Math.floor(word / 65_536), word % 65_536)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16))
    else return undefined
  }
  return out
}

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
