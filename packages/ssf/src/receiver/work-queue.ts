import type { SecurityEvent } from '@caegis/protocol'
import { type Log, SILENT } from '../log.ts'
import { type Backoff, createBackoff, sleep } from '../wait.ts'
import { seenKey } from './seen.ts'

/**
 * Where accepted events wait until they were acted on. A port: a 202 means that the transmitter may forget the SET (RFC 8935 section 2.2), so whoever must not
 * lose one in a crash persists it here. Of several processes that take events into one queue, one acts on them: for the others it says `elsewhere`.
 */
export interface EventQueue {
  /**
   * Resolves when the event is safe, or says that there is no room. Adding the same one (issuer and `jti`) again changes nothing. `elsewhere`: it is safe, and another
   * process acts on it, which has to be told ({@link Receiver.resume}).
   */
  add(event: SecurityEvent): Added | Promise<Added>
  remove(issuer: string, jti: string): void | Promise<void>
  /** What an earlier process left, oldest first. */
  list(): SecurityEvent[] | Promise<SecurityEvent[]>
}

export type Added = 'added' | 'full' | 'elsewhere'

/** Keeps at most `capacity` events, in memory only: what waits when the process dies is lost. */
export function createMemoryQueue(capacity = 1000): EventQueue {
  if (!(Number.isSafeInteger(capacity) && capacity > 0)) throw new TypeError('capacity must be a positive integer')
  const events = new Map<string, SecurityEvent>()
  return {
    add(event) {
      const key = seenKey(event.iss, event.jti)
      if (!events.has(key) && events.size >= capacity) return 'full'
      events.set(key, event)
      return 'added'
    },
    remove: (issuer, jti) => void events.delete(seenKey(issuer, jti)),
    list: () => [...events.values()],
  }
}

export interface WorkerOptions {
  queue: EventQueue
  /** Rejects when the event could not be acted on. */
  act(event: SecurityEvent): Promise<unknown>
  /** After the last attempt. */
  onFailed(event: SecurityEvent, error: unknown): Promise<void>
  /** Attempts for one event. */
  attempts: number
  /** Handlers that run at once. */
  concurrency: number
  /** Milliseconds between attempts, first and longest. */
  retry: readonly [number, number]
  log?: Log
}

/** Accepts, then acts: in order for each subject (a later event must not overtake an earlier one that failed), several subjects at once. */
export interface Worker {
  /** Reads what an earlier process left, or another one added. */
  resume(): Promise<void>
  accept(event: SecurityEvent): Promise<Added>
  waiting(): number
  /** Waits until everything is done, or for that many milliseconds; then begins nothing more. */
  close(milliseconds: number): Promise<void>
}

interface Item {
  event: SecurityEvent
  /** Running, or waiting for its next attempt. */
  busy: boolean
  failures: number
  backoff: Backoff
}

export function createWorker({ queue, act, onFailed, attempts, concurrency, retry, log = SILENT }: WorkerOptions): Worker {
  const items = new Map<string, Item>()
  const closing = new AbortController()
  let running = 0
  let idle: (() => void) | undefined

  const put = (event: SecurityEvent) => {
    const key = seenKey(event.iss, event.jti)
    if (!items.has(key)) items.set(key, { event, busy: false, failures: 0, backoff: createBackoff(retry) })
    pump()
  }

  /** Starts what may run: the oldest event of each subject. One that waits for its next attempt holds up its own subject only. */
  function pump(): void {
    const behind = new Set<string>()
    for (const [key, item] of items) {
      if (running >= concurrency || closing.signal.aborted) return
      const subject = JSON.stringify(item.event.subject)
      if (behind.has(subject)) continue
      behind.add(subject)
      if (item.busy) continue
      item.busy = true
      running++
      void attempt(key, item)
    }
    if (items.size === 0) idle?.()
  }

  async function attempt(key: string, item: Item): Promise<void> {
    const { event } = item
    const failed = await act(event).then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    running--
    if (failed && ++item.failures < attempts) {
      log.warn('a handler failed; it is tried again', { type: event.type, jti: event.jti, attempt: item.failures })
      pump()
      await sleep(item.backoff.next(), closing.signal)
      item.busy = false
    } else {
      if (failed) await settled(() => onFailed(event, failed.error), 'onFailed failed')
      // Done or given up: if the store still has it, the next process finds out that it was seen.
      await settled(async () => queue.remove(event.iss, event.jti), 'the queue does not forget an event')
      items.delete(key)
    }
    pump()
  }

  async function settled(step: () => Promise<void>, what: string): Promise<void> {
    try {
      await step()
    } catch (error) {
      log.error(what, { message: error instanceof Error ? error.name : 'unknown' })
    }
  }

  return {
    async resume() {
      for (const event of await queue.list()) put(event)
    },
    async accept(event) {
      if (closing.signal.aborted) return 'full'
      if (items.has(seenKey(event.iss, event.jti))) return 'added'
      const result = await queue.add(event)
      if (result === 'added') put(event)
      return result
    },
    waiting: () => items.size,
    async close(milliseconds) {
      if (items.size > 0) {
        const done = new AbortController()
        idle = () => done.abort()
        await sleep(milliseconds, done.signal)
      }
      closing.abort()
      if (items.size > 0) log.warn('closed with events that were not acted on', { waiting: items.size })
    },
  }
}
