import { CaegisError } from '@caegis/protocol'
import { VERDICT_CODES, type VerdictCode } from './errors.ts'
import type { SeenToken } from './token-cache.ts'
import type { Allowed } from './verdict.ts'

/**
 * The signals of requests that last. A signal is made when a handler first reads it, so that ordinary requests pay nothing, and let go when the response ends.
 *
 * A cutoff finds the tokens that it may hit by half of their hashes; expiry, staleness and removed keys are looked for once a second. Either way the same
 * judgement decides that decides about a new request, so a connection and a request can never be told different things. Aborting runs the handlers' own
 * listeners, so it goes in batches: a cutoff that ends 100,000 connections is in force at once and lets the process breathe while it ends them.
 */
export interface Live {
  /** The verdict for one request of this token. */
  allow(seen: SeenToken, stale: boolean): Allowed
  /** A cutoff with this hash came in: look at the tokens that it may hit. Call `drain` when all cutoffs of the batch are in the table. */
  touch(h1: number): void
  drain(): void
  /** Looks at every token that has live signals, in batches. */
  sweep(): void
  close(): void
  /** Signals that are being watched. */
  readonly size: number
}

const SEEN = Symbol('seen token')
const CONTROLLER = Symbol('abort controller')
const RELEASED = Symbol('released')

interface Internal extends Allowed {
  [SEEN]: SeenToken
  [CONTROLLER]: AbortController | undefined
  [RELEASED]: boolean
}

const BATCH = 256
const SWEEP_BATCH = 2048
const SWEEP_EVERY = 1000

/** @param judge why the token is not good any more, or `undefined` while it is */
export function createLive(judge: (seen: SeenToken) => VerdictCode | undefined): Live {
  const open = new Map<SeenToken, Set<AbortController>>()
  const byHash = new Map<number, Set<SeenToken>>()
  const pending = new Set<SeenToken>()
  let size = 0
  let draining = false
  let sweeping = false
  let timer: NodeJS.Timeout | undefined

  // One object for all verdicts: a getter written into each of them would cost more than the whole check.
  const verdict = {
    get signal(): AbortSignal {
      return signalOf(this as unknown as Internal)
    },
    release(): void {
      release(this as unknown as Internal)
    },
  }

  return {
    allow(seen, stale) {
      const one = Object.create(verdict) as { -readonly [name in keyof Internal]: Internal[name] }
      one.allowed = true
      one.claims = seen.claims
      one.subject = seen.subject
      one.stale = stale
      one[SEEN] = seen
      one[CONTROLLER] = undefined
      one[RELEASED] = false
      return one
    },
    touch(h1) {
      const hit = byHash.get(h1)
      if (hit !== undefined) for (const seen of hit) pending.add(seen)
    },
    drain,
    sweep,
    close() {
      clearInterval(timer)
      for (const seen of open.keys()) pending.add(seen)
      drain()
    },
    get size() {
      return size
    },
  }

  function signalOf(one: { -readonly [name in keyof Internal]: Internal[name] }): AbortSignal {
    const known = one[CONTROLLER]
    if (known !== undefined) return known.signal
    const controller = new AbortController()
    one[CONTROLLER] = controller
    // The verdict may be older than a cutoff by now, or its request over.
    const code = judge(one[SEEN])
    if (code !== undefined || one[RELEASED]) controller.abort(ended(code))
    else watch(one[SEEN], controller)
    return controller.signal
  }

  function watch(seen: SeenToken, controller: AbortController): void {
    let controllers = open.get(seen)
    if (controllers === undefined) {
      controllers = new Set()
      open.set(seen, controllers)
      for (let i = 0; i < seen.hashes.length; i += 2) {
        const h1 = seen.hashes[i] as number
        const bucket = byHash.get(h1)
        if (bucket === undefined) byHash.set(h1, new Set([seen]))
        else bucket.add(seen)
      }
    }
    controllers.add(controller)
    size++
    if (timer === undefined) {
      timer = setInterval(sweep, SWEEP_EVERY)
      timer.unref()
    }
  }

  function release(one: { -readonly [name in keyof Internal]: Internal[name] }): void {
    one[RELEASED] = true
    const controller = one[CONTROLLER]
    const controllers = open.get(one[SEEN])
    if (controller === undefined || controllers?.delete(controller) !== true) return
    size--
    if (controllers.size === 0) forget(one[SEEN])
  }

  function forget(seen: SeenToken): void {
    open.delete(seen)
    pending.delete(seen)
    for (let i = 0; i < seen.hashes.length; i += 2) {
      const h1 = seen.hashes[i] as number
      const bucket = byHash.get(h1)
      if (bucket?.delete(seen) && bucket.size === 0) byHash.delete(h1)
    }
    if (open.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }

  function drain(): void {
    if (draining || pending.size === 0) return
    draining = true
    let left = BATCH
    for (const seen of pending) {
      if (left-- <= 0) break
      const code = judge(seen)
      if (code === undefined) {
        pending.delete(seen)
        continue
      }
      const controllers = open.get(seen) as Set<AbortController>
      for (const controller of controllers) {
        if (left-- <= 0) break
        controllers.delete(controller)
        size--
        controller.abort(ended(code))
      }
      if (controllers.size === 0) forget(seen)
    }
    draining = false
    if (pending.size > 0) setImmediate(drain)
  }

  function sweep(): void {
    if (sweeping) return
    sweeping = true
    const all = open.keys()
    step()
    function step(): void {
      let left = SWEEP_BATCH
      for (let next = all.next(); !next.done; next = all.next()) {
        if (judge(next.value) !== undefined) pending.add(next.value)
        if (--left === 0) {
          drain()
          setImmediate(step)
          return
        }
      }
      sweeping = false
      drain()
    }
  }
}

function ended(code: VerdictCode | undefined): CaegisError {
  return code === undefined ? new CaegisError('released', 'The request is over.') : new CaegisError(code, VERDICT_CODES[code].message)
}
