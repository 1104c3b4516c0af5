import { randomBytes } from 'node:crypto'

/** An id that sorts by its time (UUID version 7, RFC 9562 section 5.7): a log in the order of its ids is in the order of time. @param ms milliseconds */
export function timeId(ms: number): string {
  const random = randomBytes(10)
  random[0] = 0x70 | ((random[0] as number) & 0x0f)
  random[2] = 0x80 | ((random[2] as number) & 0x3f)
  const hex = random.toString('hex')
  return `${hexOf(ms)}-${hex.slice(0, 4)}-${hex.slice(4, 8)}-${hex.slice(8)}`
}

/** Below every id of that millisecond, and above every id before it. */
export function firstId(ms: number): string {
  return hexOf(ms)
}

/** The millisecond of an id. */
export function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

function hexOf(ms: number): string {
  const hex = Math.max(0, Math.min(Math.floor(ms), 0xffff_ffff_ffff))
    .toString(16)
    .padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}
