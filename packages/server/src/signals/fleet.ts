import { setTimeout as sleep } from 'node:timers/promises'
import { isIdentifier, isObject, SET_TYPE } from '@caegis/protocol'
import {
  type FleetMessage,
  fleetEvent,
  fleetHead,
  fleetJti,
  fleetSubjects,
  type Position,
  type TransmitterOptions,
  type TransmitterStore,
} from '@caegis/ssf/transmitter'
import { compactVerify, createLocalJWKSet, type JWK } from 'jose'
import type { Log } from '../log.ts'

/** A broker that keeps the latest messages of a subject in their order. Everything rejects while it cannot be reached, and soon. */
export interface Bus {
  /** The last message that it keeps. */
  last(subject: string): Promise<{ text: string; at: number } | undefined>
  /** Keeps a message behind the one at `after` (0: none), and rejects when another is the last. Returns where it stands. */
  append(subject: string, text: string, after: number): Promise<number>
  /** Passes a message on that is not kept; not at all while the broker cannot be reached. */
  tell(subject: string, text: string): void
  /** Calls back whenever the connection was made, until the signal aborts. */
  onConnect(listener: () => void, signal: AbortSignal): void
}

export interface FleetOptions {
  bus: Bus
  issuer: string
  store: Pick<TransmitterStore, 'head' | 'events' | 'wait'>
  sign(payload: Record<string, unknown>, header: { typ: string; alg: 'ES256' }): Promise<string>
  /** The keys that sign here, public. */
  keys(): readonly object[]
  /** The broker holds what the log does not: positions mean other events than before. */
  onAhead: NonNullable<TransmitterOptions['onAhead']>
  log: Log
  /** Milliseconds, for tests: between two heads; the first and longest pause after a failure. */
  timing?: Partial<typeof TIMING>
}

export interface Fleet {
  close(): Promise<void>
}

const TIMING = { head: 1000, backoff: [100, 5000] as readonly [number, number] }
const PAGE = 200
/** Events that a broker which was away is still told of; farther behind, guards have polled long ago. */
const MAX_BEHIND = 10_000

/** Where the broker stands: the last event that it holds, of which log, and the broker's own number for it. */
interface Place extends Position {
  at: number
}

/**
 * Publishes the committed log of one tenant to its fleet, in order, and once a second where the log stands.
 *
 *     compare (what does the broker hold last?) --> append what follows, each behind the one before --> wait for a commit
 *        ^--- any failure, any new connection ----------'
 *
 * What the broker says that it holds comes before what is remembered here. Each message is kept only directly behind the last known one, so that of two servers, or of one that was
 * stalled, none can put anything twice or out of order: the second is refused, and compares again. What is left out (the broker lost its data, or was away for long) the
 * heads give away: guards fetch it by their own streams. Nobody waits for any of this.
 */
