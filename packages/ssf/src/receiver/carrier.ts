import { CaegisError, type Head, isIdentifier, isObject, parseHead, SET_TYPE, type SecurityEvent } from '@caegis/protocol'
import type { Log } from '../log.ts'
import { fleetAudience, HEAD_TYPE, type Position } from '../wire.ts'
import type { Channel } from './channel.ts'
import { type JwsVerifier, MAX_JWS } from './verify-jws.ts'
import { acceptSet, namesAudience } from './verify-set.ts'

export interface CarrierOptions {
  channel: Channel
  issuer: string
  /** Milliseconds. */
  now: () => number
  log: Log
  /** Milliseconds without a head after which the channel counts as silent. */
  quiet: number
  /** Verifies what it brings, with a budget for keys that is its own: strangers who may write to a broker must not use up that of the stream. */
  verifier(): JwsVerifier | undefined
  /** Up to where everything is in force, once the stream itself has said so; the channel alone never begins. */
  position(): Readonly<Position> | undefined
  /** Puts the event that follows the position in force. Throwing means that the stream has to bring it. */
  take(event: SecurityEvent): Promise<void>
  /** Everything up to this head is in force. Returns whether it is about as new as what the stream has said, or newer: an old one that is sent again proves nothing. */
  synced(head: Head): boolean
}

/** What a channel has brought, for a status. */
export interface CarrierStatus {
  /** The log comes this way; otherwise by polls. */
  carries: boolean
  /** Why not. */
  reason?: string
  /** Events that came this way first; that were known already, or of another log; heads that counted; messages that were not the issuer's word, or not for the fleet. */
  counts: { applied: number; known: number; heads: number; replayed: number; refused: number }
}

/** Decides, message by message, whether the log comes over a channel. */
export interface Carrier {
  carries(): boolean
  /** The position moved: what waits for that is applied. */
  advance(): Promise<void>
  /** Waits that long, or until the log does not come this way any more. */
  rest(milliseconds: number, signal: AbortSignal): Promise<void>
  status(): CarrierStatus
  close(): Promise<void>
}

/** Messages that wait to be verified, and events that wait for those before them; what is more, the stream brings. */
const WAITING = 10_000

/**
 * Puts a log together that comes over a channel, next to the stream by which it comes too.
 *
 *     carrying --- silence, interruption, gap, another log, an event that a head names and nobody brought ---> not carrying: the stream is polled
 *        ^                                                                                                        |
 *        '---------- a head that is newer than all before, everything up to it in force, nothing still owed ------'
 *
 * Only heads prove anything, and only by what they say of the log: that messages come, or that the broker answers, counts for nothing (rule I4). An event that had to
 * come by the stream is owed: until the channel has brought that one or a later one, it may be stuck for good while its heads still pass by.
 */
