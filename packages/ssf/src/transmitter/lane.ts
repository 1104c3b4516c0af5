import { EVENT } from '@caegis/protocol'
import { PUSH_METHOD } from '../wire.ts'
import { createBoundedMap } from './bounded-map.ts'
import { createCursor } from './cursor.ts'
import { orderOf } from './filter.ts'
import type { Minter } from './mint.ts'
import type { DeliveryOutcome } from './outcome.ts'
import { post } from './post.ts'
import type { PushSettings } from './push-options.ts'
import type { Recorder } from './recorder.ts'
import { GAVE_UP } from './redeliver.ts'
import { FAILS, isGivenUp, type SetStatus } from './status.ts'
import type { ControlRow, EventRow, StreamRecord } from './store.ts'

/** One push stream while it is delivered. */
export interface Lane {
  /** How many of its SETs are in flight. */
  readonly flying: number
  /** Its last SET failed: it tries with one at a time. */
  readonly failing: boolean
  /** Looks at the stream again: something changed. */
  refresh(): void
  /** Sends the next SET, if one may go now. */
  start(): boolean
  state(): LaneState
  /** Calls off what is in flight and waits for it; what was delivered is stored. */
  close(): Promise<void>
}

export interface LaneState {
  stream: string
  inFlight: number
  /** Failures in a row. */
  failures: number
  /** Milliseconds of the wall clock. */
  failingSince?: number
  retryAt?: number
}

interface Job {
  id: string
  /** Two jobs of the same are never in flight at once (opposite events must not overtake each other). */
  key: string
  row?: EventRow
  /** Which log the row stands in. */
  epoch?: string
  control?: ControlRow
}

/** Times by the monotonic clock. */
interface Trouble {
  attempts: number
  since: number
  retryAt: number
}

interface LaneParts {
  mint: Minter
  recorder: Recorder
  setStatus: SetStatus
  /** There is something to start, or room for others. */
  changed(): void
}

/** SETs that are looked up at once. */
const READY = 64
const REMEMBERED = 10_000
/** Tries of a stream that was given up, in the time after which it was. */
const TRIES = 12
/** Milliseconds after a failure of our own. */
const OWN_PAUSE = 1000

/**
 * Delivers one stream: rows in log order, several at once but never two about the same subject, and none while an earlier one about its subject waits.
 *
 *     waiting -> in flight -> accepted                      done: the cursor may pass it
 *        ^           |------> dead (stored as a letter)     done
 *        '-- retry --'        after a pause of its own and one of the stream's
 *
 * A stream that fails for too long is paused. Its last words, that it is so, are what it is tried with from then on: when they are taken, it goes on.
 */