export function publishFleet({ bus, issuer, store, sign, keys, onAhead, log, timing = {} }: FleetOptions): Fleet {
  const subjects = fleetSubjects(issuer)
  const { head: every, backoff } = { ...TIMING, ...timing }
  const closing = new AbortController()
  /** Only until the next failure or connection. When the broker then holds nothing of ours (any more), it goes on from there; at worst something is said twice. */
  let place: Place | undefined
  let sure = false
  /** Ends whatever pause there is, because there is a new connection. */
  let waking = new AbortController()
  bus.onConnect(() => {
    sure = false
    waking.abort()
  }, closing.signal)
  const running = [follow(), tellHeads()]

  return {
    async close() {
      closing.abort()
      waking.abort()
      await Promise.all(running)
    },
  }

  async function tellHeads(): Promise<void> {
    while (!closing.signal.aborted) {
      await store
        .head()
        .then((head) => signed(fleetHead(issuer, head)))
        .then((text) => bus.tell(subjects.head, text))
        .catch((error: unknown) => log.warn('the fleet could not be told where the log stands', { issuer, error: nameOf(error) }))
      await pause(every, closing.signal)
    }
  }

  async function follow(): Promise<void> {
    let failures = 0
    while (!closing.signal.aborted) {
      waking = new AbortController()
      try {
        if (!place || !sure) {
          sure = true
          place = await compare(place)
        }
        const more = await publish(place)
        if (failures > 1) log.info('the fleet hears of events again', { issuer })
        failures = 0
        if (!more && !waking.signal.aborted) await store.wait(place.seq, AbortSignal.any([waking.signal, closing.signal]))
      } catch (error) {
        sure = false
        if (closing.signal.aborted) return
        // Once: an outage is one thing to know, not one a second.
        // Another server was first, or the last message has had its time: compared again, it mostly goes on at once.
        if (failures++ === 0) continue
        // Once: an outage is one thing to know, not one a second.
        if (failures === 2) log.error('the fleet does not hear of events: guards poll meanwhile', { issuer, error: nameOf(error) })
        await pause(Math.min(backoff[1], backoff[0] * 2 ** (failures - 2)), AbortSignal.any([waking.signal, closing.signal]))
      }
    }
  }

  /** Publishes the next events. Returns whether there may be more. */
  async function publish(own: Place): Promise<boolean> {
    const { epoch, seq } = await store.head()
    if (epoch !== own.epoch || seq < own.seq) {
      // Another log: whoever follows it loads a snapshot first.
      Object.assign(own, { epoch, seq })
      return true
    }
    if (own.seq === seq) return false
    const rows = (await store.events(own.seq, PAGE)).filter((row) => row.seq <= seq)
    for (const row of rows) {
      if (closing.signal.aborted || !sure) return true
      // What was cut off the log long ago, nobody waits for.
      if (row.seq !== own.seq + 1) log.warn('the fleet was not told of events that the log keeps no more', { issuer, after: own.seq })
      own.at = await bus.append(subjects.log, await signed(fleetEvent(issuer, epoch, row)), own.at)
      own.seq = row.seq
    }
    if (rows.length === 0) own.seq = seq
    return true
  }

  async function compare(before: Place | undefined): Promise<Place> {
    const found = await bus.last(subjects.log)
    // After it: what was published is committed, so the log is never behind.
    const head = await store.head()
    const end = { epoch: head.epoch, seq: head.seq, at: found?.at ?? 0 }
    const said = found && (await read(found.text))
    if (found && !said) log.warn('the last message to the fleet is not of this issuer: who may publish at the broker?', { issuer })
    if (!said) return before?.epoch === head.epoch && before.seq <= head.seq ? { ...before, at: end.at } : end
    if (said.epoch !== head.epoch) return end
    const [row] = said.seq <= head.seq ? await store.events(said.seq - 1, 1) : []
    if (said.seq > head.seq || (row?.seq === said.seq && fleetJti(row.id) !== said.jti)) {
      await onAhead({ stream: 'fleet', receiver: 'fleet', claimed: said, head })
      const renewed = await store.head()
      return { ...end, epoch: renewed.epoch, seq: renewed.seq }
    }
    if (head.seq - said.seq > MAX_BEHIND) return end
    return { epoch: said.epoch, seq: said.seq, at: end.at }
  }

  /** Only our own word says where we were: anybody else's would make us leave out events, or renew the log. */
  async function read(text: string): Promise<(Position & { jti: string }) | undefined> {
    try {
      const { payload, protectedHeader } = await compactVerify(text, createLocalJWKSet({ keys: keys() as JWK[] }), { algorithms: ['ES256'] })
      const claims: unknown = JSON.parse(new TextDecoder().decode(payload))
      if (protectedHeader.typ !== SET_TYPE || !isObject(claims) || claims.iss !== issuer) return undefined
      const { caegis_epoch: epoch, caegis_seq: seq, jti } = claims
      if (!isIdentifier(epoch, 64) || !Number.isSafeInteger(seq) || (seq as number) < 1 || !isIdentifier(jti, 256)) return undefined
      return { epoch, seq: seq as number, jti }
    } catch {
      return undefined
    }
  }

  function signed({ claims, typ }: FleetMessage): Promise<string> {
    return sign(claims, { typ, alg: 'ES256' })
  }
}

/** Ends early, and without a word, when the signal says so. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return sleep(milliseconds, undefined, { signal }).catch(() => {})
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown'
}
