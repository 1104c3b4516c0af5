import type { DetectionType, Finding } from './finding.ts'
import type { Signal } from './signal.ts'

/** A sign-in, or a refresh, and what is remembered around it. */
export interface Assessed {
  signal: Signal
  recent: Recent
  /** Whether the password that was typed is on the list; absent when none was typed. */
  leaked?: boolean | 'unknown'
  /** Whether the address is on the operator's list. */
  listed?: boolean | 'unknown'
  /** Set when what was presented had been used before. */
  replay?: Replay
}

export interface Recent {
  /**
   * Of the same user, newest first, of the last 30 days: at most `MOST.user` each of interactive successes that are not doubted, of refreshes and of failures, so that none of
   * them crowds out the others: whoever has the password must not be able to have the owner's habits forgotten. The signal itself is not among them.
   */
  user: readonly Signal[]
  /** Interactive ones of the same network within the last hour, newest first, at most `MOST.network`, whoever they are about. */
  network: readonly Signal[]
}

export const MOST = { user: 50, network: 500 } as const
/** Seconds for which signals are kept. */
export const REMEMBERED = 30 * 24 * 3600
/** Seconds of `Recent.network`, and in which failures are counted. */
export const HOUR = 3600

/** A refresh token that was spent before. */
export interface Replay {
  /** Seconds: when it was spent. */
  at: number
  /** Where it was spent; empty when unknown. */
  network: string
  /** Within the grace in which it still leads to its successor. */
  grace: boolean
  /** The client proved the key that the token is bound to: a thief of the token alone could not. */
  bound: boolean
}

/** What the operator has given to look things up in. */
export interface Given {
  /** A database of countries. */
  countries: boolean
  /** One that knows where in a country, too. */
  places: boolean
  leaked: boolean
  addresses: boolean
}

/** One way to see that somebody is not who they say: a pure function of what was recorded. */
export interface Detection {
  type: DetectionType
  /** What it looks at. */
  says: string
  /** When it keeps silent although it could speak, and when it is wrong nevertheless. */
  falseAlarms: string
  /** Without it there is nothing to look at: the detection is off. */
  needs?: keyof Given
  /** It looks at what was refused, too. Others do not: strangers put nobody at risk by failing. */
  failures?: true
  /** @returns `unknown` when something that it needs for this very sign-in is not known: that is not the same as nothing */
  detect(input: Assessed, given: Given): Finding | undefined | 'unknown'
}