export function createLane(id: string, settings: PushSettings, { mint, recorder, setStatus, changed }: LaneParts): Lane {
  const { store, now, monotonic, limits, pushLimits, random, sleep, log } = settings
  const closing = new AbortController()
  const flights = new Map<string, { job: Job; over: Promise<void> }>()
  const troubles = createBoundedMap<Trouble>(REMEMBERED)
  /** Positions that are done and not yet stored as such, each with the epoch that it is a position of. */
  const done = new Map<number, string>()
  /** Control events that were done while the list of them was read. */
  const finished = new Set<string>()
  let stream: StreamRecord | undefined
  let begun = false
  let ready: Job[] = []
  let failures = 0
  let failingSince: number | undefined
  let retryAt = 0
  let round: Promise<void> | undefined
  let again = false
  let armed: { at: number; cancel: AbortController } | undefined

  function refresh(): void {
    again = true
    if (round || closing.signal.aborted) return
    round = (async () => {
      while (again && !closing.signal.aborted) {
        again = false
        try {
          await look()
        } catch (error) {
          logOwn('a push stream could not be looked at', error)
          arm(monotonic() + OWN_PAUSE)
        }
      }
      round = undefined
      changed()
    })()
  }

  async function look(): Promise<void> {
    // Nothing starts while it is decided what may.
    ready = []
    finished.clear()
    const head = await store.head()
    const found = await store.getStream(id)
    if (!found || found.delivery.method !== PUSH_METHOD) {
      stream = undefined
      return
    }
    notice(found)
    if (!begun) {
      // What ended as a letter before a crash is done, though that was not stored any more.
      const letters = await store.listDeadLetters(id)
      for (const seq of (await store.positions(letters.map((letter) => letter.id))).values()) done.set(seq, head.epoch)
      begun = true
    }
    const controls = await store.listControls(id)
    // From here to the scan without a pause: what is done and what is in flight are of one instant.
    const cursor = createCursor(found, head, store, limits.window)
    const settled = [...done]
    for (const [seq, epoch] of settled) if (epoch === head.epoch) cursor.settle(seq)
    const busy = new Set([...flights.values()].map(({ job }) => job.key))
    const due: Job[] = []
    let next = Number.POSITIVE_INFINITY
    const consider = (job: Job): boolean => {
      if (busy.has(job.key)) return false
      busy.add(job.key)
      const wait = troubles.get(job.id)?.retryAt ?? 0
      if (wait > monotonic()) next = Math.min(next, wait)
      return wait <= monotonic()
    }
    for (const control of controls) {
      const job: Job = { id: control.id, key: control.event ? orderOf(control.event) : id, control, ...(control.event && { row: control.event }) }
      if (!finished.has(control.id) && allows(found, job) && consider(job)) due.push(job)
    }
    if (found.status === 'enabled') {
      const rows = await cursor.scan(READY, (row) => !consider({ id: row.id, key: orderOf(row), row }))
      for (const row of rows) due.push({ id: row.id, key: orderOf(row), row, epoch: head.epoch })
    }
    const progress = cursor.progress()
    if (Object.keys(progress).length > 0) await store.saveProgress(id, progress, head.epoch)
    for (const [seq, epoch] of settled) if (done.get(seq) === epoch) done.delete(seq)
    if (again) return
    // What failed goes behind what did not: one SET that a receiver cannot take must not be all that it is tried with.
    const attempts = (job: Job) => troubles.get(job.id)?.attempts ?? 0
    ready = due.sort((one, other) => attempts(one) - attempts(other))
    if (due.length > 0 && retryAt > monotonic()) next = Math.min(next, retryAt)
    if (next < Number.POSITIVE_INFINITY) arm(next)
  }

  /** A stream that was enabled again, or has another address, starts afresh. */
  function notice(found: StreamRecord): void {
    const before = stream
    stream = found
    if (!before) return
    const { endpointUrl, authorizationHeader } = found.delivery
    const moved = before.delivery.endpointUrl !== endpointUrl || before.delivery.authorizationHeader !== authorizationHeader
    if (!moved && (before.status === found.status || found.status !== 'enabled')) return
    failures = 0
    failingSince = undefined
    retryAt = 0
    troubles.clear()
  }

  function start(): boolean {
    if (!stream || closing.signal.aborted || retryAt > monotonic() || flights.size >= (failures > 0 ? 1 : pushLimits.perStream)) return false
    const job = ready.shift()
    if (!job) return false
    const over = fly(stream, job)
      .catch((error) => {
        logOwn('a SET could not be delivered', error)
        retryAt = monotonic() + OWN_PAUSE
        arm(retryAt)
      })
      .finally(() => {
        flights.delete(job.id)
        if (ready.length === 0) refresh()
        changed()
      })
    flights.set(job.id, { job, over })
    return true
  }

  async function fly(as: StreamRecord, job: Job): Promise<void> {
    const { row, control } = job
    const jwt = await (control ? mint.control(as, control) : mint.event(as, row as EventRow))
    // Asked again at the last moment: nothing leaves after the stream was stopped.
    const current = await store.getStream(id)
    if (closing.signal.aborted) return
    if (!current || current.delivery.method !== PUSH_METHOD || !allows(current, job)) return refresh()
    const attempt = (troubles.get(job.id)?.attempts ?? 0) + 1
    if (row) recorder.add(as, row, 'sent', attempt)
    const outcome = await post(settings, current.delivery, jwt, closing.signal)
    if (outcome) await land(as, job, attempt, outcome)
  }

  async function land(as: StreamRecord, job: Job, attempt: number, outcome: DeliveryOutcome): Promise<void> {
    if (outcome.is === 'retry') return retry(as, job, attempt, outcome)
    // Whoever refuses one SET is there for the others.
    failures = 0
    failingSince = undefined
    troubles.delete(job.id)
    if (outcome.is === 'dead') return bury(as, job, outcome.reason, attempt)
    if (job.row) recorder.add(as, job.row, 'acked', attempt)
    if (stream && isGivenUp(stream)) {
      // Before these words count as said: a crash in between must not make them the last.
      await setStatus(id, 'enabled', undefined, isGivenUp)
      refresh()
    }
    if (job.control?.type === EVENT.verification) await store.saveProgress(id, { confirmedAt: now() / 1000 })
    await settle(job)
  }

  async function retry(as: StreamRecord, job: Job, attempt: number, { reason, after = 0 }: DeliveryOutcome & { is: 'retry' }): Promise<void> {
    const at = monotonic()
    const since = troubles.get(job.id)?.since ?? at
    failures++
    failingSince ??= at
    const patience = pushLimits.giveUpAfter * 1000
    const givenUp = isGivenUp(stream ?? as)
    retryAt = at + Math.max(pause(failures), after * 1000, givenUp ? patience / TRIES : 0)
    troubles.set(job.id, { attempts: attempt, since, retryAt: at + pause(attempt) })
    if (job.row) recorder.add(as, job.row, 'failed', attempt, reason)
    log.warn('push failed', { stream: id, receiver: as.receiver, reason, attempt })
    if (at - failingSince >= patience && (stream?.status ?? as.status) === 'enabled') {
      await setStatus(id, 'paused', `${FAILS}: ${reason}`, (current) => current.status === 'enabled')
      refresh()
    } else if (at - since >= patience && !givenUp) {
      // Others went through meanwhile, or these are the last words on a stream that is stopped.
      troubles.delete(job.id)
      await bury(as, job, `${GAVE_UP}: ${reason}`, attempt)
    }
    arm(retryAt)
  }

  /** Ends a SET that was not delivered. The letter is stored before it counts as done. */
  async function bury(as: StreamRecord, job: Job, reason: string, attempts: number): Promise<void> {
    const { row } = job
    log.error('dead letter: a SET was not delivered', { stream: id, receiver: as.receiver, reason, id: job.id })
    if (row) {
      await store.addDeadLetters(id, [{ id: row.id, seq: row.seq, at: now() / 1000, attempts, reason }])
      recorder.add(as, row, 'dead', attempts, reason)
    }
    await settle(job)
  }

  async function settle({ row, epoch, control }: Job): Promise<void> {
    if (control) {
      await store.removeControls(id, [control.id])
      finished.add(control.id)
    } else done.set((row as EventRow).seq, epoch as string)
  }

  function pause(times: number): number {
    const [first, longest] = pushLimits.backoff
    return Math.min(longest, first * 2 ** Math.min(times - 1, 32)) * (0.5 + random() / 2)
  }

  /** Pauses are measured by a clock that nobody sets; people are told what theirs says of it now. */
  function wallTime(at: number): number {
    return Math.round(now() + at - monotonic())
  }

  function arm(at: number): void {
    if (armed && armed.at <= at) return
    armed?.cancel.abort()
    const cancel = new AbortController()
    armed = { at, cancel }
    void sleep(Math.max(0, at - monotonic()), cancel.signal).then(() => {
      if (armed?.cancel !== cancel) return
      armed = undefined
      refresh()
    })
  }

  function logOwn(message: string, error: unknown): void {
    if (!closing.signal.aborted) log.error(message, { stream: id, error: error instanceof Error ? error.name : 'unknown' })
  }

  return {
    get flying() {
      return flights.size
    },
    get failing() {
      return failures > 0
    },
    refresh,
    start,
    state: () => ({
      stream: id,
      inFlight: flights.size,
      failures,
      ...(failingSince !== undefined && { failingSince: wallTime(failingSince) }),
      ...(retryAt > monotonic() && { retryAt: wallTime(retryAt) }),
    }),
    async close() {
      closing.abort()
      armed?.cancel.abort()
      armed = undefined
      await Promise.all([round, ...[...flights.values()].map(({ over }) => over)])
      if (done.size === 0) return
      try {
        const [head, found] = [await store.head(), await store.getStream(id)]
        if (!found) return
        const cursor = createCursor(found, head, store, limits.window)
        for (const [seq, epoch] of done) if (epoch === head.epoch) cursor.settle(seq)
        await store.saveProgress(id, cursor.progress(), head.epoch)
      } catch {
        // What is not stored is sent again: the same SET.
      }
    },
  }
}

/** Nothing is transmitted on a stream that is not enabled (SSF 1.0 section 8.1.2), but that it is so (section 8.1.5). */
function allows(stream: StreamRecord, { control }: Job): boolean {
  return stream.status === 'enabled' || (control?.type === EVENT.streamUpdated && !control.event)
}
