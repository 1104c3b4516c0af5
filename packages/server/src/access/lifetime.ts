import { randomInt } from 'node:crypto'

export interface Lifetimes {
  /** Seconds, both ends included; a random length keeps a fleet's refreshes apart. */
  ordinary: readonly [number, number]
  /** For tokens that can be taken back. */
  long: readonly [number, number]
}

/** Seconds: no token lives longer, so no cutoff has to be known for longer, nor any row of the log. */
export const HORIZON = 28 * 3600 + 300

export const LIFETIMES: Lifetimes = { ordinary: [60 * 60, 90 * 60], long: [20 * 3600, 28 * 3600] }

export interface LifetimeFacts {
  /** The client said `cp1`: it can answer a challenge. */
  capable: boolean
  /** The API is registered for continuous access evaluation. */
  cae: boolean
  /** Every guard of the API is connected and up to date now. */
  guarded: boolean
}

/** A long-lived token is issued only where it can be taken back: by a client, an API and guards that are all able to. */
export function chooseLifetime(facts: LifetimeFacts, lifetimes: Lifetimes): { seconds: number; long: boolean } {
  const long = facts.capable && facts.cae && facts.guarded
  const [least, most] = long ? lifetimes.long : lifetimes.ordinary
  return { seconds: randomInt(least, most + 1), long }
}
