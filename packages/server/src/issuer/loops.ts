import { createHash } from 'node:crypto'

/** What is asked for: one client, in one browser session, for the same scopes. */
export interface Wish {
  clientId: string
  sid: string
  scope: string
}

export interface Loops {
  /** The same was answered too often of late. */
  isLooping(wish: Wish): boolean
  /** It was answered with something new. */
  note(wish: Wish): void
}

/** Seconds: a count begins anew after them, so whatever was refused is answered again. */
export const LOOP_WINDOW = 300
/** Wishes that are counted at a time; beyond it the oldest count is forgotten, which lets a loop run on and refuses nobody. */
const MOST = 10_000

/**
 * Notices a client that does not keep what it gets, or that is refused with it and asks again at once. Only answers that made something new are counted: fifty
 * requests at once with one refresh token have one successor, and count once. In memory, because it protects no account, only the time of this process: of several, each
 * bounds what it answers itself.
 */
export function createLoops(clock: () => number, limit: number): Loops {
  const counts = new Map<string, { from: number; count: number }>()
  const of = (key: string) => {
    const known = counts.get(key)
    return known && clock() - known.from < LOOP_WINDOW ? known : undefined
  }
  return {
    isLooping: (wish) => (of(keyOf(wish))?.count ?? 0) >= limit,
    note(wish) {
      const key = keyOf(wish)
      const known = of(key)
      if (known) {
        known.count++
        return
      }
      // The order of insertion is that of age.
      counts.delete(key)
      counts.set(key, { from: clock(), count: 1 })
      if (counts.size > MOST) counts.delete(counts.keys().next().value as string)
    },
  }
}

/** The claims of a challenge are left out: a loop brings new ones with each turn. */
function keyOf({ clientId, sid, scope }: Wish): string {
  const scopes = [...new Set(scope.split(' '))].sort().join(' ')
  return createHash('sha256').update(`${clientId}\n${sid}\n${scopes}`).digest('base64url')
}
