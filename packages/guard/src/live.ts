import { CaegisError } from '@caegis/protocol'
import { VERDICT_CODES, type VerdictCode } from './errors.ts'
import type { LateBound } from './rules.ts'
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
  /**
   * The verdict for one request of this token.
   * @param address where it came from, of a token that leaves policies to the guard
   * @param freshUntil the second after which the sign-in is too old for what was asked for
   */
  allow(seen: SeenToken, stale: boolean, address?: string, freshUntil?: number): Allowed
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
const ADDRESS = Symbol('address')
const FRESH_UNTIL = Symbol('fresh until')

interface Internal extends Allowed {
  [SEEN]: SeenToken
  [CONTROLLER]: AbortController | undefined
  [RELEASED]: boolean
  [ADDRESS]: string | undefined
  [FRESH_UNTIL]: number | undefined
}

const BATCH = 256
const SWEEP_BATCH = 2048
const SWEEP_EVERY = 1000

export interface LiveOptions {
  /** Wall clock, milliseconds. */
  now(): number
  /** Why the token is not good any more, or `undefined` while it is. */
  judge(seen: SeenToken): VerdictCode | undefined
  /** Whether what the token leaves to the guard is unmet at an address. */
  isOutside(late: LateBound, address: string): boolean
  /** Rises when the rules change by which that is judged. */
  edition(): number
}

/** What one connection is judged by beyond its token. */
interface Terms {
  readonly address: string | undefined
  /** Second. */
  readonly freshUntil: number | undefined
}

/** The connections of one token, each with its own terms. */
interface Connections {
  readonly controllers: Map<AbortController, Terms>
  /** The first second after which one of them is too old. */
  freshUntil: number
  /** Of the rules by which all of them were judged. */
  edition: number
}

export function createLive({ now, judge, isOutside, edition }: LiveOptions): Live {
  const open = new Map<SeenToken, Connections>()
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
    allow(seen, stale, address, freshUntil) {
      const one = Object.create(verdict) as { -readonly [name in keyof Internal]: Internal[name] }
      one.allowed = true
      one.claims = seen.claims
      one.subject = seen.subject
      one.stale = stale
      one[SEEN] = seen
      one[CONTROLLER] = undefined
      one[RELEASED] = false
      one[ADDRESS] = address
      one[FRESH_UNTIL] = freshUntil
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
    const terms = { address: one[ADDRESS], freshUntil: one[FRESH_UNTIL] }
    const code = judge(one[SEEN]) ?? judgeTerms(one[SEEN], terms)
    if (code !== undefined || one[RELEASED]) controller.abort(ended(code))
    else watch(one[SEEN], controller, terms)
    return controller.signal
  }

  function judgeTerms({ late }: SeenToken, { address = '', freshUntil = Number.POSITIVE_INFINITY }: Terms): VerdictCode | undefined {
    if (late !== undefined && isOutside(late, address)) return 'location'
    return freshUntil < now() / 1000 ? 'insufficient_user_authentication' : undefined
  }

  function watch(seen: SeenToken, controller: AbortController, terms: Terms): void {
    let connections = open.get(seen)
    if (connections === undefined) {
      connections = { controllers: new Map(), freshUntil: Number.POSITIVE_INFINITY, edition: edition() }
      open.set(seen, connections)
      for (let i = 0; i < seen.hashes.length; i += 2) {
        const h1 = seen.hashes[i] as number
        const bucket = byHash.get(h1)
        if (bucket === undefined) byHash.set(h1, new Set([seen]))
        else bucket.add(seen)
      }
    }
    connections.controllers.set(controller, terms)
    connections.freshUntil = Math.min(connections.freshUntil, terms.freshUntil ?? Number.POSITIVE_INFINITY)
    size++
    if (timer === undefined) {
      timer = setInterval(sweep, SWEEP_EVERY)
      timer.unref()
    }
  }

  function release(one: { -readonly [name in keyof Internal]: Internal[name] }): void {
    one[RELEASED] = true
    const controller = one[CONTROLLER]
    const controllers = open.get(one[SEEN])?.controllers
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
      const connections = open.get(seen) as Connections
      const { controllers } = connections
      if (code === undefined) {
        if (isJudged(seen, connections)) {
          pending.delete(seen)
          continue
        }
        // All of one token, whatever their number: which of them were judged is not remembered.
        connections.edition = edition()
        connections.freshUntil = Number.POSITIVE_INFINITY
      }
      for (const [controller, terms] of controllers) {
        if (code !== undefined && left-- <= 0) break
        const why = code ?? judgeTerms(seen, terms)
        if (why === undefined) {
          connections.freshUntil = Math.min(connections.freshUntil, terms.freshUntil ?? Number.POSITIVE_INFINITY)
          continue
        }
        controllers.delete(controller)
        size--
        controller.abort(ended(why))
      }
      if (controllers.size === 0) forget(seen)
    }
    draining = false
    if (pending.size > 0) setImmediate(drain)
  }

  function isJudged({ late }: SeenToken, connections: Connections): boolean {
    return (late === undefined || connections.edition === edition()) && connections.freshUntil >= now() / 1000
  }

  function sweep(): void {
    if (sweeping) return
    sweeping = true
    const all = open.entries()
    step()
    function step(): void {
      let left = SWEEP_BATCH
      for (let next = all.next(); !next.done; next = all.next()) {
        const [seen, connections] = next.value
        if (judge(seen) !== undefined || !isJudged(seen, connections)) pending.add(seen)
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
