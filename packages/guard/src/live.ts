import { CaegisError } from '@caegis/protocol'
import { VERDICT_CODES, type VerdictCode } from './errors.ts'
import { mayFollow } from './hand-over.ts'
import type { Needs } from './needs.ts'
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
   * @param needs what was asked of it
   */
  allow(seen: SeenToken, stale: boolean, address?: string, needs?: Needs): Allowed
  /**
   * A cutoff with this hash came in: look at the tokens that it may hit. Call `drain` when all cutoffs of the batch are in the table.
   * @param t its second
   * @param txn of the change behind it: the connections that it ends are told
   */
  touch(h1: number, t: number, txn?: string): void
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
const NEEDS = Symbol('needs')

type Writable<T> = { -readonly [name in keyof T]: T[name] }

interface Internal extends Allowed {
  [SEEN]: SeenToken
  [CONTROLLER]: AbortController | undefined
  [RELEASED]: boolean
  [ADDRESS]: string | undefined
  [NEEDS]: Needs | undefined
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
  /** What was asked of the token: of one that follows it, the same is asked. */
  readonly needs: Needs | undefined
}

/** The connections of one token, each with its own terms. */
interface Connections {
  readonly controllers: Map<AbortController, Terms>
  /** The first second after which the sign-in is too old for one of them. */
  freshUntil: number
  /** Of the rules by which all of them were judged. */
  edition: number
}

export function createLive({ now, judge, isOutside, edition }: LiveOptions): Live {
  const open = new Map<SeenToken, Connections>()
  const byHash = new Map<number, Set<SeenToken>>()
  /** Tokens to look at, with the txn of the change that may have ended them. */
  const pending = new Map<SeenToken, string | undefined>()
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
    handOver(next: Allowed): boolean {
      return handOver(this as unknown as Internal, next as Internal)
    },
  }

  return {
    allow(seen, stale, address, needs) {
      const one = Object.create(verdict) as Writable<Internal>
      one.allowed = true
      one.claims = seen.claims
      one.subject = seen.subject
      one.stale = stale
      one[SEEN] = seen
      one[CONTROLLER] = undefined
      one[RELEASED] = false
      one[ADDRESS] = address
      one[NEEDS] = needs
      return one
    },
    touch(h1, t, txn) {
      const hit = byHash.get(h1)
      // Whatever has ended it first stays the reason.
      if (hit !== undefined) for (const seen of hit) if (seen.times.iat <= t && pending.get(seen) === undefined) pending.set(seen, txn)
    },
    drain,
    sweep,
    close() {
      clearInterval(timer)
      for (const seen of open.keys()) look(seen)
      drain()
    },
    get size() {
      return size
    },
  }

  function signalOf(one: Writable<Internal>): AbortSignal {
    const known = one[CONTROLLER]
    if (known !== undefined) return known.signal
    const controller = new AbortController()
    one[CONTROLLER] = controller
    // The verdict may be older than a cutoff by now, or its request over.
    const terms = termsOf(one)
    const code = judge(one[SEEN]) ?? judgeTerms(one[SEEN], terms)
    if (code !== undefined || one[RELEASED]) controller.abort(ended(code))
    else watch(one[SEEN], controller, terms)
    return controller.signal
  }

  function termsOf(one: Internal): Terms {
    return { address: one[ADDRESS], needs: one[NEEDS] }
  }

  function handOver(one: Writable<Internal>, next: Internal): boolean {
    // Another guard's verdict hangs on another table of cutoffs.
    if (Object.getPrototypeOf(next) !== verdict) return false
    const controller = one[CONTROLLER]
    if (one[RELEASED] || controller?.signal.aborted || !mayFollow(next[SEEN], one[SEEN])) return false
    // The connection stays where it is, and what was asked of it stays asked.
    const terms = { address: one[ADDRESS] ?? next[ADDRESS], needs: one[NEEDS] }
    // What has ended is not to be saved: it only has not been told yet.
    if ((judge(one[SEEN]) ?? judgeTerms(one[SEEN], termsOf(one)) ?? judge(next[SEEN]) ?? judgeTerms(next[SEEN], terms)) !== undefined) return false
    if (controller !== undefined) unwatch(one[SEEN], controller)
    one.claims = next.claims
    one.subject = next.subject
    one.stale = next.stale
    one[SEEN] = next[SEEN]
    one[ADDRESS] = terms.address
    if (controller !== undefined) watch(next[SEEN], controller, terms)
    return true
  }

  function judgeTerms(seen: SeenToken, { address = '', needs }: Terms): VerdictCode | undefined {
    if (seen.late !== undefined && isOutside(seen.late, address)) return 'location'
    const own = needs?.of(seen)
    if (own === undefined) return undefined
    if (own.forbidden) return 'insufficient_scope'
    return own.missesContext || own.freshUntil < now() / 1000 ? 'insufficient_user_authentication' : undefined
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
    connections.freshUntil = Math.min(connections.freshUntil, freshUntil(seen, terms))
    size++
    if (timer === undefined) {
      timer = setInterval(sweep, SWEEP_EVERY)
      timer.unref()
    }
  }

  function release(one: Writable<Internal>): void {
    one[RELEASED] = true
    const controller = one[CONTROLLER]
    if (controller !== undefined) unwatch(one[SEEN], controller)
  }

  function unwatch(seen: SeenToken, controller: AbortController): void {
    const controllers = open.get(seen)?.controllers
    if (controllers?.delete(controller) !== true) return
    size--
    if (controllers.size === 0) forget(seen)
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
    for (const [seen, txn] of pending) {
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
          connections.freshUntil = Math.min(connections.freshUntil, freshUntil(seen, terms))
          continue
        }
        controllers.delete(controller)
        size--
        controller.abort(ended(why, why === 'revoked' ? txn : undefined))
      }
      if (controllers.size === 0) forget(seen)
    }
    draining = false
    if (pending.size > 0) setImmediate(drain)
  }

  function look(seen: SeenToken): void {
    if (!pending.has(seen)) pending.set(seen, undefined)
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
        if (judge(seen) !== undefined || !isJudged(seen, connections)) look(seen)
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

function freshUntil(seen: SeenToken, { needs }: Terms): number {
  return needs?.of(seen).freshUntil ?? Number.POSITIVE_INFINITY
}

function ended(code: VerdictCode | undefined, txn?: string): CaegisError {
  if (code === undefined) return new CaegisError('released', 'The request is over.')
  return Object.assign(new CaegisError(code, VERDICT_CODES[code].message), txn === undefined ? {} : { txn })
}
