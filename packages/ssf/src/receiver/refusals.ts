import { MAX_REFUSED } from '../wire.ts'

/** A first refusal: the position of the event, and when (seconds). */
export type Refusal = [seq: number, at: number]

/** The first refusals that the transmitter has still to be told of (our extension). */
export interface Refusals {
  add(seq: number, at: number): void
  /** The oldest, as many as one poll carries: they are the taker's to deliver or to put back. */
  take(): Refusal[]
  putBack(refusals: Refusal[]): void
  clear(): void
  readonly size: number
}

/** A proof that is not delivered for long is worth less than memory. */
const MAX_WAITING = 1000

export function createRefusals(): Refusals {
  let waiting: Refusal[] = []
  return {
    add(seq, at) {
      if (waiting.length < MAX_WAITING) waiting.push([seq, at])
    },
    take: () => waiting.splice(0, MAX_REFUSED),
    putBack(refusals) {
      waiting = [...refusals, ...waiting].slice(0, MAX_WAITING)
    },
    clear() {
      waiting = []
    },
    get size() {
      return waiting.length
    },
  }
}
