/** Bytes of one LDAP message: an entry of which named attributes are asked for is far smaller. */
export const MAX_MESSAGE = 1024 * 1024
/** How deep values may nest: an entry with its controls is six deep. */
const MAX_DEPTH = 12
/** Tags whose content is elements again: universal, application and context ones that say so. */
const CONSTRUCTED = 0x20

/**
 * Cuts a stream of bytes into LDAP messages (RFC 4511 section 5.1). Each is seen to be well-formed BER before anybody parses it: parsers for values that are longer than
 * what holds them have been known to run for ever, and this one runs inside the server.
 */
export function createFrames(onMessage: (message: Buffer) => void) {
  let parts: Buffer[] = []
  let held = 0
  /** Bytes without which nothing new can be said: the header first, then the whole message. */
  let needed = 2

  return {
    /** Bytes that are not a whole message yet. */
    pending: () => held,

    /** @throws RangeError when what comes is too long, or no BER */
    push(chunk: Buffer): void {
      parts.push(chunk)
      held += chunk.length
      while (held >= needed) {
        const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
        parts = [bytes]
        const head = readHead(bytes, 0, bytes.length)
        const end = head ? head.start + head.length : undefined
        if (bytes[0] !== 0x30 || (end !== undefined && end > MAX_MESSAGE)) throw new RangeError('no LDAP message, or one that is too long')
        if (end === undefined || end > bytes.length) {
          needed = end ?? bytes.length + 1
          continue
        }
        const message = bytes.subarray(0, end)
        check(message, 0, end, 0)
        const rest = bytes.subarray(end)
        parts = rest.length > 0 ? [rest] : []
        held = rest.length
        needed = 2
        onMessage(message)
      }
    },
  }
}

/** Where an element's content starts and how long it is; `undefined` while the header is not all there. LDAP allows definite lengths only. */
function readHead(bytes: Buffer, at: number, end: number): { start: number; length: number } | undefined {
  if (at + 2 > end) return undefined
  const first = bytes[at + 1] as number
  if (first < 0x80) return { start: at + 2, length: first }
  const count = first & 0x7f
  if (count === 0 || count > 4) throw new RangeError('a length that LDAP does not have')
  if (at + 2 + count > end) return undefined
  return { start: at + 2 + count, length: bytes.readUIntBE(at + 2, count) }
}

/** Every element lies within the one that holds it, and they fill it. */
function check(bytes: Buffer, from: number, to: number, depth: number): void {
  if (depth > MAX_DEPTH) throw new RangeError('elements that nest too deep')
  for (let at = from; at < to; ) {
    const tag = bytes[at] as number
    // LDAP has no tag of more than one byte.
    if ((tag & 0x1f) === 0x1f) throw new RangeError('a tag that LDAP does not have')
    const head = readHead(bytes, at, to)
    if (!head || head.start + head.length > to) throw new RangeError('an element that is longer than what holds it')
    const end = head.start + head.length
    if (tag & CONSTRUCTED) check(bytes, head.start, end, depth + 1)
    at = end
  }
}
