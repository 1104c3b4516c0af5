/** An IP address as numbers: one unsigned 32-bit word for IPv4, four for IPv6, most significant first. */
export type Address = { family: 4; words: readonly [number] } | { family: 6; words: readonly [number, number, number, number] }

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
