/**
 * What must be answered to each token, known without looking into the guard.
 *
 * People are numbers, and are cut off in their order. A cutoff is decided here before anybody is told of it, gets its position in the log when the issuer has committed
 * it, and is in force once the guard says that it has applied that position. In between, both answers are right; before, only yes; after, only no.
 */
export interface Model {
  /** The next people are cut off, at this second; committed as soon as `committed` is told. @returns the first of them */
  cutOff(count: number, t: number): number
  /** The issuer has committed the cutoffs of these people at a position. @returns how many wrong answers this brought to light */
  committed(from: number, count: number, seq: number): number
  /** Whether the answer to a token is right. @param head what the guard had applied when it was asked; @param now seconds */
  isRight(token: Shown, code: string, head: number, now: number): boolean
  /** The second at or before which this person's tokens are dead; -1 for none. */
  cutoffOf(person: number): number
  /** The position of a person's cutoff, once it is known. */
  positionOf(person: number): number | undefined
  /** How many have been cut off, those before the start included. */
  readonly count: number
}

/** A token as the model sees it; `person` is negative for those whom nobody ever cuts off. */
export interface Shown {
  person: number
  iat: number
  exp: number
  /** The newest position at which it was allowed while that of its cutoff was not known yet. */
  allowedAt?: number
}

/** What the API says of a request that the guard let pass. */
export const ALLOWED = 'allowed'
/** Seconds around its end within which nothing is said about a token: leeway, and what a busy machine is late. */
const ENDING = 60

/** @param before the seconds at which people were cut off whom the snapshot tells of */
export function createModel(before: readonly number[]): Model {
  const seconds: number[] = [...before]
  const positions: (number | undefined)[] = before.map(() => 0)
  /** Allowed while it was not known whether that was right. */
  const open = new Map<number, Shown[]>()

  return {
    cutOff(count, t) {
      const from = seconds.length
      for (let i = 0; i < count; i++) {
        seconds.push(t)
        positions.push(undefined)
      }
      return from
    },
    committed(from, count, seq) {
      let wrong = 0
      for (let person = from; person < from + count; person++) {
        positions[person] = seq
        for (const { allowedAt = 0 } of open.get(person) ?? []) if (allowedAt >= seq) wrong++
        open.delete(person)
      }
      return wrong
    },
    isRight(token, code, head, now) {
      const { person, iat, exp } = token
      const dead = iat <= cutoffOf(person)
      if (code !== ALLOWED) return (dead && (code === 'revoked' || now >= exp)) || (code === 'token_expired' && now >= exp - ENDING)
      if (now > exp + ENDING) return false
      if (!dead) return true
      const seq = positions[person]
      if (seq !== undefined) return head < seq
      token.allowedAt = Math.max(token.allowedAt ?? 0, head)
      const some = open.get(person)
      if (some === undefined) open.set(person, [token])
      else if (!some.includes(token)) some.push(token)
      return true
    },
    cutoffOf,
    positionOf: (person) => positions[person],
    get count() {
      return seconds.length
    },
  }

  function cutoffOf(person: number): number {
    return seconds[person] ?? -1
  }
}
