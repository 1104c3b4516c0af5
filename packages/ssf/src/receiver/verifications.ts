import { randomBytes } from 'node:crypto'

/** The states that were sent with verification requests (SSF 1.0 section 8.1.4), so that the event that comes back can be told from a foreign one. */
export interface Verifications {
  /** A new state, and a promise of its return. */
  ask(): { state: string; returned: Promise<void> }
  /** Also true for one that has come back before: a repeated SET is answered as the first time. */
  knows(state: string): boolean
  arrived(state: string): void
}

const REMEMBERED = 1000

export function createVerifications(): Verifications {
  const asked = new Map<string, () => void>()
  return {
    ask() {
      const state = randomBytes(16).toString('base64url')
      const { promise, resolve } = Promise.withResolvers<void>()
      asked.set(state, resolve)
      if (asked.size > REMEMBERED) asked.delete(asked.keys().next().value as string)
      return { state, returned: promise }
    },
    knows: (state) => asked.has(state),
    arrived: (state) => asked.get(state)?.(),
  }
}
