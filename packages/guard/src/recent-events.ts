/**
 * What is known of the events behind the newest cutoffs: whether they have refused anybody yet, and the `txn` of the change that they told of. It lies beside the table,
 * which knows of no events: a field there would cost every cutoff bytes for what only the newest are asked for, and only when a request is refused anyway.
 */
export interface RecentEvents {
  /** For one event: takes in each of its cutoffs. */
  learnFrom(event: { seq?: number | undefined; txn?: string | undefined }): (h1: number, h2: number, t: number) => void
  /** Of a token with these keys that is refused: the positions of the events behind it that have refused none before, and the `txn` of the latest. */
  refused(hashes: Int32Array, iat: number): { first: number[]; txn: string | undefined }
  /** Positions may mean other events from here on. A txn stays what it was. */
  forgetPositions(): void
}

interface RecentEvent {
  /** `undefined` where there is nobody to tell, or nothing to tell any more. */
  untold: number | undefined
  readonly txn: string | undefined
}

const REMEMBERED = 4096
/** Longer ones are no names. */
const LONGEST_TXN = 256

export function createRecentEvents(limit = REMEMBERED): RecentEvents {
  const recent = new Map<string, { t: number; event: RecentEvent }>()
  return {
    learnFrom({ seq, txn }) {
      const event: RecentEvent = { untold: seq, txn: txn !== undefined && txn.length <= LONGEST_TXN ? txn : undefined }
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
      let latest: { t: number; event: RecentEvent } | undefined
      for (let i = 0; recent.size > 0 && i < hashes.length; i += 2) {
        const found = recent.get(keyOf(hashes[i] as number, hashes[i + 1] as number))
        if (found === undefined || iat > found.t) continue
        if (latest === undefined || found.t > latest.t) latest = found
        if (found.event.untold !== undefined) first.push(found.event.untold)
        found.event.untold = undefined
      }
      return { first, txn: latest?.event.txn }
    },
    forgetPositions() {
      for (const { event } of recent.values()) event.untold = undefined
    },
  }
}

function keyOf(h1: number, h2: number): string {
  return `${h1} ${h2}`
}
