/**
 * Which recent events have not refused anybody yet: the newest cutoffs that came from an event, beside the table, which knows of no events. Asked only when a
 * request is refused anyway.
 */
export interface FirstRefusals {
  /** For one event: takes in each of its cutoffs. */
  learnFrom(seq: number): (h1: number, h2: number, t: number) => void
  /** The positions of the events that refuse a token with these keys, and have refused none before. */
  refused(hashes: Int32Array, iat: number): number[]
  clear(): void
}

const REMEMBERED = 1000

export function createFirstRefusals(limit = REMEMBERED): FirstRefusals {
  const recent = new Map<string, { t: number; event: { seq: number; told: boolean } }>()
  return {
    learnFrom(seq) {
      const event = { seq, told: false }
      return (h1, h2, t) => {
        const key = keyOf(h1, h2)
        // The oldest goes first, so what is told again becomes the newest.
        recent.delete(key)
        recent.set(key, { t, event })
        if (recent.size > limit) recent.delete(recent.keys().next().value as string)
      }
    },
    refused(hashes, iat) {
      const first: number[] = []
      if (recent.size === 0) return first
      for (let i = 0; i < hashes.length; i += 2) {
        const key = keyOf(hashes[i] as number, hashes[i + 1] as number)
        const found = recent.get(key)
        if (found === undefined || iat > found.t) continue
        recent.delete(key)
        if (!found.event.told) first.push(found.event.seq)
        found.event.told = true
      }
      return first
    },
    clear() {
      recent.clear()
    },
  }
}

function keyOf(h1: number, h2: number): string {
  return `${h1} ${h2}`
}
