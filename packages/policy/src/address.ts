/** An IP address as numbers: one unsigned 32-bit word for IPv4, four for IPv6, most significant first. */
export type Address = { family: 4; words: readonly [number] } | { family: 6; words: readonly [number, number, number, number] }

/** No spelling of an address is longer. */
const LONGEST = 45
/** Written and read within one call. */
const WORDS = new Uint32Array(4)
const GROUPS = new Uint16Array(8)

/**
 * Reads an address. An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is unwrapped, so that one caller has one address whatever socket it came by. Zone ids,
 * leading zeroes and other spellings that two parsers could read differently are not addresses.
 * @returns `undefined` for anything else: unknown, which every rule takes for "outside"
 */
export function parseAddress(text: string): Address | undefined {
  const family = readAddress(text, text.length, WORDS)
  if (family === 0) return undefined
  const [a, b, c, d] = WORDS as unknown as readonly [number, number, number, number]
  return family === 4 ? { family, words: [a] } : { family, words: [a, b, c, d] }
}

/**
 * As `parseAddress`, without an object for each: reads the text up to `end` into `words`.
 * @returns the family, or 0
 */
export function readAddress(text: string, end: number, words: Uint32Array): 0 | 4 | 6 {
  if (end > LONGEST) return 0
  if (!hasColon(text, end)) {
    const word = readV4(text, 0, end)
    if (word < 0) return 0
    words[0] = word
    return 4
  }
  if (!readV6(text, end, words)) return 0
  if (words[0] !== 0 || words[1] !== 0 || words[2] !== 0xffff) return 6
  words[0] = words[3] as number
  return 4
}

const COLON = 0x3a
const DOT = 0x2e

/** The first group of IPv6 has at most four digits. */
function hasColon(text: string, end: number): boolean {
  for (let at = 0; at < end && at < 5; at++) if (text.charCodeAt(at) === COLON) return true
  return false
}

/** @returns the word, or -1 */
function readV4(text: string, from: number, end: number): number {
  let word = 0
  let value = 0
  let digits = 0
  let parts = 0
  for (let at = from; at < end; at++) {
    const unit = text.charCodeAt(at)
    if (unit === DOT) {
      if (digits === 0 || parts === 3) return -1
      word = word * 256 + value
      value = 0
      digits = 0
      parts++
    } else {
      const digit = unit - 0x30
      if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return -1
      value = value * 10 + digit
      digits++
      if (value > 255) return -1
    }
  }
  return digits === 0 || parts !== 3 ? -1 : word * 256 + value
}

/** Groups of 16 bits, of which `::` stands for one or more that are zero; the last two may be a dotted IPv4 address. */
function readV6(text: string, end: number, words: Uint32Array): boolean {
  let count = 0
  let gap = -1
  let value = 0
  let digits = 0
  let start = 0
  for (let at = 0; at < end; at++) {
    const unit = text.charCodeAt(at)
    if (unit === COLON) {
      if (digits > 0) {
        if (count === 8) return false
        GROUPS[count++] = value
        value = 0
        digits = 0
      } else {
        if (gap >= 0) return false
        gap = count
        // At the beginning there is no group whose colon was read before.
        if (at === 0 && text.charCodeAt(++at) !== COLON) return false
      }
      start = at + 1
    } else if (unit === DOT) {
      const word = readV4(text, start, end)
      if (word < 0 || count > 6) return false
      GROUPS[count++] = word >>> 16
      value = word & 0xffff
      digits = 1
      break
    } else {
      const digit = hexDigit(unit)
      if (digit < 0 || ++digits > 4) return false
      value = value * 16 + digit
    }
  }
  if (digits > 0) {
    if (count === 8) return false
    GROUPS[count++] = value
  } else if (gap !== count) return false
  if (gap < 0 ? count !== 8 : count > 7) return false
  if (gap >= 0) {
    // What stands behind the gap moves to the end.
    for (let at = 7, from = count - 1; at >= gap; at--, from--) GROUPS[at] = from >= gap ? (GROUPS[from] as number) : 0
  }
  for (let at = 0; at < 4; at++) words[at] = (GROUPS[2 * at] as number) * 65_536 + (GROUPS[2 * at + 1] as number)
  return true
}

function hexDigit(unit: number): number {
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30
  const letter = unit | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** One spelling of an address: a mapped one becomes IPv4, IPv6 is compressed (RFC 5952). */
export function formatAddress(address: Address): string {
  if (address.family === 4) return [24, 16, 8, 0].map((shift) => (address.words[0] >>> shift) & 255).join('.')
  const groups = address.words.flatMap((word) => [word >>> 16, word & 0xffff])
  let best = { at: 0, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (groups[at + length] === 0) length++
    if (length > best.length) best = { at, length }
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(':')
  if (best.length === 1) return text(groups)
  return `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`
}

/** What a verdict about an address is good for: an IPv4 address itself; of IPv6 the /64, inside which hosts change their addresses as they like. */
export function networkOf(text: string): string | undefined {
  const address = parseAddress(text)
  if (!address) return undefined
  if (address.family === 4) return formatAddress(address)
  return `${formatAddress({ family: 6, words: [address.words[0], address.words[1], 0, 0] })}/64`
}
