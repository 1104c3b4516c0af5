import type { Holds } from '@caegis/ssf/transmitter'

export interface HoldsOptions {
  /** Polls that this process holds at a time: each is a connection and a few kilobytes. */
  most: number
  /** Told of each hold, so that it can be ended when the process goes. */
  onEnd(end: () => void): () => void
}

export interface SharedHolds extends Holds {
  readonly held: number
}

/**
 * The held polls of all tenants, bounded in this process because they cost its memory and its sockets. Where there is no more room, room is made among the polls of
 * who holds the most: one API with a thousand replicas does not keep the guard of another from hearing of a revocation. Who is ended so is answered as if its time were
 * over, and comes back.
 */
export function createHolds({ most, onEnd }: HoldsOptions): SharedHolds {
  const byReceiver = new Map<string, Set<() => void>>()
  let held = 0

  /** Ends the oldest poll of whoever holds the most, if that is more than `own`. */
  function makeRoom(own: number): boolean {
    let greatest: Set<() => void> | undefined
    for (const one of byReceiver.values()) if (one.size > (greatest?.size ?? own)) greatest = one
    const [oldest] = greatest ?? []
    oldest?.()
    return oldest !== undefined
  }

  return {
    get held() {
      return held
    },
    enter(receiver, end) {
      const mine = byReceiver.get(receiver)
      if (held >= most && !makeRoom((mine?.size ?? 0) + 1)) return undefined
      const own = mine ?? new Set()
      byReceiver.set(receiver, own)
      let forget = () => {}
      const leave = () => {
        if (!own.delete(over)) return
        held--
        forget()
        if (own.size === 0 && byReceiver.get(receiver) === own) byReceiver.delete(receiver)
      }
      const over = () => {
        leave()
        end()
      }
      own.add(over)
      held++
      forget = onEnd(over)
      return leave
    },
  }
}