export function createCarrier(options: CarrierOptions): Carrier {
  const { channel, issuer, now, log, quiet, verifier, position, take, synced } = options
  const audience = [fleetAudience(issuer)]
  const counts = { applied: 0, known: 0, heads: 0, replayed: 0, refused: 0 }
  const inbox: { kind: 'event' | 'head'; text: string }[] = []
  /** Verified, by position. */
  const waiting = new Map<number, { epoch: string; event: SecurityEvent }>()
  const resting = new Set<() => void>()
  let working: Promise<void> | undefined
  let advancing = false
  let again = false
  let closed = false
  /** The newest head that came, until everything up to it is in force. */
  let pending: Head | undefined
  let newest: Head | undefined
  /** The farthest position that the channel has brought, and the one that it must have brought to be relied on again. */
  let brought = 0
  let owed = 0
  /** When the last head came up to which everything is in force, by a clock that is never set back. */
  let carriedAt = Number.NEGATIVE_INFINITY
  let reason: string | undefined = 'nothing has come yet'

  channel.open({
    event: (text) => receive('event', text),
    head: (text) => receive('head', text),
    lost: lose,
  })

  const silentIn = () => carriedAt + quiet - performance.now()
  const carries = () => position() !== undefined && silentIn() > 0

  return {
    carries,
    advance,
    async rest(milliseconds, signal) {
      const end = performance.now() + milliseconds
      while (carries() && !signal.aborted && performance.now() < end) {
        const { promise, resolve } = Promise.withResolvers<void>()
        const timer = setTimeout(resolve, Math.max(1, Math.min(end - performance.now(), silentIn() + 1)))
        resting.add(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
        await promise
        clearTimeout(timer)
        resting.delete(resolve)
      }
    },
    status() {
      const good = carries()
      return { carries: good, ...(!good && { reason: reason ?? 'no head came for too long' }), counts: { ...counts } }
    },
    async close() {
      closed = true
      await channel.close()
      await working
    },
  }

  function receive(kind: 'event' | 'head', text: string): void {
    if (closed) return
    // Whoever may write to the broker could else fill the memory with what nobody will read.
    if (text.length > MAX_JWS) return void counts.refused++
    if (inbox.length >= WAITING) {
      lose('more came than could be verified')
      return
    }
    inbox.push({ kind, text })
    working ??= work().finally(() => {
      working = undefined
    })
  }

  async function work(): Promise<void> {
    for (let message = inbox.shift(); message && !closed; message = inbox.shift()) {
      // Before there is a stream: what is sent by then stands in the snapshot that follows.
      const jws = verifier()
      if (!jws) continue
      try {
        const { kind, text } = message
        const payload = await jws.verify(text, kind === 'event' ? SET_TYPE : HEAD_TYPE)
        if (kind === 'event') await readEvent(payload)
        else await readHead(payload)
      } catch (error) {
        // It is nobody's word: only counted. What it stood in place of is missed by its position.
        counts.refused++
        const { code, detail } = error instanceof CaegisError ? error : { code: 'internal', detail: String(error) }
        log.warn('a message to the fleet was refused', { code, ...(typeof detail === 'string' && { detail }) })
      }
    }
  }

  async function readEvent(payload: unknown): Promise<void> {
    const event = acceptSet(payload, { issuer, audience, now: now() })
    const epoch = isObject(payload) ? payload.caegis_epoch : undefined
    if (!isIdentifier(epoch, 64) || event.seq === undefined) throw new TypeError('no place in a log')
    const at = position()
    if (at && (epoch !== at.epoch || event.seq <= at.seq)) {
      if (epoch === at.epoch) brought = Math.max(brought, event.seq)
      counts.known++
      return settle()
    }
    if (waiting.size >= WAITING && !waiting.has(event.seq)) return lose('more came than could be put in order')
    waiting.set(event.seq, { epoch, event })
    await advance()
  }

  async function readHead(payload: unknown): Promise<void> {
    if (!isObject(payload) || payload.iss !== issuer || !namesAudience(payload.aud, audience)) throw new TypeError('for somebody else')
    const head = parseHead(payload.caegis_head)
    const at = position()
    if (!at) return
    // Sent again, or late: it says nothing that a newer one did not say.
    if (newest && head.asOf <= newest.asOf) {
      counts.replayed++
      return
    }
    const before = newest
    newest = head
    if (head.epoch !== at.epoch) {
      brought = owed = 0
      return lose('the log has another epoch')
    }
    if (before?.epoch === head.epoch && head.seq < before.seq) return lose('the log went backwards')
    if (pending && pending.epoch === at.epoch && pending.seq > at.seq) miss(pending.seq)
    pending = head
    await advance()
  }

  /** A whole head later the event is still not here: it has to come by the stream. */
  function miss(seq: number): void {
    owed = Math.max(owed, seq)
    lose('an event is missing')
    channel.restart()
  }

  /** One at a time; whoever comes meanwhile is served by the same run. */
  async function advance(): Promise<void> {
    again = true
    if (advancing) return
    advancing = true
    try {
      while (again && !closed) {
        again = false
        await drain()
      }
    } finally {
      advancing = false
    }
  }

  async function drain(): Promise<void> {
    for (let at = position(); at; at = position()) {
      const { seq } = at
      const next = waiting.get(seq + 1)
      if (next?.epoch !== at.epoch) break
      try {
        await take(next.event)
      } catch {
        waiting.delete(seq + 1)
        return lose('an event could not be applied')
      }
      if (position()?.seq === seq) return lose('an event could not be applied')
      counts.applied++
    }
    const at = position()
    if (!at) return
    for (const [seq, { epoch }] of waiting) {
      if (seq > at.seq && epoch === at.epoch) continue
      waiting.delete(seq)
      if (epoch === at.epoch) brought = Math.max(brought, seq)
    }
    if (waiting.size > 0) lose('gap')
    settle()
  }

  function settle(): void {
    const at = position()
    if (!at || !pending || pending.epoch !== at.epoch || pending.seq > at.seq) return
    const head = pending
    pending = undefined
    if (!synced(head)) return void counts.replayed++
    counts.heads++
    if (brought < owed || waiting.size > 0) return
    carriedAt = performance.now()
    reason = undefined
  }

  function lose(why: string): void {
    reason = why
    carriedAt = Number.NEGATIVE_INFINITY
    for (const wake of resting) wake()
  }
}
