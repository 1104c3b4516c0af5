import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { type CompiledLocation, callerAddress, compileLocation, compileRanges, compileRules, lateBoundUnmet, type RuleSet } from '@caegis/policy'
import { clientOf, evidenceText, formatEvidence } from '@caegis/protocol'
import { forwardedFor, type GuardRequest } from './credentials.ts'
import { type RulesPart, readRules, refused } from './read-rules.ts'
import type { SeenToken } from './token-cache.ts'

/** What a token leaves to the guard (its claim `capolids_latebind`), and what the issuer has judged already (`caegis_ip`). */
export interface LateBound {
  readonly policies: readonly string[]
  /** For exactly this address (IPv6: its /64) these policies are met: the guard's rules may be older, or its table of countries another one (threat D4). */
  readonly exception?: { readonly address: string; readonly policies: readonly string[] }
}

/** Where a token with late-bound policies was shown from, and which of them that place does not meet. */
export interface Place {
  /** Empty: unknown, which is outside of every range. */
  readonly address: string
  readonly unmet: readonly string[]
}

/** The location conditions that the issuer leaves to the guard, evaluated at each request. */
export interface Rules {
  /** Takes in all of them, or what changed. @throws CaegisError `rules_refused`; then everything is as it was */
  load(parts: readonly RulesPart[]): void
  /** Where a request comes from; of a token that leaves something to the guard. */
  placeOf(seen: SeenToken, late: LateBound, request: GuardRequest): Place
  /** Whether the same is refused at an address now: of a connection that lasts. */
  isOutside(late: LateBound, address: string): boolean
  /** What proves to the issuer that this guard saw a token at an address; `undefined` before rules have brought the key. */
  evidence(seen: SeenToken, address: string): string | undefined
  /** The issuer's own number for what is in force; 0 before the first. */
  readonly version: number
  /** Rises with every load: whoever was judged at this one need not be judged again. */
  readonly edition: number
  status(): { version: number; policies: number; locations: number }
}

export interface RulesOptions {
  trustedProxies: readonly string[]
  country: ((address: string) => string | null | undefined) | undefined
  /** Milliseconds. */
  now: () => number
}

/** Longer headers are read anew each time: what a token remembers of its last request is bounded. */
const REMEMBERED = 256

/** @throws CaegisError `invalid_range` */
export function createRules({ trustedProxies, country, now }: RulesOptions): Rules {
  const trusted = compileRanges(trustedProxies)
  let compiled = new Map<string, CompiledLocation>()
  let set: RuleSet = compileRules([], [])
  let asksCountry = false
  let key: KeyObject | undefined
  let version = 0
  let edition = 0

  return {
    load,
    placeOf,
    isOutside: (late, address) => unmetAt(late, address).length > 0,
    evidence(seen, address) {
      const { sid, jti } = seen.claims
      const client = clientOf(seen.claims)
      if (key === undefined || typeof client !== 'string' || typeof jti !== 'string') return undefined
      const second = Math.floor(now() / 1000)
      const text = evidenceText({ azp: client, jti, address, second, ...(typeof sid === 'string' ? { sid } : {}) })
      return formatEvidence({ second, jti, mac: createHmac('sha256', key).update(text).digest('base64url') })
    },
    get version() {
      return version
    },
    get edition() {
      return edition
    },
    status: () => ({ version, policies: set.rules.size, locations: compiled.size }),
  }

  function load(parts: readonly RulesPart[]): void {
    const update = readRules(parts)
    if (update.since > version) throw refused('what changed since a version that is not here')
    const next = new Map<string, CompiledLocation>()
    for (const id of update.kept) {
      const known = update.since > 0 ? compiled.get(id) : undefined
      if (known === undefined) throw refused('a location that is not here')
      next.set(id, known)
    }
    try {
      for (const location of update.locations) next.set(location.id, compileLocation(location))
      set = compileRules(update.policies, [...next.values()])
    } catch (cause) {
      throw refused('a range', cause)
    }
    compiled = next
    asksCountry = set.places.list.some(({ kind }) => kind === 'country')
    key = update.evidence && createSecretKey(update.evidence)
    version = update.version
    edition++
  }

  function placeOf(seen: SeenToken, late: LateBound, request: GuardRequest): Place {
    const peer = request.socket?.remoteAddress
    const forwarded = trusted.size > 0 ? forwardedFor(request) : undefined
    const last = seen.place
    // The next request of a connection comes from where the last one came from.
    if (last !== undefined && last.edition === edition && last.peer === peer && last.forwarded === forwarded) return last
    const address = callerAddress(trusted, peer, forwarded)
    const place = { edition, peer, forwarded, address, unmet: unmetAt(late, address) }
    // Who looks up countries may know better the next time.
    if (!asksCountry && (forwarded === undefined || forwarded.length <= REMEMBERED)) seen.place = place
    return place
  }

  function unmetAt({ policies, exception }: LateBound, address: string): readonly string[] {
    return lateBoundUnmet(set, { policies, exception, address, country: asksCountry ? countryOf(address) : undefined })
  }

  function countryOf(address: string): string | null | undefined {
    if (country === undefined || address === '') return undefined
    try {
      return country(address)
    } catch {
      // Not known: the rule that asks for it is unmet.
      return undefined
    }
  }
}
