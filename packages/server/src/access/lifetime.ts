import { randomInt } from 'node:crypto'
import type { Decision } from '@caegis/policy'
import type { TokenLifetimes } from '../directory/organization.ts'

export interface Lifetimes {
  /** Seconds, both ends included; a random length keeps a fleet's refreshes apart. */
  ordinary: readonly [number, number]
  /** For tokens that can be taken back. */
  long: readonly [number, number]
  /** Seconds that a token lives which names the address that its API saw. */
  exception: number
}

/** Seconds: no token lives longer, so no cutoff has to be known for longer, nor any row of the log. */
export const HORIZON = 28 * 3600 + 300

export const LIFETIMES: Lifetimes = { ordinary: [60 * 60, 90 * 60], long: [20 * 3600, 28 * 3600], exception: 60 * 60 }

/** What a tenant says, and the server where it says nothing. */
export function lifetimesOf({ ordinaryMinutes, longLivedHours, exceptionMinutes }: TokenLifetimes, usual: Lifetimes): Lifetimes {
  return {
    ordinary: ordinaryMinutes ? [ordinaryMinutes.from * 60, ordinaryMinutes.to * 60] : usual.ordinary,
    long: longLivedHours ? [longLivedHours.from * 3600, longLivedHours.to * 3600] : usual.long,
    exception: exceptionMinutes === undefined ? usual.exception : exceptionMinutes * 60,
  }
}

/** The guards of an API. */
export interface Guards {
  live: boolean
  /** All of them can look at the address of a request. */
  addresses: boolean
  /** All of them can tell the country of an address. */
  countries: boolean
}

export const NO_GUARDS: Guards = { live: false, addresses: false, countries: false }

/** Seconds: where each sign-in has to be a new one, a token must not outlive it by far. */
const EVERY_TIME = 3600

export interface LifetimeFacts {
  /** The client said `cp1`: it can answer a challenge. */
  capable: boolean
  /** The API is registered for continuous access evaluation. */
  cae: boolean
  guards: Guards
  decision: Decision
  /** Seconds. */
  now: number
}

export interface Lifetime {
  seconds: number
  /** It may live that long only because it can be taken back. */
  long: boolean
  /** Policies whose location the guards look at with every request. */
  lateBound: string[]
}

/**
 * A long-lived token is issued only where it can be taken back: by a client, an API and guards that are all able to, and where no policy says otherwise. A condition
 * that no guard can look at makes tokens ordinary. Nothing outlives the sign-in frequency.
 */
export function chooseLifetime({ capable, cae, guards, decision, now }: LifetimeFacts, lifetimes: Lifetimes): Lifetime {
  const { session, lateBound, exception } = decision
  const bound = cae && guards.live ? lateBound.filter(({ needs }) => (needs === 'ip' ? guards.addresses : guards.countries)) : []
  const long = capable && cae && guards.live && session.cae !== 'disabled' && bound.length === lateBound.length && !exception
  const [least, most] = long ? lifetimes.long : lifetimes.ordinary
  const bounds = [randomInt(least, most + 1)]
  if (exception) bounds.push(lifetimes.exception)
  if (session.signInFrequency === 'everyTime') bounds.push(EVERY_TIME)
  if (session.freshUntil !== undefined) bounds.push(Math.floor(session.freshUntil - now))
  return { seconds: Math.max(1, Math.min(...bounds)), long, lateBound: bound.map(({ id }) => id) }
}
