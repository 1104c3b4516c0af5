import { randomUUID } from 'node:crypto'
import { CaegisError } from '@caegis/protocol'
import { reasonOf } from '@caegis/ssf/receiver'
import { type Discovery, fetchJson, whyNot } from './discovery.ts'
import { GUARD_ERRORS } from './errors.ts'
import { createKeyring, type KeyFetches, type KeySource } from './keys.ts'
import type { Log } from './log.ts'
import { sleep } from './sleep.ts'

export interface JwksOptions {
  issuer: string
  discovery: Discovery
  fetch: typeof globalThis.fetch
  /** Milliseconds, never set back. */
  monotonic: () => number
  log: Log
  /** Milliseconds between unasked-for refreshes, so that a removed key goes even when nobody says so. */
  refreshEvery?: number
}

/** Fetches because of unknown `kid`s: this many at once, then one in so many milliseconds. */
const BURST = 4
const REFILL = 10_000
const MAX_PAUSE = 30_000

/**
 * The issuer's published keys.
 *
 * A `kid` that is not known here may be a new key or an attacker's invention. Fetches for unknown `kid`s come from a small budget that refills with time: an
 * attacker who spends it makes us fetch six times a minute, and each of those fetches finds any new key, so he cannot keep one out either. The fetches that
 * the issuer itself asks for, and the regular ones, are not counted.
 */
export function createJwksKeys({ issuer, discovery, fetch, monotonic, log, refreshEvery = 600_000 }: JwksOptions): KeySource {
  const ring = createKeyring()
  const closing = new AbortController()
  let budget = BURST
  let refilledAt = monotonic()
  let loading: Promise<void> | undefined
  /** The issuer has changed its keys: what some cache on the way holds is not what it says now. */
  let outdated = false
  const fetches: KeyFetches = { done: 0, failed: 0 }
  const first = loadUntilDone('first')
  // Who never asks for `ready()` is not to be brought down by a guard that was closed early.
  first.catch(() => {})
  const regular = setInterval(() => {
    load(true).catch((error: unknown) => log.warn('signing keys not refreshed', { issuer, reason: reasonOf(error) }))
  }, refreshEvery)
  regular.unref()

  return {
    ready: () => first,
    fetches,
    find: ring.find,
    learn(asked) {
      if (asked !== issuer || closing.signal.aborted) return undefined
      // Whoever comes while a fetch is under way waits for it.
      if (!loading) {
        const now = monotonic()
        const refill = Math.floor((now - refilledAt) / REFILL)
        if (refill > 0) {
          budget = Math.min(BURST, budget + refill)
          refilledAt += refill * REFILL
        }
        if (budget === 0) return undefined
        budget--
      }
      return load(false).catch((error: unknown) => log.warn('signing keys not fetched', { issuer, reason: reasonOf(error) }))
    },
    async changed() {
      outdated = true
      // A fetch that is under way may have been answered before the change.
      await loading?.catch(() => {})
      await loadUntilDone('changed')
    },
    get authorizationUri() {
      return discovery.known?.authorizationEndpoint
    },
    close() {
      clearInterval(regular)
      closing.abort()
    },
  }

  function load(fresh: boolean): Promise<void> {
    loading ??= (async () => {
      const { jwksUri } = await discovery.read({ fresh })
      const past = outdated
      const url = past ? pastCaches(jwksUri) : jwksUri
      const jwks = await fetchJson(fetch, url, { headers: { 'cache-control': 'no-cache' } }, closing.signal).catch((cause: unknown) => {
        throw new CaegisError('keys_failed', GUARD_ERRORS.keys_failed, { detail: `unreadable: ${whyNot(cause)}`, cause })
      })
      if (closing.signal.aborted) return
      // An answer without keys is taken for a fault: it would refuse everybody.
      if (!Array.isArray(jwks.keys) || jwks.keys.length === 0) throw new CaegisError('keys_failed', GUARD_ERRORS.keys_failed, { detail: 'no keys' })
      const usable = ring.replace(issuer, jwks)
      if (past) outdated = false
      fetches.done++
      delete fetches.failure
      log.debug('signing keys read', { issuer, usable })
    })()
      .catch((error: unknown) => {
        fetches.failed++
        fetches.failure = reasonOf(error)
        throw error
      })
      .finally(() => {
        loading = undefined
      })
    return loading
  }

  async function loadUntilDone(why: string): Promise<void> {
    for (let pause = 500; ; pause = Math.min(pause * 2, MAX_PAUSE)) {
      if (closing.signal.aborted) throw new CaegisError('guard_closed', GUARD_ERRORS.guard_closed)
      try {
        return await load(true)
      } catch (error) {
        if (!closing.signal.aborted) log.warn('signing keys not read, trying again', { issuer, why, reason: reasonOf(error) })
      }
      await sleep(pause, closing.signal)
    }
  }
}

/** Some caches do not do what a request says of them; none takes one URL for another. Only our own issuer says that its keys changed, and minds no query. */
function pastCaches(uri: string): string {
  const url = new URL(uri)
  url.searchParams.set('past', randomUUID())
  return url.href
}
